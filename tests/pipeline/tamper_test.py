# SPDX-License-Identifier: Apache-2.0
"""Whatever is changed in a workspace: the audit names it, and nothing is deployed."""
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess

import pytest

from conftest import Redoubt

FLIPS = int(os.environ.get("REDOUBT_FLIPS", "100"))
SEED = int(os.environ.get("REDOUBT_FLIP_SEED", "11"))

# Without workspace.json a folder is no workspace; ca.pem is written anew out of the sealed authority. A note may be
# deleted, and leaves no trace outside itself.
KEPT_BY_NOBODY = {"workspace.json", "ca.pem", "state"}


def evidence_files(workspace):
    """Every file that the workspace keeps, by the folder of its top: locks, logs and what a running endpoint tells are no evidence."""
    groups = collections.defaultdict(list)
    for path in sorted(workspace.rglob("*")):
        runtime = path.name.endswith((".lock", ".log", "-wal", "-shm")) or path.name.startswith("endpoint-") or path.name == "lock"
        if path.is_file() and not runtime and path.stat().st_size > 0:
            groups[path.relative_to(workspace).parts[0]].append(path)
    return groups


def flip(path, order):
    place = order.randrange(path.stat().st_size)
    with open(path, "r+b") as file:
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([before[0] ^ 1 << order.randrange(8)]))
    return f"byte {place} changed"


def cut(path, order):
    size = order.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def lengthen(path, order):
    with open(path, "ab") as file:
        file.write(order.randbytes(1))
    return "a byte added"


def remove(path, order):
    path.unlink()
    return "removed"


@pytest.fixture
def copy(deployed, tmp_path):
    """A copy of the deployed workspace, under the same key files."""
    target = tmp_path / "copy"
    shutil.copytree(deployed.workspace, target, ignore=shutil.ignore_patterns("endpoint-*"))
    redoubt = Redoubt(deployed.folder, target)
    assert redoubt.json("audit", "verify")["ok"]
    return redoubt


def assert_noticed(redoubt, path, what):
    name = str(path.relative_to(redoubt.workspace))
    audit = redoubt("--json", "audit", "verify", expect=None)
    assert audit.returncode == 4, f"{name}, {what}: exit {audit.returncode}\n{audit.stdout[-800:]}{audit.stderr[-800:]}"
    assert path.name in audit.stdout, f"{name}, {what}, is not named\n{audit.stdout[-800:]}"
    refused = redoubt("--json", "deploy", "tiny/0.1.0", "--environment", "dev", expect=None)
    assert refused.returncode == 4, f"{name}, {what}: deploy ends with {refused.returncode}\n{refused.stdout[-800:]}"


def test_one_change_anywhere_is_named_and_stops_deployment(copy):
    order = random.Random(SEED)
    groups = evidence_files(copy.workspace)
    for _ in range(FLIPS):
        path = order.choice(groups[order.choice(sorted(groups))])
        before, mode = path.read_bytes(), path.stat().st_mode
        change = order.choice([flip] * 6 + [cut, lengthen, remove])
        group = path.relative_to(copy.workspace).parts[0]
        if change is remove and group in KEPT_BY_NOBODY:
            change = flip
        what = change(path, order)
        assert_noticed(copy, path, what)
        path.write_bytes(before)
        path.chmod(mode)
    assert copy.json("audit", "verify")["ok"]


def test_a_file_that_no_part_put_there_is_named(copy):
    for folder in ["", "ledger", "ledger/tile", "objects", "objects/blobs", "images", "images/blobs/sha256", "secrets", "state", "identities"]:
        stray = copy.workspace / folder / "stray"
        stray.write_text("?")
        assert_noticed(copy, stray, "put there")
        stray.unlink()


def test_objects_that_changed_places_are_named(copy):
    blobs = sorted((copy.workspace / "objects" / "blobs").iterdir())
    one, other = blobs[0], blobs[-1]
    one_bytes = one.read_bytes()
    one.write_bytes(other.read_bytes())
    assert_noticed(copy, one, "replaced by another object")
    one.write_bytes(one_bytes)


def test_a_whole_folder_that_is_gone_is_named(copy):
    for name in ["objects", "images", "ledger", "identities", "state", "secrets"]:
        folder, aside = copy.workspace / name, copy.workspace.parent / "aside"
        folder.rename(aside)
        assert_noticed(copy, folder, "gone")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    assert copy.json("audit", "verify")["ok"]


def test_a_pipe_in_the_place_of_a_file_is_named_and_waited_for_by_nobody(copy):
    """Who opens a pipe waits for somebody to write into it."""
    groups = evidence_files(copy.workspace)
    for group in sorted(groups):
        path = random.Random(SEED).choice(groups[group])
        before, mode = path.read_bytes(), path.stat().st_mode
        path.unlink()
        os.mkfifo(path)
        audit = copy("--json", "audit", "verify", expect=4, timeout=60)
        assert path.name in audit.stdout, (path, audit.stdout[-800:])
        copy("deploy", "tiny/0.1.0", "--environment", "dev", expect=4, timeout=60)
        path.unlink()
        path.write_bytes(before)
        path.chmod(mode)
    assert copy.json("audit", "verify")["ok"]


def test_an_endpoint_of_a_changed_workspace_can_be_stopped(copy):
    flip(copy.workspace / "ledger" / "checkpoint", random.Random(SEED))
    copy("endpoint", "status", "--environment", "dev")
    copy("endpoint", "stop", "--environment", "dev")
    copy("deploy", "tiny/0.1.0", "--environment", "dev", expect=4)


def test_making_a_workspace_is_cut_off_at_any_moment_and_goes_on(tmp_path):
    order = random.Random(SEED)
    for turn in range(12):
        redoubt = Redoubt(tmp_path / str(turn))
        redoubt.folder.mkdir()
        for _ in range(3):
            process = subprocess.Popen(redoubt.command("init"), env=redoubt.environment, cwd=redoubt.folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(order.uniform(0.001, 0.08))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        made = redoubt("init", expect=None)
        assert made.returncode == 0 or "workspace already" in made.stderr, made.stderr
        assert redoubt.json("audit", "verify")["ok"]


def test_roles_that_somebody_wrote_into_the_list_count_nowhere(tmp_path):
    """The list lies in clear: an operator who makes himself an admin there makes no reviewer, and no command brings his list to the ledger."""
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    file = redoubt.workspace / "identities.json"
    before = file.read_text()
    people = json.loads(before)
    for one in people["identities"]:
        if one["name"] == "operator":
            one["roles"].append("admin")
    file.write_text(json.dumps(people, separators=(",", ":"), sort_keys=True) + "\n")
    refused = redoubt("identity", "add", "accomplice", "--role", "reviewer", expect=4)
    assert "identities.json" in refused.stderr and "the ledger recorded last" in refused.stderr
    redoubt("secret", "put", "huggingface/api-token", stdin="x", expect=4)
    redoubt("keys", "rotate", identity="admin", expect=4)
    redoubt("identity", "list", expect=4)
    assert [problem["object"] for problem in redoubt.json("audit", "verify", expect=4)["problems"]] == ["identities.json"]
    people["identities"] = [one for one in people["identities"] if one["name"] != "operator"]
    file.write_text(json.dumps(people, separators=(",", ":"), sort_keys=True) + "\n")
    exported = redoubt("audit", "export", identity="admin", expect=4)
    assert [json.loads(line)["verified"] for line in exported.stdout.splitlines()] == [False] and "do not verify" in exported.stderr
    file.write_text(before)
    redoubt("identity", "add", "auditor", "--role", "auditor", identity="admin")
    added = redoubt.json("audit", "query", "--step", "identity")
    assert [(entry["identity"], entry["result"]["name"], entry["result"]["roles"]) for entry in added] == [("admin", "auditor", ["auditor"])]
    assert redoubt.json("audit", "verify")["ok"]


def test_adding_an_identity_is_cut_off_at_any_moment_and_goes_on(tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    order = random.Random(SEED)
    for turn in range(30):
        process = subprocess.Popen(redoubt.command("identity", "add", f"person-{turn}", "--role", "reviewer", identity="admin"), env=redoubt.environment,
                                   cwd=redoubt.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(order.uniform(0.005, 0.06))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        audit = redoubt("--json", "audit", "verify", expect=None)
        assert audit.returncode == 0, audit.stdout[-800:]
        added = redoubt("identity", "add", f"person-{turn}", "--role", "reviewer", identity="admin", expect=None)
        assert added.returncode == 0 or "the identity exists" in added.stderr, added.stderr
    assert redoubt.json("audit", "verify")["ok"]
