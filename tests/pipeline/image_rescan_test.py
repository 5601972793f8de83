# SPDX-License-Identifier: Apache-2.0
"""`redoubt monitor run` scans the deployed image again when that is due, and what is grave and new is told by an alarm, an incident and the
ledger."""
import json

import pytest

from conftest import deploy_tiny
from watch_test import Feed


@pytest.fixture(scope="module")
def stopped(tiny_hub, tmp_path_factory):
    """Deployed and stopped, so that no process of the endpoint watches."""
    folder = tmp_path_factory.mktemp("rescan")
    feed = Feed(folder / "advisories")
    redoubt = deploy_tiny(folder, tiny_hub, image={"osv": [str(feed.folder)]}, watch={"rescan_hours": 24})
    redoubt("endpoint", "stop", "--environment", "dev")
    redoubt.feed = feed
    return redoubt


def monitor(redoubt, *more, expect):
    return json.loads(redoubt("--json", "monitor", "run", "--environment", "dev", "--image-only", *more, expect=expect).stdout)["image"]


def alarm_of(redoubt):
    return next(a for a in redoubt.json("alarm", "list", "--environment", "dev") if a["name"] == "CriticalVulnerabilities")["state"]


def test_a_new_critical_finding_of_the_deployed_image_raises_an_alarm(stopped):
    redoubt = stopped
    first = monitor(redoubt, "--scan-now", expect=0)
    assert first["due"] and first["new"] == [] and first["grave"] == 0
    assert not monitor(redoubt, expect=0)["due"]  # not older than a day
    redoubt.feed.write("TEST-0001", "glibc")
    found = monitor(redoubt, "--scan-now", expect=3)
    assert found["grave"] > 0 and any(name.startswith("TEST-0001 in libc6") for name in found["new"])
    assert alarm_of(redoubt) == "ALARM"
    [incident] = [i for i in redoubt.json("incident", "list", "--environment", "dev") if i["alarm"] == "CriticalVulnerabilities"]
    assert incident["state"] == "open"
    recorded = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "scan", "--limit", "10")]
    assert any(entry["new"] for entry in recorded)
    # Known by now, and still an alarm.
    again = monitor(redoubt, "--scan-now", expect=3)
    assert again["new"] == [] and again["grave"] == found["grave"]
    redoubt.feed.remove("TEST-0001")
    assert monitor(redoubt, "--scan-now", expect=0)["grave"] == 0
    assert alarm_of(redoubt) == "OK"
    assert redoubt.json("audit", "verify")["ok"]
