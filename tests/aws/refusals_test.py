# SPDX-License-Identifier: Apache-2.0
"""What an account refuses, through the command line: each call that is denied, quotas, roles, images, regions, containers and endpoints
that fail. Each is an error that names the resource and the cure; the cause removed, the same command succeeds, nothing is made twice and
nothing half made is left. One workspace is taken through its steps by all tests in their order; each brings it where it has to be."""
import json
import re

import pytest

from aws_account import REGION, empty_account, judged
from conftest import TOKEN, Redoubt, write_pipeline
from player import played

ENDPOINT, REPOSITORY, KEY = "redoubt-dev", f"123456789012.dkr.ecr.{REGION}.amazonaws.com/redoubt", "alias/redoubt"
ROLE = "arn:aws:iam::123456789012:role/"
PRINCIPAL = "arn:aws:iam::123456789012:user/t"


class Shop(Redoubt):
    """Jobs, versions, endpoint, alarms, secrets and the trail in AWS; sealed objects here, so that they are read fast."""

    def set_up(self, account, player, judge, hub):
        self.account, self.player, self.judge = account, player, judge
        self.environment.update(judge.environment)
        player.layouts[:] = [self.workspace / "images"]
        kms, s3, route53 = account.client("kms"), account.client("s3"), account.client("route53")
        kms.create_alias(AliasName=KEY, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
        zone = route53.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"].split("/")[-1]
        check = route53.create_health_check(CallerReference="1", HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "example.org"})["HealthCheck"]["Id"]
        topic = account.client("sns").create_topic(Name="redoubt-alarms")["TopicArn"]
        for name in ("training", "endpoint", "monitor", "schedule"):
            account.client("iam").create_role(RoleName="redoubt-" + name, AssumeRolePolicyDocument="{}")
        network = {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]}
        self.blocks = {
            "aws": {"attempts_max": 2}, "secrets": {"secrets-manager": {}}, "audit": {"cloudwatch": {}}, "alarms": {"cloudwatch": {"topic_arn": topic}},
            "jobs": {"sagemaker": {"role_arn": ROLE + "redoubt-training", "image_repository": REPOSITORY, "bucket": "models", "prefix": "jobs/", "kms_key": KEY, "poll_s": 0.1, "experiment": "redoubt", **network}},
            "registry": {"sagemaker": {"bucket": "models", "kms_key": KEY}},
            "endpoint": {"sagemaker": {
                "role_arn": ROLE + "redoubt-endpoint", "image_repository": REPOSITORY, "bucket": "models", "kms_key": KEY, "instances": 2, "instances_max": 4, "poll_s": 0.05, **network,
                "failover": {"hosted_zone": zone, "record": "assistant.example.org", "health_check": check},
                "monitoring": {"role_arn": ROLE + "redoubt-monitor", "scheduler_role_arn": ROLE + "redoubt-schedule"}}}}
        self("init", "--providers", self.write_providers())
        self("secret", "put", "huggingface/api-token", stdin=TOKEN)
        self.pipeline = write_pipeline(self.folder / "pipeline", hub)

    def write_providers(self, **endpoint):
        blocks = json.loads(json.dumps(self.blocks))
        blocks["endpoint"]["sagemaker"].update(endpoint)
        (self.folder / "providers.yaml").write_text(json.dumps({"version": 1, "providers": blocks}))
        return self.folder / "providers.yaml"

    def state(self):
        versions = self.json("registry", "list")
        return versions[0]["state"] if versions else None

    def bring_to_approved(self):
        if self.state() is None:
            self("run", self.pipeline, expect=6)
        if self.state() == "PendingManualApproval":
            self("registry", "approve", "tiny/0.1.0", "--reason", "good", identity="reviewer")

    def bring_to_deployed(self):
        self.bring_to_approved()
        self("deploy", "tiny/0.1.0", "--environment", "dev")

    def refused(self, *command, expect, **faults):
        """The error of a command under one fault, which it met."""
        self.judge.inject(**faults, times=10**6)
        [fault] = self.judge.faults
        error = self.json(*command, expect=expect)["error"]
        self.judge.faults.clear()
        assert fault.times < 10**6, f"{command} does not call it"
        return error

    def has_nothing_served(self):
        sagemaker = self.account.client("sagemaker")
        assert sagemaker.list_endpoints()["Endpoints"] == sagemaker.list_models()["Models"] == sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
        assert "Contents" not in self.account.client("s3").list_objects_v2(Bucket="models", Prefix="endpoints/dev/")
        assert self.account.client("scheduler").list_schedules()["Schedules"] == []
        assert self.account.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


@pytest.fixture(scope="module")
def shop(moto_url, tiny_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    account = empty_account(moto_url)
    with played(account, folder) as player, judged(player, folder / "judge") as judge:
        shop = Shop(folder)
        shop.set_up(account, player, judge, tiny_hub)
        yield shop
        assert judge.violations == []


@pytest.fixture(autouse=True)
def nothing_refused_before(shop):
    shop.judge.faults.clear()
    shop.player.failures, shop.player.refuse = [], {}
    shop.player.unhealthy.clear()


def check_denial(error, service, operation, action=None):
    action = action or f"{service}:{operation}"
    assert error["code"] == "permission_denied" and action in error["hint"], error
    assert f"{service}.{operation}" in error["message"] and PRINCIPAL in error["message"], error
    assert error["where"] and not re.fullmatch(r"[a-z0-9-]+\.[A-Z][A-Za-z0-9]+", error["where"]), f"no resource: {error}"


RUN = ["secretsmanager.GetSecretValue", "sagemaker.ListTrainingJobs", "kms.DescribeKey", "s3.PutObject", "sagemaker.CreateExperiment", "sagemaker.CreateTrial", "sagemaker.CreateTrainingJob",
       "sagemaker.DescribeTrainingJob", "logs.DescribeLogStreams", "logs.GetLogEvents", "s3.GetObject",
       "sagemaker.ListModelPackageGroups", "sagemaker.CreateModelPackageGroup", "sagemaker.CreateModelPackage"]
DEPLOY = ["cloudwatch.PutMetricAlarm", "sagemaker.DescribeModel", "sagemaker.CreateModel", "sagemaker.CreateEndpointConfig", "sagemaker.CreateEndpoint", "sagemaker.DescribeEndpoint", "s3.PutObject",
          "application-autoscaling.RegisterScalableTarget", "application-autoscaling.PutScalingPolicy", "route53.ChangeResourceRecordSets",
          "logs.PutMetricFilter", "scheduler.GetSchedule", "scheduler.CreateSchedule"]
# In the order of the calls: what went well before a refusal is not asked again.
STOP = ["scheduler.DeleteSchedule", "logs.DeleteMetricFilter", "application-autoscaling.DescribeScalableTargets", "application-autoscaling.DeregisterScalableTarget", "route53.ListResourceRecordSets",
        "sagemaker.DeleteEndpoint", "cloudwatch.DeleteAlarms", "sagemaker.DeleteEndpointConfig", "sagemaker.DeleteModel"]


@pytest.mark.parametrize("reason, where, says", [
    ("AlgorithmError: the loss is not a number at step 3, exit code: 1", "training job redoubt-train-", "training failed: the loss is not a number at step 3"),
    ("ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect.", REPOSITORY, "could not have its image")])
def test_a_container_that_fails_says_what_it_said(shop, reason, where, says):
    shop.player.failures = [reason]
    error = shop.json("run", shop.pipeline, expect=1)["error"]
    assert error["where"].startswith(where) and says in error["message"] and error["hint"], error


@pytest.mark.parametrize("call", RUN)
def test_a_run_says_what_it_may_not(shop, call):
    service, operation = call.split(".")
    check_denial(shop.refused("run", shop.pipeline, expect=5, service=service, operation=operation, kind="access_denied"), service, operation)


def test_after_the_refusals_a_run_goes_on_from_the_one_job_that_was_started(shop):
    shop("run", shop.pipeline, expect=6)
    assert shop.state() == "PendingManualApproval" and [job.status for job in shop.player.jobs.values()].count("Completed") == 1, "what a job made was there until it was taken"
    kept = shop.account.client("s3").list_object_versions(Bucket="models", Prefix="jobs/")
    assert "Versions" not in kept, "a job's readable inputs go with it"
    assert shop.json("audit", "verify")["ok"]


def test_what_only_shows_a_version_in_the_console_is_told_and_holds_nothing_up(shop):
    shop.judge.inject("sagemaker", "ListAssociations", "access_denied", times=10**6)
    told = shop("run", shop.pipeline, expect=6).stderr
    assert "sagemaker:ListAssociations" in told and "card and lineage" in told, told


@pytest.mark.parametrize("call", DEPLOY)
def test_a_deployment_says_what_it_may_not(shop, call):
    service, operation = call.split(".")
    shop.bring_to_approved()
    check_denial(shop.refused("deploy", "tiny/0.1.0", "--environment", "dev", expect=5, service=service, operation=operation, kind="access_denied"), service, operation)


def test_after_the_refusals_one_endpoint_serves(shop):
    shop.bring_to_deployed()
    sagemaker = shop.account.client("sagemaker")
    assert [len(found) for found in (sagemaker.list_endpoints()["Endpoints"], sagemaker.list_models()["Models"], sagemaker.list_endpoint_configs()["EndpointConfigs"])] == [1, 1, 1]
    assert shop.json("endpoint", "status", "--environment", "dev")["state"] == "serving" and shop.json("audit", "verify")["ok"]


@pytest.mark.parametrize("command, call", [
    (("endpoint", "start", "--environment", "dev"), "sagemaker.DescribeEndpoint"),
    (("monitor", "run", "--environment", "dev"), "sagemaker.CreateProcessingJob"),
    (("monitor", "run", "--environment", "dev", "--newest"), "sagemaker.ListProcessingJobs"),
    (("registry", "list"), "sagemaker.DescribeModelPackage"),
    (("secret", "list"), "secretsmanager.ListSecrets"),
    (("audit", "mirror"), "logs.GetLogEvents"),
])
def test_a_command_says_what_it_may_not(shop, command, call):
    service, operation = call.split(".")
    shop.bring_to_approved()
    check_denial(shop.refused(*command, expect=5, service=service, operation=operation, kind="access_denied"), service, operation)


@pytest.mark.parametrize("call", STOP)
def test_a_stop_says_what_it_may_not(shop, call):
    service, operation = call.split(".")
    if call == STOP[0]:
        shop.bring_to_deployed()
    check_denial(shop.refused("endpoint", "stop", "--environment", "dev", expect=5, service=service, operation=operation, kind="access_denied"), service, operation)


def test_after_the_refusals_nothing_is_left(shop):
    shop("endpoint", "stop", "--environment", "dev")
    shop.has_nothing_served()
    assert shop.json("audit", "verify")["ok"]


UNHEALTHY = "The primary container for production variant main did not pass the ping health check. Please check CloudWatch logs for this endpoint."
NOT_PULLED = f"The role '{ROLE}redoubt-endpoint' does not have BatchGetImage permission for the image: '{REPOSITORY}@sha256:1'."
# (operation, the service's code and words, exit, where, hint): CreateModel and CreateEndpoint refuse as SageMaker does.
REFUSED = {
    "quota": ("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit 'ml.m5.xlarge for endpoint usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 2 Instances.",
              1, ENDPOINT, "Service Quotas"),
    "role": ("CreateModel", "ValidationException", f"Could not assume role {ROLE}redoubt-endpoint. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.",
             5, ROLE + "redoubt-endpoint", "sagemaker.amazonaws.com"),
    "pass-role": ("CreateModel", "AccessDeniedException", f"User: {PRINCIPAL} is not authorized to perform: iam:PassRole on resource: {ROLE}redoubt-endpoint because no identity-based policy allows the iam:PassRole action",
                  5, ROLE + "redoubt-endpoint", "iam:PassRole"),
    "image": ("CreateModel", "ValidationException", f"Requested image {REPOSITORY}@sha256:1 not found.", 1, REPOSITORY, "push the image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_endpoint_that_sagemaker_does_not_make_leaves_nothing(shop, case):
    operation, code, words, status, where, hint = REFUSED[case]
    shop.bring_to_approved()
    error = shop.refused("deploy", "tiny/0.1.0", "--environment", "dev", expect=status, service="sagemaker", operation=operation, kind="refuse", status=400, code=code, message=words)
    assert error["where"] == where and hint in error["hint"] and words in error["message"], error
    shop.has_nothing_served()


@pytest.mark.parametrize("reason, hint", [(UNHEALTHY, "/aws/sagemaker/Endpoints/" + ENDPOINT), (NOT_PULLED, ROLE + "redoubt-endpoint")])
def test_an_endpoint_that_fails_says_why_and_leaves_nothing(shop, reason, hint):
    shop.bring_to_approved()
    shop.player.unhealthy[ENDPOINT] = reason
    error = shop.json("deploy", "tiny/0.1.0", "--environment", "dev", expect=1)["error"]
    assert error["where"] == ENDPOINT and reason in error["message"] and hint in error["hint"], error
    shop.has_nothing_served()


def test_an_endpoint_that_never_gets_healthy_is_waited_for_as_long_as_was_said_and_goes_on(shop):
    shop.bring_to_approved()
    creating = {"EndpointName": ENDPOINT, "EndpointArn": f"arn:aws:sagemaker:{REGION}:123456789012:endpoint/{ENDPOINT}", "EndpointStatus": "Creating", "CreationTime": 1.7e9, "LastModifiedTime": 1.7e9}
    made = lambda members: shop.judge.seen("sagemaker", "CreateEndpoint")[-1].status == 200  # noqa: E731
    before = len(shop.judge.seen("sagemaker", "CreateEndpoint"))
    shop.judge.inject("sagemaker", "DescribeEndpoint", "answer", times=10**6, body=creating, where=lambda members: len(shop.judge.seen("sagemaker", "CreateEndpoint")) > before and made(members))
    error = shop.json("--providers", shop.write_providers(wait_s_max=1), "deploy", "tiny/0.1.0", "--environment", "dev", expect=1)["error"]
    assert error["where"] == ENDPOINT and "Creating" in error["message"] and "/aws/sagemaker/Endpoints/" + ENDPOINT in error["hint"] and "wait_s_max" in error["hint"], error
    shop.judge.faults.clear()
    shop.write_providers()
    shop.bring_to_deployed()
    assert len(shop.judge.seen("sagemaker", "CreateEndpoint")) == before + 1, "made once"
    assert shop.json("endpoint", "status", "--environment", "dev")["state"] == "serving" and shop.json("audit", "verify")["ok"]


@pytest.mark.parametrize("code, words, status, where, hint", [
    ("ResourceLimitExceeded", "The account-level service limit 'ml.m5.large for processing job usage' is 0 Instances", 1, None, "processing job usage"),
    ("ValidationException", f"Could not assume role {ROLE}redoubt-monitor. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.", 5, ROLE + "redoubt-monitor", "iam:PassRole"),
    ("ValidationException", "Access denied for repository: redoubt in registry ID: 123456789012. Please check if your ECR repository and image exist and role has proper pull permissions for SageMaker: "
     "ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer", 1, REPOSITORY, "push the image")])
def test_a_monitor_s_run_that_is_not_started_says_why(shop, code, words, status, where, hint):
    if shop.json("endpoint", "status", "--environment", "dev")["state"] != "serving":
        shop.bring_to_deployed()
    error = shop.refused("monitor", "run", "--environment", "dev", expect=status, service="sagemaker", operation="CreateProcessingJob", kind="refuse", status=400, code=code, message=words)
    assert error["where"] == where or where is None and error["where"].startswith(ENDPOINT), error
    assert hint in error["hint"], error


def test_another_region_is_told_before_anything_is_made_there(shop):
    other = REPOSITORY.replace(REGION, "us-west-2")
    calls = len(shop.judge.seen("sagemaker", "CreateModel"))
    error = shop.json("--providers", shop.write_providers(image_repository=other), "deploy", "tiny/0.1.0", "--environment", "staging", expect=2)["error"]
    assert error["where"] == other and "us-west-2" in error["message"] and REGION in error["message"] and "region" in error["hint"], error
    key = "arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555"
    error = shop.json("--providers", shop.write_providers(kms_key=key), "deploy", "tiny/0.1.0", "--environment", "staging", expect=2)["error"]
    assert error["where"] == key and "us-west-2" in error["message"], error
    shop.write_providers()
    error = shop.refused("endpoint", "stop", "--environment", "dev", expect=2, service="s3", operation="*", kind="wrong_region")
    assert error["where"].startswith("s3://models/") and "us-west-2" in error["message"] and "region" in error["hint"], error
    assert len(shop.judge.seen("sagemaker", "CreateModel")) == calls
    shop("endpoint", "stop", "--environment", "dev")
    shop.has_nothing_served()
