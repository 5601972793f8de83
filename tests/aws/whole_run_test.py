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
from permissions import MADE_BY_THE_TEMPLATE, allowed_by_role
from player import player  # noqa: F401  (fixture)
from registry import Registry

ACCOUNT = "123456789012"
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
    account.first_call = len(account.judge.calls)  # what was asked before is an administrator's
    account.player.layouts[:] = [redoubt.workspace / "images"]
    redoubt("init", "--providers", redoubt.providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.pipeline = write_pipeline(folder / "pipeline", hub)
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

    # Each call that was seen is one that a role of the template allows.
    granted = {action for statements in allowed_by_role().values() for statement in statements for action in statement}
    seen = {call.action for call in account.judge.calls[account.first_call:]}
    assert len(seen) > 40 and seen - granted - MADE_BY_THE_TEMPLATE == set()

    # The same again makes nothing twice.
    before = [call for call in account.judge.calls if call.operation.startswith("Create")]
    redoubt("run", redoubt.pipeline)
    again = [call.operation for call in account.judge.calls if call.operation.startswith("Create")][len(before):]
    assert again == []
    redoubt("endpoint", "stop", "--environment", "dev")
