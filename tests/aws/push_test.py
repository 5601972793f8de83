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
