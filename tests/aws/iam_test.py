# SPDX-License-Identifier: Apache-2.0
"""IAM's decision against the rules and examples of its user guide ("Policy evaluation logic", "Condition operators", "Conditions with
multiple context keys or values"), and what the template's roles may not do."""
import pytest

import iam
from iam_requests import Asked, World, requests_of
from judge import Call
from permissions import Policies, Resolver, template

ACCOUNT, REGION, OTHER = "123456789012", "eu-central-1", "arn:aws:kms:eu-central-1:123456789012:key/other"
KEY, LOG_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/data", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/logs"
BUCKET = f"redoubt-dev-artifacts-{ACCOUNT}"


@pytest.mark.parametrize("operator, wanted, values, expected", [
    ("StringEquals", ["a", "b"], ["b"], True), ("StringEquals", "a", ["A"], False), ("StringEquals", "a", None, False),
    ("StringNotEquals", "a", ["b"], True), ("StringNotEquals", ["a", "b"], ["b"], False), ("StringNotEquals", "a", None, True),
    ("StringEqualsIfExists", "a", None, True), ("StringEqualsIfExists", "a", ["b"], False),
    ("StringLike", "jobs/*", ["jobs/a/b"], True), ("StringLike", "jobs/?", ["jobs/ab"], False), ("StringLike", "a[b]*", ["a[b]c"], True),
    ("Bool", "false", ["true"], False), ("Bool", "true", ["true"], True), ("Bool", "true", None, False),
    ("Null", "true", None, True), ("Null", "true", ["a"], False), ("Null", "false", ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True), ("ForAllValues:StringEquals", ["a"], ["a", "b"], False), ("ForAllValues:StringEquals", ["a"], None, True),
    ("ForAnyValue:StringEquals", ["a"], ["a", "b"], True), ("ForAnyValue:StringEquals", ["a"], None, False),
    ("ArnLike", "arn:aws:logs:*:123456789012:log-group:/redoubt/*", ["arn:aws:logs:eu-central-1:123456789012:log-group:/redoubt/dev"], True),
    ("ArnLike", "arn:aws:s3:::*", ["arn:aws:sns:eu-central-1:1:a"], False), ("NumericLessThan", "1.2", ["1.1"], True), ("NumericLessThan", "1.2", ["1.2"], False),
])
def test_conditions_are_those_of_the_user_guide(operator, wanted, values, expected):
    assert iam.holds(operator, wanted, values) is expected


def statements(*items):
    return iam.statements_of("policy", {"Statement": list(items)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def test_a_deny_wins_and_what_nobody_allows_is_refused():
    request = iam.Request("s3:PutObject", "arn:aws:s3:::b/k", {})
    assert iam.decide(request, statements(allow("s3:Put*", "arn:aws:s3:::b/*"))).allowed
    assert not iam.decide(request, statements(allow("s3:Get*"))).allowed
    assert not iam.decide(request, statements(allow("s3:*"), {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"})).allowed
    assert not iam.decide(request, statements(allow("s3:*")), resource_policy=statements({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}), account=ACCOUNT).allowed


def test_a_boundary_and_a_key_s_policy_have_to_allow_as_well():
    request = iam.Request("kms:Decrypt", KEY, {})
    assert not iam.decide(request, statements(allow("kms:*")), boundary=statements(allow("s3:*"))).allowed
    ours = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:Decrypt", "Resource": "*"}
    assert iam.decide(request, statements(allow("kms:*")), resource_policy=statements(ours), account=ACCOUNT, needs_resource_policy=True).allowed
    theirs = {**ours, "Principal": {"AWS": "arn:aws:iam::999999999999:root"}}
    assert not iam.decide(request, statements(allow("kms:*")), resource_policy=statements(theirs), account=ACCOUNT, needs_resource_policy=True).allowed


@pytest.fixture(scope="module")
def policies():
    names = {"DataKey": "data", "LogKey": "logs", "PrivateSubnetA": "subnet-a", "PrivateSubnetB": "subnet-b", "JobSecurityGroup": "sg-a"}
    token = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redoubt-dev/huggingface/api-token-Ab12Cd"
    return Policies(Resolver(template(), {"Environment": "dev"}, ACCOUNT, REGION, names, {"DataKey.Arn": KEY, "LogKey.Arn": LOG_KEY, "HubToken.Arn": token}))


WORLD = World(ACCOUNT, REGION, {"alias/redoubt-dev": KEY, KEY: KEY}, {"redoubt-dev/a": (f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redoubt-dev/a-Ab12Cd", KEY)}, {}, {BUCKET: KEY})
OBJECT = {"Bucket": BUCKET, "Key": "objects/blobs/a", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/redoubt-dev"}
CONTEXT = {"workspace": "w", "kind": "blob", "name": "n"}


def allowed(policies, role, service, operation, members, action=None):
    call = Call(service, operation, members, 200, action or f"{service}:{operation}", None, None)
    return all(policies.decide(role, request).allowed for request in requests_of(call, WORLD))


@pytest.mark.parametrize("role, service, operation, members, expected", [
    ("TrainRole", "s3", "PutObject", OBJECT, True),
    ("TrainRole", "s3", "PutObject", {**OBJECT, "ServerSideEncryption": "AES256"}, False),   # the bucket's policy
    ("TrainRole", "s3", "PutObject", {**OBJECT, "SSEKMSKeyId": OTHER}, False),
    ("TrainRole", "s3", "PutObject", {**OBJECT, "Key": "endpoints/a"}, False),
    ("AuditRole", "s3", "PutObject", OBJECT, False),
    ("TrainRole", "kms", "Decrypt", {"KeyId": KEY, "EncryptionContext": CONTEXT}, True),
    ("TrainRole", "kms", "Decrypt", {"KeyId": KEY, "EncryptionContext": {**CONTEXT, "tenant": "t"}}, False),
    ("TrainRole", "kms", "Decrypt", {"KeyId": KEY}, False),                                   # nothing without a context
    ("SecretsRole", "kms", "Decrypt", {"KeyId": KEY, "EncryptionContext": CONTEXT}, False),   # nothing but through Secrets Manager
    ("SecretsRole", "secretsmanager", "GetSecretValue", {"SecretId": "redoubt-dev/a"}, True),
    ("AcquireRole", "secretsmanager", "GetSecretValue", {"SecretId": "redoubt-dev/a"}, False),  # the hub's token alone
    ("ReviewRole", "sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "redoubt-a"}, False),
    ("RegisterRole", "sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "redoubt-a"}, True),
    ("RegisterRole", "sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "others"}, False),
    ("DeployRole", "sagemaker", "CreateModel", {"ModelName": "redoubt-a", "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/redoubt-dev-endpoint"}, True),
    ("DeployRole", "sagemaker", "CreateModel", {"ModelName": "redoubt-a", "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin"}, False),
    ("TrainRole", "sagemaker", "DeleteEndpoint", {"EndpointName": "redoubt-dev"}, False),
    ("DeployRole", "application-autoscaling", "PutScalingPolicy", {"ResourceId": "endpoint/redoubt-dev/variant/main"}, True),
    ("MonitorRole", "cloudwatch", "PutMetricData", {"Namespace": "AWS/EC2"}, False),
    ("MonitorRole", "cloudwatch", "PutMetricData", {"Namespace": "Redoubt"}, True),
])
def test_the_roles_of_the_template_by_resource_and_condition(policies, role, service, operation, members, expected):
    assert allowed(policies, role, service, operation, members) is expected


@pytest.mark.parametrize("request_", [iam.Request("kms:ScheduleKeyDeletion", KEY, {}), iam.Request("kms:PutKeyPolicy", KEY, {}), iam.Request("s3:DeleteBucketPolicy", f"arn:aws:s3:::{BUCKET}", {}),
                                      iam.Request("logs:DeleteLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/redoubt/dev/audit", {}), iam.Request("cloudtrail:StopLogging", "*", {})])
def test_no_role_reaches_the_guards_even_with_a_policy_that_says_so(policies, request_):
    everything = statements(allow("*"))
    assert all(not iam.decide(request_, everything, boundary).allowed for role, (_, boundary) in policies.roles.items() if role not in ("FlowLogRole", "ConfigRole"))


def test_a_call_names_its_resources_by_aws_s_own_reference():
    def resources(service, operation, members):
        return [(request.action, request.resource) for request in requests_of(Call(service, operation, members, 200, f"{service}:{operation}", None, None), WORLD)]

    where = f"{REGION}:{ACCOUNT}"
    assert resources("sagemaker", "UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}) == [
        ("sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:{where}:endpoint/e"), ("sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:{where}:endpoint-config/c")]
    assert resources("logs", "PutLogEvents", {"logGroupName": "/g", "logStreamName": "s"}) == [("logs:PutLogEvents", f"arn:aws:logs:{where}:log-group:/g:log-stream:s")]
    assert resources("s3", "GetObject", {"Bucket": "b", "Key": "k", "VersionId": "v"}) == [("s3:GetObjectVersion", "arn:aws:s3:::b/k")]
    assert ("iam:PassRole", "arn:aws:iam::1:role/r") in resources("sagemaker", "CreateTrainingJob", {"TrainingJobName": "j", "RoleArn": "arn:aws:iam::1:role/r"})
    with pytest.raises(AssertionError, match="do not name"):
        list(Asked(Call("sagemaker", "DeleteEndpoint", {}, 200, "sagemaker:DeleteEndpoint", None, None), WORLD).requests())
