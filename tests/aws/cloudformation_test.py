# SPDX-License-Identifier: Apache-2.0
"""config/cloudformation_template.yaml: without a finding of the linters, made, changed and taken down again in an account, and read
back resource by resource."""
import json
import os
import pathlib
import re
import subprocess
import sys
import venv

import pytest
import yaml

from aws_account import forget_routes
from iam_requests import resources_of

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "config" / "cloudformation_template.yaml"
PROGRAMS = pathlib.Path(sys.executable).parent


# What moto takes and does not make: it is held against the template's own text, and against the schemas by cfn-lint.
NOT_IN_MOTO = {"AWS::EC2::SecurityGroupEgress", "AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret", "AWS::SNS::TopicPolicy", "AWS::CloudWatch::Alarm",
               "AWS::GuardDuty::Detector", "AWS::CloudTrail::Trail", "AWS::Budgets::Budget", "AWS::SecretsManager::RotationSchedule", "AWS::Logs::MetricFilter",
               # Options, off unless somebody turns them on.
               "AWS::Config::ConfigurationRecorder", "AWS::Config::DeliveryChannel", "AWS::Config::ConfigRule", "AWS::SecurityHub::Hub", "AWS::AccessAnalyzer::Analyzer"}
OPTIONS = {"AlarmSubscription", "ReplicationRole", "ConfigRole"}


class Loader(yaml.SafeLoader):
    """Functions of CloudFormation as {"!Name": argument}."""


def read_function(loader, suffix, node):
    read = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: lambda n: loader.construct_sequence(n, True), yaml.MappingNode: lambda n: loader.construct_mapping(n, True)}
    return {"!" + suffix: read[type(node)](node)}


Loader.add_multi_constructor("!", read_function)


@pytest.fixture
def resources():
    return yaml.load(TEMPLATE.read_text(), Loader)["Resources"]


def test_cfn_lint_finds_nothing():
    done = subprocess.run([PROGRAMS / "cfn-lint", TEMPLATE], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


@pytest.fixture(scope="session")
def checkov():
    """In an environment of its own: its pins clash with those of the other tools."""
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "redoubt" / "checkov"
    if not (folder / "bin" / "checkov").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "checkov"], check=True)
    return folder / "bin" / "checkov"


def test_checkov_finds_nothing_that_is_not_explained(checkov):
    done = subprocess.run([checkov, "-f", TEMPLATE, "--framework", "cloudformation", "--output", "json", "--quiet"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["failed"] == 0, [(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]]
    assert report["summary"]["passed"] > 150
    assert all(check["check_result"]["suppress_comment"].strip() for check in report["results"].get("skipped_checks", []))


@pytest.fixture
def stack(aws):
    cloudformation = aws.client("cloudformation")

    def make(**parameters):
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        cloudformation.create_stack(StackName="redoubt", TemplateBody=TEMPLATE.read_text(), Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"],
                                    Tags=[{"Key": "redoubt", "Value": "dev"}])
        cloudformation.get_waiter("stack_create_complete").wait(StackName="redoubt")
        return {output["OutputKey"]: output["OutputValue"] for output in cloudformation.describe_stacks(StackName="redoubt")["Stacks"][0]["Outputs"]}

    make.client, make.cloudformation = aws.client, cloudformation
    return make


def test_all_but_what_moto_lacks_is_made(stack, resources):
    stack()
    made = {item["LogicalResourceId"] for page in stack.cloudformation.get_paginator("list_stack_resources").paginate(StackName="redoubt") for item in page["StackResourceSummaries"]}
    missing = {name for name, item in resources.items() if name not in made and item["Type"] not in NOT_IN_MOTO}
    assert missing == OPTIONS  # nobody's address was given, no replica, no recorder


def test_what_it_makes_is_closed_encrypted_and_watched(stack):
    outputs = stack()
    s3, kms, ec2, logs = (stack.client(name) for name in ("s3", "kms", "ec2", "logs"))
    for bucket in ("artifacts", "captures", "trail"):
        name = f"redoubt-dev-{bucket}-123456789012"
        rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        assert rule["SSEAlgorithm"] == "aws:kms"
    keys = [key["KeyId"] for key in kms.list_keys()["Keys"]]  # moto can't describe a key that a stack made
    assert len(keys) == 2
    for key in keys:
        assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    vpc = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.20.0.0/16"]}])["Vpcs"][0]["VpcId"]
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    assert not ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"]
    assert not ec2.describe_nat_gateways(Filters=here)["NatGateways"]
    assert len(ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]) == 12
    assert len(ec2.describe_subnets(Filters=here)["Subnets"]) == 2
    assert ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"][0]["TrafficType"] == "ALL"
    groups = logs.describe_log_groups(logGroupNamePrefix="/redoubt/dev/")["logGroups"]
    assert len(groups) == 12 and all(group["retentionInDays"] == 90 for group in groups)
    assert stack.client("ecr").describe_repositories(repositoryNames=["redoubt-dev"])["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
    assert stack.client("sns").get_topic_attributes(TopicArn=outputs["AlarmTopic"])["Attributes"]["KmsMasterKeyId"]


def of_type(resources, kind):
    return {name: item["Properties"] for name, item in resources.items() if item["Type"] == kind}


def test_captures_expire_and_so_do_their_versions(resources):
    rules = resources["CapturesBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule for rule in rules if "ExpirationInDays" in rule] == [{"Id": "expire", "Status": "Enabled", "ExpirationInDays": 90, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}]


def test_every_bucket_refuses_plain_http_and_artifacts_another_key(resources):
    buckets, policies = of_type(resources, "AWS::S3::Bucket"), of_type(resources, "AWS::S3::BucketPolicy")
    for bucket in buckets.values():  # moto leaves these out
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"} and all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    guarded = {}
    for policy in policies.values():
        guarded[policy["Bucket"]["!Ref"]] = policy["PolicyDocument"]["Statement"]
    assert set(guarded) == set(buckets)
    for statements in guarded.values():
        assert any(item["Effect"] == "Deny" and item["Action"] == "s3:*" and item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for item in statements)
        assert any(item["Effect"] == "Deny" and item["Action"] == "s3:*" and item["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}} for item in statements)
    assert {"NoOtherEncryption", "NoOtherKey"} <= {item["Sid"] for item in guarded["ArtifactsBucket"]}
    # A part of an upload names no encryption: refusing what names none would refuse every long object.
    for item in (item for statements in guarded.values() for item in statements if item["Sid"] == "NoOtherEncryption"):
        assert item["Condition"] == {"Null": {"s3:x-amz-server-side-encryption": "false"}, "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_parameters_of_an_environment_are_those_the_template_takes(environment):
    declared = yaml.load(TEMPLATE.read_text(), Loader)["Parameters"]
    given = json.loads((TEMPLATE.parent / "cloudformation" / f"{environment}.json").read_text())
    assert all(set(item) == {"ParameterKey", "ParameterValue"} and isinstance(item["ParameterValue"], str) for item in given)
    values = {item["ParameterKey"]: item["ParameterValue"] for item in given}
    assert len(values) == len(given) and set(values) <= set(declared) and values["Environment"] == environment
    assert {name for name, parameter in declared.items() if "Default" not in parameter} <= set(values)
    for name, value in values.items():
        rule = declared[name]
        assert value in rule.get("AllowedValues", [value]) and re.fullmatch(rule.get("AllowedPattern", ".*"), value), name
        if rule["Type"] == "Number":
            assert rule.get("MinValue", float("-inf")) <= float(value) <= rule.get("MaxValue", float("inf")), name


def test_every_log_group_is_encrypted_and_kept_for_90_days(resources):
    groups = of_type(resources, "AWS::Logs::LogGroup")
    assert len(groups) == 12 and all(group["RetentionInDays"] == 90 and group["KmsKeyId"] == {"!GetAtt": "LogKey.Arn"} for group in groups.values())


def test_images_are_scanned_sealed_and_never_renamed(resources):
    repository = of_type(resources, "AWS::ECR::Repository")["Images"]
    assert repository["ImageTagMutability"] == "IMMUTABLE" and repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EncryptionConfiguration"] == {"EncryptionType": "KMS", "KmsKey": {"!GetAtt": "DataKey.Arn"}}


def test_no_subnet_gives_out_public_addresses(resources):
    subnets = of_type(resources, "AWS::EC2::Subnet")
    assert len(subnets) == 2 and not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets.values())


def test_no_use_of_a_key_is_without_a_condition_and_who_administers_cannot_use(resources):
    for key in of_type(resources, "AWS::KMS::Key").values():
        statements = {item["Sid"]: item for item in key["KeyPolicy"]["Statement"]}
        administration = statements.pop("Administration")["Action"]
        assert not {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:*"} & set(administration)
        assert statements and all(item["Condition"] for item in statements.values())
        assert key["EnableKeyRotation"] and key["RotationPeriodInDays"] == 90


def of_an_endpoint(alarms):
    return [alarm for alarm in alarms.values() if alarm["Namespace"] == "Redoubt"]


def test_the_five_alarms_tell_the_topic_which_takes_tls_alone(resources):
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    assert len(of_an_endpoint(alarms)) == 5 and all(alarm["AlarmActions"] == [{"!Ref": "AlarmTopic"}] for alarm in alarms.values())
    statements = of_type(resources, "AWS::SNS::TopicPolicy")["AlarmTopicPolicy"]["PolicyDocument"]["Statement"]
    assert any(item["Effect"] == "Deny" and item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for item in statements)
    trail = of_type(resources, "AWS::CloudTrail::Trail")["Trail"]
    assert trail["IsMultiRegionTrail"] and trail["EnableLogFileValidation"] and trail["KMSKeyId"] and trail["IsLogging"]
    assert of_type(resources, "AWS::GuardDuty::Detector")["Detector"]["Enable"]


def test_the_trail_is_made_after_the_policies_that_let_it_write_and_tell(resources):
    """CreateTrail refuses a bucket or a topic whose policy is not there yet (InsufficientS3BucketPolicy, InsufficientSnsTopicPolicy)."""
    trail = resources["Trail"]
    used = {trail["Properties"]["S3BucketName"]["!Ref"], trail["Properties"]["SnsTopicName"]["!GetAtt"].split(".")[0]}
    policies = set()
    for name, item in resources.items():
        of = {"AWS::S3::BucketPolicy": lambda p: [p["Bucket"]], "AWS::SNS::TopicPolicy": lambda p: p["Topics"]}.get(item["Type"], lambda p: [])(item["Properties"])
        policies |= {name} if used & {one["!Ref"] for one in of} else set()
    waits_for = trail["DependsOn"] if isinstance(trail["DependsOn"], list) else [trail["DependsOn"]]
    assert len(policies) == 2 and policies <= set(waits_for)


def test_the_alarms_look_where_an_endpoint_s_watch_puts_its_values(resources):
    rules = set(re.findall(r'^\s*\{"(\w+)", "', (TEMPLATE.parents[1] / "src" / "stages" / "watch" / "alarms.cc").read_text(), re.MULTILINE))
    alarms = of_an_endpoint(of_type(resources, "AWS::CloudWatch::Alarm"))
    assert len(rules) >= 5 and {alarm["MetricName"] for alarm in alarms} <= rules
    assert all(alarm["Dimensions"] == [{"Name": "Environment", "Value": {"!Ref": "Environment"}}] for alarm in alarms)


def test_refused_connections_and_failed_sign_ins_are_counted_from_the_logs_and_alarm(resources):
    filters, alarms = of_type(resources, "AWS::Logs::MetricFilter"), of_type(resources, "AWS::CloudWatch::Alarm")
    counted = {}
    for one in filters.values():
        [into] = one["MetricTransformations"]
        counted[into["MetricName"]] = (one["LogGroupName"]["!Ref"], into["MetricNamespace"], one["FilterPattern"])
    watched = {alarm["MetricName"]: alarm["Namespace"] for alarm in alarms.values() if alarm["MetricName"] in counted}
    assert set(watched) == set(counted) == {"RefusedConnections", "FailedSignIns"}
    assert all(counted[name][1] == namespace for name, namespace in watched.items())
    assert counted["RefusedConnections"][0] == "FlowLogGroup" and 'action="REJECT"' in counted["RefusedConnections"][2]
    # The fields of a flow log of version 2, in their order.
    assert len(counted["RefusedConnections"][2].strip("[]").split(",")) == 14
    assert counted["FailedSignIns"][0] == "TrailLog" and of_type(resources, "AWS::CloudTrail::Trail")["Trail"]["CloudWatchLogsLogGroupArn"] == {"!GetAtt": "TrailLog.Arn"}


def test_the_daily_rule_starts_a_scan_of_the_served_image_and_its_roles_may_do_no_more(resources):
    rule = of_type(resources, "AWS::Events::Rule")["RescanRule"]
    assert rule["ScheduleExpression"] == "rate(24 hours)" and rule["Targets"] == [{"Id": "rescan", "Arn": {"!Ref": "Rescan"}, "RoleArn": {"!GetAtt": "RescanStartRole.Arn"}}]
    machine = of_type(resources, "AWS::StepFunctions::StateMachine")["Rescan"]
    states = json.loads(machine["DefinitionString"]["!Sub"])["States"]
    scans = [step for state in states.values() if state["Type"] == "Map" for step in state["ItemProcessor"]["States"].values() if step["Type"] == "Task"]
    assert len(scans) == 2 and all(scan["Resource"].endswith(":ecr:startImageScan") and scan["Parameters"]["RepositoryName"] == "${Images}" for scan in scans)
    assert states["ServedImages"]["Parameters"] == {"EndpointName": "redoubt-${Environment}"}
    asked = {state["Resource"].split("aws-sdk:")[1] for state in [*states.values(), *scans] if state["Type"] == "Task"}
    [granted] = [policy["PolicyDocument"]["Statement"] for policy in of_type(resources, "AWS::IAM::Role")["RescanRole"]["Policies"]]
    actions = {action for statement in granted for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])}
    assert {action.lower() for action in actions} == {name.lower() for name in asked}


def test_copies_in_another_region_are_encrypted_and_the_trail_can_be_locked(resources):
    [when, copies, _] = of_type(resources, "AWS::S3::Bucket")["ArtifactsBucket"]["ReplicationConfiguration"]["!If"]
    [rule] = copies["Rules"]
    assert when == "HasReplica" and rule["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    assert rule["Destination"]["EncryptionConfiguration"] == {"ReplicaKmsKeyID": {"!Ref": "ReplicaKeyArn"}}
    lock = of_type(resources, "AWS::S3::Bucket")["TrailBucket"]["ObjectLockConfiguration"]["!If"]
    assert lock[0] == "HasObjectLock" and lock[1]["Rule"] == {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": {"!Ref": "ObjectLockDays"}}}


def test_no_role_has_a_wildcard_for_an_action_and_none_for_a_resource_that_could_be_named(resources):
    asked_of_all = {"config:DescribeConfigurationRecorderStatus"}  # we name no recorder, so all are meant
    roles = of_type(resources, "AWS::IAM::Role")
    assert len(roles) == 21
    documents = [policy["PolicyDocument"] for role in roles.values() for policy in role.get("Policies", [])]
    documents += [policy["PolicyDocument"] for name, policy in of_type(resources, "AWS::IAM::ManagedPolicy").items() if name != "Boundary"]
    for statement in (item["!If"][1] if "!If" in item else item for document in documents for item in document["Statement"]):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions), statement
        for action in set(actions) - asked_of_all:
            kinds = resources_of(action)
            assert (not any(kinds.values()) if statement["Resource"] == "*" else kinds), f"{action}: AWS's reference says otherwise"
    assert all("PermissionsBoundary" in role for name, role in roles.items() if name not in ("FlowLogRole", "ConfigRole"))


def test_a_change_of_a_parameter_is_an_update_and_the_stack_goes_again(stack):
    stack(Environment="staging", EnableTrail="false")
    stack.cloudformation.update_stack(StackName="redoubt", TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"], Parameters=[
        {"ParameterKey": "Environment", "UsePreviousValue": True}, {"ParameterKey": "EnableTrail", "UsePreviousValue": True},
        {"ParameterKey": "AlarmEmail", "ParameterValue": "security@example.com"}])
    stack.cloudformation.get_waiter("stack_update_complete").wait(StackName="redoubt")
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in stack.cloudformation.describe_stacks(StackName="redoubt")["Stacks"][0]["Parameters"]}
    assert parameters["AlarmEmail"] == "security@example.com" and parameters["Environment"] == "staging"
    assert stack.client("ecr").describe_repositories(repositoryNames=["redoubt-staging"])["repositories"]
    forget_routes(stack.client("ec2"), "10.20.0.0/16")
    stack.cloudformation.delete_stack(StackName="redoubt")
    stack.cloudformation.get_waiter("stack_delete_complete").wait(StackName="redoubt")


@pytest.mark.parametrize("name, value", [("Environment", "testing"), ("AlarmEmail", "nobody"), ("KeyAdministratorArn", "*")])
def test_values_that_make_no_sense_are_refused_by_pattern(name, value):
    parameter = yaml.load(TEMPLATE.read_text(), Loader)["Parameters"][name]
    allowed = value in parameter["AllowedValues"] if "AllowedValues" in parameter else re.fullmatch(parameter["AllowedPattern"], value)
    assert not allowed
