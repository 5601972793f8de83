# SPDX-License-Identifier: Apache-2.0
"""`redoubt aws compliance` and `redoubt aws access`: a real stack in the account; what moto has no answer for (AWS Config's verdicts, Security
Hub's findings, last access, IAM Access Analyzer) is said by the test."""
import json
import pathlib
import time

import pytest

from aws_account import REGION
from conftest import TOKEN, Redoubt
from player import account, player  # noqa: F401  (fixtures)

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "config" / "cloudformation_template.yaml"
ACCOUNT = "123456789012"
RULES = {"our-tls-rule": "S3_BUCKET_SSL_REQUESTS_ONLY", "keys": "CMK_BACKING_KEY_ROTATION_ENABLED", "flow": "VPC_FLOW_LOGS_ENABLED"}


def finding(control, status, resource):
    return {"SchemaVersion": "2018-10-08", "ProductArn": f"arn:aws:securityhub:{REGION}::product/aws/securityhub", "GeneratorId": control, "AwsAccountId": ACCOUNT,
            "CreatedAt": "2026-11-23T10:00:00.000Z", "UpdatedAt": "2026-11-23T10:00:00.000Z", "Description": control, "Id": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:finding/{control}/{resource}", "Title": f"what {control} asks",
            "Compliance": {"Status": status, "SecurityControlId": control}, "Resources": [{"Type": "Other", "Id": resource}]}


class Guards:
    def __init__(self, player):
        self.verdicts = {"our-tls-rule": "NON_COMPLIANT", "keys": "COMPLIANT", "flow": "COMPLIANT"}
        self.findings = [finding("S3.14", "PASSED", "arn:aws:s3:::a"), finding("IAM.9", "FAILED", f"AWS::::Account:{ACCOUNT}"), finding("KMS.4", "PASSED", "key-1")]
        self.is_recording = True
        answer = player.answer
        mine = {"DescribeConfigurationRecorderStatus": lambda _: {"ConfigurationRecordersStatus": [{"name": "default", "recording": self.is_recording}]},
                "DescribeConfigRules": lambda _: {"ConfigRules": [{"ConfigRuleName": name, "Source": {"Owner": "AWS", "SourceIdentifier": identifier}} for name, identifier in RULES.items()]},
                "DescribeComplianceByConfigRule": lambda _: {"ComplianceByConfigRules": [{"ConfigRuleName": name, "Compliance": {"ComplianceType": verdict}} for name, verdict in self.verdicts.items()]},
                "GetComplianceDetailsByConfigRule": lambda asked: {"EvaluationResults": [{"EvaluationResultIdentifier": {"EvaluationResultQualifier": {
                    "ConfigRuleName": asked["ConfigRuleName"], "ResourceType": "AWS::S3::Bucket", "ResourceId": "open-bucket"}}, "ComplianceType": "NON_COMPLIANT"}]}}
        player.answer = lambda operation, members, forward: (200, mine[operation](members)) if operation in mine else answer(operation, members, forward)
        player.rest[("POST", "/findings")] = self.get_findings

    def get_findings(self, asked):
        wanted = {one["Value"] for one in asked["Filters"]["ComplianceSecurityControlId"]}
        return {"Findings": [one for one in self.findings if one["Compliance"]["SecurityControlId"] in wanted]}


@pytest.fixture
def redoubt(account, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(account.judge.environment)
    redoubt("aws", "up", "dev", "--template", TEMPLATE)
    return redoubt


def test_each_control_is_passed_failed_or_not_checked_with_its_source_and_resource(redoubt, account):
    guards = Guards(account.player)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    view = redoubt.json("aws", "compliance", "dev", "--template", TEMPLATE, expect=3)
    controls = {control["id"]: control for control in view["controls"]}
    checks = {(control, check["name"]): check for control in controls for check in controls[control]["checks"]}
    assert len(controls) == view["passed"] + view["failed"] + view["not_checked"] >= 15
    # AWS Config, by the rule's identifier whatever its name is.
    assert checks["encryption-in-transit", "our-tls-rule"] == {"source": "config", "name": "our-tls-rule", "verdict": "failed", "resources": ["AWS::S3::Bucket open-bucket"], "detail": "resources break the rule"}
    assert controls["encryption-in-transit"]["verdict"] == "failed"
    # Security Hub.
    assert checks["multi-factor", "IAM.9"]["verdict"] == "failed" and controls["multi-factor"]["verdict"] == "failed"
    assert checks["recoverable", "S3.14"]["verdict"] == "passed" and checks["recoverable", "S3.14"]["resources"] == ["arn:aws:s3:::a"]
    # Our own evidence.
    assert checks["record-integrity", "ledger"]["verdict"] == "passed" and checks["secret-rotation", "secrets"]["resources"] == ["huggingface/api-token"]
    assert controls["key-rotation"]["verdict"] == "passed" and {check["source"] for check in controls["key-rotation"]["checks"]} == {"stack", "config", "securityhub"}
    assert controls["access-reviewed"]["verdict"] == "not checked"
    assert all(check["detail"] for check in checks.values() if check["verdict"] != "passed")

    # One framework, and nothing left that fails but what moto does not make.
    guards.verdicts["our-tls-rule"] = "COMPLIANT"
    hipaa = redoubt.json("aws", "compliance", "dev", "--framework", "hipaa", "--template", TEMPLATE, expect=3)
    assert {tuple(control["clauses"]) for control in hipaa["controls"]} == {("hipaa",)}
    kms = account.client("kms")
    [key] = [alias["TargetKeyId"] for alias in kms.list_aliases()["Aliases"] if alias["AliasName"] == "alias/redoubt-dev"]
    kms.disable_key_rotation(KeyId=key)
    guards.is_recording = False
    later = {control["id"]: control for control in redoubt.json("aws", "compliance", "dev", "--template", TEMPLATE, expect=3)["controls"]}
    assert later["key-rotation"]["verdict"] == "failed" and any("DataKey" in check["detail"] for check in later["key-rotation"]["checks"])
    assert all("AWS Config is off" in check["detail"] for check in later["key-rotation"]["checks"] if check["source"] == "config")
    text = redoubt("aws", "compliance", "dev", "--all", "--template", TEMPLATE, expect=3).stdout
    assert "164.312(b)" in text and "not checked" in text


def test_a_changed_ledger_fails_and_no_workspace_or_stack_is_not_checked(redoubt, account, tmp_path):
    Guards(account.player)
    view = redoubt.json("aws", "compliance", "staging", "--template", TEMPLATE, expect=3)
    checks = {check["name"]: check for control in view["controls"] for check in control["checks"]}
    assert checks["ledger"]["verdict"] == "not checked" and "no workspace" in checks["ledger"]["detail"]
    assert checks["AWS::KMS::Key"]["verdict"] == "not checked" and "no such stack" in checks["AWS::KMS::Key"]["detail"]
    redoubt("init")
    for tile in sorted(pathlib.Path(redoubt.workspace, "ledger").rglob("tile/entries/**/*")):
        if tile.is_file():
            tile.write_bytes(tile.read_bytes()[:-1] + b"\x00")
    view = redoubt.json("aws", "compliance", "dev", "--template", TEMPLATE, expect=3)
    assert next(check for control in view["controls"] for check in control["checks"] if check["name"] == "ledger")["verdict"] == "failed"


def test_doctor_tells_of_a_token_that_nobody_rotated_for_90_days(redoubt, account):
    account.client("secretsmanager").create_secret(Name="redoubt-dev/huggingface/api-token", SecretString=TOKEN)
    stale = [one for one in redoubt.json("aws", "doctor", "dev", "--template", TEMPLATE, expect=3)["findings"] if one["fault"] == "stale"]
    assert stale == []
    answer = account.player.answer

    def aged(operation, members, forward):
        if operation != "ListSecretVersionIds":
            return answer(operation, members, forward)
        status, body = forward()
        body.pop("NextToken", None)  # moto's is empty
        for version in body["Versions"]:
            version["CreatedDate"] = time.time() - 100 * 86400 - 60
        return status, body

    account.player.answer = aged
    [stale] = [one for one in redoubt.json("aws", "doctor", "dev", "--template", TEMPLATE, expect=3)["findings"] if one["fault"] == "stale"]
    assert stale["resource"] == "HubToken" and "100 days ago" in stale["detail"] and "redoubt secret rotate" in stale["detail"]


def test_roles_show_what_they_never_used_and_who_may_take_them_on_from_outside(redoubt, account):
    used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400))
    old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 400 * 86400))
    begin, end = "<{0}Response xmlns='https://iam.amazonaws.com/doc/2010-05-08/'><{0}Result>", "</{0}Result><ResponseMetadata><RequestId>played</RequestId></ResponseMetadata></{0}Response>"

    def said(operation, body):
        return begin.format(operation) + body + end.format(operation)

    def role(form):
        name = form["RoleName"]
        last = f"<RoleLastUsed><LastUsedDate>{used}</LastUsedDate><Region>{REGION}</Region></RoleLastUsed>" if name == "redoubt-dev-train" else ""
        return said("GetRole", f"<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA{'X' * 16}</RoleId><Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn><CreateDate>{old}</CreateDate>{last}</Role>")

    account.player.queries.update({
        "GetRole": role,
        "GenerateServiceLastAccessedDetails": lambda form: said("GenerateServiceLastAccessedDetails", "<JobId>12345678-1234-1234-1234-123456789012</JobId>"),
        "GetServiceLastAccessedDetails": lambda form: said("GetServiceLastAccessedDetails", f"<JobStatus>COMPLETED</JobStatus><JobCreationDate>{used}</JobCreationDate><JobCompletionDate>{used}</JobCompletionDate><ServicesLastAccessed>"
            f"<member><ServiceName>Amazon S3</ServiceName><ServiceNamespace>s3</ServiceNamespace><LastAuthenticated>{used}</LastAuthenticated></member>"
            "<member><ServiceName>Amazon SNS</ServiceName><ServiceNamespace>sns</ServiceNamespace></member></ServicesLastAccessed>")})
    analyzer = f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/a"
    account.player.rest[("GET", "/analyzer")] = lambda _: {"analyzers": [{"arn": analyzer, "name": "a", "type": "ACCOUNT", "status": "ACTIVE", "createdAt": old}]}
    account.player.rest[("POST", "/findingv2")] = lambda _: {"findings": [{"id": "f1", "findingType": "ExternalAccess", "resource": f"arn:aws:iam::{ACCOUNT}:role/redoubt-dev-job", "status": "ACTIVE", "analyzedAt": old,
                                                                           "createdAt": old, "updatedAt": old, "resourceType": "AWS::IAM::Role", "resourceOwnerAccount": ACCOUNT}]}
    view = redoubt.json("aws", "access", "dev", "--template", TEMPLATE, expect=3)
    roles = {one["role"]: one for one in view["roles"]}
    assert view["has_analyzer"] and len(roles) >= 13
    [train] = roles["redoubt-dev-train"]["findings"]
    assert train["what"] == "unused service" and train["detail"] == "sns: never" and "sns" in train["cure"] and roles["redoubt-dev-train"]["last_used"][:10] == used[:10]
    assert [one["what"] for one in roles["redoubt-dev-job"]["findings"]] == ["unused role", "ExternalAccess"]
    assert "redoubt-dev-train" in redoubt("aws", "access", "dev", "--template", TEMPLATE, expect=3).stdout
