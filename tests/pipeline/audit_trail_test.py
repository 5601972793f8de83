# SPDX-License-Identifier: Apache-2.0
"""The audit trail outside of the workspace: what the ledger has, told once and in order, whatever happens in between."""
import fcntl
import json
import os
import subprocess
import time

import pytest

from conftest import Endpoint, Redoubt, deploy_tiny, until


@pytest.fixture
def told(tmp_path):
    """A workspace whose ledger is told to a file."""
    (tmp_path / "providers.yaml").write_text("version: 1\nproviders:\n  audit:\n    file:\n      path: trail/audit.jsonl\n")
    redoubt = Redoubt(tmp_path)
    redoubt("init", "--providers", tmp_path / "providers.yaml")
    redoubt.trail = tmp_path / "trail" / "audit.jsonl"
    return redoubt


def events(redoubt):
    return [json.loads(line) for line in redoubt.trail.read_text().splitlines()]


def check_equals_the_ledger(redoubt):
    ledger = [json.loads(line) for line in redoubt("audit", "export").stdout.splitlines()]
    found = events(redoubt)
    assert [event["metadata"]["sequence"] for event in found] == list(range(len(ledger)))
    assert [event["metadata"]["uid"] for event in found] == [entry["digest"] if entry["digest"].startswith("sha256:") else "sha256:" + entry["digest"] for entry in ledger]
    assert [event["actor"]["user"]["name"] for event in found] == [entry["identity"] for entry in ledger]


def test_every_command_s_entries_are_told_at_its_end(told):
    told("secret", "put", "hub/token", stdin="swordfish-7")
    told("key", "create", "--name", "app")
    check_equals_the_ledger(told)
    assert {"workspace", "providers", "secret", "key"} <= {event["activity_name"] for event in events(told)}
    assert b"swordfish" not in told.trail.read_bytes()
    assert os.stat(told.trail).st_mode & 0o077 == 0


def test_a_trail_that_was_cut_off_or_lost_is_written_on(told):
    whole = told.trail.read_bytes()
    told.trail.write_bytes(whole[:-17])
    assert told.json("audit", "mirror") == {"told": 1}
    assert told.trail.read_bytes() == whole
    told.trail.unlink()
    told("secret", "put", "hub/token", stdin="swordfish-7")
    check_equals_the_ledger(told)
    assert told.json("audit", "mirror") == {"told": 0}


def test_a_trail_that_cannot_be_written_stops_no_command_and_is_made_good(told):
    held = told.trail.with_suffix(".held")
    told.trail.rename(held)
    told.trail.mkdir()
    told("secret", "put", "hub/token", stdin="swordfish-7")
    told.trail.rmdir()
    held.rename(told.trail)
    told("secret", "put", "hub/other", stdin="swordfish-8")
    check_equals_the_ledger(told)


def test_a_trail_that_knows_more_than_the_ledger_is_tampering(told):
    last = events(told)[-1]
    last["metadata"]["sequence"] += 1
    with open(told.trail, "a") as trail:
        trail.write(json.dumps(last, sort_keys=True, separators=(",", ":")) + "\n")
    problems = told.json("audit", "verify", expect=4)["problems"]
    assert [problem["kind"] for problem in problems] == ["trail"]
    told("audit", "mirror", expect=4)


def test_a_trail_that_is_held_up_holds_up_no_alarm(tiny_hub, tmp_path):
    """Somebody tells it to a receiver that hangs: the endpoint looks on all the same, and makes good what it could not tell."""
    redoubt = deploy_tiny(tmp_path, tiny_hub, watch={"interval_s": 1}, providers={"audit": {"file": {"path": str(tmp_path / "audit.jsonl")}}})
    redoubt.trail = tmp_path / "audit.jsonl"
    try:
        with open(redoubt.workspace / "audit.lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            time.sleep(3)  # looks
            for _ in range(8):
                assert Endpoint(redoubt).chat("a", key="rdt_" + "0" * 12 + "_wrong")[0] == 401
            state = lambda: {one["name"]: one["state"] for one in redoubt.json("alarm", "list", "--environment", "dev")}["UnauthorizedAttempts"]
            until(lambda: state() == "ALARM")
        ledger = lambda: len(redoubt("audit", "export").stdout.splitlines())
        until(lambda: len(events(redoubt)) == ledger())
        assert "alarm" in {event["activity_name"] for event in events(redoubt)}
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")
    check_equals_the_ledger(redoubt)


def test_an_endpoint_tells_the_trail_by_the_passphrase_that_it_was_told_once(tiny_hub, tmp_path):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase for the keys\n")
    redoubt = deploy_tiny(tmp_path, tiny_hub, options=["--passphrase-file", passphrase], watch={"interval_s": 1},
                          providers={"audit": {"file": {"path": str(tmp_path / "audit.jsonl")}}})
    redoubt.trail = tmp_path / "audit.jsonl"
    redoubt("endpoint", "stop", "--environment", "dev")
    told = len(events(redoubt))
    process = subprocess.Popen(Redoubt(tmp_path).command("endpoint", "run", "--environment", "dev"), env=redoubt.environment, stdin=subprocess.PIPE, cwd=tmp_path)
    try:
        process.stdin.write(passphrase.read_bytes())
        process.stdin.close()
        until(lambda: redoubt.json("endpoint", "status", "--environment", "dev")["state"] == "serving")
        assert Endpoint(redoubt).chat("a", key="rdt_" + "0" * 12 + "_wrong")[0] == 401
        until(lambda: len(events(redoubt)) > told, seconds=30)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    check_equals_the_ledger(redoubt)
