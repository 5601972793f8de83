# SPDX-License-Identifier: Apache-2.0
"""`hub serve --ledger`: what a mirror gave out is counted in the workspace's ledger, which notices an audit file that was cut, replaced or
removed."""
import json
import ssl
import subprocess
import urllib.request

import pytest

from conftest import Redoubt, make_certificate

TOKEN = "hf_ledger_token"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    redoubt = Redoubt(folder)
    redoubt("init")
    (folder / "root/acme/tiny").mkdir(parents=True)
    (folder / "root/acme/tiny/config.json").write_text("{}")
    redoubt.certificate, redoubt.key = make_certificate(folder)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    redoubt.audit = folder / "root/.hub/audit.jsonl"
    return redoubt


def serve(mirror, *paths, expect=0):
    """Serves, downloads the paths, and ends the mirror."""
    process = subprocess.Popen(mirror.command("hub", "serve", "--root", mirror.folder / "root", "--listen", "127.0.0.1:0", "--tls-cert", mirror.certificate, "--tls-key", mirror.key,
                                              "--token-file", mirror.folder / "token", "--ledger"), env=mirror.environment, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    for path in paths:
        url = "https://localhost:" + line.rsplit(":", 1)[1].strip() + path
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert urllib.request.urlopen(request, context=ssl.create_default_context(cafile=mirror.certificate), timeout=30).read() == b"{}"
    if expect == 0:
        process.terminate()
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == expect, line + rest
    return line + rest


def events(mirror):
    return [entry for entry in mirror.json("audit", "query", "--step", "mirror")]


def test_downloads_are_counted_in_the_ledger(mirror):
    serve(mirror, *["/acme/tiny/resolve/main/config.json"] * 3)
    told = events(mirror)
    assert len(told) == 1
    result = told[0]["result"]
    assert result["audit"]["lines"] == 6 == len(mirror.audit.read_text().splitlines())
    count = result["downloads"][0]
    assert (count["repository"], count["files"], count["bytes"]) == ("acme/tiny", 3, 6)
    assert TOKEN not in json.dumps(told) and str(mirror.folder) not in json.dumps(told)
    serve(mirror)  # nothing new: no event
    assert len(events(mirror)) == 1
    checked = mirror.json("hub", "audit", "--root", mirror.folder / "root", "--ledger")
    assert checked["ok"] and checked["known_lines"] == 6
    assert mirror.json("audit", "verify")["ok"]


def test_a_file_that_was_cut_replaced_or_removed_is_noticed(mirror):
    whole = mirror.audit.read_text()
    mirror.audit.write_text("".join(whole.splitlines(keepends=True)[:4]))  # still a chain
    assert mirror.json("hub", "audit", "--root", mirror.folder / "root")["ok"]
    problems = mirror.json("hub", "audit", "--root", mirror.folder / "root", "--ledger", expect=4)["problems"]
    assert problems == [{"kind": "chain", "object": "line 6", "detail": "was there before, and is missing"}]
    assert "not what the ledger knows" in serve(mirror, expect=4)
    mirror.audit.unlink()
    assert "that is not there" in serve(mirror, expect=4)
    mirror.audit.write_text(whole)
    serve(mirror)


def test_an_audit_file_that_the_ledger_does_not_know_is_told(mirror, tmp_path):
    other = tmp_path / "audit.jsonl"
    other.write_text("")
    told = mirror.json("hub", "audit", "--root", mirror.folder / "root", "--audit-file", other, "--ledger", expect=1)
    assert "knows nothing of this audit file" in told["error"]["message"]
