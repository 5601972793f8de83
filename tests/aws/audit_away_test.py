# SPDX-License-Identifier: Apache-2.0
"""`audit verify` when a service does not answer: what it keeps could not be checked, which is told once with the reason and the cure,
and nothing is called missing or changed for it."""
import json

import pytest

from aws_account import REGION, empty_account, judged
from conftest import TOKEN, Redoubt, free_port

KEY, BUCKET = "alias/redoubt", "artifacts"


@pytest.fixture(scope="module")
def workspace(moto_url, tiny_hub, tmp_path_factory):
    """One whose keys, secrets, objects and trail lie in AWS, with a model in the vault; nothing here changes it."""
    account, folder = empty_account(moto_url), tmp_path_factory.mktemp("away")
    kms, s3 = account.client("kms"), account.client("s3")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=KEY, TargetKeyId=key)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with judged(account, folder / "judge") as judge:
        redoubt = Redoubt(folder)
        redoubt.judge, redoubt.kms, redoubt.s3, redoubt.key = judge, kms, s3, key
        redoubt.environment.update(judge.environment)
        (folder / "providers.yaml").write_text(json.dumps({"version": 1, "providers": {
            "aws": {"attempts_max": 2}, "kms": {"aws-kms": {"key": KEY}}, "secrets": {"secrets-manager": {}},
            "objects": {"s3": {"bucket": BUCKET, "kms_key": KEY}}, "audit": {"cloudwatch": {}}}}))
        redoubt("init", "--providers", folder / "providers.yaml")
        redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
        redoubt("model", "pull", "test/tiny", "--endpoint", tiny_hub.url, "--ca-file", tiny_hub.certificate, "--token-secret", "huggingface/api-token")
        redoubt.objects = redoubt.json("audit", "verify")["objects"]
        assert redoubt.objects > 4
        yield redoubt
        judge.faults.clear()
        whole = redoubt.json("audit", "verify")
        assert whole["ok"] and whole["unchecked"] == [] and judge.violations == []


@pytest.fixture(autouse=True)
def no_fault_before(workspace):
    workspace.judge.faults.clear()


def only_unchecked(workspace, kind):
    report = workspace.json("audit", "verify", expect=1)
    assert not report["ok"] and report["problems"] == []
    [unchecked] = report["unchecked"]
    assert unchecked["kind"] == kind and unchecked["hint"]
    return unchecked


@pytest.mark.parametrize("service, operation, fault, kind, says", [
    ("s3", "*", "error_503", "object", "ServiceUnavailable"),
    ("s3", "*", "access_denied", "object", "AccessDenied"),
    ("s3", "GetObject", "access_denied", "object", "s3:GetObject"),
    ("s3", "GetObject", "error_503", "object", "s3.GetObject"),
    ("kms", "Decrypt", "access_denied", "object", "kms:Decrypt"),
    ("logs", "*", "access_denied", "trail", "logs:"),
])
def test_what_a_service_does_not_give_is_not_missing(workspace, service, operation, fault, kind, says):
    workspace.judge.inject(service, operation, fault, times=10**6)
    before = len(workspace.judge.calls)
    assert says in only_unchecked(workspace, kind)["detail"]
    # A service that does not answer is not asked for each object that it keeps.
    if (operation, fault) == ("GetObject", "error_503"):
        assert len(workspace.judge.seen("s3", "GetObject")) - sum(call.operation == "GetObject" for call in workspace.judge.calls[:before]) < 5 * workspace.objects  # a reader of S3 asks four times, each up to twice


def test_an_address_where_nobody_listens_is_named(workspace):
    workspace.environment["AWS_ENDPOINT_URL_S3"] = f"https://localhost:{free_port()}"
    try:
        unchecked = only_unchecked(workspace, "object")
        told = workspace("audit", "verify", expect=1)
    finally:
        del workspace.environment["AWS_ENDPOINT_URL_S3"]
    assert unchecked["object"].startswith(f"s3://{BUCKET}") and unchecked["count"] > 1
    assert told.stdout.count(f"s3://{BUCKET}") == 1 and "could not be checked" in told.stderr and "changed from outside" not in told.stderr


def test_a_key_that_is_disabled_opens_nothing_and_nothing_is_lost(workspace):
    workspace.kms.disable_key(KeyId=workspace.key)
    try:
        unchecked = only_unchecked(workspace, "object")
    finally:
        workspace.kms.enable_key(KeyId=workspace.key)
    assert unchecked["object"] == "aws-kms:" + KEY and unchecked["count"] == workspace.objects and "enable" in unchecked["hint"]


def test_what_is_wrong_weighs_more_than_what_was_not_looked_at(workspace):
    blob = next(item["Key"] for item in workspace.s3.list_objects_v2(Bucket=BUCKET)["Contents"] if item["Key"].startswith("blobs/"))
    removed = workspace.s3.delete_object(Bucket=BUCKET, Key=blob)
    workspace.judge.inject("logs", "*", "access_denied", times=10**6)
    report = workspace.json("audit", "verify", expect=4)
    workspace.s3.delete_object(Bucket=BUCKET, Key=blob, VersionId=removed["VersionId"])
    assert {problem["object"] for problem in report["problems"]} == {"objects/" + blob}
    assert [unchecked["kind"] for unchecked in report["unchecked"]] == ["trail"]


def test_an_audit_reads_no_secret_that_a_service_keeps(workspace):
    before = len(workspace.judge.seen("secretsmanager", "*"))
    assert workspace.json("audit", "verify")["ok"] and len(workspace.judge.seen("secretsmanager", "*")) == before


def test_a_step_is_not_taken_again_because_its_store_is_away(workspace, tiny_hub):
    pull = ["model", "pull", "test/tiny", "--endpoint", tiny_hub.url, "--ca-file", tiny_hub.certificate, "--token-secret", "huggingface/api-token"]
    entries = workspace.json("audit", "verify")["entries"]
    workspace.judge.inject("s3", "GetObject", "access_denied", times=10**6)
    error = workspace.json(*pull, expect=5)["error"]
    assert error["where"].startswith(f"s3://{BUCKET}/") and "s3:GetObject" in error["hint"]
    workspace.judge.faults.clear()
    workspace(*pull)
    assert workspace.json("audit", "verify")["entries"] == entries
