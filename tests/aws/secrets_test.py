# SPDX-License-Identifier: Apache-2.0
"""Secrets in Secrets Manager from the command line: rotation by the secret's function, the recovery window, a token that is rotated
under a download, and one that is too old."""
import json
import time

import pytest

from aws_account import REGION
from conftest import TOKEN, Redoubt
from player import account, player  # noqa: F401  (fixtures)

NAME = "redoubt/huggingface/api-token"


@pytest.fixture
def redoubt(account, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(account.judge.environment)
    path = tmp_path / "providers.yaml"
    path.write_text(json.dumps({"version": 1, "providers": {"aws": {"region": REGION}, "secrets": {"secrets-manager": {"recovery_days": 7}}}}))
    redoubt("init", "--providers", path)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    return redoubt


def test_rotate_asks_the_function_where_there_is_one_and_else_for_a_value(redoubt, account):
    assert redoubt.json("secret", "rotate", "huggingface/api-token", stdin="hf_by_hand")["version"] == 2
    account.player.rotating[NAME] = "hf_by_function"
    rotated = redoubt.json("secret", "rotate", "huggingface/api-token")
    assert rotated["version"] == 3 and rotated["by"] == "rotation function"
    assert redoubt.json("secret", "get", "huggingface/api-token")["value"] == "hf_by_function"
    previous = account.client("secretsmanager").get_secret_value(SecretId=NAME, VersionStage="AWSPREVIOUS")
    assert previous["SecretBinary"] == b"hf_by_hand"
    actions = [event["result"]["action"] for event in redoubt.json("audit", "query", "--step", "secret")]
    assert actions.count("rotate") == 1 and actions.count("put") == 2


def test_a_deleted_secret_can_be_taken_back_for_the_days_that_the_providers_say(redoubt, account):
    secrets = account.client("secretsmanager")
    deleted = redoubt.json("secret", "delete", "huggingface/api-token")
    assert deleted["recoverable_until"][:10] == secrets.describe_secret(SecretId=NAME)["DeletedDate"].isoformat()[:10]
    assert redoubt.json("secret", "list") == []
    assert redoubt.json("secret", "put", "huggingface/api-token", stdin=TOKEN)["version"] == 2
    assert redoubt.json("secret", "delete", "huggingface/api-token", "--at-once")["recoverable_until"] is None
    assert secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


def test_a_token_that_is_rotated_under_a_download_is_read_again_once(redoubt, account, tiny_hub):
    """The hub takes TOKEN alone; what was read first is refused with 401."""
    redoubt("secret", "put", "huggingface/api-token", stdin="hf_old" + "x" * 30)
    asked, answer = [], account.player.answer

    def rotated_after_the_first_look(operation, members, forward):
        if operation != "GetSecretValue":
            return answer(operation, members, forward)
        told = forward()
        asked.append(operation)
        if len(asked) == 1:
            account.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString=TOKEN)
        return told

    account.player.answer = rotated_after_the_first_look
    pull = ["model", "pull", "test/tiny", "--endpoint", tiny_hub.url, "--ca-file", tiny_hub.certificate, "--token-secret", "huggingface/api-token"]
    redoubt(*pull)
    assert len(asked) == 2
    # Another that is wrong as well is not asked for twice.
    redoubt("secret", "put", "huggingface/api-token", stdin="hf_wrong" + "x" * 30)
    asked[:] = [None]
    assert "HTTP 401" in redoubt(*pull, expect=5).stderr and len(asked) == 3


def test_doctor_warns_of_a_token_older_than_90_days(redoubt, account):
    def secrets_check():
        return next(check for check in json.loads(redoubt("--json", "doctor", expect=None).stdout)["checks"] if check["name"] == "secrets")

    assert secrets_check()["verdict"] == "ok"
    answer, age = account.player.answer, 91 * 86400 + 60

    def aged(operation, members, forward):
        told = answer(operation, members, forward)
        if operation == "ListSecretVersionIds":
            told = forward()
            told[1].pop("NextToken", None)  # moto's is empty
            for version in told[1]["Versions"]:
                version["CreatedDate"] = time.time() - age
        return told

    account.player.answer = aged
    found = secrets_check()
    assert found["verdict"] == "warning" and "huggingface/api-token was put 91 days ago" in found["detail"]
    assert found["cure"] == "redoubt secret rotate huggingface/api-token"
