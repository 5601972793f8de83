# SPDX-License-Identifier: Apache-2.0
"""What can be done in AWS, as whole flows: what each asks for, what stands there afterwards, and what a failed one may leave."""
import json
import os
import pathlib
import subprocess
import urllib.request

from aws_account import REGION
from monitoring_player import MonitoringPlayer
from player import Player

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])
IMAGE = "sha256:" + "a" * 64


class QuickMonitoring(MonitoringPlayer):
    def run_container(self, job, layout, digest, folder):
        results = self.results_of(job, folder)
        results.mkdir(parents=True)
        for name in ("drift", "statistics", "constraints", "constraint_violations"):
            (results / f"{name}.json").write_text("{}")
        return 0


class QuickPlayer(Player):
    """Containers that have done their work at once."""

    MONITORING = QuickMonitoring

    def run_container(self, job, layout, digest, deadline):
        (job.folder / "model").mkdir(exist_ok=True)
        (job.folder / "model" / "adapter.bin").write_text("weights")
        return 0


def is_error(answer):
    return isinstance(answer.get("error"), dict)  # the state of an endpoint has a member of that name


class World:
    """An account, our flows in a process of their own, and the judge between them."""

    def __init__(self, aws, player, judge, registry):
        self.aws, self.player, self.judge, self.registry = aws, player, judge, registry
        home = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.environment = {**home, "HOME": "/nonexistent", **judge.environment}
        self.process = subprocess.Popen([BUILD / "flow_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)

    def start_anew(self):
        self.player.close()
        self.player.forget()
        urllib.request.urlopen(urllib.request.Request(self.aws.url + "/moto-api/reset", method="POST")).read()
        for kept in (self.judge.faults, self.judge.calls, self.judge.earlier):
            kept.clear()

    def ask(self, orders):
        """The last order's answer, or the first error. An order is for the tool, or a line of arguments for the program itself."""
        for order in orders:
            answer = self.run(order) if isinstance(order, list) else self.tell(order)
            if is_error(answer):
                break
        return answer

    def tell(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the tool ended: {self.process.wait(10)}"
        return json.loads(line)

    def run(self, arguments):
        done = subprocess.run([BUILD / "redoubt", "--json", *arguments], capture_output=True, text=True, timeout=120, env=self.environment)
        return json.loads(done.stdout)

    def bucket(self, name="artifacts"):
        s3 = self.aws.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def key(self):
        kms = self.aws.client("kms")
        kms.create_alias(AliasName="alias/redoubt", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        return "alias/redoubt"


class Flow:
    """What is asked; `made` is what stands there afterwards, the same after any number of tries; `check_error` looks for what a failed
    one left."""

    repeats = True  # asked for again after it ended well, nothing is done anew
    weight = 1      # a flow of many calls has so many times fewer pairs drawn

    def prepare(self, world):
        raise NotImplementedError

    def made(self, world, answer):
        raise NotImplementedError

    def again(self, orders, world):
        """What is asked for after a failed try."""
        return orders

    def check_error(self, world, faulted):
        pass

    def check_end(self, world, faulted):
        pass


class Deploy(Flow):
    def prepare(self, world):
        bucket = world.bucket()
        return [{"do": "deploy", "bucket": bucket, "version": version} for version in (1, 2)]

    def counts(self, world):
        sagemaker = world.aws.client("sagemaker")
        return len(sagemaker.list_endpoints()["Endpoints"]), len(sagemaker.list_endpoint_configs()["EndpointConfigs"]), len(sagemaker.list_models()["Models"])

    def made(self, world, answer):
        assert (answer["state"], answer["version"]) == ("serving", "0.2.0")
        scaling = world.aws.client("application-autoscaling")
        return (self.counts(world), len(scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]),
                sorted(alarm["AlarmName"] for alarm in world.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]))

    def check_error(self, world, faulted):
        endpoints, configs, models = self.counts(world)
        assert configs == models and (endpoints == 1) == (models > 0), (endpoints, configs, models)


class Withdraw(Deploy):
    """Three versions, the way back, and what serves then is withdrawn."""

    weight = 3

    def prepare(self, world):
        bucket = world.bucket()
        deployed = [{"do": "deploy", "bucket": bucket, "version": version} for version in (1, 2, 3)]
        return [*deployed, {"do": "deploy", "bucket": bucket, "version": 2, "rollback": True}, {"do": "withdraw", "bucket": bucket, "version": 3}, {"do": "withdraw", "bucket": bucket, "version": 2}]

    def made(self, world, answer):
        assert answer["state"] == "stopped"
        left = world.aws.client("s3").list_objects_v2(Bucket="artifacts").get("Contents", [])
        alarms = world.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        return self.counts(world), left, alarms, world.aws.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]

    def check_error(self, world, faulted):
        """What serves stands on what is there; what was not removed yet goes with the next try."""
        sagemaker = world.aws.client("sagemaker")
        for endpoint in sagemaker.list_endpoints()["Endpoints"]:
            config = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])["EndpointConfigName"]
            for variant in sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]:
                sagemaker.describe_model(ModelName=variant["ModelName"])


class Monitor(Flow):
    """What watches an endpoint: processing jobs that the scheduler starts, and one by hand, then Model Monitor."""

    repeats = False  # each run is one of its own

    def prepare(self, world):
        bucket, iam = world.bucket(), world.aws.client("iam")
        for role in ("redoubt-monitor-job", "redoubt-schedule"):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
        world.aws.client("s3").put_object(Bucket=bucket, Key="endpoints/captures/dev/redoubt-dev/main/a.jsonl", Body=b"{}")
        deployed, watched = {"do": "deploy", "bucket": bucket, "version": 1}, {"monitoring": "processing"}
        return [{**deployed, **watched}, {"do": "monitor", "bucket": bucket, **watched}, {**deployed, "monitoring": "model-monitor"}]

    def made(self, world, answer):
        assert (answer["state"], answer["version"]) == ("serving", "0.1.0")
        sagemaker, played = world.aws.client("sagemaker"), world.player.monitoring
        played.finish()
        assert {job["ProcessingJobStatus"] for job in played.jobs.values()} == {"Completed"}
        return (sorted(played.schedules), [one["Name"] for one in world.aws.client("scheduler").list_schedules()["Schedules"]],
                [one["MonitoringJobDefinitionName"] for one in sagemaker.list_data_quality_job_definitions()["JobDefinitionSummaries"]],
                sorted({one["filterName"] for one in world.aws.client("logs").describe_metric_filters()["metricFilters"]}),  # moto keeps one that is put again twice
                [item["Key"] for item in world.aws.client("s3").list_objects_v2(Bucket="artifacts", Prefix="endpoints/monitoring/dev/")["Contents"] if "/results/" not in item["Key"]])

    def check_error(self, world, faulted):
        assert len(world.player.monitoring.jobs) <= 1


class Train(Flow):
    repeats = False  # what the job gave was handed over
    TIDYING = ("ListObjectsV2", "ListObjectVersions", "DeleteObject", "GetObject")

    def prepare(self, world):
        iam = world.aws.client("iam")
        role = iam.create_role(RoleName="redoubt-training", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        return [{"do": "train", "bucket": world.bucket(), "kms_key": world.key(), "role": role, "image": IMAGE}]

    def left(self, world):
        versions = world.aws.client("s3").list_object_versions(Bucket="artifacts")
        return [item["Key"] for kind in ("Versions", "DeleteMarkers") for item in versions.get(kind, [])]

    def made(self, world, answer):
        assert answer == {"exit_code": 0, "failure": "", "model": {"adapter.bin": "weights"}}
        return len(world.player.jobs)

    def check_end(self, world, faulted):
        """What could not be tidied up is told of, and goes with the next job of the kind."""
        assert self.left(world) == [] or faulted in self.TIDYING

    def check_error(self, world, faulted):
        assert len(world.player.jobs) <= 1
        if not world.player.jobs:
            self.check_end(world, faulted)


class Register(Flow):
    def prepare(self, world):
        return [{"do": "register", "bucket": world.bucket(), "versions": 2}]

    def made(self, world, answer):
        assert answer == {"versions": [["0.1.0", "Approved"], ["0.2.0", "PendingManualApproval"]]}
        sagemaker, player = world.aws.client("sagemaker"), world.player
        return (len(sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]), len(sagemaker.list_model_packages()["ModelPackageSummaryList"]),
                len(sagemaker.list_model_cards()["ModelCardSummaries"]), len(player.artifacts), len(player.actions), len(player.associations))


class Alarms(Flow):
    def prepare(self, world):
        return [{"do": "alarms"}]

    def made(self, world, answer):
        assert answer == {"alarms": ["Errors", "Latency"]}
        return sorted(alarm["AlarmName"] for alarm in world.aws.client("cloudwatch").describe_alarms()["MetricAlarms"])


class Mirror(Flow):
    def prepare(self, world):
        return [{"do": "mirror", "entries": 4}]

    def made(self, world, answer):
        assert answer == {"next": 4}
        logs = world.aws.client("logs")
        [stream] = logs.describe_log_streams(logGroupName="/redoubt/audit")["logStreams"]
        events = logs.get_log_events(logGroupName="/redoubt/audit", logStreamName=stream["logStreamName"], startFromHead=True)["events"]
        sequence = [json.loads(event["message"])["metadata"]["sequence"] for event in events]
        # What came again came with all that followed it.
        assert set(sequence) == set(range(4)) and sequence[-1] == 3 and all(after <= before + 1 for before, after in zip(sequence, sequence[1:])), sequence
        groups = logs.describe_log_groups()["logGroups"]
        return sorted((group["logGroupName"], group["retentionInDays"]) for group in groups)


class Push(Flow):
    def prepare(self, world):
        world.judge.inject("ecr", "DescribeImageScanFindings", "answer", times=1000, body={"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findings": []}})
        return [{"do": "push", "registry_url": world.registry.url, "ca_file": str(world.registry.certificate)}]

    def made(self, world, answer):
        assert answer["image"].startswith("sha256:") and answer["findings"] == 0
        return [repository["repositoryName"] for repository in world.aws.client("ecr").describe_repositories()["repositories"]]


class Secrets(Flow):
    def prepare(self, world):
        return [{"do": "secret", "value": "first"}]

    def made(self, world, answer):
        assert answer == {"value": "first", "secrets": 1}
        return [secret["Name"] for secret in world.aws.client("secretsmanager").list_secrets()["SecretList"]]


class Rotation(Flow):
    repeats = False  # each rotation makes a value of its own

    def prepare(self, world):
        world.player.rotating["redoubt/token"] = "by the function"
        return [{"do": "secret", "value": "first"}, {"do": "rotate"}]

    def made(self, world, answer):
        assert answer == {"rotated": True, "value": "by the function"}
        return [secret["Name"] for secret in world.aws.client("secretsmanager").list_secrets()["SecretList"]]


class Objects(Flow):
    def prepare(self, world):
        bucket = world.bucket()
        return [{"do": "object", "bucket": bucket, "bytes": size} for size in (1000, 17 << 20)]

    def made(self, world, answer):
        assert answer == {"bytes": 17 << 20, "keys": ["a"]}
        return [item["Key"] for item in world.aws.client("s3").list_objects_v2(Bucket="artifacts")["Contents"]]

    def check_error(self, world, faulted):
        if faulted not in ("CreateMultipartUpload", "AbortMultipartUpload"):
            assert not world.aws.client("s3").list_multipart_uploads(Bucket="artifacts").get("Uploads")


class Keys(Flow):
    def prepare(self, world):
        return [{"do": "key", "alias": "alias/redoubt-new"}]

    def made(self, world, answer):
        assert answer == {"text": "a data key"}
        return [alias["AliasName"] for alias in world.aws.client("kms").list_aliases()["Aliases"] if alias["AliasName"].startswith("alias/redoubt")]

    def check_error(self, world, faulted):
        kms = world.aws.client("kms")
        named = {alias.get("TargetKeyId") for alias in kms.list_aliases()["Aliases"]}
        nameless = [key["KeyId"] for key in kms.list_keys()["Keys"] if key["KeyId"] not in named]
        states = {kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in nameless}
        assert states <= {"PendingDeletion"} or faulted in ("CreateKey", "ScheduleKeyDeletion")


class Notify(Flow):
    def prepare(self, world):
        return [{"do": "notify", "topic": world.aws.client("sns").create_topic(Name="alarms")["TopicArn"]}]

    def made(self, world, answer):
        assert answer == {}


TEMPLATE = """
Parameters:
  Environment: {Type: String, AllowedValues: [dev, staging, production]}
  S3PrefixListId: {Type: String, Default: ""}
  EnableGuardDuty: {Type: String, AllowedValues: ["true", "false"], Default: "true"}
Resources:
  Topic: {Type: "AWS::SNS::Topic", Properties: {TopicName: !Sub "redoubt-${Environment}"}}
  Log: {Type: "AWS::Logs::LogGroup", DeletionPolicy: Delete, Properties: {LogGroupName: !Sub "/redoubt/${Environment}", RetentionInDays: 90}}
Outputs: {TopicArn: {Value: !Ref Topic}}
"""


class Up(Flow):
    """`redoubt aws up` of an environment that is not there."""

    BUCKET = "redoubt-templates-123456789012-eu-central-1"
    topics = 1

    def line(self, world, command="up", template=TEMPLATE):
        path = world.folder / "template.yaml"
        path.write_text(template)
        return ["aws", command, "dev", "--template", path]

    def prepare(self, world):
        return [self.line(world)]

    def stacks(self, world):
        return [one for one in world.aws.client("cloudformation").describe_stacks()["Stacks"] if one["StackStatus"] != "DELETE_COMPLETE"]

    def made(self, world, answer):
        assert answer["status"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE") and set(answer["outputs"]) == {"TopicArn"}, answer
        s3 = world.aws.client("s3")
        assert all(s3.get_public_access_block(Bucket=self.BUCKET)["PublicAccessBlockConfiguration"].values())
        [rule] = s3.get_bucket_encryption(Bucket=self.BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        [stack] = self.stacks(world)
        assert len(world.aws.client("sns").list_topics()["Topics"]) == self.topics
        return stack["StackName"], stack["StackStatus"], self.change_sets(world)

    def change_sets(self, world):
        return [one["ChangeSetName"] for stack in self.stacks(world) for one in world.aws.client("cloudformation").list_change_sets(StackName=stack["StackName"])["Summaries"]]

    def check_error(self, world, faulted):
        assert len(self.stacks(world)) <= 1
        assert self.change_sets(world) == [] or faulted == "DeleteChangeSet"


class Change(Up):
    """`redoubt aws up` with another template."""

    topics = 2

    def prepare(self, world):
        made = world.run(self.line(world))
        assert not is_error(made), made
        world.judge.calls.clear()
        return [self.line(world, template=TEMPLATE.replace("Outputs:", '  Incidents: {Type: "AWS::SNS::Topic"}\nOutputs:'))]


class Down(Up):
    repeats = False  # there is none then

    def prepare(self, world):
        made = world.run(self.line(world))
        assert not is_error(made), made
        world.judge.calls.clear()
        return [[*self.line(world, "down"), "--yes"]]

    def again(self, orders, world):
        return [self.line(world), *orders]  # it may have gone already

    def made(self, world, answer):
        assert answer == {"stack": "redoubt-dev", "stays": []}
        assert self.stacks(world) == [] and world.aws.client("logs").describe_log_groups()["logGroups"] == []


FLOWS = {"deploy": Deploy(), "withdraw": Withdraw(), "monitor": Monitor(), "rotation": Rotation(), "up": Up(), "change": Change(), "down": Down(), "train": Train(),
         "register": Register(), "alarms": Alarms(), "mirror": Mirror(), "push": Push(), "secret": Secrets(), "object": Objects(), "key": Keys(), "notify": Notify()}
