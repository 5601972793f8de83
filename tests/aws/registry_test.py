# SPDX-License-Identifier: Apache-2.0
"""Versions in SageMaker's model registry through the command line, read back and decided upon by boto3 as in the console."""
import json

import pytest

from aws_account import judged
from conftest import TOKEN, Redoubt, write_pipeline
from player import player  # noqa: F401  (fixture)

ALIAS = "alias/redoubt"


@pytest.fixture
def judge(player, tmp_path):
    with judged(player, tmp_path / "judge") as judge:
        yield judge


@pytest.fixture
def registered(request, aws, player, judge, tiny_hub, tmp_path):
    """A pipeline that waits for its review; a test's parameter is its policy."""
    kms, s3 = aws.client("kms"), aws.client("s3")
    kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["Arn"])
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(judge.environment)
    providers = tmp_path / "providers.yaml"
    providers.write_text(json.dumps({"version": 1, "providers": {"registry": {"sagemaker": {"bucket": "artifacts", "kms_key": ALIAS}}}}))
    redoubt("init", "--providers", providers)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    (redoubt.pipeline.parent / "policy.yaml").write_text(json.dumps({"version": 1, **getattr(request, "param", {})}))
    redoubt("run", redoubt.pipeline, expect=6)
    redoubt.sagemaker, redoubt.player = aws.client("sagemaker"), player
    yield redoubt
    assert judge.seen("sagemaker", "CreateModelPackage") and judge.violations == []


def package_of(redoubt):
    (group,) = redoubt.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    (summary,) = redoubt.sagemaker.list_model_packages(ModelPackageGroupName=group["ModelPackageGroupName"])["ModelPackageSummaryList"]
    return redoubt.sagemaker.describe_model_package(ModelPackageName=summary["ModelPackageArn"])


def test_an_approval_of_the_console_counts_once_a_reviewer_has_signed_it(registered):
    redoubt = registered
    package = package_of(redoubt)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    (version,) = redoubt.json("registry", "list")
    assert package["CustomerMetadataProperties"]["redoubt-digest"] == version["digest"]
    assert redoubt.json("registry", "outside") == []

    # moto forgets the metadata here, as anybody may who writes a package's; the version stays known.
    redoubt.sagemaker.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved", ApprovalDescription="looks fine")
    assert redoubt.json("registry", "list")[0]["state"] == "PendingManualApproval"
    redoubt("run", redoubt.pipeline, expect=6)
    (decision,) = redoubt.json("registry", "outside")
    assert (decision["outside_state"], decision["ledger_state"], decision["reason"]) == ("Approved", "PendingManualApproval", "looks fine")
    assert decision["principal"] and decision["where"] == package["ModelPackageArn"]

    redoubt("registry", "adopt", "tiny/0.1.0", expect=5)  # by who ran the pipeline
    adopted = redoubt.json("registry", "adopt", "tiny/0.1.0", identity="reviewer")
    assert adopted["state"] == "Approved" and adopted["principal"] == decision["principal"]
    assert redoubt.json("registry", "outside") == []
    assert redoubt.json("registry", "show", "tiny/0.1.0")["reason"] == "looks fine"
    assert package_of(redoubt)["CustomerMetadataProperties"]["redoubt-state"] == "Approved"
    assert redoubt.json("audit", "verify")["ok"]


@pytest.mark.parametrize("registered", [{"approvals_min": 2}], indirect=True)
def test_what_the_console_decides_on_a_pending_version_counts_as_one_signature_at_most(registered):
    redoubt, arn = registered, package_of(registered)["ModelPackageArn"]

    def decide(status, why):
        redoubt.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription=why)

    # Without a signature it is nothing, with one it is one of the two that the policy asks for.
    decide("Approved", "looks fine")
    redoubt("deploy", "tiny/0.1.0", "--environment", "dev", expect=6)
    assert redoubt.json("registry", "adopt", "tiny/0.1.0", identity="reviewer")["state"] == "Approved"
    assert "2" in redoubt.json("deploy", "tiny/0.1.0", "--environment", "dev", expect=3)["error"]["message"]
    assert redoubt.json("audit", "verify")["ok"]


def test_a_rejection_of_the_console_of_a_pending_version_counts_once_it_is_signed_and_then_for_good(registered):
    redoubt, arn = registered, package_of(registered)["ModelPackageArn"]
    redoubt.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="wrong licence")
    assert redoubt.json("registry", "list")[0]["state"] == "PendingManualApproval"
    (decision,) = redoubt.json("registry", "outside")
    assert (decision["outside_state"], decision["ledger_state"], decision["reason"]) == ("Rejected", "PendingManualApproval", "wrong licence")
    redoubt("registry", "adopt", "tiny/0.1.0", expect=5)  # by who ran the pipeline
    adopted = redoubt.json("registry", "adopt", "tiny/0.1.0", identity="reviewer")
    assert adopted["state"] == "Rejected" and adopted["principal"] == decision["principal"]
    shown = package_of(redoubt)
    assert shown["ModelApprovalStatus"] == "Rejected" and shown["CustomerMetadataProperties"]["redoubt-state"] == "Rejected"
    assert redoubt.json("registry", "outside") == [] and redoubt.json("registry", "show", "tiny/0.1.0")["reason"] == "wrong licence"

    # The console's change of mind brings no rejected version back.
    redoubt.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="after all")
    redoubt("deploy", "tiny/0.1.0", "--environment", "dev", expect=3)
    redoubt("registry", "adopt", "tiny/0.1.0", identity="reviewer", expect=3)
    redoubt("registry", "restore", "tiny/0.1.0", identity="reviewer")
    assert package_of(redoubt)["ModelApprovalStatus"] == "Rejected" and redoubt.json("audit", "verify")["ok"]


def test_a_decision_can_be_undone_and_ours_is_shown_there(registered):
    redoubt = registered
    arn = package_of(redoubt)["ModelPackageArn"]
    redoubt.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    redoubt("registry", "restore", "tiny/0.1.0", expect=5)
    redoubt("registry", "restore", "tiny/0.1.0", identity="reviewer")
    assert package_of(redoubt)["ModelApprovalStatus"] == "PendingManualApproval"
    redoubt("registry", "adopt", "tiny/0.1.0", identity="reviewer", expect=1)
    redoubt("run", redoubt.pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "read the card", identity="reviewer")
    shown = package_of(redoubt)
    assert shown["ModelApprovalStatus"] == "Approved" and shown["ApprovalDescription"] == "read the card"
    redoubt("registry", "rebuild")
    assert len(redoubt.json("registry", "list")) == 1 and package_of(redoubt)["ModelPackageArn"] == arn
    (card,) = redoubt.sagemaker.list_model_cards()["ModelCardSummaries"]
    content = json.loads(redoubt.sagemaker.describe_model_card(ModelCardName=card["ModelCardName"])["Content"])
    assert content["model_overview"]["model_name"] == "tiny"

    # A rejection there of what was approved here counts once it is signed, and then for good.
    redoubt.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="recalled")
    (decision,) = redoubt.json("registry", "outside")
    assert (decision["outside_state"], decision["ledger_state"]) == ("Rejected", "Approved") and redoubt.json("registry", "list")[0]["state"] == "Approved"
    assert redoubt.json("registry", "adopt", "tiny/0.1.0", identity="reviewer")["state"] == "Revoked"
    assert redoubt.json("registry", "show", "tiny/0.1.0")["reason"] == "recalled" and package_of(redoubt)["ModelApprovalStatus"] == "Rejected"
    redoubt("deploy", "tiny/0.1.0", "--environment", "dev", expect=3)

    # What it was made of, up to the release; the second run put nothing there twice.
    lineage = redoubt.player
    (action,) = lineage.actions.values()
    released = [one for one in lineage.associations if one["AssociationType"] == "Produced"]
    assert [lineage.artifacts[one["DestinationArn"]]["ArtifactType"] for one in released] == ["release"]
    inputs = {lineage.artifacts[one["SourceArn"]]["ArtifactType"] for one in lineage.associations if one["DestinationArn"] == action["ActionArn"]}
    assert {"acquire-model", "data-train", "image-image", "train-adapter", "evaluate-evaluation"} <= inputs
    assert len(lineage.associations) == len(inputs) + 1 and len(lineage.artifacts) == len(inputs) + 1
