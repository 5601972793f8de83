# SPDX-License-Identifier: Apache-2.0
"""Least privilege, both ways: what our code asks of AWS is allowed by a role of the template, and what a role allows is asked for.
Both sides are read from where they stand, so neither can go stale."""
import pathlib
import re

import pytest

from judge import ACTIONS, PREFIXES
from permissions import MADE_BY_THE_TEMPLATE, allowed_by_role

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"

# Operations whose names are put together in the code; the test below finds each place where that happens.
COMPOSED = {"sagemaker_endpoint.cc": {f"sagemaker:{verb}{what}" for verb in ("Describe", "Create", "Delete") for what in ("Model", "EndpointConfig", "Endpoint")} |
            {"sagemaker:UpdateEndpoint"},
            "sagemaker_monitoring.cc": {f"sagemaker:{verb}{kind}JobDefinition{'s' if verb == 'List' else ''}" for verb in ("Create", "Describe", "Delete", "List")
                                        for kind in ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")},
            "sagemaker_job_runner.cc": {"sagemaker:CreateExperiment", "sagemaker:CreateTrial"}}

# What the template leaves to whoever turns it on: Route 53 failover, and an embedded endpoint's process that tells a topic itself.
# `redoubt aws compliance` is run by whoever may read the account (SecurityAudit), in no step's role.
OPTIONS = {"route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets", "sns:Publish", "config:DescribeConfigRules", "config:GetComplianceDetailsByConfigRule"}
# What a registry's client does through ECR's registry API, which asks for these.
REGISTRY = {"ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer", "ecr:ListImages"}
# What other calls take along: S3 and SageMaker use the key for us, a role is passed, tags are set as a thing is made, versions are read by
# id, a rotation runs its function, scaling wants what it does asked of whoever asks for it.
IMPLIED = {"kms:GenerateDataKey", "kms:CreateGrant", "iam:PassRole", "sagemaker:AddTags", "secretsmanager:TagResource", "s3:GetObjectVersion", "s3:DeleteObjectVersion",
           "lambda:InvokeFunction", "sagemaker:UpdateEndpointWeightsAndCapacities", "iam:CreateServiceLinkedRole"}


def action_of(service, operation):
    return f"{PREFIXES.get(service, service)}:{ACTIONS.get(service, {}).get(operation, operation)}"


def sources():
    return [path for folder in ("provider/aws", "cli") for path in sorted((SOURCES / folder).glob("*.cc")) if not path.name.endswith("_test.cc")]


@pytest.fixture(scope="module")
def asked():
    actions = set()
    for path in sources():
        text = path.read_text()
        actions |= {action_of(*found) for found in re.findall(r'(?:call|call_all|wait_until)\(\s*"([a-z0-9-]+)",\s*"(\w+)"', text)}
        if path.name.startswith("s3_"):
            actions |= {action_of("s3", name) for name in re.findall(r'"((?:Get|Put|Head|Delete|List|Create|Complete|Abort)[A-Z]\w+|UploadPart)"', text) if name != "DeleteMarker"}
        actions |= COMPOSED.get(path.name, set())
    assert len(actions) > 60
    return actions


@pytest.fixture(scope="module")
def allowed():
    return allowed_by_role()


def test_names_of_operations_are_put_together_nowhere_else():
    composed = {path.name for path in sources() for line in path.read_text().splitlines() if re.search(r'client_?\.call(_all)?\("[a-z0-9-]+", (?!")', line)}
    assert composed == set(COMPOSED)


def test_each_call_is_allowed_by_a_role(asked, allowed):
    granted = {action for statements in allowed.values() for statement in statements for action in statement}
    assert asked - granted - MADE_BY_THE_TEMPLATE - OPTIONS == set()


def test_each_statement_is_used_by_a_call_and_none_says_more(asked, allowed):
    wanted = asked | REGISTRY | IMPLIED
    unused = {(role, action) for role, statements in allowed.items() for statement in statements for action in statement if action not in wanted}
    assert unused == set()


def test_what_is_left_to_the_template_is_really_asked_for(asked):
    assert MADE_BY_THE_TEMPLATE | OPTIONS <= asked  # else the exception has outlived its reason
