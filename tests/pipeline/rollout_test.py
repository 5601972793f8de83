# SPDX-License-Identifier: Apache-2.0
"""A version that comes into service beside the one that stands: tried, finished, rolled back by command and by itself; and promotion by digest."""
import os
import random
import signal
import time

import pytest

from conftest import TRAINING_ROWS, Endpoint, SilentReceiver, until, workers_of
from two_versions import Load, deploy_two, states, usual_prompts

PROMPTS = usual_prompts(TRAINING_ROWS)
WATCH = {"interval_s": 1, "latency_p99_ms_max": 600000}


@pytest.fixture(scope="module")
def two(tiny_hub, tmp_path_factory):
    redoubt = deploy_two(tmp_path_factory.mktemp("rollout"), tiny_hub, watch=WATCH)
    yield redoubt
    for environment in ("dev", "staging"):
        redoubt("endpoint", "stop", "--environment", environment)


def asking(endpoint):
    """Asks all the time and keeps who answered, or with what it failed."""
    return Load(lambda: answer(endpoint))


def failed(load):
    return [one for one in load.answers if one[0] != 200]


def answer(endpoint, model="tiny"):
    """Whatever is asked without end has to be as the training data, or it drifts, and what is tried goes back for that."""
    body = {"model": model, "messages": [{"role": "user", "content": random.choice(PROMPTS)}], "max_tokens": 8}
    with endpoint.open("/v1/chat/completions", body) as got:
        return got.status, got.headers.get("X-Redoubt-Version"), got.read()


def versions(endpoint, count=6):
    return {answer(endpoint)[1] for _ in range(count)}


def status(redoubt):
    return redoubt.json("endpoint", "status", "--environment", "dev")


def decisions(redoubt):
    """What the ledger says of rollouts in dev, oldest first."""
    entries = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "rollout", "--limit", "1000")]
    return [(entry["version"], entry["action"], entry["reason"]) for entry in reversed(entries)]


def test_a_canary_is_tried_and_a_command_ends_it_in_under_five_seconds(two):
    endpoint = Endpoint(two)
    with asking(endpoint) as load:
        tried = two.json("deploy", "tiny/0.2.0", "--environment", "dev", "--canary", "50", "--wait-s", "600")
        assert tried["version"] == "0.1.0" and tried["rollout"]["version"] == "0.2.0" and tried["rollout"]["percent"] == 50, tried
        assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Deployed"}
        assert versions(endpoint) == {"0.1.0", "0.2.0"}
        assert [answer(endpoint, model)[1] for model in ("tiny/0.1.0", "tiny/0.2.0")] == ["0.1.0", "0.2.0"]
        begun = time.monotonic()
        back = two.json("rollback", "--environment", "dev")
        took = time.monotonic() - begun
        assert "rollout" not in back and back["version"] == "0.1.0" and back["pid"] == endpoint.status["pid"], back
        assert versions(endpoint) == {"0.1.0"}
    assert not failed(load) and len(load.answers) > 10, failed(load)
    assert took < 5, took
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}
    assert decisions(two) == [("0.2.0", "rolled_back", "by command")]
    assert two.json("audit", "verify")["ok"]


def killed_canary(redoubt, endpoint):
    """Tries 0.2.0 and kills its worker; answers what was asked meanwhile, and how long it took until the status says that it went back."""
    before = {worker.pid for worker in workers_of(redoubt)}
    redoubt("deploy", "tiny/0.2.0", "--environment", "dev", "--canary", "30", "--wait-s", "600")
    [worker] = [one for one in workers_of(redoubt) if one.pid not in before]
    with asking(endpoint) as load:
        until(lambda: "0.2.0" in {one[1] for one in load.answers})
        worker.kill(signal.SIGKILL)
        until(worker.is_gone, every=0.01)
        died = time.monotonic()
        until(lambda: "rollout" not in status(redoubt), every=0.05)
        took = time.monotonic() - died
        assert versions(endpoint) == {"0.1.0"}
    return load, took


def test_a_canary_whose_worker_dies_rolls_back_by_itself(two):
    load, took = killed_canary(two, Endpoint(two))
    # What it had in hand was answered by the version that stands.
    assert not failed(load), failed(load)
    assert took < 2 + 1, took  # until the status says so, asked by a process each time
    # Whichever alarm was first: the dead worker, or what could not be asked of it.
    assert decisions(two)[-1][:2] == ("0.2.0", "rolled_back") and decisions(two)[-1][2].startswith(("WorkerFailures", "InvocationErrors"))
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}


def test_a_gateway_that_is_killed_goes_on_with_the_canary(two):
    endpoint = Endpoint(two)
    two("deploy", "tiny/0.2.0", "--environment", "dev", "--canary", "50", "--wait-s", "600")
    os.kill(endpoint.status["pid"], signal.SIGKILL)
    until(lambda: not status(two)["running"])
    two("endpoint", "start", "--environment", "dev")
    endpoint = Endpoint(two)
    until(lambda: status(two).get("rollout"))
    assert versions(endpoint) == {"0.1.0", "0.2.0"}
    two("rollout", "finish", "--environment", "dev")
    assert versions(endpoint) == {"0.2.0"} and status(two)["version"] == "0.2.0"
    assert states(two) == {"0.1.0": "Approved", "0.2.0": "Deployed"}
    workers = {worker.pid for worker in workers_of(two)}
    back = two.json("rollback", "--environment", "dev")
    assert back["version"] == "0.1.0" and versions(endpoint) == {"0.1.0"}
    assert {worker.pid for worker in workers_of(two)} == workers, "what served before was still warm"
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}


def test_blue_green_ends_by_itself(two):
    endpoint = Endpoint(two)
    two("deploy", "tiny/0.2.0", "--environment", "dev", "--blue-green", "--bake-s", "2")
    assert versions(endpoint) == {"0.2.0"}
    until(lambda: status(two)["version"] == "0.2.0")
    assert decisions(two)[-1] == ("0.2.0", "promoted", "")
    two("rollback", "--environment", "dev")
    assert versions(endpoint) == {"0.1.0"}


def test_a_shadow_answers_nobody_and_is_measured(two):
    endpoint = Endpoint(two)
    two("deploy", "tiny/0.2.0", "--environment", "dev", "--shadow", "100", "--wait-s", "600")
    assert versions(endpoint) == {"0.1.0"}
    until(lambda: status(two)["rollout"]["answers"] >= 3)
    two("rollback", "--environment", "dev")


def test_promotion_takes_the_bytes_of_the_other_environment(two):
    two("promote", "--from", "staging", "--environment", "dev", expect=1)
    two("deploy", "tiny/0.2.0", "--environment", "staging")
    promoted = two.json("promote", "--from", "staging", "--environment", "dev")
    assert promoted["version"] == "0.2.0"
    deploys = [entry for entry in two.json("audit", "query", "--step", "deploy", "--limit", "1000")]
    dev, staging = ([entry for entry in deploys if entry["result"]["environment"] == name][0] for name in ("dev", "staging"))
    assert dev["inputs"]["release"] == staging["inputs"]["release"] and dev["inputs"]["statement:promoted"] == staging["statement"]
    two("promote", "--from", "dev", "--environment", "dev", expect=2)
    assert two.json("audit", "verify")["ok"]


WRONG = [(["--canary", "0"], 2), (["--canary", "10", "--shadow", "10"], 2), (["--wait-s", "5"], 2), (["--at-once", "--bake-s", "5"], 2), (["--canary", "101"], 2)]


@pytest.mark.parametrize("flags, code", WRONG)
def test_a_plan_that_is_none_is_refused(two, flags, code):
    two("deploy", "tiny/0.1.0", "--environment", "dev", *flags, expect=code)


def test_nothing_to_finish(two):
    assert "canary" in two("rollout", "finish", "--environment", "dev", expect=1).stderr


def test_alarms_elsewhere_that_never_answer_hold_up_no_rollback(tiny_hub, tmp_path, monkeypatch):
    silent = SilentReceiver()
    for name, value in {"AWS_ENDPOINT_URL": silent.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "of no worth", "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    redoubt = deploy_two(tmp_path, tiny_hub, watch=WATCH, providers={"alarms": {"cloudwatch": {}}})
    try:
        load, took = killed_canary(redoubt, Endpoint(redoubt))
        assert not failed(load) and took < 2 + 1, took
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")
