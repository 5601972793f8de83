# SPDX-License-Identifier: Apache-2.0
"""A model scanned on the hub itself: the answer is that of the same files on the disk, nothing of them is kept, and a hub that sends
something else than it says is found out."""
import contextlib
import json
import os
import pathlib
import pickle
import subprocess
import time
import zipfile

import pytest

from conftest import TOKEN, Redoubt
from hostile_hub import HostileHub, reply, safetensors

BLOCK = 4 << 20


class Runs:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    redoubt = Redoubt(folder)
    redoubt("init")
    redoubt("secret", "put", "hub", stdin=TOKEN)
    hub = HostileHub(folder)
    yield redoubt, hub
    hub.server.shutdown()


@pytest.fixture
def scan(setting):
    redoubt, hub = setting
    hub.reset()

    def run(expect, model="test/tiny", *options, form=("--json",), secret="hub"):
        done = redoubt(*form, "model", "scan", model, "--endpoint", hub.url, "--ca-file", hub.certificate, "--token-secret", secret, *options, expect=expect)
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout if form != ("--json",) else json.loads(done.stdout)

    run.hub, run.redoubt = hub, redoubt
    return run


def checkpoint(folder, payload, size=0):
    """What torch.save writes, with one storage of `size` bytes."""
    path = pathlib.Path(folder) / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", payload)
        archive.writestr("model/byteorder", "little")
        if size:
            with archive.open("model/data/0", "w") as member:
                for _ in range(size >> 20):
                    member.write(os.urandom(1 << 20))
        archive.writestr("model/version", "3\n")
    return path.read_bytes()


def on_disk(redoubt, folder, files, *options):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return redoubt("model", "scan", folder, *options, expect=None)


def test_a_sound_model_is_safe_and_its_commit_is_named(scan):
    answer = scan(0)
    assert answer["safe"] and not answer["findings"]
    assert (answer["repository"], answer["commit"]) == ("test/tiny", scan.hub.commit)
    assert answer["files"] == len(scan.hub.files) and answer["bytes"] == sum(map(len, scan.hub.files.values()))
    assert scan(0, "hf://test/tiny")["safe"] and scan(0, f"hf://test/tiny@{scan.hub.commit}")["safe"]


@pytest.mark.parametrize("form", ["table", "json", "sarif"])
def test_the_findings_are_those_of_the_same_files_on_the_disk(scan, tmp_path, form):
    scan.hub.files |= {"evil.pt": checkpoint(tmp_path, pickle.dumps(Runs()), 9 << 20), "tool.py": b"import os\n", "deep/weights.bin": pickle.dumps(Runs()),
                       "config.json": b'{"auto_map": {"AutoModel": "tool.Model"}}'}
    folder = tmp_path / "model"
    folder.mkdir()
    local = on_disk(scan.redoubt, folder, scan.hub.files, "--format", form)
    remote = scan(3, "test/tiny", "--format", form, form=())
    if form == "table":
        assert sorted(remote.splitlines()) == sorted(local.stdout.splitlines())
        return
    remote, local = json.loads(remote), json.loads(local.stdout)
    if form == "json":
        order = lambda finding: (finding["path"], finding["offset"], finding["detail"])
        assert sorted(remote["findings"], key=order) == sorted(local["findings"], key=order)
        assert (remote["files"], remote["bytes"]) == (local["files"], local["bytes"])
    else:
        results = [sorted(json.dumps(result["message"]) for result in log["runs"][0]["results"]) for log in (remote, local)]
        assert results[0] == results[1] and results[0]


def test_nothing_is_kept_and_memory_does_not_grow_with_the_file(scan, tmp_path):
    scan.hub.files["model.pt"] = checkpoint(tmp_path, pickle.dumps({"a": 1}), 220 << 20)
    before = sorted(path for path in scan.redoubt.workspace.rglob("*") if path.is_file() and path.parent.name in ("objects", "spool"))
    command = scan.redoubt.command("model", "scan", "test/tiny", "--endpoint", scan.hub.url, "--ca-file", scan.hub.certificate, "--token-secret", "hub")
    peak_kib = 0
    with open(tmp_path / "out", "w") as out:
        process = subprocess.Popen(command, env=scan.redoubt.environment, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                peak_kib = max(peak_kib, int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]))
            time.sleep(0.005)
    assert process.returncode == 0, (tmp_path / "out").read_text()
    assert 0 < peak_kib < 160 << 10
    assert sorted(path for path in scan.redoubt.workspace.rglob("*") if path.is_file() and path.parent.name in ("objects", "spool")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "out"]


def test_a_public_model_needs_no_workspace(scan, tmp_path):
    def without_token(request):
        assert "Authorization" not in request.headers
        request.headers["Authorization"] = "Bearer " + TOKEN
    scan.hub.answer = without_token
    nowhere = Redoubt(tmp_path, tmp_path / "none")
    assert nowhere.json("model", "scan", "test/tiny", "--endpoint", scan.hub.url, "--ca-file", scan.hub.certificate)["safe"]
    assert not (tmp_path / "none").exists()


def test_what_is_on_the_disk_is_meant_first(scan):
    folder = scan.redoubt.folder / "test" / "tiny"
    on_disk(scan.redoubt, folder, {"config.json": b"{}"})
    try:
        assert "commit" not in scan(0)
        assert scan.hub.requests == []
        assert scan(0, "hf://test/tiny")["commit"] == scan.hub.commit
    finally:
        (folder / "config.json").unlink()
        folder.rmdir()


@pytest.mark.parametrize("model,expect,says", [
    ("test/unknown", 1, "no such file or folder, and the hub has no model"), ("hf://test/unknown", 1, "the hub has no model"), ("nowhere", 1, "no such file"),
    ("./test/tiny", 1, "no such file"), ("a/b/c", 1, "no such file"), ("/no/where", 1, "no such file"), ("hf://", 2, "no model's name"), ("hf://a/b/c", 2, "no model's name"),
    ("hf://test/tiny@a b", 2, "no revision"),
])
def test_names_that_are_none_are_told(scan, model, expect, says):
    assert says in scan(expect, model)["error"]["message"]
    if "unknown" not in model:
        assert scan.hub.requests == []


@pytest.mark.parametrize("path,claim", [
    ("model.safetensors", {"lfs": {"oid": "ab" * 32}}), ("config.json", {"oid": "ab" * 20}), ("model.safetensors", {"size": 10, "lfs": {"size": 10}}),
    ("model.safetensors", {"size": 10_000, "lfs": {"size": 10_000}}), ("config.json", {"size": 3000}),
])
def test_what_is_not_what_the_hub_says_is_tampered(scan, path, claim):
    scan.hub.claims[path] = claim
    assert path in scan(4)["error"]["where"]


def test_a_digest_that_differs_outweighs_findings(scan, tmp_path):
    scan.hub.files["evil.pt"] = checkpoint(tmp_path, pickle.dumps(Runs()), 9 << 20)
    scan.hub.claims["evil.pt"] = {"lfs": {"oid": "ab" * 32}}
    assert "digest" in scan(4)["error"]["message"]


def test_a_hub_that_sends_other_bytes_the_second_time_is_found_out(scan, tmp_path):
    """The directory of a zip archive is read before its members; the whole is read for the digest again."""
    scan.hub.files = {"model.pt": checkpoint(tmp_path, pickle.dumps({"a": 1}), 48 << 20)}
    honest, asked = scan.hub.files["model.pt"], []

    def changed(request):
        if not request.path.endswith("model.pt"):
            return False
        asked.extend([True] if request.headers.get("Range", "").endswith(f"-{len(honest) - 1}") else [])
        other = bytearray(honest)
        other[-30] ^= 1
        return scan.hub.send_file(request, bytes(other) if len(asked) > 1 else honest)

    scan.hub.answer = changed
    assert "other bytes the second time" in scan(4)["error"]["message"]


def test_a_file_that_breaks_off_goes_on(scan):
    scan.hub.files["model.safetensors"] = safetensors(3 * BLOCK + 1000)
    broken = []

    def breaks(request):
        if not request.path.endswith("model.safetensors") or len(broken) == 3:
            return False
        broken.append(request.headers.get("Range"))
        return scan.hub.send_file(request, scan.hub.files["model.safetensors"], break_after=1 << 20)

    scan.hub.answer = breaks
    assert scan(0)["safe"] and len(broken) == 3


def test_a_large_file_without_a_digest_is_refused(scan):
    scan.hub.files["model.gguf"] = b"GGUF" + bytes(33 << 20)
    assert "SHA-256" in scan(3)["error"]["message"]


def test_a_wrong_token_is_not_permitted(scan):
    scan.redoubt("secret", "put", "wrong", stdin="hf_wrong" + "x" * 30)
    assert "token" in json.dumps(scan(5, secret="wrong"))


def test_a_redirect_elsewhere_is_refused_unless_it_is_allowed(scan):
    def away(request):
        if request.path.endswith("model.safetensors") and request.headers.get("Host", "").startswith("localhost"):
            return reply(request, 302, b"", {"Location": f"https://127.0.0.1:{scan.hub.port}{request.path}"})
        if request.path.endswith("model.safetensors"):
            assert "Authorization" not in request.headers
            return scan.hub.send_file(request, scan.hub.files["model.safetensors"])
        return False

    scan.hub.answer = away
    assert "--allow-host" in scan(3)["error"]["hint"]
    assert scan(0, "test/tiny", "--allow-host", "127.0.0.1")["safe"]
