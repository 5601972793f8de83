# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set while the endpoint serves, and its certificate expires. libfaketime moves the date that the endpoint's process
sees; the time that passes, the workers and the clients here keep theirs."""
import calendar
import http.client
import json
import os
import pathlib
import re
import time

import pytest

from conftest import deploy_tiny, until
from endpoint_certificate_test import Authority, Owned

DAY = 24 * 3600


class MachineClock:
    def __init__(self, folder):
        [library] = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.file = folder / "clock"
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1", "DONT_FAKE_MONOTONIC": "1",
                            "NO_FAKE_STAT": "1"}

    def set(self, seconds):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        os.replace(fresh, self.file)


class Kept:
    """One connection to the endpoint that is never opened anew."""

    def __init__(self, endpoint):
        self.key = endpoint.key
        self.connection = http.client.HTTPSConnection("localhost", int(endpoint.url.rpartition(":")[2]), context=endpoint.context, timeout=120)
        self.connection.connect()
        self.socket = self.connection.sock

    def status(self):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"})
        with self.connection.getresponse() as answer:
            answer.read()
            assert self.connection.sock is self.socket
            return answer.status


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    """Its certificate is its owner's, and lives for ten days."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.put(0, 10)
    access = {"certificate_file": str(authority.certificate_file), "key_file": str(authority.key_file)}
    redoubt = deploy_tiny(tmp_path_factory.mktemp("clock"), tiny_hub, watch={"interval_s": 1, "latency_p99_ms_max": 600000},
                          deploy={"port": 0, "environment": "dev", "names": ["localhost"], "access": access})
    redoubt.authority = authority
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


@pytest.fixture
def clock(deployed, tmp_path):
    """The endpoint serves anew, by a clock that the test sets."""
    deployed("endpoint", "stop", "--environment", "dev")
    deployed.authority.put(0, 10)
    clock = MachineClock(tmp_path)
    own, deployed.environment = deployed.environment, {**deployed.environment, **clock.environment}
    deployed("endpoint", "start", "--environment", "dev")
    deployed.environment = own
    return clock


def key_of(redoubt, name, *options):
    return redoubt.json("key", "create", "--name", name, "--environment", "dev", *options)["key"]


def owned(redoubt, key=None):
    endpoint = Owned(redoubt, key)
    endpoint.authority_file = redoubt.authority.ca_file
    return endpoint


def alarm(redoubt, name):
    return {one["name"]: one for one in redoubt.json("alarm", "list", "--environment", "dev")}[name]


def date_of(endpoint):
    """Seconds between its clock and ours."""
    with endpoint.open("/live") as answer:
        return calendar.timegm(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.time()


def set_to(clock, endpoint, seconds):
    clock.set(seconds)
    until(lambda: abs(date_of(endpoint) - seconds) < 600)


def test_a_clock_that_is_set_cuts_nobody_off_and_lifts_no_limit(deployed, clock):
    endpoint, kept = owned(deployed), Kept(owned(deployed))
    minute = owned(deployed, key_of(deployed, "minute", "--requests-per-minute", "1"))
    day = owned(deployed, key_of(deployed, "day", "--limit", "requests_per_day=1"))
    ends = owned(deployed, key_of(deployed, "ends", "--days", "1"))
    assert kept.status() == minute.chat("a")[0] == day.chat("a")[0] == ends.chat("a")[0] == 200
    assert minute.chat("a")[0] == day.chat("a")[0] == 429
    begun = time.monotonic()
    stream = endpoint.stream("Count.", max_tokens=400)
    next(stream)
    set_to(clock, endpoint, 2 * DAY)
    minute_after = minute.chat("a")[0]
    assert minute_after == 429 or time.monotonic() - begun > 60
    assert ends.chat("a")[0] == 401, "its day is over"
    assert day.chat("a")[0] == 200, "it is another day"
    assert day.chat("a")[0] == 429
    assert kept.status() == 200
    assert list(stream)[-1] == {"done": True}

    until(lambda: deployed.json("audit", "query", "--step", "refusal"))  # dated two days from now
    stream = endpoint.stream("Count.", max_tokens=400)
    next(stream)
    set_to(clock, endpoint, -3600)
    assert ends.chat("a")[0] == 200, "it has an hour and a day again"
    assert day.chat("a")[0] == 429, "what was used stays used"
    assert kept.status() == 200
    assert list(stream)[-1] == {"done": True}
    for _ in range(3):
        assert endpoint.chat("a", key="rdt_" + "0" * 12 + "_wrong")[0] == 401
    until(lambda: deployed.json("audit", "verify")["clock_set_back"])
    report = deployed.json("audit", "verify")
    assert report["ok"] and all(one["finished"] < one["before"] for one in report["clock_set_back"]), report
    for name in ("LatencyP99", "WorkerFailures", "InvocationErrors"):
        assert alarm(deployed, name)["state"] == "OK", name
    with endpoint.open("/metrics", key=key_of(deployed, "metrics", "--scope", "metrics")) as answer:
        metrics = answer.read().decode()
    total = float(re.search(r"^vllm:e2e_request_latency_seconds_sum\S* (.+)$", metrics, re.MULTILINE)[1])
    assert 0 < total < 3600, "no answer took a day, or less than no time"


def test_a_certificate_that_expires_while_it_serves_is_told_of_and_renewed_without_a_drop(deployed, clock):
    endpoint, kept = owned(deployed), Kept(owned(deployed))
    serial = endpoint.serial()
    until(lambda: alarm(deployed, "CertificateExpiry")["state"] == "OK")
    set_to(clock, endpoint, 9 * DAY)
    until(lambda: alarm(deployed, "CertificateExpiry")["state"] == "ALARM")
    assert endpoint.chat("a")[0] == kept.status() == 200
    set_to(clock, endpoint, 11 * DAY)
    until(lambda: alarm(deployed, "CertificateExpiry")["value"] > 1)
    until(lambda: "the endpoint's certificate has expired" in (deployed.workspace / "endpoint-dev.log").read_text())
    assert endpoint.serial() == serial and endpoint.chat("a")[0] == kept.status() == 200
    with endpoint.open("/metrics", key=key_of(deployed, "scrape", "--scope", "metrics")) as answer:
        metrics = answer.read().decode()
    ends = int(re.search(r"^redoubt_certificate_expiry_timestamp_seconds (\d+)$", metrics, re.MULTILINE)[1])
    assert ends < time.time() + 11 * DAY

    stream = endpoint.stream("Count.", max_tokens=300)
    next(stream)
    # The chain comes before its key: what does not fit together is not taken, and is once it does.
    key_file = deployed.authority.key_file
    deployed.authority.key_file = key_file.with_name("later.pem")
    renewed = deployed.authority.put(0, 29)
    until(lambda: "can't be renewed" in (deployed.workspace / "endpoint-dev.log").read_text().rpartition("has expired")[2])
    assert endpoint.serial() == serial
    os.replace(deployed.authority.key_file, key_file)
    deployed.authority.key_file = key_file
    until(lambda: endpoint.serial() == renewed)
    until(lambda: alarm(deployed, "CertificateExpiry")["state"] == "OK")
    assert endpoint.chat("a")[0] == kept.status() == 200
    assert list(stream)[-1] == {"done": True}
    told = [entry["result"]["state"] for entry in reversed(deployed.json("audit", "query", "--step", "alarm", "--limit", "1000")) if entry["result"]["name"] == "CertificateExpiry"]
    assert told == ["ALARM", "OK"]
