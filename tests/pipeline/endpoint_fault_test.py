# SPDX-License-Identifier: Apache-2.0
"""An endpoint whose port is taken, whose workers are killed or hang, and which is killed itself."""
import concurrent.futures
import json
import os
import signal
import socket
import subprocess

import pytest

from conftest import TOKEN, Endpoint, Redoubt, deploy_tiny, free_port, until, workers_of, write_pipeline


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    redoubt = deploy_tiny(tmp_path_factory.mktemp("faults"), tiny_hub, watch={"interval_s": 1})
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


def worker_incidents(redoubt):
    return [one for one in redoubt.json("incident", "list", "--environment", "dev") if one["alarm"] == "WorkerFailures"]


def test_a_worker_killed_under_a_stream_is_replaced_and_an_incident(deployed):
    endpoint = Endpoint(deployed)
    [worker] = workers_of(deployed)
    stream = endpoint.stream("Count.", max_tokens=400)
    next(stream)
    worker.kill(signal.SIGKILL)
    events = list(stream)
    assert events[-1]["error"]["type"] == "server_error", events[-1]
    until(lambda: endpoint.chat("a")[0] == 200)
    assert workers_of(deployed)[0].pid != worker.pid
    until(lambda: worker_incidents(deployed) and worker_incidents(deployed)[-1]["state"] == "closed")
    assert "WorkerFailures" in [entry["result"]["name"] for entry in deployed.json("audit", "query", "--step", "alarm")]


def test_a_request_of_which_nothing_was_sent_survives_its_worker(deployed):
    endpoint = Endpoint(deployed)
    until(lambda: endpoint.chat("a")[0] == 200)
    [worker] = workers_of(deployed)
    worker.kill(signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(endpoint.chat, "a")
        until(lambda: endpoint.post("/health", None)[1]["running"] == 1)
        worker.kill(signal.SIGKILL)
        assert answer.result()[0] == 200


def test_a_worker_that_hangs_is_replaced(deployed):
    endpoint = Endpoint(deployed)
    until(lambda: endpoint.chat("a")[0] == 200)
    [worker] = workers_of(deployed)
    worker.kill(signal.SIGSTOP)
    until(worker.is_gone)
    until(lambda: endpoint.chat("a")[0] == 200)


def test_an_endpoint_that_is_killed_says_so_and_starts_again(deployed):
    endpoint = Endpoint(deployed)
    workers = workers_of(deployed)
    os.kill(endpoint.status["pid"], signal.SIGKILL)
    status = until(lambda: not (now := deployed.json("endpoint", "status", "--environment", "dev"))["running"] and now)
    assert status["state"] == "stopped" and "without being told" in status["error"], status
    until(lambda: all(worker.is_gone() for worker in workers))
    assert deployed.json("audit", "verify")["ok"]
    deployed("endpoint", "start", "--environment", "dev")
    again = Endpoint(deployed)
    assert again.status["pid"] != endpoint.status["pid"] and again.status["error"] == "" and again.chat("a")[0] == 200
    workers = workers_of(deployed)
    deployed("endpoint", "stop", "--environment", "dev")
    status = deployed.json("endpoint", "status", "--environment", "dev")
    assert not status["running"] and status["state"] == "stopped" and status["error"] == ""
    until(lambda: all(worker.is_gone() for worker in workers))
    deployed("endpoint", "stop", "--environment", "dev")
    deployed("endpoint", "start", "--environment", "dev")


def test_stopping_lets_a_stream_end(deployed):
    endpoint = Endpoint(deployed)
    stream = endpoint.stream("Count.", max_tokens=300)
    next(stream)
    deployed("endpoint", "stop", "--environment", "dev")
    assert list(stream)[-1] == {"done": True}
    deployed("endpoint", "start", "--environment", "dev")


def test_a_port_in_use_is_named_and_nothing_is_lost(tiny_hub, tmp_path):
    redoubt, port = Redoubt(tmp_path), free_port()
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub, deploy={"port": port, "environment": "dev"})
    redoubt("run", pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "fine", identity="reviewer")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        failed = redoubt("run", pipeline, expect=1).stderr
        assert "in use" in failed and str(port) in failed, failed
        assert "in use" in redoubt("endpoint", "start", "--environment", "dev", expect=1).stderr
        status = redoubt.json("endpoint", "status", "--environment", "dev")
        assert not status["running"] and status["state"] == "failed" and "in use" in status["error"]
        assert redoubt.json("audit", "verify")["ok"]
    redoubt("run", pipeline)
    redoubt.key = redoubt.json("key", "create", "--name", "test", "--environment", "dev")["key"]
    endpoint = Endpoint(redoubt)
    assert endpoint.url.endswith(f":{port}") and endpoint.chat("a")[0] == 200
    redoubt("endpoint", "stop", "--environment", "dev")


def test_a_process_that_begins_is_not_taken_for_the_one_before(tmp_path):
    """Whoever has that one's number by now would get its signals."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase for the keys\n")
    redoubt = Redoubt(tmp_path, options=["--passphrase-file", passphrase])
    redoubt("init")
    before = {"pid": 1, "state": "serving", "looks_begun": 0, "looks_done": 0, **dict.fromkeys(["url", "ca_file", "model", "version", "deployment", "error", "started"], "")}
    (redoubt.workspace / "endpoint-dev.json").write_text(json.dumps(before))
    process = subprocess.Popen(Redoubt(tmp_path).command("endpoint", "run", "--environment", "dev"), env=redoubt.environment, stdin=subprocess.PIPE, cwd=tmp_path)
    try:  # it waits for its passphrase
        status = until(lambda: (now := redoubt.json("endpoint", "status", "--environment", "dev"))["running"] and now)
        assert (status["pid"], status["state"]) == (process.pid, "starting")
    finally:
        process.kill()
        process.wait()


def test_who_was_added_while_an_endpoint_serves_is_heard_by_it(tiny_hub, tmp_path):
    redoubt = deploy_tiny(tmp_path, tiny_hub)
    try:
        endpoint = Endpoint(redoubt)
        redoubt("identity", "add", "second", "--role", "reviewer", identity="admin")
        redoubt("registry", "revoke", "tiny/0.1.0", "--reason", "it was wrong", identity="second")
        assert redoubt.json("endpoint", "status", "--environment", "dev")["state"] == "revoked"
        assert endpoint.chat("a")[0] in (404, 503)
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")
    assert redoubt.json("audit", "verify")["ok"]
