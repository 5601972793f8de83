# SPDX-License-Identifier: Apache-2.0
"""An endpoint in SageMaker, the audit trail in CloudWatch Logs, alarms that tell a topic: read back by boto3. What changes an
endpoint that is there is played (player.py), since moto can't."""
import json

import pytest
import yaml

from aws_account import judged
from conftest import TOKEN, Redoubt, run_approved, write_pipeline
from player import player  # noqa: F401  (fixture)

ENDPOINT = "redoubt-dev"


@pytest.fixture
def account(aws, player, tmp_path):
    """What `config/cloudformation_template.yaml` would have made."""
    aws.key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    aws.topic = aws.client("sns").create_topic(Name="redoubt-alarms")["TopicArn"]
    route53 = aws.client("route53")
    aws.zone = route53.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"].split("/")[-1]
    aws.check = route53.create_health_check(CallerReference="1", HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "example.org"})["HealthCheck"]["Id"]
    aws.player = player
    with judged(player, tmp_path / "judge") as aws.judge:
        yield aws
        assert aws.judge.violations == []


def workspace(account, folder, **endpoint):
    redoubt = Redoubt(folder)
    redoubt.environment.update(account.judge.environment)
    redoubt.providers = folder / "providers.yaml"
    redoubt.providers.write_text(json.dumps({"version": 1, "providers": {
        "endpoint": {"sagemaker": {
            "role_arn": "arn:aws:iam::123456789012:role/redoubt-endpoint", "image_repository": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt",
            "bucket": "models", "kms_key": account.key, "subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"], "instances": 2, "instances_max": 4,
            "failover": {"hosted_zone": account.zone, "record": "assistant.example.org", "health_check": account.check}, "poll_s": 0.05, **endpoint}},
        "alarms": {"cloudwatch": {"topic_arn": account.topic}},
        "audit": {"cloudwatch": {"kms_key": account.key}}}}))
    redoubt("init", "--providers", redoubt.providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    return redoubt


def trail(account, group):
    logs = account.client("logs")
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, limit=10000)["events"]
    return [json.loads(event["message"]) for event in events]


def records(account):
    found = account.client("route53").list_resource_record_sets(HostedZoneId=account.zone)["ResourceRecordSets"]
    return [record for record in found if record["Type"] == "CNAME"]


def nothing_is_left(account):
    sagemaker = account.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == sagemaker.list_models()["Models"] == sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert "Contents" not in account.client("s3").list_objects_v2(Bucket="models", Prefix="endpoints/dev/")


def test_a_version_is_served_by_sagemaker_once_healthy_watched_told_and_withdrawn(account, tiny_hub, tmp_path):
    redoubt = workspace(account, tmp_path)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    redoubt("run", pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "good", identity="reviewer")

    # One that never gets healthy says why, and leaves nothing.
    account.player.unhealthy[ENDPOINT] = "The primary container for production variant main did not pass the ping health check."
    failed = redoubt("run", pipeline, expect=1)
    assert "did not pass the ping health check" in failed.stderr and "/aws/sagemaker/Endpoints/" + ENDPOINT in failed.stderr
    nothing_is_left(account)
    account.player.unhealthy.clear()

    redoubt("run", pipeline)
    sagemaker, autoscaling, s3 = account.client("sagemaker"), account.client("application-autoscaling"), account.client("s3")

    status = redoubt.json("endpoint", "status", "--environment", "dev")
    assert (status["state"], status["model"], status["version"]) == ("serving", "tiny", "0.1.0")
    assert status["url"] == f"https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/{ENDPOINT}/invocations"

    endpoint = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    [variant] = config["ProductionVariants"]
    assert (variant["InitialInstanceCount"], variant["InstanceType"]) == (2, "ml.m5.xlarge")
    assert config["KmsKeyId"] == account.key
    assert config["DataCaptureConfig"]["InitialSamplingPercentage"] == 100 and config["DataCaptureConfig"]["KmsKeyId"] == account.key
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    made = [call.members for call in account.judge.calls if call.operation == "CreateModel"][-1]
    assert made["EnableNetworkIsolation"] is True, "moto forgets it"
    assert model["VpcConfig"]["Subnets"] == ["subnet-0123456789abcdef0"]
    image = redoubt.json("audit", "query", "--step", "image")[0]
    assert model["PrimaryContainer"]["Image"].startswith("123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt@sha256:"), image
    prefix = model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://models/")
    keys = [item["Key"].removeprefix(prefix) for item in s3.list_objects_v2(Bucket="models", Prefix=prefix)["Contents"]]
    assert "base/config.json" in keys and "adapter/adapter_model.safetensors" in keys
    assert s3.get_object(Bucket="models", Key=prefix + "base/config.json")["ServerSideEncryption"] == "aws:kms"
    [target] = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    [policy] = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    alarms = {alarm["AlarmName"]: alarm for alarm in account.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    assert set(alarms) >= {ENDPOINT + "-InvocationErrors", ENDPOINT + "-LatencyP99"}
    assert all(alarms[ENDPOINT + name]["AlarmActions"] == [account.topic] for name in ("-InvocationErrors", "-LatencyP99"))
    [record] = records(account)
    assert (record["Name"], record["Failover"], record["ResourceRecords"]) == ("assistant.example.org.", "PRIMARY", [{"Value": "runtime.sagemaker.eu-central-1.amazonaws.com"}])

    # The same again makes nothing twice.
    redoubt("endpoint", "start", "--environment", "dev")
    assert len(sagemaker.list_models()["Models"]) == len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1

    # Every entry of the ledger is in the trail, in order; a step's own group has that step's.
    ledger = [json.loads(line) for line in redoubt("audit", "export").stdout.splitlines()]
    told = trail(account, "/redoubt/audit")
    assert [event["metadata"]["sequence"] for event in told] == list(range(len(ledger)))
    assert {event["activity_name"] for event in trail(account, "/redoubt/train")} == {"train"}
    for group in account.client("logs").describe_log_groups(logGroupNamePrefix="/redoubt/")["logGroups"]:
        assert (group["retentionInDays"], group["kmsKeyId"]) == (90, account.key)
    assert TOKEN not in json.dumps(told)

    # Revoked, it is served no longer, and nothing of it is left; where the host can't be reached, that is said.
    account.judge.inject("sagemaker", "DeleteEndpoint", "access_denied")
    revoked = redoubt("registry", "revoke", "tiny/0.1.0", "--reason", "found wanting", identity="reviewer", expect=5)
    assert "may still be served in dev" in revoked.stderr and "redoubt endpoint stop --environment dev" in revoked.stderr
    redoubt("endpoint", "stop", "--environment", "dev")
    account.judge.inject("sagemaker", "DescribeEndpoint", "access_denied", times=3)
    assert redoubt.json("status")["endpoints"]["dev"]["state"] == "unknown"
    assert redoubt.json("endpoint", "status", "--environment", "dev")["state"] == "stopped"
    nothing_is_left(account)
    assert autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert records(account) == []
    assert [name for name in (alarm["AlarmName"] for alarm in account.client("cloudwatch").describe_alarms()["MetricAlarms"]) if name.startswith(ENDPOINT)] == []
    redoubt("endpoint", "stop", "--environment", "dev")


def test_a_second_version_a_way_back_and_one_that_alarms_turn_back(account, tiny_hub, tmp_path):
    redoubt = workspace(account, tmp_path)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    run_approved(redoubt, pipeline, "tiny/0.1.0")
    training = yaml.safe_load((pipeline.parent / "training_config.yaml").read_text())
    (pipeline.parent / "training_config.yaml").write_text(yaml.safe_dump({**training, "learning_rate": 0.0011}))
    account.player.turned_back[ENDPOINT] = "Deployment was rolled back: alarm " + ENDPOINT + "-InvocationErrors went into ALARM"
    redoubt("run", pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.2.0", "--reason", "better", identity="reviewer")
    turned_back = redoubt("deploy", "tiny/0.2.0", "--environment", "dev", expect=3)
    assert "went into ALARM" in turned_back.stderr
    assert redoubt.json("endpoint", "status", "--environment", "dev")["version"] == "0.1.0"
    assert len(account.client("sagemaker").list_models()["Models"]) == 1

    account.player.turned_back.clear()
    assert redoubt.json("deploy", "tiny/0.2.0", "--environment", "dev")["version"] == "0.2.0"
    update = [call.members for call in account.judge.calls if call.operation == "UpdateEndpoint"][-1]["DeploymentConfig"]
    assert update["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert {"AlarmName": ENDPOINT + "-InvocationErrors"} in update["AutoRollbackConfiguration"]["Alarms"]
    models = account.client("sagemaker").list_models()["Models"]
    assert len(models) == 2
    assert redoubt.json("rollback", "--environment", "dev")["version"] == "0.1.0"
    assert account.client("sagemaker").list_models()["Models"] == models, "what served before was still there"
    redoubt("endpoint", "stop", "--environment", "dev")
    nothing_is_left(account)
    redoubt("audit", "verify")
