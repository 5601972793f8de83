# SPDX-License-Identifier: Apache-2.0
"""The AWS client against moto: every protocol's answers are those that boto3 reads from the same server."""
import base64
import datetime
import functools
import json
import os
import pathlib
import subprocess

import boto3
import botocore.config
import pytest

from aws_account import KEY_ID, REGION, SECRET, empty_account

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])


class Tool:
    """The client in a process of its own, with an environment of its own."""

    def __init__(self, **environment):
        home = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.process = subprocess.Popen([BUILD / "aws_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**home, "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true", **environment})

    def __call__(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the tool ended: {self.process.wait(10)}"
        return json.loads(line)

    def call(self, service, operation, **members):
        return self(do="call", service=service, operation=operation, input=members)

    def answer(self, service, operation, **members):
        got = self.call(service, operation, **members)
        assert "answer" in got, f"{service}.{operation}: {got}"
        return got["answer"]

    def error(self, service, operation, **members):
        return self.call(service, operation, **members)["error"]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0


@pytest.fixture(scope="module")
def tool(moto_url):
    tool = Tool(AWS_ENDPOINT_URL=moto_url, AWS_ACCESS_KEY_ID=KEY_ID, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION=REGION)
    yield tool
    tool.close()


@pytest.fixture(scope="module")
def boto(moto_url):
    @functools.cache
    def client(service):
        return boto3.client(service, endpoint_url=moto_url, region_name=REGION, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET,
                            config=botocore.config.Config(s3={"addressing_style": "path"}))
    return client


def plain(value):
    """boto3's answer as JSON has it: times as numbers, nothing that is absent or empty."""
    if isinstance(value, dict):
        kept = {name: plain(member) for name, member in value.items() if name not in ("ResponseMetadata", "RequestId", "Owner")}
        return {name: member for name, member in kept.items() if member not in (None, [], {}, "")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    if isinstance(value, float):
        return int(value) if value > 1e9 else round(value, 3)
    return value


def known(ours, theirs):
    """What the API's model knows of our answer: moto sends more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {name: known(member, theirs[name]) for name, member in ours.items() if name in theirs}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [known(a, b) for a, b in zip(ours, theirs)]
    return ours


def snake(operation):
    from botocore import xform_name
    return xform_name(operation)


ROLE = {"RoleName": "trainer", "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": []})}
ALARM = {"AlarmName": "latency", "Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Period": 60, "EvaluationPeriods": 3, "Threshold": 1.5,
         "ComparisonOperator": "GreaterThanThreshold", "Statistic": "Average", "Dimensions": [{"Name": "EndpointName", "Value": "e"}]}
TEMPLATE = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}, "Outputs": {"A": {"Value": {"Ref": "T"}}}})
LIFECYCLE = {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Transitions": [{"Days": 30, "StorageClass": "INTELLIGENT_TIERING"}],
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]}
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}, "BucketKeyEnabled": True}]}

# What is written through our client, then what is read through both.
WRITES = [
    ("kms", "CreateKey", {"Description": "a key"}),
    ("secretsmanager", "CreateSecret", {"Name": "hub/token", "SecretString": "value"}),
    ("logs", "CreateLogGroup", {"logGroupName": "/redoubt/acquire"}),
    ("cloudwatch", "PutMetricAlarm", ALARM),
    ("sns", "CreateTopic", {"Name": "alarms", "Attributes": {"DisplayName": "a & b"}, "Tags": [{"Key": "k", "Value": "v ü"}]}),
    ("iam", "CreateRole", {**ROLE, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("ecr", "CreateRepository", {"repositoryName": "engine"}),
    ("sagemaker", "CreateModelPackageGroup", {"ModelPackageGroupName": "g"}),
    ("sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "g"}),
    ("events", "PutRule", {"Name": "rescan", "ScheduleExpression": "rate(1 day)"}),
    ("cloudformation", "CreateStack", {"StackName": "st", "TemplateBody": TEMPLATE, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("s3", "CreateBucket", {"Bucket": "bucket.one", "CreateBucketConfiguration": {"LocationConstraint": REGION}}),
    ("s3", "PutBucketEncryption", {"Bucket": "bucket.one", "ServerSideEncryptionConfiguration": ENCRYPTION}),
    ("s3", "PutPublicAccessBlock", {"Bucket": "bucket.one", "PublicAccessBlockConfiguration": BLOCK}),
    ("s3", "PutBucketVersioning", {"Bucket": "bucket.one", "VersioningConfiguration": {"Status": "Enabled"}}),
    ("s3", "PutBucketPolicy", {"Bucket": "bucket.one", "Policy": '{"Version":"2012-10-17","Statement":[]}'}),
    ("s3", "PutBucketLifecycleConfiguration", {"Bucket": "bucket.one", "LifecycleConfiguration": LIFECYCLE}),
    ("s3", "PutBucketTagging", {"Bucket": "bucket.one", "Tagging": {"TagSet": [{"Key": "a", "Value": "b & <c>"}]}}),
    ("route53", "CreateHostedZone", {"Name": "example.com.", "CallerReference": "x", "HostedZoneConfig": {"Comment": "c", "PrivateZone": False}}),
    ("route53", "CreateHealthCheck", {"CallerReference": "h", "HealthCheckConfig": {
        "Type": "HTTPS", "FullyQualifiedDomainName": "a.example.com", "Port": 443, "ResourcePath": "/ping", "RequestInterval": 30, "FailureThreshold": 3}}),
    ("guardduty", "CreateDetector", {"Enable": True}),
    ("securityhub", "EnableSecurityHub", {}),
]
READS = [
    ("sts", "GetCallerIdentity", {}),
    ("kms", "ListKeys", {}),
    ("secretsmanager", "DescribeSecret", {"SecretId": "hub/token"}),
    ("logs", "DescribeLogGroups", {}),
    ("cloudwatch", "DescribeAlarms", {}),
    ("sns", "ListTopics", {}),
    ("sns", "GetTopicAttributes", {"TopicArn": f"arn:aws:sns:{REGION}:123456789012:alarms"}),
    ("iam", "ListRoles", {}),
    ("iam", "GetAccountSummary", {}),
    ("ecr", "DescribeRepositories", {}),
    ("sagemaker", "ListModelPackages", {"ModelPackageGroupName": "g"}),
    ("events", "ListRules", {}),
    ("cloudformation", "DescribeStacks", {"StackName": "st"}),
    ("cloudformation", "ListStacks", {}),
    ("cloudformation", "DescribeStackResources", {"StackName": "st"}),
    ("ec2", "DescribeVpcs", {"Filters": [{"Name": "isDefault", "Values": ["true"]}]}),
    ("ec2", "DescribeSubnets", {}),
    ("ec2", "DescribeSecurityGroups", {}),
    ("ec2", "DescribeRouteTables", {}),
    ("ec2", "DescribeNetworkAcls", {}),
    ("ec2", "DescribeVpcEndpoints", {}),
    ("ec2", "DescribeFlowLogs", {}),
    ("ec2", "DescribeAvailabilityZones", {}),
    ("s3", "ListBuckets", {}),
    ("s3", "GetBucketLocation", {"Bucket": "bucket.one"}),
    ("s3", "GetBucketEncryption", {"Bucket": "bucket.one"}),
    ("s3", "GetPublicAccessBlock", {"Bucket": "bucket.one"}),
    ("s3", "GetBucketVersioning", {"Bucket": "bucket.one"}),
    ("s3", "GetBucketPolicy", {"Bucket": "bucket.one"}),
    ("s3", "GetBucketLifecycleConfiguration", {"Bucket": "bucket.one"}),
    ("s3", "GetBucketTagging", {"Bucket": "bucket.one"}),
    ("s3", "ListObjectVersions", {"Bucket": "bucket.one"}),
    ("route53", "ListHostedZonesByName", {"DNSName": "example.com"}),
    ("route53", "ListHealthChecks", {}),
    ("cloudtrail", "DescribeTrails", {}),
    ("budgets", "DescribeBudgets", {"AccountId": "123456789012"}),
    ("application-autoscaling", "DescribeScalableTargets", {"ServiceNamespace": "sagemaker"}),
    ("securityhub", "DescribeHub", {}),
    ("inspector2", "ListFindings", {}),
]


@pytest.fixture(scope="module")
def filled(tool, moto_url):
    empty_account(moto_url)  # what other files' tests made there
    for service, operation, members in WRITES:
        tool.answer(service, operation, **members)
    for key in ("a b/ü+c..%", "two"):
        assert tool(do="send", method="PUT", bucket="bucket.one", path="/" + key, body="hello", headers=[["x-amz-meta-a", "b"]])["status"] == 200
    return tool


@pytest.mark.parametrize("service,operation,members", READS, ids=[f"{service}.{operation}" for service, operation, _ in READS])
def test_an_answer_is_what_boto3_reads(filled, boto, service, operation, members):
    ours = plain(filled.answer(service, operation, **members))
    theirs = plain(getattr(boto(service), snake(operation))(**members))
    for role in ours.get("Roles", []):  # boto3 reads the text of policies as well
        role["AssumeRolePolicyDocument"] = plain(json.loads(role["AssumeRolePolicyDocument"]))
    theirs.pop("TransitionDefaultMinimumObjectSize", None)  # of a header that says nothing new
    assert known(ours, theirs) == theirs


def test_what_is_written_is_what_boto3_finds(filled, boto):
    assert boto("sns").list_tags_for_resource(ResourceArn=f"arn:aws:sns:{REGION}:123456789012:alarms")["Tags"] == [{"Key": "k", "Value": "v ü"}]
    assert json.loads(json.dumps(boto("iam").get_role(RoleName="trainer")["Role"]["AssumeRolePolicyDocument"])) == json.loads(ROLE["AssumeRolePolicyDocument"])
    assert {item["Key"] for item in boto("s3").list_objects_v2(Bucket="bucket.one")["Contents"]} == {"a b/ü+c..%", "two"}
    zone = boto("route53").list_hosted_zones()["HostedZones"][0]["Id"]
    record = {"Name": "a.example.com.", "Type": "A", "SetIdentifier": "p", "Failover": "PRIMARY", "TTL": 60, "ResourceRecords": [{"Value": "1.2.3.4"}]}
    filled.answer("route53", "ChangeResourceRecordSets", HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]})
    assert record in boto("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]


def test_objects_go_up_and_down_whole_and_in_parts(filled, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "data").write_bytes(data)
    put = filled(do="send", method="PUT", bucket="bucket.one", path="/big", upload=str(tmp_path / "data"))
    assert put["status"] == 200 and put["headers"]["etag"]
    got = filled(do="send", method="GET", bucket="bucket.one", path="/big")
    assert base64.b64decode(got["body"]) == data
    part = filled(do="send", method="GET", bucket="bucket.one", path="/big", headers=[["range", "bytes=1000-1999"]])
    assert part["status"] == 206 and base64.b64decode(part["body"]) == data[1000:2000]
    assert filled(do="send", method="HEAD", bucket="bucket.one", path="/big")["headers"]["content-length"] == "3000000"
    assert filled(do="send", method="DELETE", bucket="bucket.one", path="/big")["status"] == 204
    assert filled(do="send", method="HEAD", bucket="bucket.one", path="/big")["error"]["code"] == "not_found"


def test_an_encrypted_text_needs_its_context(filled):
    key = filled.answer("kms", "ListKeys")["Keys"][0]["KeyId"]
    sealed = filled.answer("kms", "Encrypt", KeyId=key, Plaintext=base64.b64encode(b"hello").decode(), EncryptionContext={"object": "a"})
    opened = filled.answer("kms", "Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"object": "a"})
    assert base64.b64decode(opened["Plaintext"]) == b"hello"
    assert filled.error("kms", "Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"object": "b"})["code"] == "tampered"


@pytest.mark.parametrize("service,operation,members,code,service_code", [
    ("secretsmanager", "GetSecretValue", {"SecretId": "none"}, "not_found", "ResourceNotFoundException"),
    ("iam", "GetRole", {"RoleName": "none"}, "not_found", "NoSuchEntity"),
    ("iam", "CreateRole", ROLE, "already_exists", "EntityAlreadyExists"),
    ("s3", "GetBucketPolicy", {"Bucket": "none-of-mine"}, "not_found", "NoSuchBucket"),
    ("cloudformation", "DescribeStacks", {"StackName": "none"}, "not_found", "ValidationError"),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "none"}, "not_found", "ValidationException"),
    ("logs", "CreateLogGroup", {"logGroupName": "/redoubt/acquire"}, "already_exists", "ResourceAlreadyExistsException"),
    ("ecr", "DescribeImages", {"repositoryName": "none"}, "not_found", "RepositoryNotFoundException"),
    ("guardduty", "GetDetector", {}, "invalid_argument", "guardduty.GetDetector needs the member DetectorId"),
    ("kms", "CreateNothing", {}, None, None),
    ("nothing", "Do", {}, "invalid_argument", "no such service in the table"),
])
def test_a_refusal_says_what_the_caller_can_do(filled, service, operation, members, code, service_code):
    error = filled.error(service, operation, **members)
    if code is not None:
        assert error["code"] == code and error["message"].startswith(service_code)
    assert SECRET not in json.dumps(error)


def test_a_listing_is_read_to_its_last_page(tool):
    for number in range(130):
        tool.answer("secretsmanager", "CreateSecret", Name=f"page/{number}", SecretString="v")
    found = tool(do="call_all", service="secretsmanager", operation="ListSecrets", input={"MaxResults": 25}, items="SecretList")["answer"]
    assert {f"page/{number}" for number in range(130)} <= {secret["Name"] for secret in found}
