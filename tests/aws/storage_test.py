# SPDX-License-Identifier: Apache-2.0
"""Objects in S3 when the line between is bad: each fault ends in success or in a clear error, nothing half made is left, and what
was written is not taken for somebody else's. boto3 reads what is there."""
import datetime
import hashlib
import os
import random

import pytest

from storage import BLOCK, BUCKET, KEY, PART, START, storage  # noqa: F401  (fixture)


def refuse(status, code):
    return {"kind": "refuse", "status": status, "code": code}


LOST, INTERNAL_ERROR, SLOW_DOWN, CONTESTED = {"kind": "reset_after"}, refuse(500, "InternalError"), refuse(503, "SlowDown"), refuse(409, "ConditionalRequestConflict")
DENIED, TAKEN, CUT_SHORT, FLIPPED = refuse(403, "AccessDenied"), refuse(412, "PreconditionFailed"), {"kind": "truncated"}, {"kind": "flipped"}
# S3 begins its answer with 200 before it knows how it ends.
LATE_ERROR = {"kind": "answer", "body": "<Error><Code>InternalError</Code><Message>late</Message></Error>"}


def file_of(folder, size, name="file"):
    path = folder / name
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def stored(storage, key):
    return storage.s3.get_object(Bucket=BUCKET, Key="objects/" + key)


def assert_nothing_is_left(storage):
    assert not storage.s3.list_objects_v2(Bucket=BUCKET).get("Contents")
    assert not storage.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


@pytest.mark.parametrize("size", [0, 1, START, START + 1, PART - 1, PART, 2 * PART, 2 * PART + 7])
def test_an_object_is_what_boto3_reads_and_is_sealed_by_the_key(storage, tmp_path, size):
    path = file_of(tmp_path, size)
    storage("put", key="a/b", file=path)
    there = stored(storage, "a/b")
    assert there["Body"].read() == path.read_bytes()
    assert there["ServerSideEncryption"] == "aws:kms" and there["SSEKMSKeyId"].endswith(KEY) and there["ContentLength"] == size
    written = [call.request for call in storage.judge.calls if call.request.header("x-amz-server-side-encryption")]
    assert written and all(request.header("x-amz-server-side-encryption-bucket-key-enabled") == "true" for request in written)
    storage("get", key="a/b", file=tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert storage("list", key="a/")["keys"] == ["a/b"]


def test_a_small_object_is_one_request_up_and_one_down(storage, tmp_path):
    path = file_of(tmp_path, 10_000)
    before = len(storage.judge.calls)
    storage("put", key="a", file=path)
    assert len(storage.judge.calls) - before == 1
    sent = storage.judge.calls[-1].request
    assert sent.header("x-amz-checksum-sha256") and sent.header("x-amz-server-side-encryption") == "aws:kms"
    assert sent.header("if-none-match") == "*"
    storage("get", key="a", file=tmp_path / "back")
    assert len(storage.judge.calls) - before == 2


@pytest.mark.parametrize("fault", [LOST, INTERNAL_ERROR, SLOW_DOWN, CONTESTED])
def test_a_put_whose_answer_is_lost_or_put_off_is_done_once_and_is_ours(storage, tmp_path, fault):
    path = file_of(tmp_path, 10_000)
    storage.judge.inject("s3", "PutObject", **fault)
    storage("put", key="a", file=path)
    assert stored(storage, "a")["Body"].read() == path.read_bytes()
    assert len(storage.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"


@pytest.mark.parametrize("which, fault", [("UploadPart", LOST), ("UploadPart", INTERNAL_ERROR), ("CompleteMultipartUpload", LOST),
                                          ("CompleteMultipartUpload", INTERNAL_ERROR), ("CompleteMultipartUpload", LATE_ERROR),
                                          ("CreateMultipartUpload", LOST), ("CreateMultipartUpload", INTERNAL_ERROR)])
def test_an_upload_in_parts_goes_on_after_a_fault(storage, tmp_path, which, fault):
    path = file_of(tmp_path, 2 * PART + 7)
    storage.judge.inject("s3", which, **fault)
    storage("put", key="a", file=path)
    assert stored(storage, "a")["Body"].read() == path.read_bytes()
    assert len(storage.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


@pytest.mark.parametrize("which", ["UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_fails_for_good_is_given_up_whole(storage, tmp_path, which):
    path = file_of(tmp_path, 2 * PART + 7)
    storage.judge.inject("s3", which, **DENIED, times=1000)
    error = storage.error("put", key="a", file=path)
    assert error["code"] == "permission_denied" and error["where"] == f"s3://{BUCKET}/objects/a" and error["hint"]
    assert_nothing_is_left(storage)


def test_a_key_that_is_taken_while_the_parts_go_up_stays_as_it_is(storage, tmp_path):
    path = file_of(tmp_path, 2 * PART + 7)

    def somebody_is_faster():
        storage.s3.put_object(Bucket=BUCKET, Key="objects/a", Body=b"theirs")

    storage.judge.inject("s3", "CompleteMultipartUpload", **TAKEN, does=somebody_is_faster)  # moto compares it only for one part
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"
    assert stored(storage, "a")["Body"].read() == b"theirs"
    assert not storage.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"


def test_a_contested_completion_is_one_of_the_two(storage, tmp_path):
    path = file_of(tmp_path, 2 * PART)
    storage.judge.inject("s3", "CompleteMultipartUpload", **CONTESTED, times=1000)
    assert storage.error("put", key="a", file=path)["code"] == "unavailable"
    assert_nothing_is_left(storage)


@pytest.mark.parametrize("fault", [CUT_SHORT, LOST, INTERNAL_ERROR])
@pytest.mark.parametrize("size", [10_000, 3 * BLOCK + 7])
def test_a_read_goes_on_after_a_fault(storage, tmp_path, fault, size):
    path = file_of(tmp_path, size)
    storage("put", key="a", file=path)
    storage.judge.inject("s3", "GetObject", **fault, times=2)
    storage("get", key="a", file=tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_bytes_that_changed_on_the_way_are_noticed(storage, tmp_path):
    path = file_of(tmp_path, 10_000)
    storage("put", key="a", file=path)
    storage.judge.inject("s3", "GetObject", **FLIPPED)
    storage("get", key="a", file=tmp_path / "back")  # asked for again
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    storage.judge.inject("s3", "GetObject", **FLIPPED, times=1000)
    assert storage.error("get", key="a", file=tmp_path / "back")["code"] == "tampered"


def test_a_listing_has_nothing_of_others(storage):
    for name in ("objects/n/0", "objects/n/a b", "objects/n/\u00e9+%20", "objects/.hidden", "objects2/n/0000", "objects/n/", "objects/n%2f1"):
        storage.s3.put_object(Bucket=BUCKET, Key=name, Body=b"x")
    assert storage("list", key="")["keys"] == ["n/0"]


def test_a_listing_has_all_pages(storage):
    def tell(asked, first, token):
        objects = "".join(f"<Contents><Key>objects/{number:04}</Key></Contents>" for number in range(first, first + 1000))
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        storage.judge.inject("s3", "ListObjectsV2", "answer", body=f"<ListBucketResult>{more}{objects}</ListBucketResult>",
                             where=lambda members: members.get("ContinuationToken") == asked)

    for page in ((None, 0, "t+/1="), ("t+/1=", 1000, "t2"), ("t2", 2000, None)):
        tell(*page)
    assert storage("list", key="")["keys"] == [f"{number:04}" for number in range(3000)]
    tell(None, 0, "same")
    tell("same", 0, "same")
    assert storage.error("list", key="")["code"] == "unavailable"


def test_what_a_killed_process_left_is_given_up_when_the_key_is_put_again(storage, tmp_path):
    """moto says of every upload that it began in 2010."""
    for key in ("objects/a", "objects/a2", "elsewhere/b"):
        storage.s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    storage("put", key="a", file=file_of(tmp_path, 2 * PART))
    assert {upload["Key"] for upload in storage.s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]} == {"elsewhere/b", "objects/a2"}


def test_one_that_began_today_goes_on(storage, tmp_path):
    upload = storage.s3.create_multipart_upload(Bucket=BUCKET, Key="objects/a")["UploadId"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    told = f"<ListMultipartUploadsResult><Upload><Key>objects/a</Key><UploadId>{upload}</UploadId><Initiated>{now}</Initiated></Upload></ListMultipartUploadsResult>"
    storage.judge.inject("s3", "ListMultipartUploads", "answer", body=told)
    storage("put", key="a", file=file_of(tmp_path, 2 * PART))
    assert [left["UploadId"] for left in storage.s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]


def test_a_put_goes_on_where_nobody_may_look_for_such_uploads(storage, tmp_path):
    storage.judge.inject("s3", "ListMultipartUploads", **DENIED, times=9)
    storage("put", key="a", file=file_of(tmp_path, 2 * PART))
    assert stored(storage, "a")["ContentLength"] == 2 * PART


def test_a_model_goes_into_the_vault_and_comes_back_with_few_requests(storage, tmp_path):
    size = 24 << 20
    folder = tmp_path / "model"
    folder.mkdir()
    for name, count in (("model.safetensors", size), ("config.json", 700), ("tokenizer.json", 200_000)):
        file_of(folder, count, name)
    before = len(storage.judge.calls)
    digest = storage("vault_import", folder=folder, uri="aws-kms:" + KEY)["digest"]
    up = [call.operation for call in storage.judge.calls[before:]]
    assert up.count("UploadPart") == -(-size // PART)
    # A chunk of the vault is 64 KiB: 384 of them in the large file alone.
    assert len(up) <= up.count("UploadPart") + 30, up
    before = len(storage.judge.calls)
    storage("vault_export", folder=tmp_path / "back", digest=digest, uri="aws-kms:" + KEY)
    down = [call.operation for call in storage.judge.calls[before:]]
    assert len(down) <= size // BLOCK + 20, down
    for path in folder.iterdir():
        assert hashlib.sha256((tmp_path / "back" / path.name).read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()
    # In S3 it lies under our own envelope as well.
    objects = storage.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(objects) == 4
    for entry in objects:
        body = storage.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        assert all(path.read_bytes()[:64] not in body for path in folder.iterdir())
    storage("vault_verify", digest=digest, uri="aws-kms:" + KEY)
    victim = max(objects, key=lambda entry: entry["Size"])["Key"]
    body = bytearray(storage.s3.get_object(Bucket=BUCKET, Key=victim)["Body"].read())
    body[len(body) // 2] ^= 1
    storage.s3.put_object(Bucket=BUCKET, Key=victim, Body=bytes(body))
    assert storage.error("vault_verify", digest=digest, uri="aws-kms:" + KEY)["code"] == "tampered"
    assert os.listdir(tmp_path / "back")
