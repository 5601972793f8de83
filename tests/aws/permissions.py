# SPDX-License-Identifier: Apache-2.0
"""What the template's roles allow our program, read from config/cloudformation_template.yaml."""
import yaml

from cloudformation_test import TEMPLATE, Loader

# The template makes these itself; where it does not stand, people with an administrator's rights run the program.
MADE_BY_THE_TEMPLATE = {"kms:CreateKey", "kms:CreateAlias", "kms:EnableKeyRotation", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion", "ecr:CreateRepository",
                        "logs:CreateLogGroup", "logs:AssociateKmsKey", "logs:PutRetentionPolicy"}
# The roles that services take, not our program.
PLATFORM = {"JobRole", "EndpointRole", "MonitorJobRole", "ScheduleRole", "FlowLogRole", "TrailLogRole", "ReplicationRole", "RescanRole", "RescanStartRole", "ConfigRole",
            "ContainerPlatform", "Boundary"}


def allowed_by_role():
    """The template's actions by role."""
    out = {}
    for name, resource in yaml.load(TEMPLATE.read_text(), Loader)["Resources"].items():
        if resource["Type"] not in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy") or name in PLATFORM:
            continue
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])] + ([properties["PolicyDocument"]] if "PolicyDocument" in properties else [])
        for statement in (item["!If"][1] if "!If" in item else item for document in documents for item in document["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            out.setdefault(name, []).append(set(actions))
    assert len(out) == 11  # evaluation needs no more than the store and the trail
    return out
