# SPDX-License-Identifier: Apache-2.0
"""scripts/build_and_push.sh against a registry that takes ECR's token; skopeo says what is there."""
import json
import os
import subprocess

import pytest

from conftest import BUILD, ROOT, Redoubt
from registry import Registry


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir()
    registry = Registry(folder, "AWS", "123456789012-auth-token")
    yield registry
    registry.stop()


def test_the_image_is_built_published_and_scanned(judge, registry, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    providers = tmp_path / "providers.yaml"
    providers.write_text(json.dumps({"version": 1, "providers": {"images": {"ecr": {
        "repository": "redoubt", "registry_url": registry.url, "ca_file": str(registry.certificate)}}}}))
    done = subprocess.run([ROOT / "scripts" / "build_and_push.sh", providers], env={**redoubt.environment, **judge.environment, "REDOUBT_BUILD": str(BUILD)},
                          capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr  # what is open today decides the scan
    built = redoubt.json("image", "build")
    tag = built["tag"].replace("_", "__").replace(":", "_c")
    assert registry.inspect(f"redoubt:{tag}")["Digest"] == built["digest"]
    assert judge.violations == [] and "ecr:CreateRepository" in judge.actions()
    missing = subprocess.run([ROOT / "scripts" / "build_and_push.sh", tmp_path / "none.yaml"], env={**os.environ, "REDOUBT_BUILD": str(BUILD)}, capture_output=True, text=True)
    assert missing.returncode == 2 and "none.yaml" in missing.stderr


@pytest.mark.parametrize("change, says", [({"imageTagMutability": "MUTABLE"}, "moved"), ({"imageScanningConfiguration": {"scanOnPush": False}}, "does not scan"),
                                          ({"encryptionConfiguration": {"encryptionType": "AES256"}}, "no KMS key")])
def test_a_repository_that_is_too_open_is_refused_by_name(judge, aws, registry, tmp_path, change, says):
    good = {"imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True}, "encryptionConfiguration": {"encryptionType": "KMS"}}
    aws.client("ecr").create_repository(repositoryName="redoubt", **{**good, **change})
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(judge.environment)
    redoubt("init")
    providers = tmp_path / "providers.yaml"
    providers.write_text(json.dumps({"version": 1, "providers": {"images": {"ecr": {"repository": "redoubt", "registry_url": registry.url}}}}))
    error = redoubt.json("image", "build", "--providers", providers, expect=3)["error"]
    assert says in error["message"] and "redoubt" in error["where"] and error["hint"]


def test_what_ecr_finds_in_the_image_blocks_it_as_our_own_scan_does(judge, registry, tmp_path):
    """moto's ECR does not know what docker-registry holds, so the judge says what ECR would."""
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(judge.environment)
    providers = tmp_path / "providers.yaml"
    providers.write_text(json.dumps({"version": 1, "providers": {"images": {"ecr": {
        "repository": "redoubt", "registry_url": registry.url, "ca_file": str(registry.certificate), "findings_wait_s": 1}}}}))
    redoubt("init", "--providers", providers)

    def build(status, *findings, **expect):
        body = {"imageScanStatus": {"status": status}, "imageScanFindings": {"findings": list(findings)}}
        judge.inject("ecr", "DescribeImageScanFindings", "answer", times=100, body=body)
        built = redoubt.json("image", "build", **expect)
        judge.faults.clear()
        return built

    # Pushed and never scanned, or not to the end: nobody knows.
    error = redoubt.json("image", "build", expect=1)["error"]
    assert "redoubt@sha256:" in error["where"] and "scan on push" in error["hint"]
    assert "findings_wait_s" in build("IN_PROGRESS", expect=1)["error"]["hint"]
    assert "FAILED" in build("FAILED", expect=3)["error"]["message"]
    grave = {"name": "CVE-2026-0001", "severity": "CRITICAL", "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.0.11"}]}
    refused = build("COMPLETE", grave, expect=3)["error"]
    assert "CVE-2026-0001" in refused["message"] and refused["where"] == "openssl"
    assert build("COMPLETE", {**grave, "severity": "LOW"})["digest"] == error["where"].partition("@")[2]
    [entry] = redoubt.json("audit", "query", "--step", "image")
    assert "ECR repository redoubt" in json.dumps(entry)
    assert judge.violations == [] and "ecr:DescribeImageScanFindings" in judge.actions()
