# SPDX-License-Identifier: Apache-2.0
"""What an endpoint was asked and answered: how much of it is kept, for how long, who reads it and what the ledger tells of that. libfaketime moves
the date that the endpoint's process sees."""
import json
import os
import re
import stat
import subprocess

import pytest

from conftest import Endpoint, deploy_tiny, until
from endpoint_certificate_test import Authority, Owned
from endpoint_clock_test import DAY, MachineClock

HELD = {"input": {"personal": "redact"}, "output": {"personal": "redact"}}
DEV = ("--environment", "dev")


def batches(redoubt, **options):
    return redoubt.json("capture", "list", *DEV, **options)


def exported(redoubt, name, *options):
    redoubt("capture", "export", *DEV, "--out", name, *options)
    return [json.loads(line) for line in (redoubt.folder / name).read_text().splitlines()]


def asked(lines):
    return [json.loads(line["captureData"]["endpointInput"]["data"])["messages"][-1]["content"] for line in lines]


def events(redoubt, step):
    return redoubt.json("audit", "query", "--step", step, "--limit", "1000")


def metrics(redoubt):
    key = redoubt.json("key", "create", "--name", "metrics", "--scope", "metrics", *DEV)["key"]
    with endpoint_of(redoubt).open("/metrics", key=key) as answer:
        text = answer.read().decode()
    return {name: int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE)[1]) for name in
            ("redoubt_captures_total", "redoubt_captures_dropped_total", "redoubt_captures_unsampled_total")}


def endpoint_of(redoubt):
    return Owned(redoubt) if hasattr(redoubt, "authority") else Endpoint(redoubt)


def blob(redoubt, batch):
    return redoubt.workspace / "objects" / "blobs" / batch["digest"].removeprefix("sha256:")


def blobs(redoubt):
    return {path.name for path in (redoubt.workspace / "objects").rglob("*") if path.is_file() and path.parent.name == "blobs"}


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    """All is captured for three days, as the guards leave it. Its certificate is its owner's, so that it serves on another day too."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.put(0, 10)
    access = {"certificate_file": str(authority.certificate_file), "key_file": str(authority.key_file)}
    redoubt = deploy_tiny(tmp_path_factory.mktemp("capture"), tiny_hub, watch={"interval_s": 1, "latency_p99_ms_max": 600000},
                          deploy={"port": 0, "environment": "dev", "names": ["localhost"], "access": access, "guards": HELD, "capture": {"share": 1, "retention_days": 3}})
    redoubt.authority = authority
    yield redoubt
    redoubt("endpoint", "stop", *DEV)


def start(redoubt, clock=None):
    own = redoubt.environment
    redoubt.environment = {**own, **(clock.environment if clock else {})}
    redoubt("endpoint", "start", *DEV)
    redoubt.environment = own


def stop(redoubt):
    redoubt("endpoint", "stop", *DEV)


def test_an_export_is_what_was_answered_as_the_guards_left_it(deployed):
    endpoint = endpoint_of(deployed)
    ids = []
    for content in ("How do I list a1?", "Write to jane.doe@example.com please", "How do I sort b2?"):
        named = {"X-Amzn-SageMaker-Inference-Id": "order-17"} if "b2" in content else {}
        status, answer = endpoint.post("/endpoints/tiny/invocations", {"messages": [{"role": "user", "content": content}], "max_tokens": 8}, headers=named)
        assert status == 200
        ids.append(answer["id"])
    assert endpoint.post("/invocations", {"inputs": "a"}, headers={"X-Amzn-SageMaker-Inference-Id": "a" * 65})[0] == 400
    assert endpoint.post("/v1/chat/completions", {"model": "tiny"})[0] == 400, "what is not answered is not captured"
    until(lambda: sum(batch["records"] for batch in batches(deployed)) == 3)
    assert metrics(deployed) == {"redoubt_captures_total": 3, "redoubt_captures_dropped_total": 0, "redoubt_captures_unsampled_total": 0}

    before = len(events(deployed, "capture"))
    lines = exported(deployed, "all.jsonl")
    assert [line["eventMetadata"]["eventId"] for line in lines] == ids
    assert [line["eventMetadata"].get("inferenceId") for line in lines] == [None, None, "order-17"]
    texts = asked(lines)
    assert texts[0] == "How do I list a1?" and texts[2] == "How do I sort b2?"
    assert "jane" not in json.dumps(lines) and "example.com" not in json.dumps(lines) and texts[1].startswith("Write to ")
    assert stat.S_IMODE((deployed.folder / "all.jsonl").stat().st_mode) == 0o600
    event = events(deployed, "capture")[0]
    assert len(events(deployed, "capture")) == before + 1 and event["identity"] == "operator"
    assert event["result"] == {"action": "export", "environment": "dev", "records": 3, "bytes": (deployed.folder / "all.jsonl").stat().st_size, "since": None, "until": None}
    read = deployed.json("vault", "access-log")
    assert {entry["object"] for entry in read if entry["command"] == "capture export"} == {"blobs/" + batch["digest"].removeprefix("sha256:") for batch in batches(deployed)}

    # By the time of each record, the end left out; to standard output as well.
    times = [line["eventMetadata"]["inferenceTime"] for line in lines]
    assert exported(deployed, "second.jsonl", "--since", times[1], "--until", times[2]) == [lines[1]]
    assert exported(deployed, "none.jsonl", "--since", "2001-01-01", "--until", "2001-01-02") == []
    newest = events(deployed, "capture")[0]["result"]
    assert (newest["records"], newest["since"], newest["until"]) == (0, "2001-01-01T00:00:00.000Z", "2001-01-02T00:00:00.000Z")
    done = deployed("capture", "export", *DEV, "--out", "-", "--since", times[2])
    assert done.stdout == (deployed.folder / "all.jsonl").read_text().splitlines(keepends=True)[2]
    told = deployed.json("capture", "export", *DEV, "--out", "told.jsonl")
    assert told["records"] == 3 and told["by"] == "operator" and told["file"] == str(deployed.folder / "told.jsonl")
    assert deployed.json("audit", "verify")["ok"]


def test_who_may_not_run_pipelines_reads_nothing(deployed):
    deployed("identity", "add", "looker", "--role", "auditor", identity="admin")
    for identity in ("looker", "reviewer"):
        before = len(events(deployed, "capture"))
        refused = deployed("--json", "capture", "export", *DEV, "--out", "stolen.jsonl", identity=identity, expect=5)
        assert json.loads(refused.stdout)["error"]["code"] == "permission_denied"
        assert not (deployed.folder / "stolen.jsonl").exists() and len(events(deployed, "capture")) == before
        assert batches(deployed, identity=identity) == batches(deployed), "the list tells no word of what was asked"


@pytest.mark.parametrize("options, code, words", [
    (["--out", "taken.jsonl"], 1, ["the file is there already", "taken.jsonl"]), (["--out", "x", "--since", "yesterday"], 2, ["RFC 3339", "--since yesterday"]),
    (["--out", "x", "--since", "2026-01-02", "--until", "2026-01-01"], 2, ["ends before it begins"]), ([], 2, []), (["--out", "x", "--environment", "staging"], 1, ["nothing was deployed"]),
    (["--out", "x", "--environment", "../dev"], 2, ["../dev"]), (["--out", "no/such/folder/x"], 1, ["no/such/folder"])])
def test_what_is_asked_wrongly_is_refused_with_its_reason(deployed, options, code, words):
    (deployed.folder / "taken.jsonl").write_text("mine")
    refused = deployed("capture", "export", *([] if "--environment" in options else DEV), *options, expect=code)
    assert all(word in refused.stderr for word in words), refused.stderr
    assert (deployed.folder / "taken.jsonl").read_text() == "mine" and not (deployed.folder / "x").exists()


def test_what_is_over_is_gone_from_list_export_and_disk_and_the_ledger_says_so(deployed, tmp_path):
    clock = MachineClock(tmp_path)
    assert endpoint_of(deployed).chat("How do I print e5?")[0] == 200
    stop(deployed)  # which stores what waits
    old = batches(deployed)
    assert "How do I print e5?" in asked(exported(deployed, "old.jsonl")) and all(blob(deployed, batch).is_file() for batch in old)
    clock.set(2 * DAY)
    start(deployed, clock)
    assert endpoint_of(deployed).chat("How do I copy c3?")[0] == 200
    until(lambda: len(batches(deployed)) == len(old) + 1)
    [young] = [batch for batch in batches(deployed) if batch not in old]
    assert not [event for event in events(deployed, "vault") if "captures" in event["result"]], "two days are not three"
    stop(deployed)

    clock.set(3 * DAY + 3600)
    start(deployed, clock)
    until(lambda: batches(deployed) == [young])
    until(lambda: not any(blob(deployed, batch).exists() for batch in old))
    assert blob(deployed, young).is_file()
    for batch in old:
        assert not subprocess.run(["find", deployed.workspace, "-name", "*" + batch["digest"].removeprefix("sha256:") + "*"], capture_output=True, text=True, check=True).stdout
    [event] = [event for event in events(deployed, "vault") if "captures" in event["result"]]
    assert event["identity"] == "operator" and event["result"]["cause"] == "expire"
    assert event["result"]["captures"] == {"environment": "dev", "batches": len(old), "records": sum(batch["records"] for batch in old), "bytes": sum(batch["bytes"] for batch in old), "until": max(batch["stored"] for batch in old)}
    assert asked(exported(deployed, "young.jsonl")) == ["How do I copy c3?"]
    until(lambda: events(deployed, "vault")[0]["result"]["action"] == "finish")
    assert deployed.json("audit", "verify")["ok"]

    # An endpoint that does not run lets nothing go by itself; the vault's lifecycle does.
    stop(deployed)
    own, deployed.environment = deployed.environment, {**deployed.environment, **clock.environment}
    clock.set(5 * DAY + 2 * 3600)
    try:
        assert deployed.json("vault", "lifecycle", "run", "--dry-run")["captures"] == {"batches": 1, "bytes": young["bytes"]}
        assert batches(deployed) == [young]
        assert deployed.json("vault", "lifecycle", "run")["captures"] == {"batches": 1, "bytes": young["bytes"]}
        assert batches(deployed) == [] and not blob(deployed, young).exists()
        assert deployed.json("vault", "lifecycle", "run")["captures"] == {"batches": 0, "bytes": 0}
        assert deployed.json("audit", "verify")["ok"]
    finally:
        deployed.environment = own


@pytest.fixture(scope="module")
def unsampled(tiny_hub, tmp_path_factory):
    redoubt = deploy_tiny(tmp_path_factory.mktemp("unsampled"), tiny_hub, watch={"interval_s": 1, "latency_p99_ms_max": 600000},
                          deploy={"port": 0, "environment": "dev", "names": ["localhost"], "capture": {"share": 0, "retention_days": 30}})
    yield redoubt
    redoubt("endpoint", "stop", *DEV)


def test_a_share_of_nothing_captures_nothing(unsampled):
    before = blobs(unsampled)
    for _ in range(5):
        assert Endpoint(unsampled).chat("a")[0] == 200
    assert metrics(unsampled) == {"redoubt_captures_total": 0, "redoubt_captures_dropped_total": 0, "redoubt_captures_unsampled_total": 5}
    stop(unsampled)  # which stores what waits
    assert batches(unsampled) == [] and blobs(unsampled) == before
    assert exported(unsampled, "nothing.jsonl") == []
    start(unsampled)


@pytest.mark.parametrize("capture, words", [("{share: 2}", ["redoubt.yaml:", "deploy.capture.share", "the most allowed, 1"]), ("{retention_days: 0}", ["redoubt.yaml:", "deploy.capture.retention_days", "1"]),
                                            ("{shares: 1}", ["redoubt.yaml:", "did you mean 'share'?"]), ("often", ["redoubt.yaml:", "deploy.capture", "boolean or object"])])
def test_a_capture_that_is_none_names_file_field_and_cure(unsampled, capture, words):
    wrong = unsampled.pipeline.with_name("wrong.yaml")
    text = unsampled.pipeline.read_text()
    wrong.write_text(re.sub(r"^( +)capture:\n\1 +retention_days: \d+\n\1 +share: \d+$", rf"\1capture: {capture}", text, flags=re.MULTILINE))
    assert wrong.read_text() != text
    refused = unsampled("run", wrong, expect=2).stderr.replace("wrong.yaml", "redoubt.yaml")
    assert all(word in refused for word in words), refused


def test_a_process_that_is_killed_leaves_no_batch_that_nobody_lists(deployed):
    start(deployed)
    known, listed = blobs(deployed), {batch["digest"] for batch in batches(deployed)}
    for number in range(4):
        assert endpoint_of(deployed).chat(f"How do I move d{number}?")[0] == 200
    until(lambda: blobs(deployed) - known, every=0.005)  # the instant at which it is stored
    os.kill(deployed.json("endpoint", "status", *DEV)["pid"], 9)
    start(deployed)
    until(lambda: {blob(deployed, batch).name for batch in batches(deployed) if batch["digest"] not in listed} == blobs(deployed) - known)
    kept = [content for content in asked(exported(deployed, "after.jsonl")) if content.startswith("How do I move d")]
    assert kept and kept == [f"How do I move d{number}?" for number in range(len(kept))]
