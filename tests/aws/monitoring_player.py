# SPDX-License-Identifier: Apache-2.0
"""What watches an endpoint in an account, played beside player.py: processing jobs run our image's container as SageMaker runs it,
their printed lines become metrics as CloudWatch's filters say, monitoring schedules are kept (moto has their definitions and
EventBridge Scheduler), and a schedule's target is called as the scheduler calls it."""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

LOCAL = "/opt/ml/"


def split_uri(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def refusal(code, message):
    return 400, {"__type": code, "message": message}


class MonitoringPlayer:
    GROUP = "/aws/sagemaker/ProcessingJobs"
    KINDS = {"DataQuality": "data_quality", "ModelQuality": "model_quality", "ModelBias": "model_bias", "ModelExplainability": "model_explainability"}

    def __init__(self, player, client):
        self.player, self.logs, self.cloudwatch, self.iam = player, client("logs"), client("cloudwatch"), client("iam")
        self.scheduler, self.s3 = client("scheduler"), client("s3")
        self.jobs, self.schedules, self.executions, self.threads = {}, {}, [], []

    def handler(self, operation):
        return {"CreateProcessingJob": self.create, "DescribeProcessingJob": self.describe, "ListProcessingJobs": self.list, "StopProcessingJob": self.stop,
                "CreateMonitoringSchedule": self.create_schedule, "UpdateMonitoringSchedule": self.update_schedule, "DescribeMonitoringSchedule": self.describe_schedule,
                "DeleteMonitoringSchedule": self.delete_schedule, "ListMonitoringExecutions": self.list_executions}.get(operation)

    # Processing jobs.
    def create(self, members, forward=None):
        name = members["ProcessingJobName"]
        if name in self.jobs:
            return refusal("ResourceInUse", f"Processing job names must be unique within an AWS account and region, and a processing job with this name already exists ({name})")
        try:
            self.iam.get_role(RoleName=members["RoleArn"].rsplit("/", 1)[-1])
        except self.iam.exceptions.NoSuchEntityException:
            return refusal("ValidationException", f"Could not assume role {members['RoleArn']}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.")
        repository, digest = members["AppSpecification"]["ImageUri"].split("@")
        layout = self.player.images(repository, digest)
        if layout is None:
            return refusal("ValidationException", f"Cannot find repository or image: {repository}@{digest}")
        arn = f"arn:aws:sagemaker:eu-central-1:123456789012:processing-job/{name}"
        self.jobs[name] = {**{key: value for key, value in members.items() if key != "Tags"}, "ProcessingJobArn": arn, "ProcessingJobStatus": "InProgress", "CreationTime": time.time()}
        self.threads.append(threading.Thread(target=self.play, args=(self.jobs[name], layout, digest)))
        self.threads[-1].start()
        return 200, {"ProcessingJobArn": arn}

    def describe(self, members, forward):
        job = self.jobs.get(members["ProcessingJobName"])
        return (200, job) if job else refusal("ValidationException", "Could not find requested job with name: " + members["ProcessingJobName"])

    def list(self, members, forward):
        found = [job for job in self.jobs.values() if members.get("NameContains", "") in job["ProcessingJobName"] and members.get("StatusEquals") in (None, job["ProcessingJobStatus"])]
        found.sort(key=lambda job: job["CreationTime"], reverse=members.get("SortOrder") == "Descending")
        return 200, {"ProcessingJobSummaries": [{key: job[key] for key in ("ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingJobStatus")} for job in found[:members.get("MaxResults", 10)]]}

    def stop(self, members, forward):
        self.jobs[members["ProcessingJobName"]]["ProcessingJobStatus"] = "Stopped"
        return 200, {}

    def play(self, job, layout, digest):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="redoubt-processing-"))
        try:
            self.play_in(job, layout, digest, folder)
        except Exception as error:
            job.update(ProcessingJobStatus="Failed", FailureReason=f"InternalServerError: {error!r}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def play_in(self, job, layout, digest, folder):
        while not self.player.hold.wait(0.05):
            if job["ProcessingJobStatus"] == "Stopped":
                return
        for item in job["ProcessingInputs"]:
            source = item["S3Input"]
            if self.player.fetch(source["S3Uri"], folder / source["LocalPath"].removeprefix(LOCAL), job["RoleArn"]) == 0:
                job.update(ProcessingJobStatus="Failed", FailureReason=f"ClientError: No S3 objects found under S3 URL \"{source['S3Uri']}\" given in input data source.")
                return
        code = self.run_container(job, layout, digest, folder)
        if code != 0:
            job.update(ProcessingJobStatus="Failed", FailureReason=f"AlgorithmError: See job logs for more information, exit code: {code}")
            return
        given = job["ProcessingOutputConfig"]
        sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": given["KmsKeyId"]} if "KmsKeyId" in given else {}
        bucket, prefix = split_uri(given["Outputs"][0]["S3Output"]["S3Uri"])
        results = self.results_of(job, folder)
        for path in sorted(results.rglob("*")):
            if path.is_file():
                self.s3.put_object(Bucket=bucket, Key=prefix.rstrip("/") + "/" + path.relative_to(results).as_posix(), Body=path.read_bytes(), **sealed)
        message = folder / "output" / "message"
        job.update(ProcessingJobStatus="Completed", ExitMessage=message.read_text() if message.exists() else "")

    @staticmethod
    def results_of(job, folder):
        [output] = job["ProcessingOutputConfig"]["Outputs"]
        return folder / output["S3Output"]["LocalPath"].removeprefix(LOCAL)

    def run_container(self, job, layout, digest, folder):
        """The exit status of the job's container."""
        words = [word for name, value in job["Environment"].items() for word in ("--env", f"{name}={value}")]
        for program in job["AppSpecification"]["ContainerEntrypoint"]:
            words += ["--entrypoint", program]
        done = subprocess.run([self.player.tool, layout, digest, folder, *words, *job["AppSpecification"]["ContainerArguments"]], capture_output=True, text=True)
        said = done.stderr.splitlines()
        if not said or not said[-1].startswith("exit "):
            raise RuntimeError("the container could not run: " + " ".join(said))
        for line in done.stdout.splitlines():
            self.log(job["ProcessingJobName"], line)
        return int(said[-1].split()[1])

    def log(self, job, line):
        """A line in the log group, and what the group's filters make of it."""
        stream = f"{job}/algo-1-{time.time_ns()}"
        try:
            self.logs.create_log_group(logGroupName=self.GROUP)
        except self.logs.exceptions.ResourceAlreadyExistsException:
            pass
        self.logs.create_log_stream(logGroupName=self.GROUP, logStreamName=stream)
        self.logs.put_log_events(logGroupName=self.GROUP, logStreamName=stream, logEvents=[{"timestamp": time.time_ns() // 1_000_000, "message": line}])
        try:
            event = json.loads(line)
        except ValueError:
            return
        for found in self.logs.describe_metric_filters(logGroupName=self.GROUP)["metricFilters"]:
            terms = re.findall(r'\$\.(\w+) = "([^"]*)"', found["filterPattern"])
            assert found["filterPattern"] == "{ " + " && ".join(f'$.{name} = "{value}"' for name, value in terms) + " }", "a pattern that is not played"
            if terms and all(event.get(name) == value for name, value in terms):
                self.put_metric(found["metricTransformations"][0], event)

    def put_metric(self, transformation, event):
        def of(selector):
            return event[selector.removeprefix("$.")]
        dimensions = [{"Name": name, "Value": of(selector)} for name, selector in transformation.get("dimensions", {}).items()]
        self.cloudwatch.put_metric_data(Namespace=transformation["metricNamespace"], MetricData=[{
            "MetricName": transformation["metricName"], "Dimensions": dimensions, "Value": of(transformation["metricValue"]), "Unit": transformation.get("unit", "None")}])

    # Monitoring schedules, which moto does not have.
    def create_schedule(self, members, forward):
        name, config = members["MonitoringScheduleName"], members["MonitoringScheduleConfig"]
        if name in self.schedules:
            return refusal("ResourceInUse", f"Monitoring Schedule {name} already exists")
        return self.keep_schedule(name, config)

    def keep_schedule(self, name, config):
        try:
            definition = getattr(self.player.sagemaker, f"describe_{self.KINDS[config['MonitoringType']]}_job_definition")(JobDefinitionName=config["MonitoringJobDefinitionName"])
            endpoint = definition[config["MonitoringType"] + "JobInput"]["EndpointInput"]["EndpointName"]
            self.player.sagemaker.describe_endpoint(EndpointName=endpoint)
        except self.player.sagemaker.exceptions.ClientError as error:
            return refusal("ValidationException", str(error))
        arn = f"arn:aws:sagemaker:eu-central-1:123456789012:monitoring-schedule/{name}"
        self.schedules[name] = {"MonitoringScheduleArn": arn, "MonitoringScheduleName": name, "MonitoringScheduleConfig": config, "MonitoringType": config["MonitoringType"], "EndpointName": endpoint,
                                "MonitoringScheduleStatus": "Pending", "CreationTime": time.time(), "LastModifiedTime": time.time()}
        return 200, {"MonitoringScheduleArn": arn}

    def update_schedule(self, members, forward):
        if members["MonitoringScheduleName"] not in self.schedules:
            return self.unknown(members)
        return self.keep_schedule(members["MonitoringScheduleName"], members["MonitoringScheduleConfig"])

    def describe_schedule(self, members, forward):
        schedule = self.schedules.get(members["MonitoringScheduleName"])
        if schedule is None:
            return self.unknown(members)
        shown = dict(schedule)
        schedule["MonitoringScheduleStatus"] = "Scheduled"
        return 200, shown

    def delete_schedule(self, members, forward):
        return (200, {}) if self.schedules.pop(members["MonitoringScheduleName"], None) else self.unknown(members)

    @staticmethod
    def unknown(members):
        return refusal("ResourceNotFound", f"Monitoring Schedule {members['MonitoringScheduleName']} not found")

    def list_executions(self, members, forward):
        found = [one for one in self.executions if one["MonitoringScheduleName"] == members["MonitoringScheduleName"]]
        return 200, {"MonitoringExecutionSummaries": list(reversed(found))}

    # What the clock does.
    def fire(self, name):
        """EventBridge Scheduler calls the schedule's target; answers the job's name once it has ended."""
        schedule = self.scheduler.get_schedule(Name=name)
        assert schedule["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
        self.iam.get_role(RoleName=schedule["Target"]["RoleArn"].rsplit("/", 1)[-1])
        members = json.loads(schedule["Target"]["Input"].replace("<aws.scheduler.execution-id>", f"d32c5kdd{time.time_ns() % 10**8:08}"))
        status, answer = self.create(members)
        assert status == 200, answer
        self.finish()
        return members["ProcessingJobName"], members

    def fire_data_quality(self, name, window_s=3600):
        """Model Monitor runs its hour: a processing job with the definition's container and its own variables and places."""
        schedule = self.schedules[name]
        definition = self.player.sagemaker.describe_data_quality_job_definition(JobDefinitionName=schedule["MonitoringScheduleConfig"]["MonitoringJobDefinitionName"])
        application, baseline = definition["DataQualityAppSpecification"], definition["DataQualityBaselineConfig"]
        endpoint = definition["DataQualityJobInput"]["EndpointInput"]
        config = self.player.sagemaker.describe_endpoint_config(EndpointConfigName=self.player.sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])["EndpointConfigName"])
        captures = config["DataCaptureConfig"]["DestinationS3Uri"].rstrip("/") + "/" + endpoint["EndpointName"]
        [output] = definition["DataQualityJobOutputConfig"]["MonitoringOutputs"]
        now = time.time()

        def stamp(at):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        job = f"model-monitoring-{time.time_ns()}"
        places = [("captures", captures, endpoint["LocalPath"] + "/" + endpoint["EndpointName"]), ("stats", baseline["StatisticsResource"]["S3Uri"], "/opt/ml/processing/baseline/stats")]
        status, answer = self.create({
            "ProcessingJobName": job, "RoleArn": definition["RoleArn"], "NetworkConfig": definition["NetworkConfig"], "StoppingCondition": definition["StoppingCondition"],
            "ProcessingResources": definition["JobResources"], "AppSpecification": {key: value for key, value in application.items() if key != "Environment"},
            "ProcessingInputs": [{"InputName": label, "S3Input": {"S3Uri": uri, "LocalPath": local, "S3DataType": "S3Prefix", "S3InputMode": "File"}} for label, uri, local in places],
            "ProcessingOutputConfig": {"KmsKeyId": definition["DataQualityJobOutputConfig"]["KmsKeyId"], "Outputs": [
                {"OutputName": "result", "S3Output": {**output["S3Output"], "S3Uri": output["S3Output"]["S3Uri"].rstrip("/") + f"/{name}/{time.strftime('%Y/%m/%d/%H', time.gmtime(now))}"}}]},
            "Environment": {**application["Environment"], "dataset_source": endpoint["LocalPath"], "output_path": output["S3Output"]["LocalPath"], "publish_cloudwatch_metrics": "Enabled",
                            "baseline_statistics": "/opt/ml/processing/baseline/stats/statistics.json", "sagemaker_monitoring_schedule_name": name,
                            "start_time": stamp(now - window_s), "end_time": stamp(now + 60)}})
        assert status == 200, answer
        self.finish()
        done = self.jobs[job]
        self.executions.append({"MonitoringScheduleName": name, "ScheduledTime": now, "CreationTime": now, "LastModifiedTime": now, "ProcessingJobArn": done["ProcessingJobArn"],
                                "MonitoringExecutionStatus": "Failed" if done["ProcessingJobStatus"] != "Completed" else done["ExitMessage"].partition(":")[0]})
        return job

    def finish(self):
        for thread in self.threads:
            thread.join(120)
