# SPDX-License-Identifier: Apache-2.0
"""An endpoint in SageMaker, the audit trail in CloudWatch Logs, alarms that tell a topic: read back by boto3. What changes an
endpoint that is there is in src/provider/aws/sagemaker_endpoint_test.cc, since moto can't."""
import json

import pytest

from conftest import TOKEN, Redoubt, run_approved, write_pipeline

ENDPOINT = "redoubt-dev"


@pytest.fixture
def account(aws, judge):
    """What `redoubt aws up` would have made."""
    aws.key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    aws.topic = aws.client("sns").create_topic(Name="redoubt-alarms")["TopicArn"]
    route53 = aws.client("route53")
    aws.zone = route53.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"].split("/")[-1]
    aws.check = route53.create_health_check(CallerReference="1", HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "example.org"})["HealthCheck"]["Id"]
    aws.judge = judge
    return aws


def workspace(account, folder):
    redoubt = Redoubt(folder)
    redoubt.environment.update(account.judge.environment)
    redoubt.providers = folder / "providers.yaml"
    redoubt.providers.write_text(json.dumps({"version": 1, "providers": {
        "endpoint": {"sagemaker": {
            "role_arn": "arn:aws:iam::123456789012:role/redoubt-endpoint", "image_repository": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt",
            "bucket": "models", "kms_key": account.key, "subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"], "instances": 2, "instances_max": 4,
            "failover": {"hosted_zone": account.zone, "record": "assistant.example.org", "health_check": account.check}, "poll_s": 0.05}},
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


def test_a_version_is_served_by_sagemaker_watched_told_and_withdrawn(account, tiny_hub, tmp_path):
    redoubt = workspace(account, tmp_path)
    run_approved(redoubt, write_pipeline(tmp_path / "pipeline", tiny_hub), "tiny/0.1.0")
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
    [made] = [call.members for call in account.judge.calls if call.operation == "CreateModel"]
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

    # Revoked, it is served no longer, and nothing of it is left.
    redoubt("registry", "revoke", "tiny/0.1.0", "--reason", "found wanting", identity="reviewer")
    assert redoubt.json("endpoint", "status", "--environment", "dev")["state"] == "stopped"
    assert sagemaker.list_endpoints()["Endpoints"] == sagemaker.list_models()["Models"] == sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert "Contents" not in s3.list_objects_v2(Bucket="models", Prefix="endpoints/dev/")
    assert records(account) == []
    assert [name for name in (alarm["AlarmName"] for alarm in account.client("cloudwatch").describe_alarms()["MetricAlarms"]) if name.startswith(ENDPOINT)] == []
    redoubt("endpoint", "stop", "--environment", "dev")
    assert account.judge.violations == []
