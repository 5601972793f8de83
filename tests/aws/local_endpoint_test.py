# SPDX-License-Identifier: Apache-2.0
"""An endpoint on this machine whose alarms and audit trail are in CloudWatch: what it sends there and hears from there, read and set by boto3."""
import pytest

from conftest import deploy_tiny, until


@pytest.fixture
def served(aws, tiny_hub, tmp_path, monkeypatch):
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    redoubt = deploy_tiny(tmp_path, tiny_hub, watch={"interval_s": 1}, providers={"alarms": {"cloudwatch": {}}, "audit": {"cloudwatch": {}}})
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


def told(redoubt, alarm):
    """What the ledger says of an alarm, oldest first."""
    entries = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "alarm", "--limit", "1000")]
    return [entry["state"] for entry in reversed(entries) if entry["name"] == alarm]


def test_what_cloudwatch_says_of_an_alarm_is_the_endpoint_s(aws, served):
    cloudwatch = aws.client("cloudwatch")
    names = until(lambda: [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]])
    [name] = [name for name in names if name.endswith("-dev-UnauthorizedAttempts")]
    until(lambda: {"InvocationErrors", "UnauthorizedAttempts", "WorkerFailures"} <= {metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="Redoubt")["Metrics"]})
    for state, incident in (("ALARM", "open"), ("OK", "closed")):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="the test says so")
        until(lambda: told(served, "UnauthorizedAttempts")[-1:] == [state])
        assert {one["name"]: one["state"] for one in served.json("alarm", "list", "--environment", "dev")}["UnauthorizedAttempts"] == state
        until(lambda: [one["state"] for one in served.json("incident", "list", "--environment", "dev") if one["alarm"] == "UnauthorizedAttempts"] == [incident])
    logs = aws.client("logs")

    def trail():
        [stream] = logs.describe_log_streams(logGroupName="/redoubt/audit")["logStreams"]
        return logs.get_log_events(logGroupName="/redoubt/audit", logStreamName=stream["logStreamName"], startFromHead=True, limit=10000)["events"]

    until(lambda: len(trail()) == len(served("audit", "export").stdout.splitlines()))
    assert served.json("audit", "verify")["ok"]
