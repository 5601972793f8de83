# SPDX-License-Identifier: Apache-2.0
"""Every alarm raised for real over a deployed model, and seen by all who are told of it: a webhook over HTTPS, `alarm list`,
`incident list` and the ledger; and back to OK."""
import concurrent.futures
import datetime
import hashlib
import hmac
import http.server
import json
import os
import signal
import ssl
import threading

import pytest

from conftest import Endpoint, deploy_tiny, make_certificate, until, workers_of
from two_versions import ask_all, strange_prompts, usual_prompts

KEY = "a signing key of the test"


class Receiver:
    """An HTTPS server that keeps what is posted to it, or refuses it for a while."""

    def __init__(self, folder):
        folder.mkdir()
        self.certificate, key = make_certificate(folder)
        self.received, self.refusing, receiver = [], False, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not receiver.refusing:
                    expected = "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
                    signed = hmac.compare_digest(expected, self.headers.get("X-Redoubt-Signature", ""))
                    receiver.received.append({**json.loads(body), "signed": signed})
                self.send_response(503 if receiver.refusing else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/alarms"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, alarm):
        return [(told["state"], told["id"]) for told in self.received if told["name"] == alarm]


class Feed:
    """A folder of OSV records that the image's scan reads."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.write("TEST-0000", "no-such-package")

    def write(self, name, package):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        temporary = self.folder.parent / name
        temporary.write_text(json.dumps({
            "id": name, "modified": now, "published": now,
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"}],
            "affected": [{"package": {"ecosystem": "Debian:12", "name": package},
                          "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}))
        os.replace(temporary, self.folder / f"{name}.json")

    def remove(self, name):
        (self.folder / f"{name}.json").unlink()


@pytest.fixture(scope="module")
def watched(tiny_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    receiver, feed = Receiver(folder / "receiver"), Feed(folder / "advisories")
    redoubt = deploy_tiny(folder, tiny_hub, secrets={"webhook/key": KEY}, image={"osv": [str(feed.folder)]},
                          watch={"webhook": receiver.url, "webhook_ca_file": str(receiver.certificate), "webhook_secret": "webhook/key",
                                 "interval_s": 1, "rescan_hours": 0.0003})
    redoubt.receiver, redoubt.feed = receiver, feed
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")
    receiver.server.shutdown()


def listed(redoubt, command, alarm, name):
    return [entry for entry in redoubt.json(command, "list", "--environment", "dev") if entry[name] == alarm]


def recorded(redoubt, alarm):
    """The ledger's entries of an alarm, oldest first."""
    entries = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "alarm", "--limit", "10000")]
    return [(entry["state"], entry["id"]) for entry in reversed(entries) if entry["name"] == alarm]


def state_of(redoubt, alarm):
    return listed(redoubt, "alarm", alarm, "name")[0]["state"]


def wait_for(redoubt, alarm, state):
    until(lambda: (listed(redoubt, "alarm", alarm, "name") or [{"state": ""}])[0]["state"] == state)
    until(lambda: redoubt.receiver.of(alarm) and redoubt.receiver.of(alarm)[-1][0] == state)
    assert recorded(redoubt, alarm)[-1] == redoubt.receiver.of(alarm)[-1]


def seen_by_all(redoubt, alarm, first="ALARM"):
    """Raised and over: one incident, opened and closed, and the same changes in the same order for everybody."""
    changes = recorded(redoubt, alarm)
    assert [state for state, _ in changes[-2:]] == [first, "OK"], changes
    assert redoubt.receiver.of(alarm) == changes
    incident = listed(redoubt, "incident", alarm, "alarm")[-1]
    assert incident["state"] == "closed" and incident["closed"] >= incident["opened"] and incident["id"] == changes[-2][1]


def raise_unauthorized(redoubt, endpoint):
    for _ in range(8):
        assert endpoint.chat("a", key="rdt_" + "0" * 12 + "_wrong")[0] == 401
    wait_for(redoubt, "UnauthorizedAttempts", "ALARM")


def raise_errors(redoubt, endpoint):
    """The worker is killed under streams that have begun, until more than ten of them have broken."""
    broken = 0
    for _ in range(15):
        workers = until(lambda: endpoint.chat("How do I copy a1?")[0] == 200 and workers_of(redoubt))
        streams = [endpoint.stream("Count.", max_tokens=400) for _ in range(2)]
        started = [next(stream) for stream in streams]
        for worker in workers:
            worker.kill(signal.SIGKILL)
        broken += sum("error" in list(stream)[-1] for stream in streams)
        if broken > 11:
            break
    assert broken > 11
    wait_for(redoubt, "InvocationErrors", "ALARM")
    wait_for(redoubt, "WorkerFailures", "OK")


def raise_latency(redoubt, endpoint):
    """A worker that stands still for longer than the limit, as one that swaps."""
    [worker] = until(lambda: endpoint.chat("How do I copy a1?")[0] == 200 and workers_of(redoubt))
    worker.kill(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(endpoint.chat, "How do I copy a1?")
            assert not concurrent.futures.wait([answer], timeout=2).done
            worker.kill(signal.SIGCONT)
            assert answer.result()[0] == 200
    finally:
        worker.kill(signal.SIGCONT)
    wait_for(redoubt, "LatencyP99", "ALARM")


def ask_until(redoubt, endpoint, prompts, state):
    """Asks on until the alarm has the state: a look on a slow machine takes whatever was asked since the last one as one window,
    so no fixed number of prompts fills a window that holds none of an earlier kind."""
    def asked():
        ask_all(endpoint, prompts)
        return state_of(redoubt, "DataDrift") == state

    until(asked)
    wait_for(redoubt, "DataDrift", state)


def test_every_alarm_is_raised_told_and_over(watched):
    redoubt, endpoint = watched, Endpoint(watched)
    raise_unauthorized(redoubt, endpoint)
    raise_errors(redoubt, endpoint)
    raise_latency(redoubt, endpoint)

    redoubt.feed.write("TEST-0001", "glibc")
    wait_for(redoubt, "CriticalVulnerabilities", "ALARM")
    redoubt.feed.remove("TEST-0001")
    wait_for(redoubt, "CriticalVulnerabilities", "OK")
    seen_by_all(redoubt, "CriticalVulnerabilities")

    ask_until(redoubt, endpoint, strange_prompts(210), "ALARM")
    ask_until(redoubt, endpoint, usual_prompts(210), "OK")
    seen_by_all(redoubt, "DataDrift")

    for alarm in ("UnauthorizedAttempts", "InvocationErrors", "LatencyP99", "WorkerFailures"):
        wait_for(redoubt, alarm, "OK")
        seen_by_all(redoubt, alarm)
    assert all(told["signed"] and told["version"] == 1 and told["environment"] == "dev" for told in redoubt.receiver.received)
    assert all(alarm["state"] == "OK" for alarm in redoubt.json("alarm", "list", "--environment", "dev"))
    assert redoubt.json("audit", "verify")["ok"]


def test_advisories_that_cannot_be_read_are_no_all_clear(watched):
    redoubt = watched
    until(lambda: state_of(redoubt, "CriticalVulnerabilities") == "OK")
    away = redoubt.feed.folder.with_name("away")
    redoubt.feed.folder.rename(away)
    wait_for(redoubt, "CriticalVulnerabilities", "INSUFFICIENT_DATA")
    [incident] = [one for one in listed(redoubt, "incident", "CriticalVulnerabilities", "alarm") if one["state"] == "open"]
    assert incident["alarm_state"] == "INSUFFICIENT_DATA" and incident["value"] is None
    away.rename(redoubt.feed.folder)
    wait_for(redoubt, "CriticalVulnerabilities", "OK")
    seen_by_all(redoubt, "CriticalVulnerabilities", first="INSUFFICIENT_DATA")


def test_a_webhook_that_is_down_loses_nothing(watched):
    redoubt, endpoint = watched, Endpoint(watched)
    redoubt.receiver.refusing = True
    before = redoubt.receiver.of("CriticalVulnerabilities")
    redoubt.feed.write("TEST-0002", "glibc")
    until(lambda: state_of(redoubt, "CriticalVulnerabilities") == "ALARM")
    redoubt.feed.remove("TEST-0002")
    until(lambda: state_of(redoubt, "CriticalVulnerabilities") == "OK")
    until(lambda: recorded(redoubt, "CriticalVulnerabilities")[-1][0] == "OK")
    assert redoubt.receiver.of("CriticalVulnerabilities") == before
    # Not even when the endpoint is killed meanwhile.
    os.kill(endpoint.status["pid"], signal.SIGKILL)
    until(lambda: not redoubt.json("endpoint", "status", "--environment", "dev")["running"])
    redoubt.receiver.refusing = False
    redoubt("endpoint", "start", "--environment", "dev")
    until(lambda: redoubt.receiver.of("CriticalVulnerabilities") == recorded(redoubt, "CriticalVulnerabilities"))
    seen_by_all(redoubt, "CriticalVulnerabilities")


def test_an_endpoint_whose_signing_key_is_not_there_does_not_start(watched):
    redoubt = watched
    redoubt("endpoint", "stop", "--environment", "dev")
    redoubt("secret", "delete", "webhook/key")
    assert "webhook/key" in redoubt("endpoint", "start", "--environment", "dev", expect=1).stderr
    redoubt("secret", "put", "webhook/key", stdin=KEY)
    redoubt("endpoint", "start", "--environment", "dev")
