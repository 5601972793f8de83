# SPDX-License-Identifier: Apache-2.0
"""`redoubt image push` against Debian's docker-registry (CNCF distribution) over TLS with a password; skopeo says what is there."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402
from oci_registry import strict  # noqa: E402, F401  (a fixture)
from registry import PASSWORD, USER, registry  # noqa: E402, F401  (the last a fixture)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("workspace"))
    redoubt("init")
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    redoubt.image = redoubt.json("image", "build")
    context = redoubt.folder / "context"
    context.mkdir()
    (context / "small").write_text("x")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY small /\nUSER 1\n")
    redoubt("image", "build", context, "-t", "small:1")
    redoubt.login = redoubt.folder / "login"
    redoubt.login.write_text(f"{USER}:{PASSWORD}\n")
    redoubt.login.chmod(0o600)
    return redoubt


def push(workspace, registry, target, *more, image=None, expect=0, login=True):
    arguments = ["image", "push", image or workspace.image["tag"], f"{registry.url}/{target}", "--ca", registry.certificate, *more]
    if login:
        arguments += ["--login-secret", "registry/login"]
    return workspace("--json", *arguments, expect=expect)


def test_the_pushed_image_has_the_same_digest_there(workspace, registry):
    told = json.loads(push(workspace, registry, "team/engine:1.0").stdout)
    assert told["digest"] == workspace.image["digest"] and told["blobs_sent"] == 3 and not told["unchanged"]
    assert registry.inspect("team/engine:1.0")["Digest"] == workspace.image["digest"]
    raw = registry.skopeo("inspect", "--raw", f"docker://localhost:{registry.port}/team/engine:1.0")
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == workspace.image["digest"]
    again = json.loads(push(workspace, registry, "team/engine:1.0").stdout)
    assert again["unchanged"] and again["blobs_sent"] == 0
    # Another tag sends no blob again.
    other = json.loads(push(workspace, registry, "team/engine:2.0", image=workspace.image["digest"]).stdout)
    assert other["blobs_sent"] == 0 and other["blobs_present"] == 3
    events = workspace("audit", "query").stdout
    assert "push" in events
    assert workspace.json("audit", "verify")["ok"]


def test_without_a_tag_the_one_here_is_used_and_a_file_may_hold_the_login(workspace, registry):
    told = json.loads(push(workspace, registry, "team/other", "--login-file", workspace.login, login=False).stdout)
    tag = workspace.image["tag"].split(":")[1]
    assert told["reference"].endswith(f"team/other:{tag}")
    assert registry.inspect(f"team/other:{tag}")["Digest"] == workspace.image["digest"]


def test_a_tag_is_never_moved(workspace, registry):
    other = workspace.json("image", "build", "--name", "another")
    assert other["digest"] != workspace.image["digest"]
    push(workspace, registry, "team/fixed:1")
    refused = json.loads(push(workspace, registry, "team/fixed:1", image=other["tag"], expect=1).stdout)
    assert refused["error"]["code"] == "already_exists"
    assert registry.inspect("team/fixed:1")["Digest"] == workspace.image["digest"]


def test_a_wrong_login_and_none_are_not_permitted(workspace, registry, tmp_path):
    assert "login-secret" in push(workspace, registry, "team/x:1", login=False, expect=5).stdout
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{USER}:wrong")
    wrong.chmod(0o600)
    told = push(workspace, registry, "team/x:1", "--login-file", wrong, login=False, expect=5)
    assert "wrong" not in json.loads(told.stdout)["error"]["where"]


def test_plain_http_and_an_unknown_authority_are_refused(workspace, registry, tmp_path):
    tag = workspace.image["tag"]
    workspace("image", "push", tag, registry.url.replace("https", "http") + "/team/x:1", expect=2)
    workspace("image", "push", tag, registry.url + "/team/x:1", "--login-secret", "registry/login", expect=5)
    for bad in ["/Team/x:1", "/team/x@sha256:" + "0" * 64, "/team/../x:1", "/team/x:1?a=b", "/", "/team/x:" + "t" * 129, "/team/x:-a"]:
        workspace("image", "push", tag, registry.url + bad, "--ca", registry.certificate, "--login-secret", "registry/login", expect=2)
    workspace("image", "push", "no-such-image", registry.url + "/team/x:1", "--ca", registry.certificate, expect=1)


def test_a_changed_blob_here_never_becomes_an_image_there(workspace, registry):
    blobs = sorted((workspace.workspace / "images" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer = blobs[-1]
    with open(layer, "r+b") as file:
        file.seek(layer.stat().st_size // 2)
        before = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([before[0] ^ 1]))
    try:
        told = json.loads(push(workspace, registry, "team/changed:1", expect=4).stdout)
        assert told["error"]["code"] == "tampered"
        with pytest.raises(subprocess.CalledProcessError):
            registry.inspect("team/changed:1")
    finally:
        with open(layer, "r+b") as file:
            file.seek(layer.stat().st_size // 2)
            file.write(before)
    push(workspace, registry, "team/changed:1")


def test_a_token_is_fetched_where_the_registry_says_and_used(workspace, strict):
    told = json.loads(push(workspace, strict, "a:1", image="small:1").stdout)
    assert strict.server.token_requests[0] == {"service": ["a strict one"], "scope": ["repository:a:pull,push"]}
    kept = strict.server.repositories["a"]
    assert kept["tags"]["1"] == told["digest"] == "sha256:" + hashlib.sha256(kept["manifests"][told["digest"]][1]).hexdigest()
    assert all("sha256:" + hashlib.sha256(blob).hexdigest() == digest for digest, blob in kept["blobs"].items())


@pytest.mark.parametrize("lie,exit_status", [("blob", 4), ("manifest", 4), ("location", 3)])
def test_a_registry_that_lies_is_noticed(workspace, strict, lie, exit_status):
    strict.server.lie = lie
    push(workspace, strict, "a:1", image="small:1", expect=exit_status)
    assert lie == "manifest" or not strict.server.repositories["a"]["manifests"]
