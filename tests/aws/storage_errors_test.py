# SPDX-License-Identifier: Apache-2.0
"""What storage on AWS says when something is not as it should be: the resource by name, and the cure."""
import base64
import datetime

import pytest

from storage import BUCKET, KEY, storage  # noqa: F401  (fixture)

URI = "aws-kms:" + KEY
CONTEXT = {"workspace": "w", "kind": "blob", "name": "n"}
TEXT = base64.b64encode(b"a data key").decode()


def refuse(code, message="refused", status=400, **more):
    return {"kind": "refuse", "status": status, "code": code, "message": message, **more}


NOT_ALLOWED = "User: arn:aws:sts::1:x is not authorized to perform: "


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"x" * 1000)
    return path


def do_all(storage, small):
    """One error of each operation on objects."""
    return {"put": storage.error("put", key="a", file=small), "get": storage.error("get", key="a", file=small.with_name("back")),
            "list": storage.error("list", key=""), "remove": storage.error("remove", key="a")}


def test_a_bucket_that_is_not_there_is_named_and_is_no_missing_object(storage, small):
    storage("s3", bucket="no-such-bucket-at-all", kms_key=KEY)
    for what, error in do_all(storage, small).items():
        assert error["code"] == "invalid_argument", (what, error)
        assert error["where"].startswith("s3://no-such-bucket-at-all/") and "NoSuchBucket" in error["message"] and "config/cloudformation_template.yaml" in error["hint"], what


def test_a_refusal_names_the_object_the_request_and_what_to_allow(storage, small):
    storage("put", key="a", file=small)
    storage.judge.inject("s3", "*", **refuse("AccessDenied", NOT_ALLOWED + "s3:X", 403), times=1000)
    for what, error in do_all(storage, small).items():
        assert error["code"] == "permission_denied", (what, error)
        assert error["where"].startswith(f"s3://{BUCKET}/objects/") and "REQ1" in error["message"] and "policy" in error["hint"], (what, error)


@pytest.mark.parametrize("fault", [
    refuse("PermanentRedirect", "The bucket must be addressed using the specified endpoint.", 301, headers=[("x-amz-bucket-region", "us-west-2")]),
    {"kind": "answer", "status": 301, "body": "", "headers": [("x-amz-bucket-region", "us-west-2")]},
    {"kind": "answer", "status": 400, "body": "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>us-west-2</Region></Error>"}])
def test_a_bucket_of_another_region_is_told_with_its_region(storage, small, fault):
    storage("put", key="a", file=small)
    storage.judge.inject("s3", "*", **fault, times=1000)
    for what, error in do_all(storage, small).items():
        assert error["code"] == "invalid_argument" and "us-west-2" in error["message"] and "region" in error["hint"], (what, error)


@pytest.mark.parametrize("code", ["KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"])
def test_a_bucket_s_key_that_is_gone_is_not_taken_for_a_missing_object(storage, small, code):
    storage("put", key="a", file=small)
    storage.judge.inject("s3", "*", **refuse(code, "arn:aws:kms:eu-central-1:1:key/k is not usable"), times=1000)
    for error in (storage.error("put", key="b", file=small), storage.error("get", key="a", file=small.with_name("back"))):
        assert error["code"] == "invalid_argument" and code in error["message"] and "KMS key" in error["hint"], error


def test_a_bucket_of_another_account_is_refused(storage, small):
    storage("s3", bucket=BUCKET, kms_key=KEY, owner="999999999999")
    storage("list", key="")
    assert storage.judge.calls[-1].request.header("x-amz-expected-bucket-owner") == "999999999999"


@pytest.mark.parametrize("bucket", ["", "Upper", "a", "a..b", "-a-b", "a/b", "x" * 64])
def test_a_name_that_no_bucket_has_is_refused_before_anything_is_asked(storage, bucket):
    before = len(storage.judge.calls)
    assert storage.error("s3", bucket=bucket, kms_key=KEY)["code"] == "invalid_argument"
    assert len(storage.judge.calls) == before


def test_a_key_that_is_not_there_is_named(storage):
    for what in ("wrap", "unwrap", "rotate_key", "destroy_key"):
        error = storage.error(what, uri="aws-kms:alias/no-such-key", text=TEXT, context=CONTEXT)
        assert error["code"] == "not_found" and error["where"] == "aws-kms:alias/no-such-key" and error["hint"], (what, error)


def test_a_key_of_another_region_is_told_with_both_before_anything_is_asked(storage):
    before, uri = len(storage.judge.calls), "aws-kms:arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555"
    for what in ("wrap", "unwrap"):
        error = storage.error(what, uri=uri, text=TEXT, context=CONTEXT)
        assert error["code"] == "invalid_argument" and error["where"] == uri and "us-west-2" in error["message"] and "eu-central-1" in error["message"] and "region" in error["hint"]
    assert len(storage.judge.calls) == before


@pytest.mark.parametrize("uri", ["", "aws-kms:", "local:default", "alias/x"])
def test_a_uri_of_another_scheme_is_told_how_to_write_it(storage, uri):
    error = storage.error("wrap", uri=uri, text=TEXT, context=CONTEXT)
    assert error["code"] == "invalid_argument" and "aws-kms:alias/NAME" in error["hint"]


def test_a_disabled_key_and_one_to_be_deleted_open_nothing(storage):
    wrapped = storage("wrap", uri=URI, text=TEXT, context=CONTEXT)["text"]
    assert storage("unwrap", uri=URI, text=wrapped, context=CONTEXT)["text"] == TEXT
    for operation in ("Encrypt", "Decrypt"):
        storage.judge.inject("kms", operation, **refuse("DisabledException", "the key is disabled"))
    for what in ("wrap", "unwrap"):
        error = storage.error(what, uri=URI, text=wrapped, context=CONTEXT)
        assert error["code"] == "not_found" and "disabled" in error["message"] and "enable" in error["hint"], error
    storage("destroy_key", uri=URI)
    key = storage.kms.describe_key(KeyId=KEY)["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"
    error = storage.error("unwrap", uri=URI, text=wrapped, context=CONTEXT)
    assert error["code"] == "not_found" and "cancel" in error["hint"], error


def test_a_refused_use_of_a_key_is_no_tampering(storage):
    wrapped = storage("wrap", uri=URI, text=TEXT, context=CONTEXT)["text"]
    storage.judge.inject("kms", "Decrypt", **refuse("AccessDeniedException", NOT_ALLOWED + "kms:Decrypt"))
    error = storage.error("unwrap", uri=URI, text=wrapped, context=CONTEXT)
    assert error["code"] == "permission_denied" and error["where"] == URI and "key policy" in error["hint"], error


def test_what_another_key_wrapped_and_what_was_changed_is_tampered(storage):
    storage("create_key", uri="aws-kms:alias/other")
    wrapped = storage("wrap", uri="aws-kms:alias/other", text=TEXT, context=CONTEXT)["text"]
    assert storage.error("unwrap", uri=URI, text=wrapped, context=CONTEXT)["code"] == "tampered"
    for code in ("InvalidCiphertextException", "IncorrectKeyException"):
        storage.judge.inject("kms", "Decrypt", **refuse(code))
        assert storage.error("unwrap", uri="aws-kms:alias/other", text=wrapped, context=CONTEXT)["code"] == "tampered"


def test_a_quota_says_where_to_ask_for_more(storage):
    storage.judge.inject("kms", "CreateKey", **refuse("LimitExceededException", "too many keys"))
    error = storage.error("create_key", uri="aws-kms:alias/third")
    assert error["code"] == "limit_exceeded" and error["where"] == "aws-kms:alias/third" and "quota" in error["hint"], error
    storage.judge.inject("secretsmanager", "CreateSecret", **refuse("LimitExceededException", "too many secrets"))
    error = storage.error("secret_put", name="a", value="v")
    assert error["code"] == "limit_exceeded" and error["where"] == "redoubt/a" and "quota" in error["hint"], error


def test_a_key_whose_name_could_not_be_given_is_not_left_over(storage):
    before = len(storage.kms.list_keys()["Keys"])
    storage.judge.inject("kms", "CreateAlias", **refuse("AccessDeniedException", NOT_ALLOWED + "kms:CreateAlias"), times=10)
    assert storage.error("create_key", uri="aws-kms:alias/third")["code"] == "permission_denied"
    keys = [storage.kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in storage.kms.list_keys()["Keys"]]
    assert keys.count("PendingDeletion") == 1 and len(keys) == before + 1


def test_a_secret_that_may_not_be_read_is_named_and_its_value_is_nowhere(storage):
    storage("secret_put", name="hub/token", value="hf_verysecretvalue")
    for operation in ("GetSecretValue", "PutSecretValue"):
        storage.judge.inject("secretsmanager", operation, **refuse("AccessDeniedException", NOT_ALLOWED + operation), times=10)
    for error in (storage.error("secret_get", name="hub/token"), storage.error("secret_put", name="hub/token", value="hf_verysecretvalue")):
        assert error["code"] == "permission_denied" and error["where"] == "redoubt/hub/token" and "policy" in error["hint"], error
        assert "verysecret" not in str(error)


def test_a_throttled_secret_is_put_once(storage):
    storage.judge.inject("secretsmanager", "CreateSecret", "throttling")
    assert storage("secret_put", name="a", value="v")["version"] == 1
    sent = [call.request.body for call in storage.judge.seen("secretsmanager", "CreateSecret")]
    assert len(sent) == 2 and len(set(sent)) == 1  # the same token each time, so that nothing is made twice
    versions = storage.aws.client("secretsmanager").list_secret_version_ids(SecretId="redoubt/a")["Versions"]
    assert len(versions) == 1


def test_a_secret_marked_for_deletion_is_absent_until_it_is_put_again(storage):
    storage("secret_put", name="a", value="v")
    storage.aws.client("secretsmanager").delete_secret(SecretId="redoubt/a", RecoveryWindowInDays=7)
    assert storage.error("secret_get", name="a")["code"] == "not_found"
    assert storage("secret_list")["secrets"] == []
    # A put that comes to nothing leaves it marked.
    secrets = storage.aws.client("secretsmanager")
    storage.judge.inject("secretsmanager", "PutSecretValue", **refuse("AccessDeniedException", NOT_ALLOWED + "secretsmanager:PutSecretValue"))
    assert storage.error("secret_put", name="a", value="w")["code"] == "permission_denied"
    assert secrets.describe_secret(SecretId="redoubt/a")["DeletedDate"]
    assert storage("secret_put", name="a", value="w")["version"] == 2
    assert "DeletedDate" not in secrets.describe_secret(SecretId="redoubt/a")
    assert storage("secret_get", name="a")["value"] == "w" and storage("secret_previous", name="a")["value"] == "v"


def test_a_removed_secret_keeps_its_recovery_window_unless_at_once_is_said(storage):
    secrets = storage.aws.client("secretsmanager")
    storage("secret_put", name="a", value="v")
    storage("secret_remove", name="a", recovery_days=9)
    days = (secrets.describe_secret(SecretId="redoubt/a")["DeletedDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    assert 8.9 < days <= 9
    assert storage.error("secret_remove", name="a")["code"] == "not_found"
    storage("secret_remove", name="a", at_once=True)
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.describe_secret(SecretId="redoubt/a")
    assert storage.error("secret_remove", name="a", recovery_days=6)["where"] == "recovery_days"


def test_numbers_count_on_over_versions_that_were_made_elsewhere(storage):
    secrets = storage.aws.client("secretsmanager")
    assert [storage("secret_put", name="a", value=value)["version"] for value in "xy"] == [1, 2]
    for value in "pq":  # as a rotation function does; by the second both versions with a stage are others'
        secrets.put_secret_value(SecretId="redoubt/a", SecretString=value)
    assert storage("secret_list")["secrets"] == [["a", 4]] and storage("secret_get", name="a")["value"] == "q"
    assert storage("secret_put", name="a", value="z")["version"] == 5
    # Somebody moves the stage back: an old number is not given out again.
    ids = {number: f"redoubt-{number:08}-of-this-secret-by-number" for number in (2, 5)}
    secrets.update_secret_version_stage(SecretId="redoubt/a", VersionStage="AWSCURRENT", RemoveFromVersionId=ids[5], MoveToVersionId=ids[2])
    assert storage("secret_list")["secrets"] == [["a", 2]]
    assert storage("secret_put", name="a", value="z")["version"] > 5
