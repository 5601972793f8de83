# SPDX-License-Identifier: Apache-2.0
"""SageMaker's training platform, played: moto keeps the jobs' descriptions, and this runs their containers in the local sandbox
under the container contract. It stands before moto (or any account) as an HTTP server and passes everything else on.

What it refuses as SageMaker does: a role that is not in IAM, an image that nobody pushed, a channel without an object, a name that
is taken."""
import contextlib
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse

import pytest

import faults
from aws_account import judged
from monitoring_player import MonitoringPlayer

GROUP = "/aws/sagemaker/TrainingJobs"
TERMINAL = ("Completed", "Failed", "Stopped")


def refusal(code, message):
    return 400, {"__type": code, "message": message}


def without_nulls(value):
    """moto tells what is not there; AWS says nothing of it."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def split_uri(uri):
    parts = urllib.parse.urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


class Job:
    def __init__(self, request, folder):
        self.request, self.folder = request, folder
        self.name = request["TrainingJobName"]
        self.status, self.secondary, self.reason = "InProgress", "Starting", None
        self.transitions = []
        self.stop, self.process, self.why_ended = threading.Event(), None, None
        self.created = time.time()
        self.turn("Starting", "Preparing the instances for training")

    def turn(self, secondary, message):
        now = time.time()
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.secondary = secondary

    def end(self, status, secondary, reason=None):
        self.reason = reason[:1024] if reason else None
        self.turn(secondary, reason or secondary)
        self.transitions[-1]["EndTime"] = time.time()
        self.status = status


class Player:
    """`client` makes boto3 clients that reach the account past us; `images` answers the OCI layout that holds an image, or None;
    `tool` is container_tool."""

    MONITORING = MonitoringPlayer

    def __init__(self, client, images, tool):
        self.client = client
        self.s3, self.logs, self.iam, self.sagemaker, self.secrets = (client(name) for name in ("s3", "logs", "iam", "sagemaker", "secretsmanager"))
        self.images, self.tool = images, tool
        self.forget()

    def forget(self):
        """As if nothing had been asked yet."""
        self.jobs, self.threads, self.taken = {}, [], set()
        self.artifacts, self.actions, self.associations = {}, {}, []
        self.calls = []
        self.platform = []           # what the platform asks in a job's name: role, service, operation, members
        self.interruptions = 0       # how many times capacity is taken away, each at a checkpoint
        self.failures = []           # reasons with which the next jobs fail before their container starts
        self.rest, self.queries = {}, {}
        self.told = {}               # answers by their requests' tokens
        self.refuse = {}             # operation -> (code, message)
        self.rotating = {}           # secret -> the value that its rotation function makes next, None for one that never ends
        self.monitoring = self.MONITORING(self, self.client)
        self.unhealthy = {}          # endpoint -> why it never serves
        self.turned_back = {}        # endpoint -> why its next change is not kept
        self.hold = threading.Event()  # set while jobs may run
        self.hold.set()

    # The operations that are answered here; None passes the call on. `forward` asks the account itself.
    def answer(self, operation, members, forward):
        handler = {"CreateTrainingJob": self.create, "DescribeTrainingJob": self.describe, "ListTrainingJobs": self.list, "StopTrainingJob": self.stop,
                   "CreateExperiment": self.create_once, "CreateTrial": self.create_once, "UpdateEndpoint": self.update_endpoint,
                   "DescribeEndpoint": self.describe_endpoint}.get(operation)
        handler = handler or {"CreateArtifact": self.create_artifact, "ListArtifacts": self.list_artifacts, "CreateAction": self.create_action,
                              "DescribeAction": self.describe_action, "AddAssociation": self.associate, "ListAssociations": self.list_associations,
                              "DescribeSecret": self.describe_secret, "RotateSecret": self.rotate_secret}.get(operation)
        handler = handler or self.monitoring.handler(operation)
        if handler is None:
            return None
        self.calls.append((operation, members))
        if operation in self.refuse:
            return refusal(*self.refuse[operation])
        return handler(members, forward)

    def answer_otherwise(self, method, path, body):
        """What a test says for services that are not asked by X-Amz-Target: `rest` by method and path, `queries` by action."""
        there = self.rest.get((method, path.partition("?")[0]))
        if there is not None:
            return json.dumps(there(json.loads(body or b"{}"))).encode()
        form = dict(urllib.parse.parse_qsl(body.decode())) if method == "POST" and body.startswith(b"Action=") else {}
        asked = self.queries.get(form.get("Action"))
        return asked(form).encode() if asked else None

    def refusal_of(self, body):
        """What CloudFormation refuses, but not moto: a change set of a name that is taken."""
        form = dict(urllib.parse.parse_qsl(body.decode())) if body.startswith(b"Action=CreateChangeSet&") or b"&Action=CreateChangeSet&" in body else {}
        taken = [one["ChangeSetName"] for one in self.change_sets(form["StackName"])] if form else []
        if form.get("ChangeSetName") not in taken or self.token_of(body) in self.told:
            return None
        message = f"ChangeSet {form['ChangeSetName']} already exists"
        return faults.refusal("cloudformation", 400, "AlreadyExistsException", message, [("x-amzn-RequestId", "played")])

    def change_sets(self, stack):
        cloudformation = self.client("cloudformation")
        try:
            return cloudformation.list_change_sets(StackName=stack)["Summaries"]
        except cloudformation.exceptions.ClientError:
            return []  # there is no such stack

    @staticmethod
    def token_of(body, operation=None):
        """What CloudFormation and SageMaker's registry, but not moto, know a request by that they have carried out; None for another one."""
        if operation == "CreateModelPackage":
            members = json.loads(body)
        elif body.startswith(b"Action="):
            members = dict(urllib.parse.parse_qsl(body.decode()))
        else:
            return None
        token = members.get("ClientToken") or members.get("ClientRequestToken")
        return (operation or members["Action"], token) if token else None

    def close(self):
        for job in self.jobs.values():
            job.stop.set()
            self.end_container(job, "Stopped")
        for thread in self.threads:
            thread.join(30)
        self.monitoring.finish()

    def create(self, members, forward):
        name = members["TrainingJobName"]
        if name in self.jobs:
            return refusal("ResourceInUse", f"Training job names must be unique within an AWS account and region, and a training job with this name already exists ({name})")
        try:
            self.iam.get_role(RoleName=members["RoleArn"].rsplit("/", 1)[-1])
        except self.iam.exceptions.NoSuchEntityException:
            return refusal("ValidationException", f"Could not assume role {members['RoleArn']}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.")
        repository, digest = members["AlgorithmSpecification"]["TrainingImage"].split("@")
        layout = self.images(repository, digest)
        if layout is None:
            return refusal("ValidationException", f"Cannot find repository or image: {repository}@{digest}")
        status, body = forward()
        if status == 200:
            job = self.jobs[name] = Job(members, pathlib.Path(tempfile.mkdtemp(prefix="redoubt-job-")))
            thread = threading.Thread(target=self.play, args=(job, layout, digest))
            self.threads.append(thread)
            thread.start()
        return status, body

    def update_endpoint(self, members, forward):
        """moto can't: the endpoint is made anew with the other configuration, under the same tags."""
        name, config = members["EndpointName"], members["EndpointConfigName"]
        self.sagemaker.describe_endpoint_config(EndpointConfigName=config)
        arn = self.sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"]
        if name not in self.turned_back and not self.is_broken(config):
            tags = self.sagemaker.list_tags(ResourceArn=arn)["Tags"]
            self.sagemaker.delete_endpoint(EndpointName=name)
            self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)
        return 200, {"EndpointArn": arn}

    def is_broken(self, config):
        """Images of a repository "broken" never serve."""
        [variant] = self.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        return "/broken@" in self.sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]["Image"]

    def describe_endpoint(self, members, forward):
        name = members["EndpointName"]
        status, body = forward()
        given = body.get("DataCaptureConfig") if status == 200 else None
        if given:  # moto tells the configuration's own
            body["DataCaptureConfig"] = {"EnableCapture": given.get("EnableCapture", True), "CaptureStatus": "Started", "DestinationS3Uri": given["DestinationS3Uri"],
                                         "CurrentSamplingPercentage": given.get("InitialSamplingPercentage", 100), "KmsKeyId": given.get("KmsKeyId", "")}
        reason = self.unhealthy.get(name, "the container did not start")
        if status == 200 and (name in self.unhealthy or self.is_broken(body["EndpointConfigName"])):
            body.update(EndpointStatus="Failed", FailureReason=reason)
        if status == 200 and name in self.turned_back:
            body.update(FailureReason=self.turned_back[name])
        return status, body

    def create_once(self, members, forward):
        name = members.get("TrialName") or members["ExperimentName"]
        if ("TrialName" in members, name) in self.taken:
            return refusal("ValidationException", f"Names must be unique within an AWS account and region. {name} already exists.")
        self.taken.add(("TrialName" in members, name))
        return forward()

    def describe(self, members, forward):
        job = self.jobs.get(members["TrainingJobName"])
        status, body = forward()
        if job is None or status != 200:
            return status, body
        body.update(TrainingJobStatus=job.status, SecondaryStatus=job.secondary, SecondaryStatusTransitions=job.transitions)
        for member in ("StoppingCondition", "AlgorithmSpecification", "CheckpointConfig", "EnableManagedSpotTraining"):
            body[member] = job.request.get(member)
        body.pop("FinalMetricDataList", None)
        body.setdefault("ModelArtifacts", {"S3ModelArtifacts": f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.name}/output/model.tar.gz"})
        if job.status not in TERMINAL:
            body.pop("TrainingEndTime", None)
        if job.reason:
            body["FailureReason"] = job.reason
        return 200, body

    def list(self, members, forward):
        status, body = forward()
        for summary in body.get("TrainingJobSummaries", []):
            if summary["TrainingJobName"] in self.jobs:
                summary["TrainingJobStatus"] = self.jobs[summary["TrainingJobName"]].status
        return status, body

    def stop(self, members, forward):
        job = self.jobs.get(members["TrainingJobName"])
        if job is None:
            return refusal("ValidationException", "Requested resource not found.")
        if job.status in TERMINAL:
            return refusal("ValidationException", f"The request was rejected because the training job is in status {job.status}.")
        job.status, job.secondary = "Stopping", "Stopping"
        job.stop.set()
        self.end_container(job, "Stopped")
        return 200, {}

    # Lineage, which moto does not have.
    def create_artifact(self, members, forward):
        arn = f"arn:aws:sagemaker:eu-central-1:123456789012:artifact/{hashlib.md5(json.dumps(members, sort_keys=True).encode()).hexdigest()}"
        self.artifacts[arn] = {**members, "ArtifactArn": arn}
        return 200, {"ArtifactArn": arn}

    def list_artifacts(self, members, forward):
        found = [{key: artifact[key] for key in ("ArtifactArn", "ArtifactName", "Source", "ArtifactType")} for artifact in self.artifacts.values()
                 if members.get("SourceUri") in (None, artifact["Source"]["SourceUri"]) and members.get("ArtifactType") in (None, artifact["ArtifactType"])]
        return 200, {"ArtifactSummaries": found}

    def create_action(self, members, forward):
        if members["ActionName"] in self.actions:
            return refusal("ValidationException", f"Action names must be unique within an AWS account and region. {members['ActionName']} already exists.")
        arn = f"arn:aws:sagemaker:eu-central-1:123456789012:action/{members['ActionName']}"
        self.actions[members["ActionName"]] = {**members, "ActionArn": arn}
        return 200, {"ActionArn": arn}

    def describe_action(self, members, forward):
        action = self.actions.get(members["ActionName"])
        if action is None:
            return refusal("ResourceNotFound", f"Action {members['ActionName']} does not exist")
        return 200, {key: value for key, value in action.items() if key != "Tags"}

    def associate(self, members, forward):
        known = {*self.artifacts, *(action["ActionArn"] for action in self.actions.values())}
        for end in (members["SourceArn"], members["DestinationArn"]):
            if end not in known:
                return refusal("ResourceNotFound", f"{end} does not exist")
        if any((one["SourceArn"], one["DestinationArn"]) == (members["SourceArn"], members["DestinationArn"]) for one in self.associations):
            return refusal("ValidationException", "The association already exists.")
        self.associations.append(members)
        return 200, {"SourceArn": members["SourceArn"], "DestinationArn": members["DestinationArn"]}

    def list_associations(self, members, forward):
        return 200, {"AssociationSummaries": [one for one in self.associations if all(members.get(end) in (None, one[end]) for end in ("SourceArn", "DestinationArn"))]}

    # Rotation, for which moto wants to run a function.
    def describe_secret(self, members, forward):
        status, body = forward()
        # What moto has and AWS has not: dates that are null, versions without a stage, a member of its own.
        body = {name: value for name, value in body.items() if value is not None and name != "SecretVersionsToStages"}
        if status == 200:
            body["VersionIdsToStages"] = {version: stages for version, stages in body.get("VersionIdsToStages", {}).items() if stages}
        if status == 200 and members["SecretId"] in self.rotating:
            body.update(RotationEnabled=True, RotationLambdaARN="arn:aws:lambda:eu-central-1:123456789012:function:rotate")
        return status, body

    def rotate_secret(self, members, forward):
        name, token = members["SecretId"], members["ClientRequestToken"]
        if name not in self.rotating:
            return refusal("InvalidRequestException", "You can't enable rotation because the secret has no Lambda function configured.")

        def rotate():
            time.sleep(0.3)
            self.secrets.put_secret_value(SecretId=name, ClientRequestToken=token, SecretString=self.rotating[name], VersionStages=["AWSCURRENT"])

        self.threads.append(threading.Thread(target=rotate))
        self.threads[-1].start()
        return 200, {"ARN": f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}", "Name": name, "VersionId": token}

    # One job from its start to its end, on a thread of its own.
    def play(self, job, layout, digest):
        try:
            self.play_job(job, layout, digest)
        except Exception as error:  # what SageMaker says when it is SageMaker's fault
            job.end("Failed", "Failed", f"InternalServerError: {error!r}")
        finally:
            shutil.rmtree(job.folder, ignore_errors=True)

    def play_job(self, job, layout, digest):
        if self.failures:
            return job.end("Failed", "Failed", self.failures.pop(0))
        while not self.hold.wait(0.05):
            if job.stop.is_set():
                return job.end("Stopped", "Stopped")
        job.turn("Downloading", "Downloading input data")
        missing = self.download(job)
        if missing:
            return job.end("Failed", "Failed", f"ClientError: Data download failed: no S3 objects found under S3 URL \"{missing}\"")
        deadline = time.time() + job.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        while not job.stop.is_set():
            job.turn("Training", "Training image download completed. Training in progress.")
            code = self.run_container(job, layout, digest, deadline)
            if job.why_ended != "Interrupted":
                break
            job.turn("Interrupted", "Spot capacity was taken away")
            job.why_ended = None
        if job.stop.is_set():
            return job.end("Stopped", "Stopped")
        job.turn("Uploading", "Uploading generated training model")
        self.upload_outputs(job)
        if job.why_ended == "MaxRuntimeExceeded":
            return job.end("Stopped", "MaxRuntimeExceeded")
        if code == 0:
            return job.end("Completed", "Completed")
        failure = job.folder / "output" / "failure"
        text = failure.read_text(errors="replace")[:1024] if failure.exists() else ""
        ending = f", exit code: {code}"
        job.end("Failed", "Failed", f"AlgorithmError: {text}"[:1024 - len(ending)] + ending)

    def download(self, job):
        config, channels = job.folder / "input" / "config", {}
        config.mkdir(parents=True)
        for channel in job.request["InputDataConfig"]:
            name, source = channel["ChannelName"], channel["DataSource"]["S3DataSource"]
            if self.fetch(source["S3Uri"], job.folder / "input" / "data" / name, job.request["RoleArn"]) == 0:
                return source["S3Uri"]
            channels[name] = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        (config / "hyperparameters.json").write_text(json.dumps(job.request.get("HyperParameters", {}), separators=(",", ":")))
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        (config / "resourceconfig.json").write_text(json.dumps({
            "current_host": "algo-1", "current_instance_type": job.request["ResourceConfig"]["InstanceType"], "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"], "network_interface_name": "eth0",
            "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": job.request["ResourceConfig"]["InstanceType"], "hosts": ["algo-1"]}]}))
        return None

    def fetch(self, uri, folder, role=None):
        bucket, prefix = split_uri(uri)
        self.platform.append((role, "s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix}))
        count = 0
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                target = folder / (item["Key"][len(prefix):].lstrip("/") or item["Key"].rsplit("/", 1)[-1])  # a prefix, or one object
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
                self.platform.append((role, "s3", "GetObject", {"Bucket": bucket, "Key": item["Key"]}))
                count += 1
        return count

    def run_container(self, job, layout, digest, deadline):
        checkpoints = job.folder / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        if "CheckpointConfig" in job.request:
            self.fetch(job.request["CheckpointConfig"]["S3Uri"], checkpoints, job.request["RoleArn"])
        algorithm = job.request["AlgorithmSpecification"]
        entry = [word for program in algorithm.get("ContainerEntrypoint", []) for word in ("--entrypoint", program)]
        # Without an entry point of the job's own, SageMaker says "train" to the image's.
        arguments = algorithm.get("ContainerArguments", [] if entry else ["train"])
        job.process = subprocess.Popen([self.tool, layout, digest, job.folder, *entry, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = []
        readers = [threading.Thread(target=self.log, args=(job, job.process.stdout)),
                   threading.Thread(target=lambda stream=job.process.stderr: said.extend(stream.read().decode().splitlines()))]
        for reader in readers:
            reader.start()
        uploaded = {}
        while job.process.poll() is None:
            if self.upload_checkpoints(job, uploaded) and self.interruptions > 0:
                self.interruptions -= 1
                self.end_container(job, "Interrupted")
            if time.time() > deadline:
                self.end_container(job, "MaxRuntimeExceeded")
            time.sleep(0.05)
        for reader in readers:
            reader.join()
        self.upload_checkpoints(job, uploaded)
        if not said or not said[-1].startswith("exit "):
            raise RuntimeError("the container could not run: " + " ".join(said))
        return int(said[-1].split()[1])

    @staticmethod
    def end_container(job, why):
        if job.why_ended is None:
            job.why_ended = why
        if job.process is not None and job.process.poll() is None:
            job.process.terminate()

    def log(self, job, stream):
        name = f"{job.name}/algo-1-{time.time_ns() // 1_000_000}"
        made = False
        for line in stream:
            if not made:
                for operation in ("CreateLogGroup", "CreateLogStream", "PutLogEvents"):
                    self.platform.append((job.request["RoleArn"], "logs", operation, {"logGroupName": GROUP, "logStreamName": name}))
                try:
                    self.logs.create_log_group(logGroupName=GROUP)
                except self.logs.exceptions.ResourceAlreadyExistsException:
                    pass
                self.logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
                made = True
            text = line.decode(errors="replace").rstrip("\n")
            if text:
                self.logs.put_log_events(logGroupName=GROUP, logStreamName=name, logEvents=[{"timestamp": time.time_ns() // 1_000_000, "message": text}])

    def upload_checkpoints(self, job, uploaded):
        """Copies what is new or changed, file by file, as SageMaker's agent does; answers whether a whole checkpoint is there."""
        bucket, prefix = split_uri(job.request["CheckpointConfig"]["S3Uri"])
        checkpoints, whole = job.folder / "checkpoints", False
        for path in sorted(checkpoints.rglob("*")) if checkpoints.exists() else []:
            if not path.is_file() or path.name.startswith("."):
                continue
            relative = path.relative_to(checkpoints).as_posix()
            stamp = (path.stat().st_size, path.stat().st_mtime_ns)
            whole = whole or not relative.split("/")[0].endswith(".tmp")
            if uploaded.get(relative) != stamp:
                self.s3.put_object(Bucket=bucket, Key=prefix + relative, Body=path.read_bytes())
                self.platform.append((job.request["RoleArn"], "s3", "PutObject", {"Bucket": bucket, "Key": prefix + relative}))
                uploaded[relative] = stamp
        return whole

    def upload_outputs(self, job):
        output = job.request["OutputDataConfig"]
        for archive, folder in (("model.tar.gz", job.folder / "model"), ("output.tar.gz", job.folder / "output" / "data")):
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.exists() else []
            if not files and archive == "output.tar.gz":
                continue
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w:gz") as tar:
                for path in files:
                    tar.add(path, arcname=path.relative_to(folder).as_posix())
            bucket, prefix = split_uri(output["S3OutputPath"])
            sealed = {"Bucket": bucket, "Key": f"{prefix.rstrip('/')}/{job.name}/output/{archive}", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": output["KmsKeyId"]}
            self.s3.put_object(**sealed, Body=packed.getvalue())
            self.platform.append((job.request["RoleArn"], "s3", "PutObject", sealed))


class PlayerServer:
    """The player before an account at `url`, at http://127.0.0.1:PORT."""

    def __init__(self, url, player):
        upstream = urllib.parse.urlsplit(url)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def forward(self, body):
                connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=120)
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for key, value in self.headers.items():
                    if key.lower() not in ("connection", "transfer-encoding", "content-length", "expect"):
                        connection.putheader(key, value)
                connection.putheader("Content-Length", str(len(body)))
                connection.putheader("Connection", "close")
                connection.endheaders(body)
                return connection.getresponse()

            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    parts = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def serve(self):
                body = self.body()
                operation = (self.headers.get("X-Amz-Target") or "").partition(".")
                played = player.answer_otherwise(self.command, self.path, body)
                if played is not None:
                    return self.tell(200, [("Content-Type", "text/xml" if played.startswith(b"<") else "application/json"), ("x-amzn-RequestId", "played")], played)
                if operation[0]:
                    def forward():
                        answer = self.forward(body)
                        return answer.status, json.loads(answer.read() or b"{}")
                    answered = player.answer(operation[2], json.loads(body or b"{}"), forward)
                    if answered is not None:
                        return self.tell(answered[0], [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", "played")], json.dumps(without_nulls(answered[1])).encode())
                refused = player.refusal_of(body)
                if refused:
                    return self.tell(*refused)
                token = player.token_of(body, operation[2])
                if token in player.told:
                    return self.tell(*player.told[token])
                answer = self.forward(body)
                contents = answer.read()
                headers = [(key, value) for key, value in answer.getheaders() if key.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server")]
                length = answer.getheader("Content-Length")
                if token and answer.status == 200:
                    player.told[token] = answer.status, headers, contents
                self.tell(answer.status, headers, contents, length if self.command == "HEAD" else None)

            def tell(self, status, headers, contents, length=None):
                self.send_response(status)
                for key, value in headers:
                    self.send_header(key, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", length or str(len(contents)))
                self.end_headers()
                if self.command != "HEAD" and status not in (204, 304):
                    self.wfile.write(contents)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def played(account, folder):
    """The account with its training jobs run; images are looked for in `layouts`."""
    layouts = [folder / "images"]

    def images(_, digest):
        return next((layout for layout in layouts if (layout / "blobs" / "sha256" / digest.partition(":")[2]).exists()), None)

    player = Player(account.client, images, pathlib.Path(os.environ["REDOUBT_BUILD"]) / "container_tool")
    server = PlayerServer(account.url, player)
    player.layouts, player.url = layouts, server.url
    player.environment = {**account.environment, "AWS_ENDPOINT_URL": server.url, "REDOUBT_AWS_IMAGES": str(layouts[0])}
    yield player
    player.close()
    server.close()


@pytest.fixture
def player(aws, tmp_path):
    with played(aws, tmp_path) as player:
        yield player


@pytest.fixture
def account(aws, player, tmp_path):
    """An account with the platform played and the judge before it, who found nothing wrong at the end."""
    aws.player = player
    with judged(player, tmp_path / "judge") as aws.judge:
        yield aws
        assert aws.judge.violations == []
