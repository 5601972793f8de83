# SPDX-License-Identifier: Apache-2.0
"""What an account's guards find becomes incidents. moto has none of these readers, so a server of the test's own answers in their
place, behind the strict judge."""
import http.server
import json
import threading

import pytest

from aws_account import KEY_ID, REGION, SECRET
from conftest import Redoubt, make_certificate
from judge import Judge

DETECTOR = "a" * 32


ACCOUNT, MOMENT = "123456789012", "2026-11-23T10:00:00.000Z"


class Guards:
    def __init__(self):
        self.guardduty = [{"id": "b" * 32, "severity": 8.2, "type": "Recon:IAMUser/MaliciousIPCaller", "title": "Jane's key was used from a bad address", "createdAt": MOMENT,
                           "updatedAt": MOMENT, "accountId": ACCOUNT, "region": REGION, "schemaVersion": "2.0", "resource": {},
                           "arn": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/{DETECTOR}/finding/{'b' * 32}"}]
        self.inspector = [{"findingArn": f"arn:aws:inspector2:{REGION}:{ACCOUNT}:finding/{'1' * 32}", "severity": "CRITICAL", "type": "PACKAGE_VULNERABILITY",
                           "title": "CVE-2026-0001 - openssl", "description": "openssl", "firstObservedAt": 1.7e9, "lastObservedAt": 1.7e9, "awsAccountId": ACCOUNT, "status": "ACTIVE",
                           "remediation": {}, "resources": [{"id": "i-1", "type": "AWS_EC2_INSTANCE"}]}]
        self.logins, self.detectors = 0, [DETECTOR]
        self.broken_rules, self.controls, self.accesses = [], [], []  # AWS Config, Security Hub, IAM Access Analyzer
        guards = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                self.tell(guards.answer(self.path.partition("?")[0], self.headers.get("X-Amz-Target", ""), body))

            do_GET = do_POST

            def tell(self, answer):
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path, target, body):
        if target.endswith("DescribeConfigurationRecorderStatus"):
            return {"ConfigurationRecordersStatus": [{"name": "default", "recording": True}]}
        if target.endswith("DescribeComplianceByConfigRule"):
            return {"ComplianceByConfigRules": [{"ConfigRuleName": name} for name in self.broken_rules]}
        if path == "/analyzer":
            return {"analyzers": [{"arn": f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/a", "name": "a", "type": "ACCOUNT", "status": "ACTIVE", "createdAt": MOMENT}]}
        if path == "/findingv2":
            return {"findings": self.accesses}
        if path == "/findings":
            return {"Findings": self.controls}
        if path == "/detector":
            return {"detectorIds": self.detectors}
        if path.endswith("/findings"):
            return {"findingIds": [finding["id"] for finding in self.guardduty]}
        if path.endswith("/findings/get"):
            return {"findings": [finding for finding in self.guardduty if finding["id"] in body["findingIds"]]}
        if path == "/findings/list":
            return {"findings": self.inspector}
        assert target.endswith("LookupEvents"), (path, target)
        return {"Events": [{"EventName": "ConsoleLogin", "Username": "jane", "CloudTrailEvent": json.dumps({"responseElements": {"ConsoleLogin": "Failure"}})}] * self.logins}


@pytest.fixture
def guards(tmp_path):
    guards = Guards()
    (tmp_path / "tls").mkdir()
    certificate, key = make_certificate(tmp_path / "tls")
    guards.judge = Judge(guards.url, certificate, key, {KEY_ID: SECRET}, is_ours=True)
    guards.environment = {"AWS_ENDPOINT_URL": guards.judge.url, "AWS_CA_BUNDLE": str(certificate), "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    yield guards
    assert guards.judge.violations == []
    guards.judge.close()
    guards.server.shutdown()


def test_findings_open_incidents_and_close_them_when_they_are_gone(guards, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(guards.environment)
    (tmp_path / "providers.yaml").write_text(json.dumps({"version": 1, "providers": {"aws": {"region": REGION}}}))
    redoubt("init", "--providers", tmp_path / "providers.yaml")

    assert redoubt.json("incident", "sync") == {"opened": 2, "closed": 0, "open": 2}
    assert redoubt.json("incident", "sync") == {"opened": 0, "closed": 0, "open": 2}
    guards.guardduty.clear()
    guards.logins = 6
    assert redoubt.json("incident", "sync") == {"opened": 1, "closed": 1, "open": 2}
    incidents = {incident["alarm"].split(":")[0]: incident["state"] for incident in redoubt.json("incident", "list", "--environment", "account")}
    assert incidents == {"guardduty": "closed", "inspector": "open", "cloudtrail": "open"}

    guards.broken_rules.append("s3-bucket-ssl-requests-only")
    guards.controls.append({"Id": "arn:aws:securityhub:::finding/1", "SchemaVersion": "2018-10-08", "ProductArn": f"arn:aws:securityhub:{REGION}::product/aws/securityhub", "GeneratorId": "S3.5",
                            "AwsAccountId": ACCOUNT, "CreatedAt": MOMENT, "UpdatedAt": MOMENT, "Description": "TLS", "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::b"}], "Severity": {"Label": "HIGH"}, "Compliance": {"Status": "FAILED", "SecurityControlId": "S3.5"},
                            "Title": "Buckets should require TLS"})
    guards.accesses.append({"id": "c" * 8, "findingType": "ExternalAccess", "resource": "arn:aws:iam::123456789012:role/redoubt-dev-job", "createdAt": "2026-11-21T10:00:00Z", "status": "ACTIVE",
                            "analyzedAt": MOMENT, "updatedAt": MOMENT, "resourceType": "AWS::IAM::Role", "resourceOwnerAccount": ACCOUNT})
    assert redoubt.json("incident", "sync") == {"opened": 3, "closed": 0, "open": 5}
    assert "config:s3-bucket-ssl-requests-only" in {incident["alarm"] for incident in redoubt.json("incident", "list", "--environment", "account")}

    events = redoubt.json("audit", "query", "--step", "incident")
    assert len(events) == 7
    assert "ane" not in json.dumps([event["result"] for event in events]), "the ledger names nobody"
    redoubt("audit", "verify")


def test_a_guard_that_is_off_is_an_incident_and_no_account_is_said(guards, tmp_path):
    guards.detectors = []
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(guards.environment)
    redoubt("init")
    assert "block 'aws'" in redoubt("incident", "sync", expect=1).stderr
    (tmp_path / "providers.yaml").write_text(json.dumps({"version": 1, "providers": {"aws": {"region": REGION}}}))
    redoubt("--providers", tmp_path / "providers.yaml", "incident", "sync")
    assert any(incident["alarm"] == f"guardduty:off-{REGION}" for incident in redoubt.json("incident", "list", "--environment", "account"))
