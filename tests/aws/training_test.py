# SPDX-License-Identifier: Apache-2.0
"""Training on SageMaker through the command line: the platform is played (player.py), the image and its engine are real."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from aws_account import judged
from conftest import TOKEN, Redoubt, write_pipeline
from player import player  # noqa: F401  (fixture)

ALIAS, REPOSITORY = "alias/redoubt", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt"


@pytest.fixture
def judge(player, tmp_path):
    with judged(player, tmp_path / "judge") as judge:
        yield judge
    assert judge.calls and judge.violations == []


@pytest.fixture
def account(aws, player, judge):
    """What `config/cloudformation_template.yaml` would have made."""
    kms, s3 = aws.client("kms"), aws.client("s3")
    aws.key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=aws.key)
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
    player.judge = judge
    player.role = aws.client("iam").create_role(RoleName="redoubt-training", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return aws


def workspace(account, player, folder, hub, **jobs):
    redoubt = Redoubt(folder)
    redoubt.environment.update(player.judge.environment)
    player.layouts[:] = [redoubt.workspace / "images"]
    redoubt.providers = folder / "providers.yaml"
    redoubt.providers.write_text(json.dumps({"version": 1, "providers": {"jobs": {"sagemaker": {
        "role_arn": player.role, "image_repository": REPOSITORY, "bucket": "artifacts", "kms_key": ALIAS, "poll_s": 0.2,
        "subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"], **jobs}}}}))
    redoubt("init", "--providers", redoubt.providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.pipeline = write_pipeline(folder / "pipeline", hub)
    return redoubt


def started(player):
    return [members["TrainingJobName"] for operation, members in player.calls if operation == "CreateTrainingJob"]


def left_in_bucket(account):
    versions = account.client("s3").list_object_versions(Bucket="artifacts")
    return [item["Key"] for kind in ("Versions", "DeleteMarkers") for item in versions.get(kind, [])]


def wait_for(condition, what):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(what)


def test_training_and_evaluation_run_as_training_jobs_and_leave_nothing_readable(account, player, tiny_hub, tmp_path):
    redoubt = workspace(account, player, tmp_path, tiny_hub, steps=["train", "evaluate"])
    done = redoubt("run", redoubt.pipeline, expect=6)
    name, base, tuned = started(player)
    assert base != tuned and all("-evaluate-" in job for job in (base, tuned))
    job = account.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["EnableNetworkIsolation"] and job["EnableInterContainerTrafficEncryption"] and job["EnableManagedSpotTraining"]
    assert job["StoppingCondition"]["MaxWaitTimeInSeconds"] == 2 * job["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert job["VpcConfig"] == {"Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    assert job["ResourceConfig"]["VolumeKmsKeyId"] == job["OutputDataConfig"]["KmsKeyId"] == account.key
    assert job["RoleArn"] == player.role and job["HyperParameters"]["epochs"] == "2"
    assert "@sha256:" in job["AlgorithmSpecification"]["TrainingImage"]
    assert job["ExperimentConfig"]["ExperimentName"] == "redoubt"
    assert account.client("sagemaker").list_trials(ExperimentName="redoubt")["TrialSummaries"]
    # awscli is a second reader.
    told = subprocess.run([pathlib.Path(sys.executable).parent / "aws", "sagemaker", "describe-training-job", "--training-job-name", name],
                          env={**os.environ, **account.environment, "AWS_DEFAULT_REGION": "eu-central-1"}, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["TrainingJobName"] == name
    assert left_in_bucket(account) == []
    assert "training job" in done.stderr
    # Known by the ledger: nothing is trained again.
    redoubt("run", redoubt.pipeline, expect=6)
    assert started(player) == [name, base, tuned]
    assert redoubt.json("audit", "verify")["ok"]


def test_a_job_outlives_the_run_unless_it_is_interrupted(account, player, tiny_hub, tmp_path):
    redoubt = workspace(account, player, tmp_path, tiny_hub)

    def start():
        seen = len(player.calls)
        running = subprocess.Popen(redoubt.command("run", redoubt.pipeline), env=redoubt.environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any(operation == "DescribeTrainingJob" for operation, _ in player.calls[seen:]), "the job is not watched")
        return running

    # Ctrl-C stops the job.
    player.hold.clear()
    running = start()
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    (first,) = started(player)
    assert running.returncode == 1 and "interrupted" in said and first in said
    assert player.jobs[first].status == "Stopped" and left_in_bucket(account) == []

    # A run that is killed can tell nobody: its job goes on, and the next run finds it and starts no second one.
    running = start()
    running.kill()
    running.communicate()
    assert left_in_bucket(account), "the job's inputs are there as long as the job"
    # Capacity that is taken away costs no more than the steps since the checkpoint.
    player.interruptions = 1
    player.hold.set()
    redoubt("run", redoubt.pipeline, expect=6)
    first, second = started(player)
    assert second != first and "Interrupted" in [turn["Status"] for turn in player.jobs[second].transitions]
    assert left_in_bucket(account) == []


def test_what_goes_wrong_names_the_resource_and_the_cure_and_the_workspace_goes_on(account, player, tiny_hub, tmp_path):
    redoubt = workspace(account, player, tmp_path, tiny_hub)

    def error(expect):
        return redoubt.json("run", redoubt.pipeline, expect=expect)["error"]

    player.failures = ["CapacityError: Unable to provision requested ML compute capacity."]
    refused = error(1)
    assert "ml.m5.2xlarge" in refused["message"] and "instance_type" in refused["hint"]

    player.refuse = {"CreateTrainingJob": ("ResourceLimitExceeded", "The account-level service limit 'ml.m5.2xlarge for spot training job usage' is 0 Instances")}
    refused = error(1)
    assert "Service Quotas" in refused["hint"] and "ml.m5.2xlarge for spot training job usage" in refused["message"]
    player.refuse = {"CreateTrainingJob": ("AccessDeniedException", "User: x is not authorized to perform: sagemaker:CreateTrainingJob")}
    assert "sagemaker:CreateTrainingJob" in error(5)["hint"]
    player.refuse = {}

    account.client("iam").delete_role(RoleName="redoubt-training")
    refused = error(5)
    assert player.role in refused["where"] and "sagemaker.amazonaws.com" in refused["hint"]
    account.client("iam").create_role(RoleName="redoubt-training", AssumeRolePolicyDocument="{}")

    layouts, player.layouts[:] = list(player.layouts), []
    refused = error(1)
    assert REPOSITORY in refused["where"] and "push" in refused["hint"]
    player.layouts[:] = layouts

    account.client("kms").disable_key(KeyId=account.key.rsplit("/", 1)[-1])
    refused = error(1)
    assert ALIAS in refused["where"] and "Disabled" in refused["message"]
    account.client("kms").enable_key(KeyId=account.key.rsplit("/", 1)[-1])

    assert left_in_bucket(account) == []
    redoubt("run", redoubt.pipeline, expect=6)
    assert redoubt.json("audit", "verify")["ok"]


def test_faults_on_the_way_start_no_second_job_and_lose_nothing(account, player, tiny_hub, tmp_path):
    redoubt = workspace(account, player, tmp_path, tiny_hub)
    for service, operation, kind, times in [
            ("sagemaker", "CreateTrainingJob", "reset_after", 1), ("sagemaker", "CreateExperiment", "reset_after", 1), ("sagemaker", "CreateTrial", "reset_before", 1),
            ("sagemaker", "ListTrainingJobs", "throttling", 1), ("sagemaker", "DescribeTrainingJob", "error_503", 1), ("logs", "DescribeLogStreams", "throttling", 1),
            ("logs", "GetLogEvents", "truncated", 1), ("s3", "PutObject", "reset_before", 1), ("s3", "GetObject", "truncated", 1), ("s3", "ListObjectsV2", "error_500", 1),
            ("s3", "DeleteObject", "reset_after", 1), ("kms", "DescribeKey", "slow", 1)]:
        player.judge.inject(service, operation, kind, times)
    redoubt("run", redoubt.pipeline, expect=6)
    assert all(fault.times == 0 for fault in player.judge.faults), [(fault.operation, fault.times) for fault in player.judge.faults]
    assert len(player.jobs) == 1 and left_in_bucket(account) == []
    assert redoubt.json("audit", "verify")["ok"]
    assert redoubt.json("registry", "list")[0]["state"] == "PendingManualApproval"
