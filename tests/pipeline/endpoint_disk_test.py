# SPDX-License-Identifier: Apache-2.0
"""The disk below a serving endpoint is full for a while: it answers and refuses as before, and what it could not write down meanwhile is written
once there is room, or counted."""
import json
import os
import re
import subprocess
import time

import pytest

from conftest import Endpoint, deploy_tiny, until
from capture_test import DEV, batches, exported, metrics

class Disk:
    """A file system in memory, which is full where its size is what lies on it."""

    def __init__(self, folder):
        self.folder = folder
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g,mode=0755", "none", folder], capture_output=True).returncode != 0:
            pytest.skip("only root may mount")

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def fill(self):
        now = os.statvfs(self.folder)
        self.resize((now.f_blocks - now.f_bfree) * now.f_frsize)
        assert os.statvfs(self.folder).f_bavail == 0

    def free(self):
        self.resize("4g")


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    disk = Disk(folder)
    redoubt = deploy_tiny(folder, tiny_hub, watch={"interval_s": 1, "latency_p99_ms_max": 600000},
                          deploy={"port": 0, "environment": "dev", "names": ["localhost"], "telemetry": {"access_log": {"file": "access.log"}}, "capture": {"share": 1}})
    redoubt.disk = disk
    yield redoubt
    redoubt("endpoint", "stop", *DEV)
    subprocess.run(["umount", "--lazy", folder], check=True)


def refused(redoubt):
    """How often the ledger says that somebody was refused."""
    return sum(one["count"] for entry in redoubt.json("audit", "query", "--step", "refusal", "--limit", "1000") for one in entry["result"]["refused"])


def lost(redoubt):
    key = redoubt.json("key", "create", "--name", "metrics", "--scope", "metrics", *DEV)["key"]
    with Endpoint(redoubt).open("/metrics", key=key) as answer:
        found = re.search(r'^redoubt_telemetry_lost_total{what="access_log"} (\d+)$', answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def chats(log):
    return sum(json.loads(line)["route"] == "/v1/chat/completions" for line in log.read_text().splitlines())


def test_a_full_disk_keeps_nobody_from_an_answer_and_hides_nothing(deployed):
    endpoint = Endpoint(deployed)
    assert endpoint.chat("How do I list a1?")[0] == 200
    until(lambda: metrics(deployed)["redoubt_captures_total"] == 1)

    deployed.disk.fill()
    for number in range(8):
        assert endpoint.chat(f"How do I list b{number}?")[0] == 200
        assert endpoint.chat("Who am I?", key="rdt_nobody")[0] == 401
    time.sleep(8)  # several looks at what was refused, and the time after which captures are stored
    assert endpoint.chat("How do I list c1?")[0] == 200
    assert deployed.json("endpoint", "status", *DEV)["running"]

    deployed.disk.free()
    until(lambda: refused(deployed) == 8)
    assert endpoint.chat("How do I list d1?")[0] == 200
    until(lambda: (told := metrics(deployed))["redoubt_captures_total"] + told["redoubt_captures_dropped_total"] == 11)
    kept = metrics(deployed)["redoubt_captures_total"]
    until(lambda: sum(batch["records"] for batch in batches(deployed)) == kept)
    assert len(exported(deployed, "all.jsonl")) == kept

    # Each request has its line, or is counted as lost.
    log = deployed.workspace / "logs/access.log"
    until(lambda: chats(log) + lost(deployed) >= 19)
    assert deployed.json("audit", "verify")["ok"]
