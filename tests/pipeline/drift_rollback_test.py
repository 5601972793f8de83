# SPDX-License-Identifier: Apache-2.0
"""What is asked drifts away from the training data while a version is tried: the real monitor over the real capture raises its alarm, and the
version goes back by itself, whoever is slow to hear of it."""
import datetime
import time

import pytest

from conftest import Endpoint, SilentReceiver, until
from two_versions import ask_all, deploy_two, states, strange_prompts, usual_prompts


@pytest.fixture(scope="module")
def two(tiny_hub, tmp_path_factory):
    receiver = SilentReceiver()
    redoubt = deploy_two(tmp_path_factory.mktemp("drift"), tiny_hub, watch={"webhook": receiver.url + "/alarms", "interval_s": 1, "latency_p99_ms_max": 600000})
    redoubt.receiver = receiver
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


def events(redoubt, step):
    """The ledger's entries of a step, oldest first."""
    return list(reversed(redoubt.json("audit", "query", "--step", step, "--limit", "1000")))


def drift_alarms(redoubt):
    return [entry["result"] for entry in events(redoubt, "alarm") if entry["result"]["name"] == "DataDrift"]


def is_tried(redoubt):
    return "rollout" in redoubt.json("endpoint", "status", "--environment", "dev")


def ask_until(endpoint, prompts, reached):
    """Asks on: on a slow machine a look takes whatever was asked since the last one as its window."""
    until(lambda: ask_all(endpoint, prompts) or reached())


def seconds_between(first, second):
    first, second = (datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in (first, second))
    return (second - first).total_seconds()


def test_a_version_goes_back_when_what_is_asked_drifts(two):
    endpoint = Endpoint(two)
    ask_until(endpoint, usual_prompts(210), lambda: any(alarm["name"] == "DataDrift" and alarm["state"] == "OK" for alarm in two.json("alarm", "list", "--environment", "dev")))
    two("deploy", "tiny/0.2.0", "--environment", "dev", "--canary", "20", "--wait-s", "3600")
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Deployed"}
    ask_all(endpoint, usual_prompts(210, seed=10))
    assert is_tried(two) and not drift_alarms(two)

    ask_until(endpoint, strange_prompts(210), lambda: not is_tried(two))
    raised = until(lambda: drift_alarms(two))[0]
    [decision] = events(two, "rollout")
    assert raised["state"] == "ALARM" and raised["value"] > raised["limit"] == 1, raised
    assert decision["result"]["action"] == "rolled_back" and decision["result"]["version"] == "0.2.0"
    assert decision["result"]["reason"] == f"DataDrift: {raised['value']} is more than 1", decision
    # The receiver that says nothing would have taken fifteen seconds.
    assert 0 <= seconds_between(raised["changed"], decision["finished"]) < 2, (raised, decision)
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}
    with endpoint.open("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "How do I copy a1?"}], "max_tokens": 1}) as answer:
        assert answer.status == 200 and answer.headers["X-Redoubt-Version"] == "0.1.0"
    assert [incident["state"] for incident in two.json("incident", "list", "--environment", "dev") if incident["alarm"] == "DataDrift"] == ["open"]
    # The captures, which are stored once a minute, say the same.
    report = until(lambda: (done := two("--json", "monitor", "run", "--environment", "dev", expect=None)).returncode == 3 and done.stdout)
    assert '"drift":true' in report.replace(" ", "")
    assert two.json("audit", "verify")["ok"]


def test_a_rollback_by_command_waits_for_no_receiver(two):
    """The drift is still being told to the receiver that never answers, again and again."""
    assert drift_alarms(two)[-1]["state"] == "ALARM"
    for _ in range(2):
        two("deploy", "tiny/0.2.0", "--environment", "dev")
        started = time.monotonic()
        two("rollback", "--environment", "dev")
        took = time.monotonic() - started
        assert took < 5, took
        assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}


def test_a_drift_that_was_there_before_blames_no_version_until_it_comes_again(two):
    endpoint = Endpoint(two)
    two.receiver.socket.close()  # who asks it is refused at once
    two("deploy", "tiny/0.2.0", "--environment", "dev", "--canary", "20", "--wait-s", "3600")
    for _ in range(4):
        ask_all(endpoint, strange_prompts(210))
    assert is_tried(two)
    ask_until(endpoint, usual_prompts(210), lambda: drift_alarms(two)[-1]["state"] == "OK")
    assert is_tried(two)
    ask_until(endpoint, strange_prompts(210), lambda: not is_tried(two))
    assert [entry["result"]["reason"].split(":")[0] for entry in events(two, "rollout")] == ["DataDrift", "DataDrift"]
    assert two.json("audit", "verify")["ok"]
