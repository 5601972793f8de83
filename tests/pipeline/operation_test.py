# SPDX-License-Identifier: Apache-2.0
"""Keeping a workspace: backup and restore, doctor, key rotation, a full disk."""
import hashlib
import io
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

from conftest import TOKEN, Redoubt

PASSPHRASE = "a passphrase for the keys\n"


def init(folder, **secrets):
    folder.mkdir(parents=True, exist_ok=True)
    redoubt = Redoubt(folder)
    redoubt("init")
    for name, value in (secrets or {"token": "swordfish-7"}).items():
        redoubt("secret", "put", name, stdin=value)
    return redoubt


def elsewhere(folder):
    """Another machine: no workspace, no key files."""
    folder.mkdir()
    return Redoubt(folder)


@pytest.fixture
def kept(tmp_path):
    redoubt = init(tmp_path / "here")
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    redoubt.passphrase = tmp_path / "passphrase"
    redoubt.backup = tmp_path / "workspace.backup"
    redoubt.summary = redoubt.json("backup", "-o", redoubt.backup, "--keys-passphrase-file", redoubt.passphrase)
    return redoubt


def plain_tar(backup):
    """The archive as the zstd program unpacks it: the format is no secret of ours."""
    return subprocess.run(["zstd", "-d", "-c"], input=backup, capture_output=True, check=True).stdout


def forge(backup, change):
    """A backup whose tar was changed by somebody who also mends the digest at its end."""
    entries = []
    with tarfile.open(fileobj=io.BytesIO(plain_tar(backup))) as archive:
        for member in archive:
            entries.append((member, archive.extractfile(member).read()))
    entries = change(entries)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in entries:
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    packed = subprocess.run(["zstd", "-c"], input=out.getvalue(), capture_output=True, check=True).stdout
    return packed + bytes.fromhex("502a4d1820000000") + hashlib.sha256(packed).digest()


def test_a_backup_with_keys_restores_on_another_machine(kept, tmp_path):
    other = elsewhere(tmp_path / "there")
    report = other.json("restore", kept.backup, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase)
    assert report["entries"] == kept.summary["entries"] and report["entries_lost"] == 0
    audit = other.json("audit", "verify")
    assert audit["ok"] and audit["entries"] == report["entries"] + 1, audit
    assert other.json("secret", "get", "token")["value"] == "swordfish-7"
    assert other.json("audit", "query", "--step", "backup")[-1]["result"]["action"] == "backup"
    for key in (tmp_path / "there/config/redoubt" / report["id"]).glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0
    other("secret", "put", "another", stdin="x")
    assert other.json("audit", "verify")["ok"]


def test_a_backup_holds_nothing_plain_and_is_a_tar_that_others_read(kept):
    names = tarfile.open(fileobj=io.BytesIO(plain_tar(kept.backup.read_bytes()))).getnames()
    assert names[:2] == ["backup.json", "backup.sig"] and "workspace.json" in names and "keyring.json" in names
    plain = plain_tar(kept.backup.read_bytes())
    keys = [path.read_bytes().strip() for path in (kept.folder / "config").rglob("*.key")]
    assert len(keys) >= 3
    for needle in [b"swordfish-7", PASSPHRASE.strip().encode(), b"PRIVATE KEY", *keys]:
        assert needle not in plain
    assert kept.backup.stat().st_mode & 0o077 == 0


def test_a_backup_without_keys_needs_the_key_files(tmp_path):
    redoubt = init(tmp_path / "here")
    redoubt("backup", "-o", tmp_path / "b")
    other = elsewhere(tmp_path / "there")
    assert "key file" in other("restore", tmp_path / "b", "--to", other.workspace, expect=5).stderr
    assert not other.workspace.exists()
    shutil.rmtree(redoubt.workspace)
    redoubt("restore", tmp_path / "b")
    assert redoubt.json("audit", "verify")["ok"] and redoubt.json("secret", "get", "token")["value"] == "swordfish-7"


def test_a_restore_refuses_what_is_there_and_wrong_passphrases(kept, tmp_path):
    assert "already" in kept("restore", kept.backup, "--to", kept.workspace, "--keys-passphrase-file", kept.passphrase, expect=1).stderr
    assert kept.json("audit", "verify")["ok"]
    (tmp_path / "wrong").write_text("not it")
    other = elsewhere(tmp_path / "there")
    other("restore", kept.backup, "--to", other.workspace, "--keys-passphrase-file", tmp_path / "wrong", expect=5)
    assert sorted(path.name for path in (tmp_path / "there").iterdir() if path.name != "config") == []
    kept("backup", "-o", kept.backup, expect=1)
    assert "takes the role" in kept("backup", "-o", tmp_path / "more", identity="reviewer", expect=5).stderr
    kept("restore", tmp_path / "nothing", "--to", tmp_path / "new", expect=1)
    assert f"where: {kept.passphrase}" in kept("restore", kept.passphrase, "--to", tmp_path / "new", expect=4).stderr


def test_a_backup_does_not_go_into_the_workspace(kept):
    (kept.folder / "way").symlink_to(kept.workspace)
    for folder in (kept.workspace, kept.workspace / "objects", kept.folder / "way"):
        assert "outside of" in kept("backup", "-o", folder / "mine.backup", expect=2).stderr
    (kept.folder / "way").unlink()
    assert kept.json("audit", "verify")["ok"]


def test_a_secret_comes_out_as_it_went_in(tmp_path):
    redoubt = init(tmp_path / "here")
    value = bytes(range(1, 256))
    (tmp_path / "value").write_bytes(value)
    redoubt("secret", "put", "odd", "--file", tmp_path / "value")
    taken = subprocess.run(redoubt.command("secret", "get", "odd"), env=redoubt.environment, capture_output=True, check=True, cwd=tmp_path)
    assert taken.stdout == value + b"\n"
    assert "UTF-8" in redoubt("--json", "secret", "get", "odd", expect=1).stdout
    redoubt("secret", "put", "odd", stdin="-----BEGIN\n\x1b[2Jtext\n")
    assert redoubt("secret", "get", "odd").stdout == "-----BEGIN\n\x1b[2Jtext\n"
    assert redoubt.json("secret", "get", "odd")["value"] == "-----BEGIN\n\x1b[2Jtext"


def test_a_rotation_makes_no_secret_of_another_name(tmp_path):
    redoubt = init(tmp_path / "here")
    (tmp_path / "value").write_text("next")
    assert "no such secret" in redoubt("secret", "rotate", "tokn", stdin="next", expect=1).stderr
    redoubt("secret", "rotate", "tokn", "--file", tmp_path / "value", expect=1)
    redoubt("secret", "rotate", "token", "--file", tmp_path / "value")
    assert [(one["name"], one["version"]) for one in redoubt.json("secret", "list")] == [("token", 2)]


def test_what_could_not_be_said_is_no_success(tmp_path):
    """On a full disk the evidence that was asked for is not there, nor the only copy of a key; whoever closes a pipe has read enough."""
    redoubt = init(tmp_path / "here")

    def ended(*arguments, redirect):
        command = " ".join(map(shlex.quote, redoubt.command(*arguments)))
        return subprocess.run(["bash", "-c", f"{command} {redirect}"], env=redoubt.environment, capture_output=True, text=True, cwd=tmp_path)

    for arguments in [("audit", "export"), ("audit", "query"), ("--json", "audit", "verify"), ("key", "create", "--name", "a", "--environment", "dev"), ("identity", "list")]:
        full = ended(*arguments, redirect=">/dev/full")
        assert full.returncode == 1 and "standard output" in full.stderr and "No space left" in full.stderr, (arguments, full)
        assert ended(*arguments, redirect="| true; exit ${PIPESTATUS[0]}").returncode == 0, arguments
    # The first file that is opened would get what is written there.
    for stream in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        ended("backup", "--output", tmp_path / f"backup{len(stream)}", redirect=stream)
        redoubt("secret", "put", "a", stdin="value")
        assert ended("secret", "get", "a", redirect=">&-").returncode == 1
        assert {path.name for path in redoubt.workspace.rglob("*lock") if path.is_file() and path.stat().st_size} == set()
    assert redoubt.json("audit", "verify")["ok"]


def test_an_older_backup_than_the_anchor_has_to_be_accepted(kept, tmp_path):
    kept("secret", "put", "later", stdin="x")
    refused = kept("restore", kept.backup, "--to", tmp_path / "old", expect=4)
    assert "older" in refused.stderr and "--accept-older" in refused.stderr and not (tmp_path / "old").exists()
    assert kept.json("audit", "verify")["ok"]  # the anchor is as it was
    shutil.rmtree(kept.workspace)
    assert kept.json("restore", kept.backup, "--accept-older")["entries_lost"] >= 1
    assert kept.json("audit", "verify")["ok"]


def test_one_changed_byte_anywhere_is_refused(kept, tmp_path):
    data = kept.backup.read_bytes()
    order = random.Random(3)
    other = elsewhere(tmp_path / "there")
    changed = tmp_path / "changed"
    places = [0, 5, len(data) - 1, len(data) - 33, len(data) - 40] + [order.randrange(len(data)) for _ in range(int(os.environ.get("REDOUBT_FLIPS", "40")))]
    for place in places:
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1 << order.randrange(8)]) + data[place + 1:])
        other("restore", changed, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase, expect=4)
    for size in [0, 1, 39, 40, 41, len(data) // 2, len(data) - 1]:
        changed.write_bytes(data[:size])
        other("restore", changed, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase, expect=4)
    changed.write_bytes(data + b"\0")
    other("restore", changed, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase, expect=4)
    assert [path.name for path in (tmp_path / "there").iterdir() if path.name != "config"] == []


def changed_file(name, edit):
    def change(entries):
        return [(member, edit(data) if member.name == name else data) for member, data in entries]
    return change


def changed_list(edit):
    def again(data):
        manifest = json.loads(data)
        edit(manifest)
        return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return changed_file("backup.json", again)


def extra(name, kind=tarfile.REGTYPE, link=""):
    def change(entries):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        return entries + [(member, b"x" if kind == tarfile.REGTYPE else b"")]
    return change


def replaced_by_link(name, kind, link):
    def change(entries):
        for member, _ in entries:
            if member.name == name:
                member.type, member.linkname = kind, link
        return entries
    return change


def listed_outside(manifest):
    manifest["files"].insert(0, {"path": "../outside", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()})


@pytest.mark.parametrize("change", [
    changed_file("workspace.json", lambda data: data.replace(b"1", b"2", 1)),
    changed_file("backup.sig", lambda data: bytes([data[0] ^ 1]) + data[1:]),
    changed_list(lambda manifest: manifest.update(created="2020-01-01T00:00:00.000Z")),
    changed_list(lambda manifest: manifest.update(workspace="../../../../tmp/elsewhere")),
    changed_list(lambda manifest: manifest["files"].pop()),
    changed_list(listed_outside),
    extra("../outside"), extra("/tmp/redoubt-outside"), extra("objects/x", tarfile.SYMTYPE, "/etc/passwd"),
    replaced_by_link("workspace.json", tarfile.SYMTYPE, "/etc/hostname"),
    replaced_by_link("workspace.json", tarfile.LNKTYPE, "keyring.json"),
    lambda entries: entries[:-1],
    lambda entries: entries[:2] + entries[3:4] + entries[2:3] + entries[4:],
], ids=["file", "signature", "list", "id", "fewer", "outside", "entry-outside", "entry-absolute", "entry-link", "link", "hard-link", "missing", "order"])
def test_a_forged_backup_is_refused(kept, tmp_path, change):
    forged = tmp_path / "forged"
    forged.write_bytes(forge(kept.backup.read_bytes(), change))
    other = elsewhere(tmp_path / "there")
    other("restore", forged, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase, expect=4)
    assert not (tmp_path / "outside").exists() and not other.workspace.exists()


def test_the_forger_of_these_tests_can_make_a_good_backup(kept, tmp_path):
    (tmp_path / "same").write_bytes(forge(kept.backup.read_bytes(), lambda entries: entries))
    other = elsewhere(tmp_path / "there")
    other("restore", tmp_path / "same", "--to", other.workspace, "--keys-passphrase-file", kept.passphrase)


def test_killed_at_any_moment_nothing_half_made_stays(kept, tmp_path):
    (kept.workspace / "objects").mkdir(exist_ok=True)
    order = random.Random(8)
    for number in range(10):
        out = tmp_path / "out" / f"{number}.backup"
        out.parent.mkdir(exist_ok=True)
        process = subprocess.Popen(kept.command("backup", "-o", out), env=kept.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(order.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {path.name for path in out.parent.iterdir()} <= {f"{n}.backup" for n in range(number + 1)}
        if out.exists():  # whole, then
            assert subprocess.run(["zstd", "-t", out], capture_output=True).returncode == 0
        assert kept.json("audit", "verify")["ok"]
    other = elsewhere(tmp_path / "there")
    for _ in range(10):
        process = subprocess.Popen(other.command("restore", kept.backup, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase), env=other.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(order.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if other.workspace.exists():
            break
    if not other.workspace.exists():
        other("restore", kept.backup, "--to", other.workspace, "--keys-passphrase-file", kept.passphrase)
    assert other.json("audit", "verify")["ok"]
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"config", "workspace"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, as a full disk is had without filling one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "none", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_a_backup_and_a_restore_cleanly(kept, tmp_path, small_disk):
    (small_disk / "filler").write_bytes(os.urandom(1020 << 10))
    refused = kept("backup", "-o", small_disk / "b", expect=1)
    assert "bytes are needed" in refused.stderr and str(small_disk) in refused.stderr
    refused = kept("restore", kept.backup, "--accept-older", "--to", small_disk / "w", expect=1)
    assert str(small_disk) in refused.stderr
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    (small_disk / "filler").unlink()
    kept("backup", "-o", small_disk / "b")
    assert kept.json("audit", "verify")["ok"]


def test_doctor_finds_nothing_wrong_here_and_names_what_is(tmp_path):
    redoubt = init(tmp_path / "here")
    report = redoubt.json("doctor", expect=None)
    checks = {check["name"]: check for check in report["checks"]}
    for name in ["sandbox", "engine", "workspace", "anchor", "key files", "clock", "space"]:
        assert checks[name]["verdict"] == "ok", checks[name]
    key = next((tmp_path / "here/config").rglob("operator.key"))
    key.chmod(0o644)
    done = redoubt("--json", "doctor", expect=1)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["key files"]["verdict"] == "failed" and "operator.key" in checks["key files"]["detail"] and "chmod" in checks["key files"]["cure"]
    key.chmod(0o600)
    (redoubt.workspace / "ledger/checkpoint").write_text("nothing")
    assert "workspace" in redoubt("doctor", expect=1).stdout


def key_versions(workspace):
    """Which version of the keyring's key wraps the data key of each sealed file (docs/formats/envelope.md, keyring.md)."""
    versions = {}
    for folder in ["objects", "secrets", "state"]:
        for path in (workspace / folder).rglob("*"):
            if not path.is_file() or path.name.startswith("."):
                continue
            data = path.read_bytes()
            at = 8 + 1 + 1 + 1 + 7
            for _ in range(2):  # context, URI
                at += 2 + int.from_bytes(data[at:at + 2], "big")
            versions[path.relative_to(workspace)] = int.from_bytes(data[at + 3:at + 7], "big")
    return versions


def pull(redoubt, hub):
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    return redoubt.command("model", "pull", "test/tiny", "--endpoint", hub.url, "--ca-file", hub.certificate, "--token-secret", "huggingface/api-token")


def test_a_rotation_wraps_every_data_key_anew(tiny_hub, tmp_path):
    redoubt = init(tmp_path / "here")
    subprocess.run(pull(redoubt, tiny_hub), env=redoubt.environment, check=True, capture_output=True)
    before = key_versions(redoubt.workspace)
    assert set(before.values()) == {1} and any(path.parts[0] == "objects" for path in before)
    report = redoubt.json("keys", "rotate")
    assert report["version"] == 2 and report["rewrapped"] == report["files"] == len(before)
    assert set(key_versions(redoubt.workspace).values()) == {2}
    assert redoubt.json("audit", "verify")["ok"] and redoubt.json("secret", "get", "token")["value"] == "swordfish-7"
    recorded = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "keys")]
    assert [result["action"] for result in recorded] == ["rewrap", "rotate"] and recorded[0]["rewrapped"] == len(before)
    redoubt("keys", "rotate", identity="reviewer", expect=5)


def test_a_rotation_killed_at_any_moment_goes_on(tiny_hub, tmp_path):
    redoubt = init(tmp_path / "here")
    subprocess.run(pull(redoubt, tiny_hub), env=redoubt.environment, check=True, capture_output=True)
    order = random.Random(4)
    for _ in range(12):
        process = subprocess.Popen(redoubt.command("keys", "rotate"), env=redoubt.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(order.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert redoubt.json("audit", "verify")["ok"]
    version = redoubt.json("keys", "rotate")["version"]
    assert set(key_versions(redoubt.workspace).values()) == {version}
    assert redoubt.json("audit", "verify")["ok"] and redoubt.json("secret", "get", "token")["value"] == "swordfish-7"


def assert_named(redoubt, name):
    report = json.loads(redoubt("--json", "audit", "verify", expect=4).stdout)
    assert any(name in problem["object"] or name in problem["detail"] for problem in report["problems"]), report["problems"]


def test_an_older_sealed_file_put_back_is_named(tmp_path):
    redoubt = init(tmp_path / "here")
    secret = next(path for path in (redoubt.workspace / "secrets").iterdir() if len(path.name) == 64)
    older = secret.read_bytes()
    redoubt("secret", "rotate", "token", stdin="swordfish-8")
    newest = secret.read_bytes()
    assert redoubt.json("audit", "verify")["ok"]
    secret.write_bytes(older)
    assert_named(redoubt, f"secrets/{secret.name}")
    secret.unlink()
    assert_named(redoubt, f"secrets/{secret.name}")
    secret.write_bytes(newest)
    assert redoubt.json("audit", "verify")["ok"]
    redoubt("secret", "delete", "token")
    assert redoubt.json("audit", "verify")["ok"]
    secret.write_bytes(newest)
    assert_named(redoubt, f"secrets/{secret.name}")
    secret.unlink()

    key = redoubt.json("key", "create", "--name", "one")["id"]
    keys = redoubt.workspace / "state/api-keys-production"
    older = keys.read_bytes()
    redoubt("key", "revoke", key)
    newest = keys.read_bytes()
    keys.write_bytes(older)
    assert_named(redoubt, "state/api-keys-production")
    keys.write_bytes(newest)

    keyring = redoubt.workspace / "keyring.json"
    older = keyring.read_bytes()
    redoubt("keys", "rotate")
    assert redoubt.json("audit", "verify")["ok"]
    keyring.write_bytes(older)
    assert_named(redoubt, "keyring.json")


def test_a_secret_put_killed_at_any_moment_leaves_the_old_or_the_new_one(tmp_path):
    redoubt = init(tmp_path / "here")
    secret = next(path for path in (redoubt.workspace / "secrets").iterdir() if len(path.name) == 64)
    intent = redoubt.workspace / "state/intent"
    order = random.Random(6)
    value, left = "swordfish-7", None
    for number in range(20):
        process = subprocess.Popen(redoubt.command("secret", "put", "token"), env=redoubt.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        process.stdin.write(f"value {number}".encode())
        process.stdin.close()
        time.sleep(order.uniform(0.005, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert redoubt.json("audit", "verify")["ok"]
        if intent.exists():
            left = (intent.read_bytes(), secret.read_bytes())
        now = redoubt.json("secret", "get", "token")["value"]
        assert now in (value, f"value {number}")
        value = now
    redoubt("secret", "put", "token", stdin="last")
    assert redoubt.json("audit", "verify")["ok"] and not intent.exists()
    if left:  # a note of a change that is over opens nothing
        intent.write_bytes(left[0])
        secret.write_bytes(left[1])
        assert_named(redoubt, f"secrets/{secret.name}")


def test_who_lacks_an_identity_s_key_file_changes_nothing_in_its_name(tmp_path):
    redoubt = init(tmp_path / "here")
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n')
    key = redoubt.json("key", "create", "--name", "x")
    for path in (tmp_path / "here/config").rglob("*.key"):
        if path.name in ("operator.key", "admin.key"):
            path.rename(path.with_suffix(".away"))
    contents = lambda: {path: path.read_bytes() for path in redoubt.workspace.rglob("*") if path.is_file() and not path.name.endswith("lock")}
    before = contents()
    for command in (("secret", "put", "token"), ("secret", "delete", "token"), ("secret", "get", "token"), ("key", "create", "--name", "y"), ("key", "revoke", key["id"]), ("keys", "rotate"),
                    ("vault", "put", "rows", tmp_path / "data.jsonl"), ("backup", "-o", tmp_path / "b")):
        assert "operator.key" in redoubt(*command, stdin="new", expect=5).stderr, command
    assert "admin.key" in redoubt("identity", "add", "eve", "--role", "reviewer", identity="admin", expect=5).stderr
    redoubt("audit", "query")
    assert contents() == before and not (tmp_path / "b").exists()
    assert redoubt.json("audit", "verify")["ok"]
    for path in (tmp_path / "here/config").rglob("*.away"):
        path.rename(path.with_suffix(".key"))
    assert redoubt.json("secret", "get", "token")["value"] == "swordfish-7"


def test_who_may_do_what_out_of_the_box(tmp_path):
    redoubt = init(tmp_path / "here")
    assert {row["name"]: row["roles"] for row in redoubt.json("identity", "list")} == {"operator": ["operator"], "reviewer": ["reviewer"], "admin": ["admin"]}
    redoubt("key", "create", "--name", "x")
    redoubt("keys", "rotate")
    refused = redoubt("identity", "add", "maria", "--role", "auditor", expect=5)
    assert "role admin" in refused.stderr and "ask one who may: admin" in refused.stderr
    redoubt("identity", "add", "maria", "--role", "auditor", identity="admin")
    redoubt("audit", "query", identity="maria")
    assert "takes the role" in redoubt("secret", "get", "token", identity="maria", expect=5).stderr
    assert "unknown identity" in redoubt("status", identity="nobody", expect=5).stderr
    key = next((tmp_path / "here/config").rglob("maria.key"))
    key.chmod(0o644)
    refused = redoubt("key", "create", "--name", "y", identity="maria", expect=5)
    operator = next((tmp_path / "here/config").rglob("operator.key"))
    operator.chmod(0o644)
    refused = redoubt("secret", "put", "other", stdin="x", expect=5)
    assert "open to other users" in refused.stderr and "chmod 600" in refused.stderr


@pytest.fixture
def on_small_disk(tmp_path, small_disk):
    (tmp_path / "home").mkdir()
    return Redoubt(tmp_path / "home", small_disk / "workspace")


def assert_full(done, folder):
    assert "No space left" in done.stderr and str(folder) in done.stderr and "free" in done.stderr, done.stderr


def test_a_full_disk_loses_nothing(on_small_disk, small_disk, tiny_hub):
    redoubt, filler = on_small_disk, small_disk / "filler"
    filler.write_bytes(os.urandom(1024 << 10))
    assert_full(redoubt("init", expect=1), small_disk)
    filler.write_bytes(os.urandom(1000 << 10))  # room for a part of it
    assert_full(redoubt("init", expect=1), small_disk)
    filler.unlink()
    redoubt("init")
    redoubt("secret", "put", "token", stdin="before")

    for room in [0, 4, 8, 12, 16]:
        free = os.statvfs(small_disk).f_bavail * 4096
        filler.write_bytes(os.urandom(max(0, free - room * 1024)))
        done = redoubt("secret", "put", "token", stdin="after", expect=None)
        if done.returncode != 0:
            assert done.returncode == 1
            assert_full(done, small_disk)
        filler.unlink()
        assert redoubt.json("audit", "verify")["ok"]
        assert redoubt.json("secret", "get", "token")["value"] in ("before", "after")
    redoubt("secret", "put", "token", stdin="after")
    assert redoubt.json("secret", "get", "token")["value"] == "after"

    command = pull(redoubt, tiny_hub)
    filler.write_bytes(os.urandom(os.statvfs(small_disk).f_bavail * 4096 - (100 << 10)))
    done = subprocess.run(command, env=redoubt.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert_full(done, small_disk)
    assert redoubt.json("audit", "verify")["ok"]
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    subprocess.run(command, env=redoubt.environment, check=True, capture_output=True)
    assert redoubt.json("audit", "verify")["ok"]
