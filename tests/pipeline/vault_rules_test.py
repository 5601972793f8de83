# SPDX-License-Identifier: Apache-2.0
"""The vault's data rules by the command line: versions, holds, deletion by two or by code, retention, replicas, rotation, erasure."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import Redoubt

SEED = int(os.environ.get("REDOUBT_VAULT_SEED", "5"))


@pytest.fixture
def vault(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    redoubt = Redoubt(folder)
    redoubt("init")
    return redoubt


def write(redoubt, name, text):
    path = redoubt.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def put(redoubt, name, text, *options):
    return redoubt.json("vault", "put", name, write(redoubt, f"put-{name.replace('/', '-')}.txt", text), *options)


def set_policy(redoubt, text):
    redoubt("vault", "policy", "set", write(redoubt, "policy.yaml", "version: 1\n" + text), identity="admin")


def objects(redoubt):
    folder = redoubt.workspace / "objects"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def sound(redoubt):
    audit = redoubt.json("audit", "verify", expect=None)
    assert audit["ok"], audit
    return audit


def error(done):
    return json.loads(done.stdout)["error"]


def enrol(redoubt, identity="operator"):
    uri = redoubt.json("vault", "totp", "enrol", identity=identity)["uri"]
    return re.search(r"secret=([A-Z2-7]+)", uri).group(1)


def code(secret, offset=0):
    """As oathtool computes it: the judge is none of ours."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + offset))
    return subprocess.run(["oathtool", "--totp", "-b", secret, "--now", moment], check=True, capture_output=True, text=True).stdout.strip()


def later(redoubt, days, *arguments, identity=None, expect=0):
    """The same command on a day to come."""
    done = subprocess.run(["faketime", "-f", f"+{days}d", *redoubt.command(*arguments, identity=identity)], env=redoubt.environment, capture_output=True, text=True, cwd=redoubt.folder)
    assert expect is None or done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


# Names and versions


def test_names_have_versions_and_an_earlier_one_comes_back(vault):
    first, second = put(vault, "support/rows", "one\n", "--note", "as it came"), put(vault, "support/rows", "two\n")
    assert (first["version"], second["version"]) == (1, 2) and first["created_by"] == "operator"
    assert [v["version"] for v in vault.json("vault", "list")] == [2]
    restored = vault.json("vault", "restore", "support/rows@1")
    assert (restored["version"], restored["restored_from"], restored["digest"]) == (3, 1, first["digest"])
    vault("vault", "get", "support/rows", "-o", vault.folder / "out")
    assert (vault.folder / "out" / "put-support-rows.txt").read_text() == "one\n"
    shown = vault.json("vault", "show", "support/rows")["versions"]
    assert [v["version"] for v in shown] == [1, 2, 3] and shown[0]["note"] == "as it came"
    assert {v["digest"] for v in vault.json("vault", "list", "--all")} == {first["digest"], second["digest"]}
    sound(vault)


def test_a_folder_is_a_version_and_an_artifact_gets_a_name(vault):
    folder = vault.folder / "model"
    write(vault, "model/weights/a.bin", "aaaa")
    write(vault, "model/config.json", "{}")
    made = vault.json("vault", "put", "base", folder, "--kind", "model")
    assert made["files"] == 2 and made["kind"] == "model"
    named = vault.json("vault", "put", "second-name", "--artifact", made["digest"])
    assert named["digest"] == made["digest"]
    vault("vault", "get", made["digest"], "-o", vault.folder / "out")
    assert (vault.folder / "out/weights/a.bin").read_text() == "aaaa"


@pytest.mark.parametrize("arguments, expect", [
    (["vault", "put", "a@1", "FILE"], 2), (["vault", "put", "../a", "FILE"], 2), (["vault", "put", "a"], 2), (["vault", "put", "a", "missing"], 1), (["vault", "put", "a", "/dev/null"], 2),
    (["vault", "put", "a", "FILE", "--kind", "no kind"], 2), (["vault", "put", "a", "--artifact", "sha256:" + "0" * 64], 1), (["vault", "show", "nothing"], 1), (["vault", "get", "rows@9", "-o", "x"], 1),
    (["vault", "restore", "rows"], 2), (["vault", "restore", "rows@1"], 1), (["vault", "delete", "rows"], 2), (["vault", "delete", "nothing", "--reason", "r"], 1), (["vault", "hold", "place", "rows", "--reason", "r"], 5),
    (["vault", "approve", "request-9"], 5), (["vault", "policy", "set", "FILE"], 2), (["vault", "unarchive", "rows"], 1), (["vault", "erase", "rows", "--reason", "r"], 1), (["vault", "replicate"], 2),
    (["vault", "replicate", "--to", "http://x"], 2), (["vault", "recover", "--from", "file:/nowhere"], 1), (["vault", "certificate", "rows", "-o", "x"], 1), (["vault", "access-log", "--since", "yesterday"], 2),
    (["vault", "lifecycle", "run", "--policy", "FILE"], 2), (["vault", "totp", "reset", "operator"], 5), (["vault", "requests", "--nonsense"], 2)])
def test_wrong_usage_has_its_exit_code(vault, arguments, expect):
    put(vault, "rows", "one\n")
    file = write(vault, "some.txt", "text: [")
    done = vault("--json", *[str(file) if a == "FILE" else a for a in arguments], expect=expect)
    assert error(done)["message"]
    sound(vault)


# Deletion


def test_deletion_needs_another_person(vault):
    put(vault, "rows", "one\n")
    put(vault, "rows", "two\n")
    before = set(objects(vault))
    asked = json.loads(vault("--json", "vault", "delete", "rows@1", "--reason", "asked by its owner", expect=6).stdout)
    assert asked["state"] == "open" and set(objects(vault)) == before
    vault("vault", "approve", asked["request"], expect=5)                       # no reviewer
    vault("vault", "approve", asked["request"], identity="admin", expect=5)
    done = vault.json("vault", "approve", asked["request"], identity="reviewer")
    assert done["objects"] == 2 and len(objects(vault)) == len(before) - 2
    vault("vault", "approve", asked["request"], identity="reviewer", expect=3)  # once
    vault("vault", "get", "rows@1", "-o", vault.folder / "x", expect=1)
    assert vault.json("vault", "show", "rows@1")["versions"][0]["state"] == "deleted"
    sound(vault)
    told = [e["result"] for e in vault.json("audit", "query", "--step", "vault") if e["result"]["action"] == "remove"]
    assert told[0]["requested_by"] == "operator" and told[0]["approved_by"] == "reviewer" and told[0]["reason"] == "asked by its owner"


def test_a_reviewer_who_may_delete_too_does_not_approve_his_own_request(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    vault = Redoubt(folder)
    vault("init", "--identity", "boss:operator,reviewer,admin", "--identity", "other:reviewer")
    vault("vault", "put", "rows", write(vault, "f", "one"), identity="boss")
    vault("vault", "delete", "rows", "--reason", "r", identity="boss", expect=6)
    refused = vault("--json", "vault", "approve", "request-1", identity="boss", expect=5)
    assert "may not approve" in error(refused)["message"]
    vault("vault", "reject", "request-1", "--reason", "thought again", identity="boss")
    vault("vault", "approve", "request-1", identity="other", expect=3)


def test_a_request_expires(vault):
    set_policy(vault, "vault: {deletion: {request_lasts: 1s}}\n")
    put(vault, "rows", "one\n")
    vault("vault", "delete", "rows", "--reason", "r", expect=6)
    time.sleep(1.2)
    refused = vault("--json", "vault", "approve", "request-1", identity="reviewer", expect=3)
    assert "expired" in error(refused)["message"]
    assert vault.json("vault", "requests") == [] and vault.json("vault", "requests", "--all")[0]["state"] == "expired"
    assert vault.json("vault", "show", "rows")["versions"][0]["state"] == "kept"


def test_a_request_is_about_what_was_there_then(vault):
    put(vault, "rows", "one\n")
    vault("vault", "delete", "rows", "--reason", "r", expect=6)
    put(vault, "rows", "two\n")
    vault("vault", "approve", "request-1", identity="reviewer")
    assert [v["state"] for v in vault.json("vault", "show", "rows")["versions"]] == ["deleted", "kept"]


def test_deletion_by_code_as_oathtool_makes_it(vault):
    for text in ["one\n", "two\n", "three\n"]:
        put(vault, "rows", text)
    vault("vault", "delete", "rows@1", "--reason", "r", "--totp", stdin="123456", expect=5)  # not enrolled
    secret = enrol(vault)
    vault("vault", "totp", "enrol", expect=5)  # a stolen key file is no way to a second factor
    assert secret not in vault("vault", "totp", "status").stdout
    while time.time() % 30 > 20:
        time.sleep(1)
    right = code(secret)
    vault("vault", "delete", "rows@1", "--reason", "r", "--totp", stdin=right + "\n")
    vault("vault", "delete", "rows@2", "--reason", "r", "--totp", stdin=right, expect=5)        # replay
    vault("vault", "delete", "rows@2", "--reason", "r", "--totp", stdin=code(secret, -120), expect=5)
    vault("vault", "delete", "rows@2", "--reason", "r", "--totp", stdin=code(secret, 300), expect=5)
    vault("vault", "delete", "rows@2", "--reason", "r", "--totp", stdin=code(secret, 30))      # a clock that is ahead by one step
    assert [v["state"] for v in vault.json("vault", "show", "rows")["versions"]] == ["deleted", "deleted", "kept"]
    sound(vault)
    vault("vault", "totp", "reset", "operator", identity="admin")
    vault("vault", "delete", "rows@3", "--reason", "r", "--totp", stdin="123456", expect=5)
    assert enrol(vault) != secret


def test_codes_are_not_guessed(vault):
    put(vault, "rows", "one\n")
    secret = enrol(vault)
    for _ in range(5):
        vault("vault", "delete", "rows", "--reason", "r", "--totp", stdin="000000", expect=5)
    refused = vault("--json", "vault", "delete", "rows", "--reason", "r", "--totp", stdin=code(secret), expect=5)
    assert "wrong codes" in error(refused)["message"]
    entries = sound(vault)["entries"]
    vault("vault", "delete", "rows", "--reason", "r", "--totp", stdin="000000", expect=5)
    assert sound(vault)["entries"] == entries  # who goes on does not fill the ledger


def test_the_policy_says_which_second_factor(vault):
    put(vault, "rows", "one\n")
    set_policy(vault, "vault: {deletion: {second_factor: totp}}\n")
    vault("vault", "delete", "rows", "--reason", "r", expect=5)
    set_policy(vault, "vault: {deletion: {second_factor: person}}\n")
    enrol(vault)
    vault("vault", "delete", "rows", "--reason", "r", "--totp", stdin="1", expect=3)


def test_a_hold_beats_everything(vault):
    put(vault, "rows", "one\n")
    put(vault, "people", "two\n", "--own-key")
    vault("vault", "delete", "rows", "--reason", "r", expect=6)
    vault("vault", "hold", "place", "rows", "--reason", "case 7", expect=5)  # not by who may delete
    vault("vault", "hold", "place", "rows", "--reason", "case 7", identity="reviewer")
    vault("vault", "hold", "place", "people", "--reason", "case 8", identity="reviewer")
    vault("vault", "approve", "request-1", identity="reviewer", expect=3)
    vault("vault", "delete", "rows", "--reason", "r", expect=3)
    vault("vault", "erase", "people", "--reason", "r", expect=3)
    set_policy(vault, "vault: {rules: [{expire_after: 0s}]}\n")
    assert vault.json("vault", "lifecycle", "run")["expired"] == 0
    sound(vault)
    vault("vault", "hold", "release", "hold-1", "--reason", "closed", expect=5)
    vault("vault", "hold", "release", "hold-1", "--reason", "closed", identity="reviewer")
    vault("vault", "hold", "release", "hold-1", "--reason", "closed", identity="reviewer", expect=1)
    assert [h["hold"] for h in vault.json("vault", "hold", "list")] == ["hold-2"]
    assert vault.json("vault", "lifecycle", "run")["expired"] == 1


def test_a_shared_file_stays_for_who_shares_it(vault):
    put(vault, "rows", "one\n")
    same = vault.json("vault", "put", "copy", vault.folder / "put-rows.txt")
    vault("vault", "delete", "rows", "--reason", "r", expect=6)
    assert vault.json("vault", "approve", "request-1", identity="reviewer")["objects"] == 0
    vault("vault", "get", "copy", "-o", vault.folder / "out")
    assert same["digest"] == vault.json("vault", "show", "copy")["versions"][0]["digest"]
    sound(vault)


# Tampering


def test_what_was_deleted_and_is_put_back_is_named(vault):
    put(vault, "rows", "one\n")
    before = objects(vault)
    vault("vault", "delete", "rows", "--reason", "r", expect=6)
    vault("vault", "approve", "request-1", identity="reviewer")
    gone = sorted(set(before) - set(objects(vault)))
    (vault.workspace / "objects" / gone[0]).write_bytes(before[gone[0]])
    audit = vault.json("audit", "verify", expect=4)
    assert any("is there again" in p["detail"] for p in audit["problems"]), audit
    (vault.workspace / "objects" / gone[0]).unlink()
    sound(vault)
    put(vault, "rows", "one\n")  # by right
    sound(vault)


def test_what_goes_without_a_word_of_the_ledger_is_missing(vault):
    put(vault, "rows", "one\n")
    for name in objects(vault):
        (vault.workspace / "objects" / name).unlink()
    audit = vault.json("audit", "verify", expect=4)
    assert any("missing" in p["detail"] for p in audit["problems"]), audit


def test_any_changed_byte_of_the_rules_is_named(vault):
    enrol(vault)
    put(vault, "rows", "one\n")
    put(vault, "people", "two\n", "--own-key")
    vault("vault", "hold", "place", "rows", "--reason", "case 7", identity="reviewer")
    vault("vault", "get", "rows", "-o", vault.folder / "out")
    sound(vault)
    order = random.Random(SEED)
    files = [p for p in sorted(vault.workspace.rglob("*")) if p.is_file() and p.stat().st_size and not p.name.endswith((".lock", "-wal", "-shm")) and p.name != "lock"]
    chosen = [p for p in files if p.name in {"access.log", "access-head", "totp-operator"} or "objects" in p.parts or "ledger" in p.parts]
    assert len(chosen) > 8
    for path in chosen:
        before, mode = path.read_bytes(), path.stat().st_mode
        changed = bytearray(before)
        changed[order.randrange(len(before))] ^= 1 << order.randrange(8)
        path.write_bytes(changed)
        vault("audit", "verify", expect=4)
        path.write_bytes(before)
        path.chmod(mode)
    sound(vault)


def test_an_older_code_secret_put_back_is_named(vault):
    secret = enrol(vault)
    state = vault.workspace / "state" / "totp-operator"
    older = state.read_bytes()
    vault("vault", "totp", "reset", "operator", identity="admin")
    assert enrol(vault) != secret
    state.write_bytes(older)
    audit = vault.json("audit", "verify", expect=4)
    assert any(p["object"] == "state/totp-operator" for p in audit["problems"]), audit


# Retention and lifecycle


POLICY = """vault:
  archive: file:{archive}
  rules:
    - {{name: "keep/*", keep_at_least: 30d, expire_after: 60d}}
    - {{name: "logs/*", kind: data, archive_after: 10d, expire_after: 40d}}
"""


def test_rules_keep_archive_and_expire(vault, tmp_path):
    set_policy(vault, POLICY.format(archive=tmp_path / "archive"))
    put(vault, "logs/a", "one\n")
    put(vault, "keep/b", "two\n")
    put(vault, "free/c", "three\n")
    refused = vault("--json", "vault", "delete", "keep/b", "--reason", "r", expect=3)
    assert "at least 30d" in error(refused)["message"]
    dry = json.loads(later(vault, 11, "--json", "vault", "lifecycle", "run", "--dry-run").stdout)
    assert [(s["action"], s["target"]) for s in dry["steps"]] == [("archive", "logs/a@1")]
    assert not any((tmp_path / "archive").rglob("*"))
    here = objects(vault)
    done = json.loads(later(vault, 11, "--json", "vault", "lifecycle", "run").stdout)
    assert done["archived"] == 1 and json.loads(later(vault, 12, "--json", "vault", "lifecycle", "run").stdout)["steps"] == []
    moved = {str(p.relative_to(tmp_path / "archive")): p.read_bytes() for p in (tmp_path / "archive").rglob("*") if p.is_file()}
    assert len(moved) == 2 and all(here[name] == data for name, data in moved.items()), "sealed bytes move as they are"
    assert not set(moved) & set(objects(vault))
    later(vault, 12, "audit", "verify")
    later(vault, 12, "vault", "get", "logs/a", "-o", "out")  # read where it is
    assert (vault.folder / "out/put-logs-a.txt").read_text() == "one\n"
    later(vault, 12, "vault", "unarchive", "logs/a")
    assert set(moved) <= set(objects(vault)) and not [p for p in (tmp_path / "archive").rglob("*") if p.is_file()]
    later(vault, 12, "audit", "verify")
    assert json.loads(later(vault, 13, "--json", "vault", "lifecycle", "run").stdout)["archived"] == 1
    assert json.loads(later(vault, 41, "--json", "vault", "lifecycle", "run").stdout)["expired"] == 1
    assert json.loads(later(vault, 61, "--json", "vault", "lifecycle", "run").stdout)["expired"] == 1
    later(vault, 61, "audit", "verify")
    later(vault, 61, "vault", "get", "free/c", "-o", "out2")
    # Back in the present the clock runs backwards: nothing that counts time is decided.
    for command in [("vault", "lifecycle", "run"), ("vault", "delete", "free/c", "--reason", "r")]:
        assert "backwards" in error(vault("--json", *command, expect=1))["message"]


def test_a_damaged_archive_is_named(vault, tmp_path):
    set_policy(vault, f"vault: {{archive: 'file:{tmp_path}/archive', rules: [{{archive_after: 0s}}]}}\n")
    put(vault, "logs", "one\n")
    vault("vault", "lifecycle", "run")
    sound(vault)
    blob = next((tmp_path / "archive" / "blobs").iterdir())
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    vault("audit", "verify", expect=4)
    blob.unlink()
    vault("audit", "verify", expect=4)
    blob.write_bytes(good)
    sound(vault)
    shutil.move(tmp_path / "archive", tmp_path / "away")
    vault("audit", "verify", expect=1)  # not mounted: nothing is known of it
    shutil.move(tmp_path / "away", tmp_path / "archive")
    vault("vault", "policy", "set", write(vault, "none.yaml", "version: 1\n"), identity="admin", expect=3)


def test_a_policy_that_makes_no_sense_says_where(vault):
    for text, word in [("vault: {rules: [{expire_after: 3 days}]}", "expire_after"), ("vault: {rules: [{expire_after: 1d, keep_at_least: 2d}]}", "rules[0]"), ("vault: {rules: [{expires: 1d}]}", "expires"),
                       ("vault: {rules: [{archive_after: 1d}]}", "archive"), ("vault: {replica: {store: 'ftp://x'}}", "store"), ("keys: {rotate_after_days: 0}", "rotate_after_days")]:
        done = vault("--json", "vault", "policy", "set", write(vault, "p.yaml", "version: 1\n" + text + "\n"), identity="admin", expect=2)
        assert word in done.stdout, done.stdout
    vault("vault", "policy", "set", write(vault, "p.yaml", "version: 1\n"), expect=5)  # an operator does not shorten what is kept


def test_killed_at_any_moment_nothing_is_lost(vault, tmp_path):
    """Puts, archives, deletes and expires while being killed: what the ledger says is kept opens, and the audit finds nothing."""
    set_policy(vault, f"vault: {{archive: 'file:{tmp_path}/archive', replica: {{store: 'file:{tmp_path}/replica'}}, rules: [{{name: 'old/*', expire_after: 0s}}, {{name: 'cold/*', archive_after: 0s}}]}}\n")
    order = random.Random(SEED)
    for turn in range(14):
        put(vault, f"old/{turn}", f"old {turn}\n")
        put(vault, f"cold/{turn}", f"cold {turn}\n")
        command = order.choice([("vault", "lifecycle", "run"), ("vault", "lifecycle", "run"), ("vault", "replicate"), ("vault", "put", f"new/{turn}", str(write(vault, "n", f"new {turn}\n")))])
        process = subprocess.Popen(vault.command(*command), env=vault.environment, cwd=vault.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(order.uniform(0.002, 0.12))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert vault.json("audit", "verify", expect=None)["problems"] == []
    vault("vault", "lifecycle", "run")
    vault("vault", "replicate")
    sound(vault)
    assert vault.json("vault", "replicate", "--check", "--deep")["in_sync"]
    for version in vault.json("vault", "list", "--all"):
        name = version["name"]
        assert version["state"] == ("expired" if name.startswith("old/") else "kept"), version
        if version["state"] == "kept":
            out = vault.folder / "out" / name
            vault("vault", "get", name, "-o", out)
            assert next(out.iterdir()).read_text() == f"{name.split('/')[0]} {name.split('/')[1]}\n"


# Replicas


def test_a_replica_is_written_to_and_brings_the_store_back(vault, tmp_path):
    replica = tmp_path / "replica"
    set_policy(vault, f"vault: {{replica: {{store: 'file:{replica}'}}}}\n")
    put(vault, "rows", "one\n")
    put(vault, "people", "two\n", "--own-key")
    assert vault.json("vault", "replicate", "--check", "--deep")["in_sync"], "on write"
    here = objects(vault)
    assert all((replica / name).read_bytes() == data for name, data in here.items()), "sealed bytes, as they are"
    shutil.rmtree(vault.workspace / "objects")
    vault("audit", "verify", expect=4)
    done = vault.json("vault", "recover")
    assert done["copied"] == len(here) and done["still_damaged"] == []
    assert objects(vault) == here
    sound(vault)
    damaged = vault.workspace / "objects" / sorted(here)[0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    assert vault.json("vault", "recover")["replaced"] == [sorted(here)[0]]
    sound(vault)


def test_a_replica_that_lags_differs_or_is_away(vault, tmp_path):
    replica = tmp_path / "replica"
    put(vault, "rows", "one\n")
    assert vault.json("vault", "replicate", "--to", f"file:{replica}")["copied"] == 2
    assert vault.json("vault", "replicate", "--to", f"file:{replica}")["copied"] == 0
    put(vault, "rows", "two\n")
    lag = vault.json("vault", "replicate", "--to", f"file:{replica}", "--check", expect=1)
    assert len(lag["missing"]) == 2 and not lag["in_sync"]
    blob = sorted((replica / "blobs").iterdir())[0]
    good = blob.read_bytes()
    blob.write_bytes(good + b"x")
    vault("vault", "replicate", "--to", f"file:{replica}", "--check", expect=4)
    vault("vault", "replicate", "--to", f"file:{replica}", expect=4)
    blob.write_bytes(good)
    vault("vault", "replicate", "--to", f"file:{replica}")
    set_policy(vault, f"vault: {{replica: {{store: 'file:{replica}'}}}}\n")
    shutil.move(replica, tmp_path / "away")
    assert "is away" in vault("vault", "put", "rows", write(vault, "f", "three")).stderr  # a write goes on, and says so
    vault("vault", "replicate", expect=1)
    assert not replica.exists()
    shutil.move(tmp_path / "away", replica)
    assert vault.json("vault", "replicate")["copied"] == 2


# Keys


def test_keys_are_rotated_after_90_days_by_wrapping_alone(vault, tmp_path):
    put(vault, "rows", "one\n" * 50000)
    put(vault, "people", "two\n" * 50000, "--own-key")
    assert vault.json("status")["keys"]["overdue"] is False
    before = objects(vault)
    later(vault, 89, "monitor", "keys")
    assert json.loads(later(vault, 91, "--json", "monitor", "keys", expect=3).stdout)["overdue"] is True
    assert json.loads(later(vault, 91, "--json", "status").stdout)["keys"]["overdue"] is True
    checks = json.loads(later(vault, 91, "--json", "doctor", expect=None).stdout)["checks"]
    assert next(c for c in checks if c["name"] == "key age")["verdict"] == "warning"
    alarms = json.loads(later(vault, 91, "--json", "alarm", "list", "--environment", "account").stdout)
    assert (alarms[0]["name"], alarms[0]["state"]) == ("KeyRotationOverdue", "ALARM")
    assert json.loads(later(vault, 91, "--json", "incident", "list", "--environment", "account").stdout)[0]["state"] == "open"
    done = json.loads(later(vault, 91, "--json", "keys", "rotate").stdout)
    assert done["version"] == 2 and done["own_keys"] == 1
    later(vault, 91, "monitor", "keys")
    assert json.loads(later(vault, 91, "--json", "alarm", "list", "--environment", "account").stdout)[0]["state"] == "OK"
    after = objects(vault)
    assert set(after) == set(before)
    for name, data in after.items():
        assert len(data) == len(before[name]) and data != before[name], name
        differing = [i for i in range(len(data)) if data[i] != before[name][i]]
        assert max(differing) < 400, f"{name}: a chunk was rewritten"  # the header alone
    later(vault, 92, "audit", "verify")


def test_the_monitor_rotates_where_the_policy_says_so(vault):
    set_policy(vault, "keys: {rotate_after_days: 30, rotation: automatic}\n")
    put(vault, "rows", "one\n")
    done = json.loads(later(vault, 31, "--json", "monitor", "keys").stdout)
    assert done["version"] == 2 and done["overdue"] is False
    later(vault, 32, "audit", "verify")
    later(vault, 62, "monitor", "run", expect=1)  # nothing is deployed; the keys are looked at first
    assert json.loads(later(vault, 62, "--json", "status").stdout)["keys"]["version"] == 3


# Erasure


def test_erasure_destroys_the_key_and_gives_proof(vault, tmp_path):
    replica = tmp_path / "replica"
    set_policy(vault, f"vault: {{replica: {{store: 'file:{replica}'}}}}\n")
    put(vault, "people", "name,phone\n", "--own-key")
    put(vault, "people", "name,phone,mail\n")
    put(vault, "rows", "name,phone\n")  # the same contents, under the workspace's key
    sealed = {name: data for name, data in objects(vault).items() if name.startswith("own/")}
    assert len(sealed) == 4
    keyring = next((vault.folder / "config/redoubt").glob("*/own-keys.json"))
    old_keyring = keyring.read_bytes()
    (tmp_path / "pass").write_text("a passphrase for the keys\n")
    vault("backup", "-o", tmp_path / "old.backup", "--keys-passphrase-file", tmp_path / "pass")
    vault("vault", "erase", "people", "--reason", "request 12 of a data subject", expect=6)
    done = vault.json("vault", "approve", "request-1", identity="reviewer")
    assert done["objects"] == 4 and any("same contents" in line for line in done["remains"])
    assert not [name for name in objects(vault) if name.startswith("own/")]
    certificate = vault.folder / "people.certificate"
    made = vault.json("vault", "certificate", "people", "-o", certificate)
    root = write(vault, "root.pem", made["root"])
    sound(vault)

    # Anywhere, without a workspace, offline.
    other = Redoubt(tmp_path / "elsewhere")
    other.folder.mkdir()
    verified = other.json("verify", certificate, "--root", root)
    assert verified["ok"] and verified["name"] == "people" and verified["requested_by"] == "operator" and verified["identity"] == "reviewer"
    assert verified["erasure"]["unwrap"] == {"tried": 4, "refused": 4} and set(verified["objects"]) == set(sealed)
    text = certificate.read_text()
    order = random.Random(SEED)
    for _ in range(20):
        at = order.randrange(len(text))
        (other.folder / "changed").write_text(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1:])
        other("verify", "changed", "--root", root, expect=4)

    # The sealed bytes put back, as an old replica would have them, do not open.
    for name, data in sealed.items():
        (vault.workspace / "objects" / name).parent.mkdir(parents=True, exist_ok=True)
        (vault.workspace / "objects" / name).write_bytes(data)
    vault("vault", "get", "people@1", "-o", vault.folder / "x", expect=1)
    vault("audit", "verify", expect=4)
    shutil.rmtree(vault.workspace / "objects" / "own")
    sound(vault)

    # An old backup, restored here: the name is there, and its key is not.
    restored = Redoubt(vault.folder, tmp_path / "restored")
    restored("restore", tmp_path / "old.backup", "--to", tmp_path / "restored", "--accept-older")
    assert restored.json("vault", "show", "people")["versions"][0]["state"] == "kept", "the backup knows nothing of the erasure"
    refused = restored("--json", "vault", "get", "people@1", "-o", vault.folder / "y", expect=1)
    assert "destroyed" in error(refused)["message"], refused.stdout
    audit = restored.json("audit", "verify", expect=1)
    assert audit["problems"] == [] and audit["unchecked"][0]["kind"] == "own key"
    # On another machine as well, with every key file that the backup holds.
    away = Redoubt(tmp_path / "away")
    away.folder.mkdir()
    away("restore", tmp_path / "old.backup", "--to", away.workspace, "--keys-passphrase-file", tmp_path / "pass")
    away("vault", "get", "people@1", "-o", away.folder / "y", expect=1)
    away("vault", "get", "rows", "-o", away.folder / "z")
    # The replica's copy of the keyring has no such key any more.
    assert b"" != (replica / "keys/own-keys.json").read_bytes() == keyring.read_bytes() != old_keyring


def test_an_old_keyring_of_own_keys_put_back_is_named(vault):
    put(vault, "people", "two\n", "--own-key")
    keyring = next((vault.folder / "config/redoubt").glob("*/own-keys.json"))
    before = keyring.read_bytes()
    vault("vault", "erase", "people", "--reason", "r", expect=6)
    vault("vault", "approve", "request-1", identity="reviewer")
    sound(vault)
    keyring.write_bytes(before)
    audit = vault.json("audit", "verify", expect=4)
    assert any(p["kind"] == "keyring" for p in audit["problems"]), audit


def test_erasure_by_code_and_again(vault):
    put(vault, "people", "two\n", "--own-key")
    secret = enrol(vault)
    certificate = vault.folder / "c"
    vault("vault", "erase", "people", "--reason", "r", "--totp", "-o", certificate, stdin=code(secret))
    assert vault.json("verify", certificate)["erasure"]["second_factor"] == "totp"
    vault("vault", "erase", "people", "--reason", "r", "--totp", stdin=code(secret), expect=1)
    assert put(vault, "people", "three\n", "--own-key")["version"] == 2  # a new key
    vault("vault", "get", "people", "-o", vault.folder / "out")
    sound(vault)


def test_an_erasure_that_is_killed_is_finished(vault):
    order = random.Random(SEED)
    for turn in range(6):
        name = f"people/{turn}"
        put(vault, name, f"{turn}\n" * 1000, "--own-key")
        vault("vault", "erase", name, "--reason", "r", expect=6)
        process = subprocess.Popen(vault.command("vault", "approve", f"request-{turn + 1}", identity="reviewer"), env=vault.environment, cwd=vault.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(order.uniform(0.005, 0.15))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert vault.json("audit", "verify", expect=None)["problems"] == []
        if vault.json("vault", "requests"):
            vault("vault", "approve", f"request-{turn + 1}", identity="reviewer")
        put(vault, "next", f"{turn}")  # whatever comes next finishes it
        vault("vault", "certificate", name, "-o", vault.folder / "c")
        assert vault.json("verify", vault.folder / "c")["ok"]
        sound(vault)


def test_an_erasure_killed_after_its_objects_went_and_before_its_certificate_is_no_damage(vault):
    put(vault, "people", "one\n", "--own-key")
    vault("vault", "erase", "people", "--reason", "r", expect=6)
    (manifest,) = (vault.workspace / "objects/own").glob("*/manifests/*")
    process = subprocess.Popen(vault.command("vault", "approve", "request-1", identity="reviewer"), env=vault.environment, cwd=vault.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while manifest.exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    assert vault.json("audit", "verify", expect=None)["problems"] == []
    put(vault, "next", "two\n")
    vault("vault", "certificate", "people", "-o", vault.folder / "c")
    sound(vault)


# Reads


def test_every_read_in_clear_is_recorded(vault):
    put(vault, "rows", "one\n")
    put(vault, "people", "two\n", "--own-key")
    vault("audit", "verify")
    assert vault.json("vault", "access-log") == [], "what is only verified is not read"
    vault("vault", "get", "rows", "-o", vault.folder / "a")
    vault("vault", "get", "people", "-o", vault.folder / "b")
    log = vault.json("vault", "access-log")
    assert len(log) == 2 and {entry["command"] for entry in log} == {"vault get"} and {entry["identity"] for entry in log} == {"operator"}
    assert len(vault.json("vault", "access-log", "--object", "rows")) == 1
    assert vault.json("vault", "access-log", "--object", "people")[0]["object"].startswith("own/")
    assert vault.json("vault", "access-log", "--identity", "nobody") == []
    assert vault.json("vault", "access-log", "--until", "2020-01-01") == [] and len(vault.json("vault", "access-log", "--since", "2020-01-01")) == 2
    assert error(vault("--json", "vault", "access-log", "--since", "yesterday", expect=2))["where"] == "--since"
    sound(vault)
    path = vault.workspace / "access.log"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    audit = vault.json("audit", "verify", expect=4)
    assert audit["problems"][0]["object"] == "access.log"
