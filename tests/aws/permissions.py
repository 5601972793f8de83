# SPDX-License-Identifier: Apache-2.0
"""What the template's roles allow our program, read from config/cloudformation_template.yaml: its functions are worked out with the
names that a stack gave, and its policies are held against IAM's questions."""
import re

import yaml

import iam
import iam_requests
from cloudformation_test import TEMPLATE, Loader

# The template makes these itself; where it does not stand, people with an administrator's rights run the program.
MADE_BY_THE_TEMPLATE = {"kms:CreateKey", "kms:CreateAlias", "kms:EnableKeyRotation", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion", "ecr:CreateRepository",
                        "logs:CreateLogGroup", "logs:AssociateKmsKey", "logs:PutRetentionPolicy"}
# The roles that services take, not our program.
PLATFORM = {"JobRole", "EndpointRole", "MonitorJobRole", "ScheduleRole", "FlowLogRole", "TrailLogRole", "ReplicationRole", "RescanRole", "RescanStartRole", "ConfigRole",
            "ContainerPlatform", "Boundary"}


def template():
    return yaml.load(TEMPLATE.read_text(), Loader)


def allowed_by_role():
    """The template's actions by role."""
    out = {}
    for name, resource in template()["Resources"].items():
        if resource["Type"] not in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy") or name in PLATFORM:
            continue
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])] + ([properties["PolicyDocument"]] if "PolicyDocument" in properties else [])
        for statement in (item["!If"][1] if "!If" in item else item for document in documents for item in document["Statement"]):
            out.setdefault(name, []).append(set(iam.as_list(statement["Action"])))
    return out


class Resolver:
    """CloudFormation's functions over a stack. `physical` are the names and ids of its resources, `arns` those that can't be told
    from them."""

    def __init__(self, document, parameters, account, region, physical, arns):
        self.document, self.physical, self.arns = document, physical, arns
        self.references = {name: item.get("Default", "") for name, item in document["Parameters"].items()} | parameters | {
            "AWS::AccountId": account, "AWS::Region": region, "AWS::Partition": "aws", "AWS::NoValue": None}
        self.account, self.region = account, region

    def value(self, node):
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not None]  # AWS::NoValue leaves nothing
        if not isinstance(node, dict):
            return node
        [function, argument] = next(iter(node.items())) if len(node) == 1 else (None, None)
        if isinstance(function, str) and function.startswith("!"):
            return getattr(self, "do_" + function[1:].lower())(argument)
        return {key: self.value(item) for key, item in node.items()}

    def do_ref(self, name):
        if name in self.references:
            return None if self.references[name] is None else str(self.references[name])
        resource = self.document["Resources"][name]
        if resource["Type"] in ("AWS::SNS::Topic", "AWS::SecretsManager::Secret", "AWS::IAM::ManagedPolicy", "AWS::StepFunctions::StateMachine"):
            return self.do_getatt(name + ".Arn")
        return self.physical[name]

    def do_getatt(self, path):
        name, _, attribute = path.partition(".")
        if path in self.arns:
            return self.arns[path]
        assert attribute == "Arn", path
        resource = self.document["Resources"][name]
        named = {key: self.value(resource["Properties"][key]) for key in ("BucketName", "RepositoryName", "RoleName", "LogGroupName", "TopicName", "StateMachineName") if key in resource["Properties"]}
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            return name
        where = f"{self.region}:{self.account}"
        return {"AWS::S3::Bucket": f"arn:aws:s3:::{named.get('BucketName')}", "AWS::ECR::Repository": f"arn:aws:ecr:{where}:repository/{named.get('RepositoryName')}",
                "AWS::IAM::Role": f"arn:aws:iam::{self.account}:role/{named.get('RoleName')}", "AWS::Logs::LogGroup": f"arn:aws:logs:{where}:log-group:{named.get('LogGroupName')}:*",
                "AWS::StepFunctions::StateMachine": f"arn:aws:states:{where}:stateMachine:{named.get('StateMachineName')}",
                "AWS::SNS::Topic": f"arn:aws:sns:{where}:{named.get('TopicName')}"}[resource["Type"]]

    def do_sub(self, text):
        return re.sub(r"\$\{([^}!]+)\}", lambda found: self.do_getatt(found.group(1)) if "." in found.group(1) else self.do_ref(found.group(1)), text)

    def do_if(self, argument):
        condition, yes, no = argument
        return self.value(yes if self.value(self.document["Conditions"][condition]) else no)

    def do_and(self, argument):
        return all(self.value(item) for item in argument)

    def do_not(self, argument):
        return not self.value(argument[0])

    def do_equals(self, argument):
        return self.value(argument[0]) == self.value(argument[1])

    def do_join(self, argument):
        return argument[0].join(self.value(argument[1]))


class Policies:
    """The stack's policies, and which of their statements were of use."""

    def __init__(self, resolver):
        resources = resolver.document["Resources"]
        self.account, self.used, self.roles, self.keys, self.buckets = resolver.account, set(), {}, {}, {}
        managed = {name: iam.statements_of(name, resolver.value(item["Properties"]["PolicyDocument"])) for name, item in resources.items() if item["Type"] == "AWS::IAM::ManagedPolicy"}
        self.boundary = managed.pop("Boundary")
        for name, item in resources.items():
            properties = item["Properties"]
            if item["Type"] == "AWS::IAM::Role":
                own = [statement for policy in properties.get("Policies", []) for statement in iam.statements_of(f"{name}.{policy['PolicyName']}", resolver.value(policy["PolicyDocument"]))]
                taken = [statement for policy in properties.get("ManagedPolicyArns", []) if "!Ref" in policy  # else AWS's own
                 for statement in managed[policy["!Ref"]]]
                self.roles[name] = (own + taken, self.boundary if "PermissionsBoundary" in properties else ())
            if item["Type"] == "AWS::KMS::Key":
                self.keys[resolver.do_getatt(name + ".Arn")] = iam.statements_of(name, resolver.value(properties["KeyPolicy"]))
            if item["Type"] == "AWS::S3::BucketPolicy":
                self.buckets[resolver.do_getatt(properties["Bucket"]["!Ref"] + ".Arn")] = iam.statements_of(name, resolver.value(properties["PolicyDocument"]))
        self.steps = {resolver.value(resources[name]["Properties"]["RoleName"]): name for name in self.roles if name not in PLATFORM}

    def unused(self):
        """Statements of the steps' roles that allowed none of the calls that were decided on."""
        return {statement.name for name in self.steps.values() for statement in self.roles[name][0] if statement.effect == "Allow"} - self.used

    def decide(self, role, request):
        identity, boundary = self.roles[role]
        key = self.keys.get(request.resource)
        bucket = next((policy for arn, policy in self.buckets.items() if request.resource == arn or request.resource.startswith(arn + "/")), ())
        decision = iam.decide(request, identity, boundary, key or bucket, self.account, needs_resource_policy=key is not None)
        self.used |= {statement.name for statement in decision.used}
        return decision

    def refusals(self, calls, world):
        """What IAM would refuse of the calls: each with its role, its question and the reason."""
        found = set()
        for call in calls:
            if call.action in ("sts:AssumeRole", "sts:GetCallerIdentity"):  # the roles' trust, and what nobody needs to be allowed
                continue
            if call.role is None:
                found.add((None, call.action, "", "made in no role"))
                continue
            role = self.steps[call.role.rpartition("/")[2]]
            for request in iam_requests.requests_of(call, world):
                decision = self.decide(role, request)
                if not decision.allowed:
                    found.add((role, request.action, request.resource, decision.why))
        return found
