# SPDX-License-Identifier: Apache-2.0
"""Objects in S3 when the line between is bad: each fault ends in success or in a clear error, nothing half made is left, and what
was written is not taken for somebody else's. boto3 reads what is there."""
import hashlib
import os
import random

import pytest

from between import cut_short, flip_a_byte, lose_the_answer, refuse_s3
from storage import BLOCK, BUCKET, KEY, PART, START, storage  # noqa: F401  (fixture)


def is_put(seen):
    return seen.method == "PUT" and not seen.query


def is_part(seen):
    return seen.method == "PUT" and "partNumber" in seen.query


def is_completion(seen):
    return seen.method == "POST" and "uploadId" in seen.query


def is_beginning(seen):
    return "uploads" in seen.query


def is_get(seen):
    return seen.method == "GET" and seen.path.count("/") > 1


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
    assert all(seen.headers["x-amz-server-side-encryption-bucket-key-enabled"] == "true" for seen in storage.line.seen
               if seen.headers["x-amz-server-side-encryption"])
    storage("get", key="a/b", file=tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert storage("list", key="a/")["keys"] == ["a/b"]


def test_a_small_object_is_one_request_up_and_one_down(storage, tmp_path):
    path = file_of(tmp_path, 10_000)
    before = len(storage.line.seen)
    storage("put", key="a", file=path)
    assert len(storage.line.seen) - before == 1
    sent = storage.line.seen[-1]
    assert sent.headers["x-amz-checksum-sha256"] and sent.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert sent.headers["If-None-Match"] == "*"
    storage("get", key="a", file=tmp_path / "back")
    assert len(storage.line.seen) - before == 2


@pytest.mark.parametrize("fault", [lose_the_answer, refuse_s3(500, "InternalError"), refuse_s3(503, "SlowDown"),
                                   refuse_s3(409, "ConditionalRequestConflict")])
def test_a_put_whose_answer_is_lost_or_put_off_is_done_once_and_is_ours(storage, tmp_path, fault):
    path = file_of(tmp_path, 10_000)
    storage.line.inject(is_put, fault)
    storage("put", key="a", file=path)
    assert stored(storage, "a")["Body"].read() == path.read_bytes()
    assert len(storage.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"


INTERNAL_ERROR, LATE_ERROR = refuse_s3(500, "InternalError"), refuse_s3(200, "InternalError")


@pytest.mark.parametrize("which, fault", [(is_part, lose_the_answer), (is_part, INTERNAL_ERROR), (is_completion, lose_the_answer),
                                          (is_completion, INTERNAL_ERROR), (is_completion, LATE_ERROR), (is_beginning, lose_the_answer),
                                          (is_beginning, INTERNAL_ERROR)])
def test_an_upload_in_parts_goes_on_after_a_fault(storage, tmp_path, which, fault):
    path = file_of(tmp_path, 2 * PART + 7)
    storage.line.inject(which, fault)
    storage("put", key="a", file=path)
    assert stored(storage, "a")["Body"].read() == path.read_bytes()
    assert len(storage.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


@pytest.mark.parametrize("which", [is_part, is_completion])
def test_an_upload_that_fails_for_good_is_given_up_whole(storage, tmp_path, which):
    path = file_of(tmp_path, 2 * PART + 7)
    storage.line.inject(which, refuse_s3(403, "AccessDenied"), 1000)
    error = storage.error("put", key="a", file=path)
    assert error["code"] == "permission_denied" and error["where"] == f"s3://{BUCKET}/objects/a" and error["hint"]
    assert_nothing_is_left(storage)


def test_a_key_that_is_taken_while_the_parts_go_up_stays_as_it_is(storage, tmp_path):
    path = file_of(tmp_path, 2 * PART + 7)

    def somebody_is_faster(forward):
        storage.s3.put_object(Bucket=BUCKET, Key="objects/a", Body=b"theirs")
        return refuse_s3(412, "PreconditionFailed")(forward)  # moto compares it only for one part

    storage.line.inject(is_completion, somebody_is_faster)
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"
    assert stored(storage, "a")["Body"].read() == b"theirs"
    assert not storage.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert storage.error("put", key="a", file=path)["code"] == "already_exists"


def test_a_contested_completion_is_one_of_the_two(storage, tmp_path):
    path = file_of(tmp_path, 2 * PART)
    storage.line.inject(is_completion, refuse_s3(409, "ConditionalRequestConflict"), 1000)
    assert storage.error("put", key="a", file=path)["code"] == "unavailable"
    assert_nothing_is_left(storage)


@pytest.mark.parametrize("fault", [cut_short, lose_the_answer, refuse_s3(500, "InternalError")])
@pytest.mark.parametrize("size", [10_000, 3 * BLOCK + 7])
def test_a_read_goes_on_after_a_fault(storage, tmp_path, fault, size):
    path = file_of(tmp_path, size)
    storage("put", key="a", file=path)
    storage.line.inject(is_get, fault, 2)
    storage("get", key="a", file=tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_bytes_that_changed_on_the_way_are_noticed(storage, tmp_path):
    path = file_of(tmp_path, 10_000)
    storage("put", key="a", file=path)
    storage.line.inject(is_get, flip_a_byte)
    storage("get", key="a", file=tmp_path / "back")  # asked for again
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    storage.line.inject(is_get, flip_a_byte, 1000)
    assert storage.error("get", key="a", file=tmp_path / "back")["code"] == "tampered"


def test_a_listing_has_nothing_of_others(storage):
    for name in ("objects/n/0", "objects/n/a b", "objects/n/\u00e9+%20", "objects/.hidden", "objects2/n/0000", "objects/n/", "objects/n%2f1"):
        storage.s3.put_object(Bucket=BUCKET, Key=name, Body=b"x")
    assert storage("list", key="")["keys"] == ["n/0"]


def test_a_listing_has_all_pages(storage):
    def page(first, token):
        body = "".join(f"<Contents><Key>objects/{number:04}</Key></Contents>" for number in range(first, first + 1000))
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        return lambda forward: (200, [("Content-Type", "application/xml")], f"<ListBucketResult>{more}{body}</ListBucketResult>".encode())

    for asked, answer in ((None, page(0, "t+/1=")), ("t+/1=", page(1000, "t2")), ("t2", page(2000, None))):
        storage.line.inject(lambda seen, asked=asked: "list-type" in seen.query and seen.query.get("continuation-token") == asked, answer)
    assert storage("list", key="")["keys"] == [f"{number:04}" for number in range(3000)]
    for _ in range(2):
        storage.line.inject(lambda seen: "list-type" in seen.query, page(0, "same"))
    assert storage.error("list", key="")["code"] == "unavailable"


def test_what_a_killed_process_left_is_given_up_when_it_is_old(storage):
    started = [storage.s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in ("objects/a", "elsewhere/b")]
    assert len(set(started)) == 2
    assert storage("leftovers", seconds=-24 * 3600)["removed"] in (0, 1)  # moto says of every upload that it began in 2010
    storage("leftovers", seconds=3600)
    left = storage.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["elsewhere/b"]


def test_a_model_goes_into_the_vault_and_comes_back_with_few_requests(storage, tmp_path):
    size = 24 << 20
    folder = tmp_path / "model"
    folder.mkdir()
    for name, count in (("model.safetensors", size), ("config.json", 700), ("tokenizer.json", 200_000)):
        file_of(folder, count, name)
    before = len(storage.line.seen)
    digest = storage("vault_import", folder=folder, uri="aws-kms:" + KEY)["digest"]
    up = storage.line.seen[before:]
    assert sum(map(is_part, up)) == -(-size // PART)
    # A chunk of the vault is 64 KiB: 384 of them in the large file alone.
    assert len(up) <= sum(map(is_part, up)) + 30, up
    before = len(storage.line.seen)
    storage("vault_export", folder=tmp_path / "back", digest=digest, uri="aws-kms:" + KEY)
    down = storage.line.seen[before:]
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
