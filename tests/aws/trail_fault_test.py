# SPDX-License-Identifier: Apache-2.0
"""The audit trail when CloudWatch Logs fails at any of its calls: no command fails for it, and no entry is missing or out of order
once it is back."""
import json

import pytest

from conftest import Redoubt

CALLS = ["GetLogEvents", "CreateLogGroup", "DescribeLogGroups", "PutRetentionPolicy", "CreateLogStream", "PutLogEvents"]
KINDS = ["throttling", "reset_before", "reset_after", "truncated", "access_denied"]


def told(aws):
    logs = aws.client("logs")
    [stream] = logs.describe_log_streams(logGroupName="/redoubt/audit")["logStreams"]
    events = logs.get_log_events(logGroupName="/redoubt/audit", logStreamName=stream["logStreamName"], startFromHead=True, limit=10000)["events"]
    return [json.loads(event["message"]) for event in events]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_call_loses_no_entry(aws, judge, tmp_path, kind):
    redoubt = Redoubt(tmp_path)
    redoubt.environment.update(judge.environment)
    (tmp_path / "providers.yaml").write_text(json.dumps({"version": 1, "providers": {"aws": {"attempts_max": 1}, "audit": {"cloudwatch": {}}}}))
    for operation in CALLS[1:]:
        judge.inject("logs", operation, kind)
    judge.inject("logs", "GetLogEvents", kind, times=2)
    redoubt("init", "--providers", tmp_path / "providers.yaml")
    for number in range(len(CALLS) + 2):
        redoubt("secret", "put", f"name{number}", stdin="swordfish")
    assert all(fault.times == 0 for fault in judge.faults)
    redoubt("audit", "mirror")

    ledger = [json.loads(line) for line in redoubt("audit", "export").stdout.splitlines()]
    sequence = [event["metadata"]["sequence"] for event in told(aws)]
    # What came again came with all that followed it.
    assert set(sequence) == set(range(len(ledger)))
    assert all(after <= before + 1 for before, after in zip(sequence, sequence[1:])) and sequence[-1] == len(ledger) - 1
    assert aws.client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 90
    assert judge.violations == []
