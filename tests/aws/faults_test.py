# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way to AWS ends in success or in a clear error, and nothing is made twice or left half made."""
import datetime
import json
import os
import pathlib
import subprocess

import pytest

from client_test import Tool
from conftest import Redoubt

CONTRACT = pathlib.Path(os.environ["REDOUBT_BUILD"]) / "redoubt_contract_test"


@pytest.fixture
def tool(judge):
    tool = Tool(**judge.environment)
    yield tool
    tool.close()


@pytest.mark.parametrize("kind", ["throttling", "error_500", "error_503", "reset_before", "reset_after", "slow"])
@pytest.mark.parametrize("service, operation, members", [
    ("kms", "ListKeys", {}), ("sts", "GetCallerIdentity", {}), ("ec2", "DescribeVpcs", {}), ("s3", "ListBuckets", {})])
def test_a_passing_fault_is_overcome(judge, tool, service, operation, members, kind):
    judge.inject(service, operation, kind, times=1 if kind in ("throttling", "slow") else 2)
    assert "answer" in tool.call(service, operation, **members)
    assert judge.violations == []


def test_a_fault_that_stays_is_told_after_a_bounded_number_of_attempts(judge, tool):
    judge.inject("kms", "ListKeys", "error_503", times=1000)
    error = tool.error("kms", "ListKeys")
    assert error["code"] == "unavailable" and "kms.ListKeys" in error["message"] and "attempts" in error["message"]
    assert 2 <= len(judge.seen("kms", "ListKeys")) <= 10


def test_what_has_a_token_is_made_once_although_nobody_heard_of_it(judge, tool):
    judge.inject("secretsmanager", "CreateSecret", "reset_after")
    assert "answer" in tool.call("secretsmanager", "CreateSecret", Name="once", SecretString="s")
    assert len(tool.answer("secretsmanager", "ListSecretVersionIds", SecretId="once", IncludeDeprecated=True)["Versions"]) == 1


def test_what_has_none_is_not_asked_for_again_and_the_error_says_so(judge, tool):
    judge.inject("kms", "CreateKey", "reset_after")
    error = tool.error("kms", "CreateKey")
    assert error["code"] == "unavailable" and "twice" in error["hint"]
    assert len(tool.answer("kms", "ListKeys")["Keys"]) == 1


def test_nothing_is_sent_twice_though_the_connection_had_been_used_before(judge, tool):
    """libcurl sends a request anew by itself where a kept connection breaks before an answer begins."""
    assert "answer" in tool.call("kms", "ListKeys")
    judge.inject("kms", "CreateKey", "reset_after")
    assert tool.error("kms", "CreateKey")["code"] == "unavailable"
    assert len(judge.seen("kms", "CreateKey")) == 1


def test_an_answer_that_breaks_off_is_asked_for_again_where_that_is_safe(judge, tool):
    judge.inject("kms", "ListKeys", "truncated", times=2)
    assert "answer" in tool.call("kms", "ListKeys")
    judge.inject("kms", "CreateKey", "truncated")
    assert tool.error("kms", "CreateKey")["code"] == "unavailable" and len(judge.seen("kms", "CreateKey")) == 1


def test_a_clock_that_is_wrong_is_put_right(judge, tool):
    for minutes in (20, -20):
        judge.skew = datetime.timedelta(minutes=minutes)
        assert "answer" in tool.call("kms", "ListKeys")
        assert "answer" in tool.call("sts", "GetCallerIdentity")


@pytest.mark.parametrize("service, operation, kind, code, says", [
    ("kms", "ListKeys", "access_denied", "permission_denied", "kms:ListKeys"),
    ("s3", "ListBuckets", "access_denied", "permission_denied", "s3:ListBuckets"),
    ("sts", "GetCallerIdentity", "expired_token", "permission_denied", "Expired"),
    ("kms", "ListKeys", "expired_token", "permission_denied", "Expired"),
    ("sagemaker", "ListTrainingJobs", "quota", "limit_exceeded", "ResourceLimitExceeded"),
])
def test_a_refusal_names_the_action_and_the_cure(judge, tool, service, operation, kind, code, says):
    judge.inject(service, operation, kind, times=5)
    error = tool.error(service, operation)
    assert error["code"] == code and says in error["message"] and error["hint"], error
    assert "not-a-secret" not in json.dumps(error)


@pytest.mark.parametrize("faults", [
    [("s3", "GetObject", "truncated", 3), ("s3", "PutObject", "throttling", 3), ("s3", "HeadObject", "reset_before", 2)],
    [("s3", "UploadPart", "reset_after", 1), ("s3", "CompleteMultipartUpload", "error_500", 0), ("s3", "GetObject", "error_503", 2), ("s3", "ListObjectsV2", "throttling", 2)],
])
def test_objects_are_whole_in_spite_of_faults(judge, faults):
    for service, operation, kind, times in faults:
        judge.inject(service, operation, kind, times)
    done = subprocess.run([CONTRACT, "--gtest_filter=*ObjectStoreContract.gives_back*/aws:*ObjectStoreContract.lists*/aws"],
                          env={**os.environ, **judge.environment, "REDOUBT_AWS_TEST": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert all(fault.times == 0 for fault in judge.faults)


def test_an_upload_that_fails_leaves_no_part_behind(judge, aws):
    judge.inject("s3", "UploadPart", "access_denied", times=100)
    done = subprocess.run([CONTRACT, "--gtest_filter=*ObjectStoreContract.gives_back*/aws"],
                          env={**os.environ, **judge.environment, "REDOUBT_AWS_TEST": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0  # the suite wants the object
    s3 = aws.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        assert not s3.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads")


@pytest.fixture
def workspace(judge, aws, tmp_path):
    """A workspace whose keys, secrets and objects lie in AWS, behind the judge."""
    kms, s3 = aws.client("kms"), aws.client("s3")
    kms.create_alias(AliasName="alias/redoubt", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(judge.environment)
    redoubt.providers = tmp_path / "providers.yaml"
    redoubt.providers.write_text(json.dumps({"version": 1, "providers": {
        "kms": {"aws-kms": {"key": "alias/redoubt"}}, "secrets": {"secrets-manager": {}}, "objects": {"s3": {"bucket": "artifacts", "kms_key": "alias/redoubt"}}}}))
    redoubt("init", "--providers", redoubt.providers)
    return redoubt


@pytest.mark.parametrize("fault, says", [
    (("secretsmanager", "CreateSecret", "access_denied"), "redoubt/name"),
    (("secretsmanager", "DescribeSecret", "expired_token"), "redoubt/name"),
])
def test_the_command_line_tells_what_aws_refused_and_goes_on_afterwards(judge, workspace, fault, says):
    judge.inject(*fault, times=3)
    error = workspace.json("secret", "put", "name", stdin="value", expect=5)["error"]
    assert says in error["where"] and error["hint"]
    judge.faults.clear()
    workspace("secret", "put", "name", stdin="value")
    assert workspace.json("secret", "get", "name")["value"] == "value"
    assert workspace.json("audit", "verify")["ok"] and judge.violations == []


def test_a_bucket_a_key_and_a_region_that_are_not_there_are_named(judge, workspace, tmp_path):
    text = workspace.providers.read_text()
    data = tmp_path / "rows"
    data.mkdir()
    (data / "data.jsonl").write_text("".join(json.dumps({"prompt": f"q{i}", "completion": f"a{i}"}) + "\n" for i in range(20)))

    def verify(change, expect):
        workspace.providers.write_text(change)
        return workspace.json("audit", "verify", "--providers", workspace.providers, expect=expect)

    wrong_bucket = verify(text.replace('"artifacts"', '"nowhere-at-all"'), 1)
    [unchecked] = wrong_bucket["unchecked"]
    assert "s3://nowhere-at-all" in unchecked["object"] and "NoSuchBucket" in unchecked["detail"] and "make the bucket" in unchecked["hint"] and wrong_bucket["problems"] == []
    assert verify(text, 0)["ok"]
    done = workspace("status", "--providers", workspace.providers, expect=None)
    assert done.returncode == 0
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        workspace.environment.pop(name)
    error = workspace.json("status", expect=5)["error"]
    assert "AWS_ACCESS_KEY_ID" in json.dumps(error)
