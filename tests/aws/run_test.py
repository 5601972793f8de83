# SPDX-License-Identifier: Apache-2.0
"""The same pipeline file with AWS behind the interfaces, read back by boto3."""
import json

import pytest

from conftest import TOKEN, Redoubt, run_approved, write_pipeline

ALIAS = "alias/redoubt"


@pytest.fixture
def account(aws):
    """What `config/cloudformation_template.yaml` would have made."""
    kms, s3 = aws.client("kms"), aws.client("s3")
    aws.key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=aws.key)
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
    return aws


def workspace(account, folder, **blocks):
    redoubt = Redoubt(folder)
    redoubt.environment.update(account.environment)
    redoubt.providers = folder / "providers.yaml"
    redoubt.providers.write_text(json.dumps({"version": 1, "providers": {
        "kms": {"aws-kms": {"key": ALIAS}},
        "secrets": {"secrets-manager": {}},
        "objects": {"s3": {"bucket": "artifacts", "prefix": "demo/", "kms_key": ALIAS}}, **blocks}}))
    return redoubt


def keys_of(account, prefix=""):
    pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket="artifacts", Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def test_the_pipeline_keeps_keys_secrets_and_objects_in_aws(account, tiny_hub, tmp_path):
    redoubt = workspace(account, tmp_path)
    redoubt("init", "--providers", redoubt.providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    run_approved(redoubt, pipeline, "tiny/0.1.0")
    try:
        assert redoubt.json("registry", "list")[0]["state"] == "Deployed"
        stored = account.client("secretsmanager").get_secret_value(SecretId="redoubt/huggingface/api-token")
        assert stored["SecretBinary"] == TOKEN.encode()
        s3 = account.client("s3")
        keys = keys_of(account)
        assert len(keys) > 20 and all(key.startswith("demo/") for key in keys)
        for key in keys:
            object = s3.get_object(Bucket="artifacts", Key=key)
            assert object["ServerSideEncryption"] == "aws:kms"
            body = object["Body"].read()
            assert ("aws-kms:" + ALIAS).encode() in body[:400], "not sealed under the key"
            assert b"How do I" not in body and b"__metadata__" not in body
        assert not [path for path in (redoubt.workspace / "objects").rglob("*") if path.is_file()]
        report = redoubt.json("audit", "verify")
        assert report["ok"] and report["problems"] == []

        # One byte in S3: named, and nothing is deployed.
        blob = next(key for key in keys if "/blobs/" in key)
        body = bytearray(s3.get_object(Bucket="artifacts", Key=blob)["Body"].read())
        body[-1] ^= 1
        s3.put_object(Bucket="artifacts", Key=blob, Body=bytes(body))
        problems = redoubt.json("audit", "verify", expect=4)["problems"]
        assert [problem["object"] for problem in problems] == ["objects/" + blob.removeprefix("demo/")]
        redoubt("deploy", "tiny/0.1.0", expect=4)
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")


def test_a_step_is_done_again_where_its_objects_are_elsewhere(account, tiny_hub, tmp_path):
    redoubt = workspace(account, tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    redoubt("run", pipeline, expect=6)
    # The token lies in the embedded store: AWS has none yet, and nothing is lost on the way back.
    assert "secret put" in redoubt.json("run", pipeline, "--providers", redoubt.providers, expect=1)["error"]["hint"]
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    rows = redoubt.json("run", pipeline, "--providers", redoubt.providers, expect=6)
    assert keys_of(account, "demo/blobs/")
    assert redoubt.json("audit", "verify")["ok"], rows


def test_a_step_acts_in_its_own_role_and_says_which_it_could_not_take_on(account, judge, tmp_path):
    redoubt = workspace(account, tmp_path, aws={"roles": {name: f"arn:aws:iam::123456789012:role/redoubt-{name}" for name in ("operate", "secrets", "audit")}})
    redoubt.environment.update(judge.environment)
    redoubt("init", "--providers", redoubt.providers)
    judge.inject("sts", "AssumeRole", "access_denied")
    refused = redoubt.json("secret", "put", "a", stdin="value", expect=5)["error"]
    assert refused["where"] == "aws.roles" and "role/redoubt-secrets could not be taken on" in refused["message"] and "sts:AssumeRole" in refused["hint"]
    redoubt("secret", "put", "a", stdin="value")
    assert {call.role for call in judge.seen("secretsmanager", "CreateSecret")} == {"arn:aws:iam::123456789012:role/redoubt-secrets"}
    assert all(call.role for call in judge.calls if call.service not in ("sts",)) and judge.violations == []
    redoubt.providers.write_text(redoubt.providers.read_text().replace("role/redoubt-audit", "redoubt-audit"))
    (tmp_path / "other").mkdir()
    other = Redoubt(tmp_path / "other")
    wrong = other.json("init", "--providers", redoubt.providers, expect=2)["error"]
    assert "audit" in wrong["where"] + wrong["message"], wrong
