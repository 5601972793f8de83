# SPDX-License-Identifier: Apache-2.0
"""Two versions of a model, one after the other and back, under load; and what may not be deployed."""
import fcntl
import shutil

import pytest
import yaml

from conftest import Endpoint, Redoubt, deploy_tiny, free_port, run_approved, until
from two_versions import Load, states, train_again


def configure(redoubt, **deploy):
    """Other settings of the endpoint, for the next version."""
    config = yaml.safe_load(redoubt.pipeline.read_text())
    config["deploy"].update(deploy)
    redoubt.pipeline.write_text(yaml.safe_dump(config))


def deployments(redoubt):
    """What the ledger says of dev, oldest first."""
    entries = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "deploy", "--limit", "1000")]
    return [(entry["version"], entry["previous"], entry["rollback"]) for entry in reversed(entries) if entry["environment"] == "dev"]


@pytest.fixture(scope="module")
def two(tiny_hub, tmp_path_factory):
    """0.1.0 is served, 0.2.0 is approved."""
    redoubt = deploy_tiny(tmp_path_factory.mktemp("two"), tiny_hub)
    redoubt("rollback", "--environment", "dev", expect=1)
    train_again(redoubt, epochs=1, learning_rate=0.001)
    redoubt("run", redoubt.pipeline, expect=6)
    redoubt("deploy", "tiny/0.2.0", expect=6)
    redoubt("registry", "approve", "tiny/0.2.0", "--reason", "better", identity="reviewer")
    yield redoubt
    for environment in ("dev", "staging"):
        redoubt("endpoint", "stop", "--environment", environment)


def asking(endpoint):
    """Asks all the time, on connections of its own, and keeps what came."""
    def ask():
        try:
            status, answer = endpoint.chat("How do I copy a1?", max_tokens=16)
            return status, answer.get("choices", [{}])[0].get("finish_reason")
        except OSError as error:
            return str(error), None
    return Load(ask)


def served(endpoint):
    return endpoint.open("/v1/models").read()


def test_a_rollback_brings_the_version_before_back_and_loses_no_request(two):
    endpoint = Endpoint(two)
    before = endpoint.chat("How do I copy a1?", temperature=0)[1]["choices"]
    with asking(endpoint) as load:
        stream = endpoint.stream("Count.", max_tokens=300)
        next(stream)
        two("deploy", "tiny/0.2.0", "--environment", "dev")
        assert list(stream)[-1] == {"done": True}
        assert b'"version":"0.2.0"' in served(endpoint)
        assert states(two) == {"0.1.0": "Approved", "0.2.0": "Deployed"}
        middle = endpoint.chat("How do I copy a1?", temperature=0)[1]["choices"]
        stream = endpoint.stream("Count.", max_tokens=300)
        next(stream)
        back = two.json("rollback", "--environment", "dev")
        assert list(stream)[-1] == {"done": True}
    assert {status for status, _ in load.answers} == {200} and len(load.answers) > 3, load.answers
    assert back["version"] == "0.1.0" and back["running"] and back["pid"] == endpoint.status["pid"]
    assert b'"version":"0.1.0"' in served(endpoint)
    after = endpoint.chat("How do I copy a1?", temperature=0)[1]["choices"]
    assert after == before and middle != before
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"}
    assert deployments(two) == [("0.1.0", "", False), ("0.2.0", "0.1.0", False), ("0.1.0", "0.2.0", True)]
    assert two.json("audit", "verify")["ok"]


def test_a_rollback_waits_for_no_other_command(two):
    """A training may hold the workspace for hours."""
    with open(two.workspace / "run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another redoubt process" in two("deploy", "tiny/0.2.0", "--environment", "dev", expect=1).stderr
        assert two.json("rollback", "--environment", "dev")["version"] == "0.2.0"
        assert two.json("rollback", "--environment", "dev")["version"] == "0.1.0"
    assert states(two) == {"0.1.0": "Deployed", "0.2.0": "Approved"} and two.json("audit", "verify")["ok"]


def test_what_is_not_there_cannot_be_deployed(two):
    for name in ("tiny/9.9.9", "other/0.1.0"):
        assert name in two("deploy", name, "--environment", "dev", expect=1).stderr
    for name in ("tiny", "tiny/", "/0.1.0", "tiny/0.1.0/x", "../x/0.1.0"):
        two("deploy", name, "--environment", "dev", expect=2)
    two("deploy", "tiny/0.1.0", "--environment", "moon", expect=2)
    assert "nothing" in two("endpoint", "start", "--environment", "production", expect=1).stderr
    assert "production" in two("rollback", expect=1).stderr


def test_environments_are_served_by_processes_of_their_own(two):
    staging = two.json("deploy", "tiny/0.2.0", "--environment", "staging")
    dev = two.json("endpoint", "status", "--environment", "dev")
    assert staging["version"] == "0.2.0" and dev["version"] == "0.1.0" and staging["pid"] != dev["pid"] and staging["url"] != dev["url"]
    key = two.json("key", "create", "--name", "s", "--environment", "staging")["key"]
    endpoint = Endpoint(two)
    assert endpoint.chat("a", key=key)[0] == 401, "a key of another environment"
    two("endpoint", "stop", "--environment", "staging")
    assert not two.json("endpoint", "status", "--environment", "staging")["running"] and endpoint.chat("a")[0] == 200


def changed_copy(redoubt, folder, pattern):
    """A copy of the workspace with one bit of its largest such file changed."""
    copy = Redoubt(redoubt.folder, folder / "copy")
    shutil.copytree(redoubt.workspace, copy.workspace, ignore=shutil.ignore_patterns("endpoint-*"))
    largest = max((path for path in copy.workspace.glob(pattern) if path.is_file()), key=lambda path: path.stat().st_size)
    with open(largest, "r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    return copy


@pytest.mark.parametrize("pattern", ["objects/**/*", "images/blobs/**/*"])
def test_changed_bytes_are_not_deployed(two, tmp_path, pattern):
    copy = changed_copy(two, tmp_path, pattern)
    copy("deploy", "tiny/0.2.0", "--environment", "dev", expect=4)
    copy("rollback", "--environment", "dev", expect=4)
    assert not copy.json("endpoint", "status", "--environment", "dev")["running"]


def test_what_was_revoked_or_rejected_is_not_deployed(two):
    endpoint = Endpoint(two)
    two("registry", "revoke", "tiny/0.2.0", "--reason", "a flaw", identity="reviewer")
    assert "Revoked" in two("deploy", "tiny/0.2.0", "--environment", "dev", expect=3).stderr
    # Nor does a rollback go back to it, and what serves serves on.
    assert "may still be served" in two("rollback", "--environment", "dev", expect=1).stderr
    train_again(two, epochs=1, learning_rate=0.002)
    two("run", two.pipeline, expect=6)
    two("registry", "reject", "tiny/0.3.0", "--reason", "no", identity="reviewer")
    assert "Rejected" in two("deploy", "tiny/0.3.0", "--environment", "dev", expect=3).stderr
    assert endpoint.chat("a")[0] == 200 and states(two)["0.1.0"] == "Deployed"


def test_a_revoked_version_is_served_no_longer(two):
    endpoint = Endpoint(two)
    two("registry", "revoke", "tiny/0.1.0", "--reason", "a flaw in the data", identity="reviewer")
    assert states(two)["0.1.0"] == "Revoked"
    status = until(lambda: (now := two.json("endpoint", "status", "--environment", "dev"))["state"] == "revoked" and now)
    assert status["running"] and not status["version"] and "revoked" in status["error"], status
    assert endpoint.chat("a")[0] == 503 and endpoint.open("/ping").status == 503
    assert "Revoked" in two("endpoint", "start", "--environment", "dev", expect=3).stderr
    # Another version takes its place in the same process, and the revoked one is not what a rollback goes back to.
    train_again(two, epochs=1, learning_rate=0.003)
    run_approved(two, two.pipeline, "tiny/0.4.0")
    assert endpoint.chat("a")[0] == 200 and two.json("endpoint", "status", "--environment", "dev")["version"] == "0.4.0"
    two("rollback", "--environment", "dev", expect=1)
    assert endpoint.chat("a")[0] == 200 and two.json("audit", "verify")["ok"]


def test_a_new_version_is_served_with_its_own_settings(two):
    before = Endpoint(two)
    assert before.chat("a", max_tokens=6)[0] == 200
    port = free_port()
    train_again(two, epochs=1, learning_rate=0.004)
    configure(two, port=port, answer_tokens_max=5, workers=2)
    run_approved(two, two.pipeline, "tiny/0.5.0")
    after = Endpoint(two)
    assert after.status["pid"] == before.status["pid"] and after.url.endswith(f":{port}")
    assert after.chat("a", max_tokens=5)[0] == 200 and after.chat("a", max_tokens=6)[0] == 400
    until(lambda: after.post("/health", None)[1]["workers_ready"] == 2)
    two("rollback", "--environment", "dev")
    assert Endpoint(two).chat("a", max_tokens=6)[0] == 200


def test_a_rollback_passes_over_versions_that_were_revoked(two):
    train_again(two, epochs=1, learning_rate=0.005)
    run_approved(two, two.pipeline, "tiny/0.6.0")
    two("registry", "revoke", "tiny/0.4.0", "--reason", "a flaw", identity="reviewer")
    assert two.json("rollback", "--environment", "dev")["version"] == "0.5.0"
    assert b'"version":"0.5.0"' in served(Endpoint(two))
    assert states(two) == {"0.1.0": "Revoked", "0.2.0": "Revoked", "0.3.0": "Rejected", "0.4.0": "Revoked", "0.5.0": "Deployed", "0.6.0": "Approved"}


def test_other_limits_at_the_same_port_refuse_nobody(two):
    train_again(two, epochs=1, learning_rate=0.006)
    configure(two, answer_tokens_max=400)
    run_approved(two, two.pipeline, "tiny/0.7.0")
    train_again(two, epochs=1, learning_rate=0.007)
    configure(two, answer_tokens_max=401)
    two("run", two.pipeline, expect=6)
    two("registry", "approve", "tiny/0.8.0", "--reason", "better", identity="reviewer")
    endpoint = Endpoint(two)
    assert endpoint.chat("a", max_tokens=401)[0] == 400
    with asking(endpoint) as load:
        stream = endpoint.stream("Count.", max_tokens=300)
        next(stream)
        two("deploy", "tiny/0.8.0", "--environment", "dev")
        assert list(stream)[-1] == {"done": True}
        assert b'"version":"0.8.0"' in served(endpoint) and endpoint.chat("a", max_tokens=401)[0] == 200
    assert {status for status, _ in load.answers} == {200} and len(load.answers) > 3, load.answers
