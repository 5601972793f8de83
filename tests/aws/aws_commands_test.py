# SPDX-License-Identifier: Apache-2.0
"""`redoubt aws up|diff|down|doctor|cost` against an account behind the strict judge; what they say is compared with boto3's view."""
import json
import pathlib
import urllib.request

import pytest
import yaml

from aws_account import forget_routes
from conftest import Redoubt

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "config"
TEMPLATE = CONFIG / "cloudformation_template.yaml"


@pytest.fixture
def redoubt(aws, judge, tmp_path):
    program = Redoubt(tmp_path)
    program.environment.update(judge.environment)
    yield program
    assert judge.violations == []


def run(redoubt, *arguments, expect=0, template=TEMPLATE):
    return redoubt.json("aws", *arguments, "--template", template, expect=expect)


def up(redoubt, *arguments, **more):
    return run(redoubt, "up", "dev", *arguments, **more)


def changed(tmp_path, change):
    text = TEMPLATE.read_text()
    there = change(text)
    assert there != text
    path = tmp_path / "template.yaml"
    path.write_text(there)
    return path


def test_up_makes_the_stack_with_what_only_the_account_knows(redoubt, aws):
    made = up(redoubt, "--parameter", "AlarmEmail=security@example.com")
    assert made["status"] == "CREATE_COMPLETE" and made["outputs"]["DataKeyAlias"] == "alias/redoubt-dev"
    [stack] = aws.client("cloudformation").describe_stacks(StackName="redoubt-dev")["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    lists = aws.client("ec2").describe_prefix_lists()["PrefixLists"]
    assert given["S3PrefixListId"] == next(one["PrefixListId"] for one in lists if one["PrefixListName"].endswith(".s3"))
    assert given["AlarmEmail"] == "security@example.com" and given["Environment"] == "dev"
    assert {"Key": "redoubt", "Value": "dev"} in stack["Tags"]
    assert {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]} == made["outputs"]


def test_the_template_lies_in_a_closed_bucket_of_ours(redoubt, aws, judge):
    judge.inject("s3", "PutPublicAccessBlock", "access_denied")
    assert "PutBucketPublicAccessBlock" in run(redoubt, "diff", "dev", expect=5)["error"]["hint"]  # the next try closes what this one left open
    up(redoubt)
    s3, name = aws.client("s3"), "redoubt-templates-123456789012-eu-central-1"
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    [rule] = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    [key] = [one["Key"] for one in s3.list_objects_v2(Bucket=name)["Contents"]]
    assert s3.get_object(Bucket=name, Key=key)["Body"].read() == TEMPLATE.read_bytes()


def test_up_again_changes_nothing_and_keeps_what_was_given(redoubt, aws):
    up(redoubt, "--parameter", "AlarmEmail=security@example.com")
    again = up(redoubt)
    assert again["changes"] == []
    [stack] = aws.client("cloudformation").describe_stacks(StackName="redoubt-dev")["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    file = {one["ParameterKey"]: one["ParameterValue"] for one in json.loads((CONFIG / "cloudformation" / "dev.json").read_text())}
    assert given["AlarmEmail"] == "security@example.com" and file.items() <= given.items()


def test_diff_tells_and_changes_nothing(redoubt, aws, tmp_path):
    cloudformation = aws.client("cloudformation")
    first = run(redoubt, "diff", "dev")
    assert first["is_new"] and {"Add"} == {one["action"] for one in first["changes"]} and len(first["changes"]) > 50
    assert not [one for one in cloudformation.list_stacks()["StackSummaries"] if one["StackStatus"] != "DELETE_COMPLETE"]
    up(redoubt)
    assert run(redoubt, "diff", "dev")["changes"] == []
    shorter = changed(tmp_path, lambda text: text.replace("RetentionInDays: 90", "RetentionInDays: 30", 1))
    found = run(redoubt, "diff", "dev", template=shorter)["changes"]
    assert [one["action"] for one in found] == ["Modify"] and found[0]["type"] == "AWS::Logs::LogGroup"
    assert cloudformation.list_change_sets(StackName="redoubt-dev")["Summaries"] == []


def test_what_holds_data_is_not_given_up_by_the_way(redoubt, aws, tmp_path):
    up(redoubt)

    def without_a_log(text):
        document = text.split("\n  DataLog:\n")
        return document[0] + "\n" + document[1][document[1].index("\n  AlarmLog:\n") + 1:]

    smaller = changed(tmp_path, without_a_log)
    refused = up(redoubt, template=smaller, expect=3)["error"]
    assert "DataLog" in refused["message"] and "--replace" in refused["hint"]
    assert aws.client("logs").describe_log_groups(logGroupNamePrefix="/redoubt/dev/data")["logGroups"]


def test_down_wants_to_be_meant_and_says_what_stays(redoubt, aws):
    up(redoubt)
    assert "--yes" in run(redoubt, "down", "dev", expect=3)["error"]["hint"]
    forget_routes(aws.client("ec2"), "10.20.0.0/16")
    gone = run(redoubt, "down", "dev", "--yes")
    assert {"AWS::KMS::Key", "AWS::S3::Bucket", "AWS::ECR::Repository"} <= {one["type"] for one in gone["stays"]}
    assert run(redoubt, "down", "dev", "--yes", expect=1)["error"]["code"] == "not_found"


@pytest.mark.parametrize("arguments, named", [
    (["--parameter", "Environmint=dev"], "Environmint"), (["--parameter", "MonthlyBudget=much"], "MonthlyBudget"), (["--parameter", "Network=300"], "Network"),
    (["--parameter", "EnableTrail=perhaps"], "EnableTrail"), (["--parameter", "AlarmEmail=nobody"], "AlarmEmail"), (["--parameter", "Environment=staging"], "staging"),
    (["--parameter", "AlarmEmail"], "KEY=VALUE"), (["--stack", "no_good"], "no_good"), (["--parameters", "missing.json"], "missing.json")])
def test_wrong_parameters_are_named_before_anything_is_made(redoubt, aws, arguments, named):
    refused = redoubt("--json", "aws", "up", "dev", "--template", TEMPLATE, *arguments, expect=None)
    assert refused.returncode in (1, 2) and named in json.dumps(json.loads(refused.stdout)["error"])
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_a_broken_template_is_named_with_its_line(redoubt, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("Resources:\n  A: [\n")
    assert str(path) in run(redoubt, "diff", "dev", template=path, expect=2)["error"]["where"]
    path.write_text("Parameters: {}\n")
    assert "Resources" in run(redoubt, "diff", "dev", template=path, expect=2)["error"]["message"]


def test_it_writes_a_file_of_providers_that_can_be_used(redoubt, tmp_path):
    path = tmp_path / "providers.yaml"
    made = up(redoubt, "--write-providers", path)
    providers = yaml.safe_load(path.read_text())["providers"]
    assert providers["objects"]["s3"]["bucket"] == made["outputs"]["ArtifactsBucket"]
    assert providers["jobs"]["sagemaker"]["subnets"] == made["outputs"]["Subnets"].split(",")
    redoubt("init", "--providers", path)
    assert "already_exists" == up(redoubt, "--write-providers", path, expect=1)["error"]["code"]


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_files_of_parameters_are_the_template_s_own(redoubt, environment):
    """What is given is held against the template by up itself; the networks must not meet."""
    file = {one["ParameterKey"]: one["ParameterValue"] for one in json.loads((CONFIG / "cloudformation" / f"{environment}.json").read_text())}
    assert file["Environment"] == environment
    assert file["Network"] == {"dev": "20", "staging": "21", "production": "22"}[environment]
    made = run(redoubt, "up", environment)
    assert made["outputs"]["DataKeyAlias"] == f"alias/redoubt-{environment}"


# --- doctor ---------------------------------------------------------------------------------------------------------------------


NOT_MADE_BY_MOTO = {"AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret", "AWS::CloudWatch::Alarm", "AWS::CloudTrail::Trail", "AWS::GuardDuty::Detector"}


def doctor(redoubt, expect=3):
    report = run(redoubt, "doctor", "dev", expect=expect)
    return {(one["resource"], one["fault"], one["detail"]) for one in report["findings"]}, report


def administrator(iam):
    iam.put_role_policy(RoleName="redoubt-dev-job", PolicyName="more", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    arn = iam.create_policy(PolicyName="everything", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="redoubt-dev-endpoint", PolicyArn=arn)


def storage(s3, logs, ecr):
    s3.put_public_access_block(Bucket="redoubt-dev-artifacts-123456789012", PublicAccessBlockConfiguration={
        "BlockPublicAcls": False, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": True})
    s3.delete_bucket_encryption(Bucket="redoubt-dev-captures-123456789012")
    logs.delete_log_group(logGroupName="/redoubt/dev/audit")
    logs.put_retention_policy(logGroupName="/redoubt/dev/data", retentionInDays=7)
    ecr.put_image_tag_mutability(repositoryName="redoubt-dev", imageTagMutability="MUTABLE")


def network(ec2):
    vpc = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.20.0.0/16"]}])["Vpcs"][0]["VpcId"]
    ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    [group] = [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["Description"].startswith("Jobs and endpoints")]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")


def no_rotation(kms):
    [key] = [alias["TargetKeyId"] for alias in kms.list_aliases()["Aliases"] if alias["AliasName"] == "alias/redoubt-dev"]
    kms.disable_key_rotation(KeyId=key)


def test_doctor_names_what_is_missing_and_what_somebody_opened(redoubt, aws):
    up(redoubt)
    before, report = doctor(redoubt)
    assert report["checked"] > 50 and {note.partition(":")[0] for note in report["notes"] if "MFA delete is off" in note} >= {"ArtifactsBucket", "CapturesBucket", "TrailBucket"}
    types = {one["resource"]: one["type"] for one in report["findings"]}
    assert NOT_MADE_BY_MOTO <= {types[name] for name, fault, _ in before if fault == "missing"}
    administrator(aws.client("iam"))
    storage(*(aws.client(name) for name in ("s3", "logs", "ecr")))
    network(aws.client("ec2"))
    no_rotation(aws.client("kms"))
    new = doctor(redoubt)[0] - before
    told = [("JobRole", "too open", "s3:* on *"), ("EndpointRole", "too open", "policy/everything"), ("ArtifactsBucket", "too open", "PublicAccessBlockConfiguration"),
            ("CapturesBucket", "too open", "BucketEncryption"), ("AuditLog", "missing", "gone"), ("DataLog", "differs", "RetentionInDays is 7"), ("Images", "too open", "MUTABLE"),
            ("Vpc", "too open", "igw-"), ("JobSecurityGroup", "too open", "0.0.0.0/0 comes in on port 22"), ("DataKey", "differs", "EnableKeyRotation")]
    assert {(resource, fault) for resource, fault, _ in new} == {(resource, fault) for resource, fault, _ in told}
    for resource, fault, words in told:
        assert any(found[:2] == (resource, fault) and words in found[2] for found in new), (resource, words, new)


def test_doctor_without_a_stack_says_how_to_make_it(redoubt):
    refused = run(redoubt, "doctor", "dev", expect=1)["error"]
    assert refused["code"] == "not_found" and "redoubt aws up" in refused["hint"]


# --- cost -----------------------------------------------------------------------------------------------------------------------


def test_an_estimate_adds_up_and_follows_the_providers(redoubt, tmp_path):
    path = tmp_path / "providers.yaml"
    path.write_text((CONFIG / "providers.aws.yaml").read_text())
    estimate = redoubt.json("aws", "cost", "production", "--kept-prices", "--providers", path)
    lines = {line["what"]: line for line in estimate["estimate"]}
    assert lines["endpoint, 2 x ml.m5.2xlarge"]["quantity"] == 1460
    assert estimate["sum"] == pytest.approx(sum(line["quantity"] * line["price"] for line in lines.values()))
    assert "no price" in redoubt.json("aws", "cost", "dev", "--kept-prices", "--training-instance", "ml.x9.huge", expect=1)["error"]["message"]


def test_an_estimate_counts_the_runs_that_watch_the_endpoint(redoubt, tmp_path):
    path, providers = tmp_path / "providers.yaml", yaml.safe_load((CONFIG / "providers.aws.yaml").read_text())

    def monitor(*arguments, **monitoring):
        providers["providers"]["endpoint"]["sagemaker"]["monitoring"].update(monitoring)
        path.write_text(yaml.safe_dump(providers))
        lines = redoubt.json("aws", "cost", "production", "--kept-prices", "--providers", path, *arguments)["estimate"]
        return next(((line["what"], line["quantity"], line["price"]) for line in lines if line["what"].startswith("monitor")), None)

    assert monitor() == ("monitor, 730 runs of 5 minutes, ml.m5.large", pytest.approx(730 * 5 / 60), 0.115)
    assert monitor(schedule_minutes=30, instance_type="ml.m5.xlarge") == ("monitor, 1460 runs of 5 minutes, ml.m5.xlarge", pytest.approx(1460 * 5 / 60), 0.23)
    assert monitor("--monitor-runs", "10", "--monitor-minutes", "30", "--monitor-instance", "ml.m5.large") == ("monitor, 10 runs of 30 minutes, ml.m5.large", pytest.approx(5), 0.115)
    assert monitor(mode="off") is None


def test_the_table_of_the_documentation_is_what_the_command_says(redoubt):
    rows = [line.split(" | ") for line in (CONFIG.parent / "docs" / "COST.md").read_text().splitlines() if "`--training-instance" in line]
    assert len(rows) == 3
    for _, arguments, training, endpoint, rest, total in rows:
        said = redoubt.json("aws", "cost", "production", "--kept-prices", *arguments.strip("`").split())
        amounts = {line["what"].split(",")[0]: line["amount"] for line in said["estimate"]}
        named = [amounts.pop("training", 0), amounts.pop("endpoint", 0)]
        assert [*named, sum(amounts.values()), said["sum"]] == pytest.approx([float(training), float(endpoint), float(rest), float(total.strip(" |"))], abs=0.006)
        assert said["prices_as_of"] == "2026-11-01"


def test_the_interface_endpoints_that_are_counted_are_those_of_the_template():
    assert TEMPLATE.read_text().count("VpcEndpointType: Interface") == 11 and TEMPLATE.read_text().count("AWS::EC2::Subnet\n") == 2


def test_booked_costs_are_read_by_service(redoubt, aws, judge):
    results = {"results": [{"ResultsByTime": [{"TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"}, "Estimated": False, "Total": {}, "Groups": [
        {"Keys": ["Amazon SageMaker"], "Metrics": {"UnblendedCost": {"Amount": "12.5", "Unit": "USD"}}},
        {"Keys": ["AWS Key Management Service"], "Metrics": {"UnblendedCost": {"Amount": "2.03", "Unit": "USD"}}}]}]}]}
    urllib.request.urlopen(urllib.request.Request(aws.url + "/moto-api/static/ce/cost-and-usage-results", method="POST", data=json.dumps(results).encode(),
                                                  headers={"Content-Type": "application/json"})).read()
    booked = redoubt.json("aws", "cost", "dev", "--booked", "--month", "2026-10")
    assert booked["booked"] == [{"service": "Amazon SageMaker", "amount": 12.5, "currency": "USD"}, {"service": "AWS Key Management Service", "amount": 2.03, "currency": "USD"}]
    assert booked["sum"] == pytest.approx(14.53)
    assert "--month" == redoubt.json("aws", "cost", "dev", "--booked", "--month", "2026-13", expect=2)["error"]["where"]
