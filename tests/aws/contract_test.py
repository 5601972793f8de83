# SPDX-License-Identifier: Apache-2.0
"""The conformance suites of tests/contract over AWS's providers, and all that they say on the way before the strict judge."""
import os
import pathlib
import re
import subprocess

import pytest

from aws_account import judged
from player import player  # noqa: F401  (fixture)
from registry import Registry

PROGRAM = pathlib.Path(os.environ["REDOUBT_BUILD"]) / "redoubt_contract_test"

# How many claims each interface makes: a suite that lost its AWS case would pass by running nothing.
SUITES = {"KmsContract": 13, "ObjectStoreContract": 9, "SecretStoreContract": 8, "JobRunnerContract": 7, "ModelRegistryContract": 7,
          "AuditSinkContract": 6, "ImageStoreContract": 6, "AlarmsContract": 5, "NotifierContract": 3, "EndpointHostContract": 6}


@pytest.fixture
def registry(tmp_path):
    """A registry that takes moto's token, as ECR's own takes ECR's."""
    registry = Registry(tmp_path, "AWS", "123456789012-auth-token")
    registry.environment = {"REDOUBT_TEST_REGISTRY": registry.url, "REDOUBT_TEST_REGISTRY_CA": str(registry.certificate),
                            "REDOUBT_TEST_REGISTRY_STORAGE": str(tmp_path / "storage")}
    yield registry
    registry.stop()


@pytest.fixture
def judge(player, tmp_path):
    with judged(player, tmp_path / "judge") as judge:
        yield judge


@pytest.mark.parametrize("suite", SUITES)
def test_a_provider_of_aws_keeps_the_whole_contract(judge, registry, suite):
    done = subprocess.run([PROGRAM, f"--gtest_filter=*{suite}.*/aws"],
                          env={**os.environ, **judge.environment, **registry.environment, "REDOUBT_AWS_TEST": "1"},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"\[  PASSED  \] (\d+) test", done.stdout).group(1)) >= SUITES[suite]
    assert judge.calls and judge.violations == []
