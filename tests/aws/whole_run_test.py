# SPDX-License-Identifier: Apache-2.0
"""The seven steps with every interface in AWS at once, in an account that `redoubt aws up` made, with the file of providers that it wrote;
read back by boto3 and by the AWS command. Training, evaluation and the endpoint are our own image, played as SageMaker would."""
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest
import yaml

from aws_account import KEY_ID, REGION, SECRET, judged
from conftest import BUILD, ROOT, TOKEN, Redoubt, run_approved, write_pipeline
from iam_requests import World
from monitor_test import capture, usual
from permissions import Policies, Resolver, template
from player import player  # noqa: F401  (fixture)
from registry import Registry

ACCOUNT = "123456789012"
ANALYZER = {"arn": f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/a", "name": "a", "type": "ACCOUNT", "status": "ACTIVE", "createdAt": "2026-01-01T00:00:00Z"}
BUCKET, REPOSITORY = f"redoubt-dev-artifacts-{ACCOUNT}", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/redoubt-dev"


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir()
    registry = Registry(folder, "AWS", f"{ACCOUNT}-auth-token")
    yield registry
    registry.stop()


@pytest.fixture
def account(aws, player, registry, tmp_path):
    aws.player, aws.registry = player, registry
    with judged(player, tmp_path / "judge") as aws.judge:
        yield aws
        assert aws.judge.violations == []


def aws_command(account, *arguments):
    """What the AWS command says of it."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_ENDPOINT_URL": account.url, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
                   "AWS_DEFAULT_REGION": REGION}
    done = subprocess.run([pathlib.Path(sys.executable).parent / "aws", *arguments, "--output", "json"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make_workspace(account, folder, hub):
    redoubt = Redoubt(folder)
    redoubt.environment.update(account.judge.environment)
    redoubt.providers = folder / "providers.yaml"
    made = redoubt.json("aws", "up", "dev", "--template", ROOT / "config" / "cloudformation_template.yaml", "--write-providers", redoubt.providers)
    redoubt.outputs = account.outputs = made["outputs"]
    document = yaml.safe_load(redoubt.providers.read_text())
    blocks = document["providers"]
    # Where the registry is, which moto lacks, and how often to look; all else is as `up` wrote it.
    blocks["images"]["ecr"].update(registry_url=account.registry.url, ca_file=str(account.registry.certificate))
    blocks["jobs"]["sagemaker"].update(poll_s=0.1, steps=["train", "evaluate"])
    blocks["endpoint"]["sagemaker"].update(poll_s=0.1)
    redoubt.providers.write_text(yaml.safe_dump(document))
    # moto's stacks make keys that it can't describe, repositories without scan and seal, and buckets without versions.
    kms, ecr = account.client("kms"), account.client("ecr")
    account.key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.update_alias(AliasName=redoubt.outputs["DataKeyAlias"], TargetKeyId=account.key)
    ecr.delete_repository(repositoryName="redoubt-dev")
    ecr.create_repository(repositoryName="redoubt-dev", imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True},
                          encryptionConfiguration={"encryptionType": "KMS", "kmsKey": account.key})
    account.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    account.s3, account.sagemaker = account.client("s3"), account.client("sagemaker")
    account.first_call = len(account.judge.calls)  # what was asked before is an administrator's
    account.player.layouts[:] = [redoubt.workspace / "images"]
    redoubt("init", "--providers", redoubt.providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.pipeline = write_pipeline(folder / "pipeline", hub, watch={"failures_max": 1})
    return redoubt


def ask(account, model_uri, folder):
    """Our image's program over what SageMaker would lay down for the endpoint's container, asked as SageMaker asks."""
    account.player.fetch(model_uri, folder / "ml" / "model", account.outputs["EndpointRole"])
    process = subprocess.Popen([BUILD / "redoubt-engine", "serve", "--root", folder / "ml"], env={**os.environ, "SAGEMAKER_BIND_TO_PORT": "0"}, stdout=subprocess.PIPE, text=True)
    try:
        port = next(event["port"] for event in map(json.loads, process.stdout) if event["event"] == "listening")
        question = json.dumps({"messages": [{"role": "user", "content": "How do I list a1?"}], "max_tokens": 8}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", question, {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request, timeout=60).read())
    finally:
        process.terminate()
        process.wait(20)


def check_storage(account):
    objects = account.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(objects) > 20
    for item in objects:
        head = aws_command(account, "s3api", "head-object", "--bucket", BUCKET, "--key", item["Key"])
        assert head["ServerSideEncryption"] == "aws:kms" and head["SSEKMSKeyId"].endswith((account.key, "alias/redoubt-dev")), item["Key"]
    assert not [item["Key"] for item in objects if item["Key"].startswith("jobs/")], "a job's readable inputs go with it"
    listed = aws_command(account, "secretsmanager", "list-secrets")["SecretList"]
    assert [item["Name"] for item in listed if item["Name"].endswith("huggingface/api-token")] == ["redoubt-dev/huggingface/api-token"]


def metrics_in_the_log(account, job):
    """Those that SageMaker finds by the job's definitions, and shows in the trial's component."""
    found = account.client("logs").filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=job["TrainingJobName"] + "/")["events"]
    text = "\n".join(event["message"] for event in found)
    return {metric["Name"] for metric in job["AlgorithmSpecification"]["MetricDefinitions"] if re.search(metric["Regex"], text)}


def check_jobs(account, image):
    jobs = [members for operation, members in account.player.calls if operation == "CreateTrainingJob"]
    assert len(jobs) == 3  # training; evaluation of the base and of the tuned model
    for job in jobs:
        assert job["AlgorithmSpecification"]["TrainingImage"] == f"{REPOSITORY}@{image}"
        assert job["EnableNetworkIsolation"] and job["EnableInterContainerTrafficEncryption"]
        assert job["VpcConfig"] == {"Subnets": account.outputs["Subnets"].split(","), "SecurityGroupIds": [account.outputs["JobSecurityGroup"]]}
        assert job["RoleArn"] == account.outputs["JobRole"] and job["ResourceConfig"]["VolumeKmsKeyId"] and job["OutputDataConfig"]["KmsKeyId"]
        condition = job["StoppingCondition"]
        assert job["EnableManagedSpotTraining"] and condition["MaxWaitTimeInSeconds"] == 2 * condition["MaxRuntimeInSeconds"]
        assert job["ExperimentConfig"]["TrialName"] in {trial["TrialName"] for trial in account.client("sagemaker").list_trials(ExperimentName=job["ExperimentConfig"]["ExperimentName"])["TrialSummaries"]}
    assert {"loss", "eval_loss", "perplexity", "tokens_per_second"} <= metrics_in_the_log(account, jobs[0])
    assert all({"eval_loss", "perplexity", "accuracy"} <= metrics_in_the_log(account, job) for job in jobs[1:])
    assert jobs[0]["CheckpointConfig"]["S3Uri"].startswith("s3://" + BUCKET) and jobs[0]["AlgorithmSpecification"]["MetricDefinitions"]
    described = aws_command(account, "sagemaker", "describe-training-job", "--training-job-name", jobs[0]["TrainingJobName"])
    assert described["RoleArn"] == account.outputs["JobRole"]


def check_registry(account):
    [group] = aws_command(account, "sagemaker", "list-model-package-groups")["ModelPackageGroupSummaryList"]
    [package] = aws_command(account, "sagemaker", "list-model-packages", "--model-package-group-name", group["ModelPackageGroupName"])["ModelPackageSummaryList"]
    shown = account.client("sagemaker").describe_model_package(ModelPackageName=package["ModelPackageArn"])
    assert shown["ModelApprovalStatus"] == "Approved" and shown["CustomerMetadataProperties"]["redoubt-state"] == "Deployed"
    [card] = account.client("sagemaker").list_model_cards()["ModelCardSummaries"]
    assert json.loads(account.client("sagemaker").describe_model_card(ModelCardName=card["ModelCardName"])["Content"])["model_overview"]["model_name"] == "tiny"


def check_endpoint(account, image):
    sagemaker = account.client("sagemaker")
    endpoint = aws_command(account, "sagemaker", "describe-endpoint", "--endpoint-name", "redoubt-dev")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    assert config["DataCaptureConfig"]["InitialSamplingPercentage"] == 100 and config["DataCaptureConfig"]["KmsKeyId"]
    [variant] = config["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["Image"] == f"{REPOSITORY}@{image}" and model["ExecutionRoleArn"] == account.outputs["EndpointRole"]
    assert model["VpcConfig"] == {"Subnets": account.outputs["Subnets"].split(","), "SecurityGroupIds": [account.outputs["JobSecurityGroup"]]}
    [made] = [call.members for call in account.judge.calls if call.operation == "CreateModel"]
    assert made["EnableNetworkIsolation"] is True  # moto forgets it
    targets = aws_command(account, "application-autoscaling", "describe-scalable-targets", "--service-namespace", "sagemaker")["ScalableTargets"]
    assert [(target["MinCapacity"], target["MaxCapacity"]) for target in targets] == [(2, 4)]
    return model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"]


def check_watch(account, redoubt):
    alarms = aws_command(account, "cloudwatch", "describe-alarms")["MetricAlarms"]
    assert {"redoubt-dev-InvocationErrors", "redoubt-dev-LatencyP99"} <= {alarm["AlarmName"] for alarm in alarms}
    assert all(account.outputs["AlarmTopic"] in alarm["AlarmActions"] for alarm in alarms)
    groups = aws_command(account, "logs", "describe-log-groups", "--log-group-name-prefix", "/redoubt/dev/")["logGroups"]
    assert len(groups) == 12 and all(group["retentionInDays"] == 90 for group in groups)
    logs = account.client("logs")
    [stream] = logs.describe_log_streams(logGroupName="/redoubt/dev/audit")["logStreams"]
    told = logs.get_log_events(logGroupName="/redoubt/dev/audit", logStreamName=stream["logStreamName"], startFromHead=True, limit=10000)["events"]
    assert len(told) == len(redoubt("audit", "export").stdout.splitlines())
    for step in ("acquire", "image", "train", "evaluate", "register", "deploy"):
        assert logs.describe_log_streams(logGroupName="/redoubt/dev/" + step)["logStreams"], step
    assert TOKEN not in json.dumps(told)


def policies_of(account):
    """The roles as the stack made them, and what the calls speak of."""
    cloudformation = account.client("cloudformation")
    [stack] = cloudformation.describe_stacks(StackName="redoubt-dev")["Stacks"]
    physical = {item["LogicalResourceId"]: item.get("PhysicalResourceId") for item in cloudformation.list_stack_resources(StackName="redoubt-dev")["StackResourceSummaries"] if "LogicalResourceId" in item}
    log_key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{physical['LogKey']}"
    secrets = {item["Name"]: (item["ARN"], account.key) for item in account.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]}
    arns = {"DataKey.Arn": account.key, "LogKey.Arn": log_key, "HubToken.Arn": secrets["redoubt-dev/huggingface/api-token"][0]}
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
    sealed = {call.members["EndpointConfigName"]: call.members["KmsKeyId"] for call in account.judge.seen("sagemaker", "CreateEndpointConfig")}
    keys = {account.outputs["DataKeyAlias"]: account.key, account.key: account.key, **{name: account.key for name in sealed}}
    world = World(ACCOUNT, REGION, keys, secrets, {account.outputs["AlarmTopic"]: log_key}, {BUCKET: account.key, account.outputs["CapturesBucket"]: account.key})
    return Policies(Resolver(template(), parameters, ACCOUNT, REGION, physical, arns)), world


def use_the_rest(account, redoubt):
    """What people do beside the seven steps."""
    redoubt("secret", "put", "webhook", stdin="first")
    redoubt("secret", "rotate", "webhook", stdin="second")
    assert [item["name"] for item in redoubt.json("secret", "list")] == ["huggingface/api-token", "webhook"]
    redoubt("secret", "delete", "webhook")
    for command in (["status"], ["endpoint", "status", "--environment", "dev"], ["registry", "list"], ["alarm", "list", "--environment", "dev"], ["audit", "mirror"], ["runs", "list"], ["image", "list"]):
        redoubt(*command)
    redoubt("doctor", expect=None)
    redoubt("backup", "-o", redoubt.folder / "backup")
    capture(account, usual, 250, minutes_ago=5)
    redoubt("monitor", "run", "--environment", "dev")
    account.judge.inject("sagemaker", "CreateProcessingJob", "access_denied")
    redoubt("monitor", "run", "--environment", "dev", expect=5)  # an alarm that could not be measured
    for service, operation, body in (("cloudtrail", "LookupEvents", {"Events": []}), ("config", "DescribeComplianceByConfigRule", {"ComplianceByConfigRules": []})):
        account.judge.inject(service, operation, "answer", times=100, body=body)  # which moto lacks
    account.player.rest[("GET", "/analyzer")] = lambda _: {"analyzers": [ANALYZER]}
    account.player.rest[("POST", "/findingv2")] = lambda _: {"findings": []}
    redoubt("incident", "sync")


def watch_by_model_monitor(account, redoubt):
    document = yaml.safe_load(redoubt.providers.read_text())
    document["providers"]["endpoint"]["sagemaker"]["monitoring"]["mode"] = "model-monitor"
    redoubt.providers.write_text(yaml.safe_dump(document))
    redoubt("run", redoubt.pipeline, "--providers", redoubt.providers)
    redoubt("endpoint", "start", "--environment", "dev")
    assert set(account.player.monitoring.schedules) == {"redoubt-dev-dq"}
    redoubt("monitor", "run", "--environment", "dev", "--newest", expect=7)


def check_roles(account):
    """Every call was made in its step's role, whose statements allow it on what it named; and there is no statement that nothing needed."""
    policies, world = policies_of(account)
    calls = account.judge.calls[account.first_call:]
    refused = policies.refusals(calls, world)
    assert refused == set(), "\n".join(map(str, sorted(refused, key=str)))
    assert {call.role.rpartition("/")[2] for call in calls if call.role} == set(policies.steps)
    assert policies.unused() == set(), "\n".join(sorted(policies.unused()))


def test_the_seven_steps_with_everything_in_aws(account, tiny_hub, tmp_path):
    redoubt = make_workspace(account, tmp_path, tiny_hub)
    run_approved(redoubt, redoubt.pipeline, "tiny/0.1.0")
    image = redoubt.json("image", "build")
    assert account.registry.inspect("redoubt-dev:" + image["tag"].replace("_", "__").replace(":", "_c"))["Digest"] == image["digest"]
    check_storage(account)
    check_jobs(account, image["digest"])
    check_registry(account)
    served = check_endpoint(account, image["digest"])
    check_watch(account, redoubt)
    answer = ask(account, served, tmp_path)
    assert answer["choices"][0]["message"]["content"] and answer["usage"]["completion_tokens"] > 0
    report = redoubt.json("audit", "verify")
    assert report["ok"] and report["problems"] == []

    # The same again makes nothing twice.
    before = [call for call in account.judge.calls if call.operation.startswith("Create")]
    redoubt("run", redoubt.pipeline)
    again = [call.operation for call in account.judge.calls if call.operation.startswith("Create")][len(before):]
    assert again == []
    use_the_rest(account, redoubt)
    watch_by_model_monitor(account, redoubt)
    redoubt("registry", "revoke", "tiny/0.1.0", "--reason", "its data was wrong", identity="reviewer")
    redoubt("endpoint", "stop", "--environment", "dev")
    check_roles(account)
