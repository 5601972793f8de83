# SPDX-License-Identifier: Apache-2.0
"""`redoubt image push` against Debian's docker-registry (CNCF distribution) over TLS with a password; skopeo says what is there."""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt, free_port, make_certificate  # noqa: E402
from registry import PASSWORD, USER, Registry  # noqa: E402


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("workspace"))
    redoubt("init")
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    redoubt.image = redoubt.json("image", "build")
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


class LyingRegistry(http.server.BaseHTTPRequestHandler):
    """Takes everything behind a token, and tells what the test wants it to lie about."""
    protocol_version = "HTTP/1.1"
    lie, blobs, manifests, tokens, parts = "", {}, {}, [], []

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.command != "HEAD" or "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        path = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(path.query)
        if path.path == "/token":
            self.tokens.append((self.headers.get("Authorization"), query))
            return self.answer(200, json.dumps({"token": "granted"}).encode())
        if self.headers.get("Authorization") != "Bearer granted":
            return self.answer(401, WWW_Authenticate=f'Bearer realm="https://localhost:{self.server.server_port}/token",service="a b",scope="x"')
        if path.path == "/v2/":
            return self.answer(200)
        kind, name = path.path.rsplit("/", 2)[1:]
        digest = query.get("digest", [""])[0]
        if self.command == "POST":
            where = "https://127.0.0.1:1/elsewhere" if self.lie == "location" else "/v2/a/blobs/uploads/1?state=x"
            return self.answer(202, Location=where)
        if self.command == "PATCH":
            self.parts.append(body)
            return self.answer(202, Location="/v2/a/blobs/uploads/1?state=y", Range=f"0-{sum(map(len, self.parts)) - 1}")
        if self.command == "PUT" and kind == "uploads":
            self.blobs[digest] = b"".join(self.parts) + body
            self.parts.clear()
            return self.answer(201, Docker_Content_Digest="sha256:" + "0" * 64 if self.lie == "blob" else digest)
        if self.command == "PUT":
            self.manifests[name] = body + b" " if self.lie == "manifest" else body
            return self.answer(201)
        if kind == "blobs":
            return self.answer(404)
        found = self.manifests.get(name)
        return self.answer(200, found) if found else self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = serve


@pytest.fixture
def liar(tmp_path):
    certificate, key = make_certificate(tmp_path)
    handler = type("Handler", (LyingRegistry,), {"blobs": {}, "manifests": {}, "tokens": [], "parts": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.url, handler.certificate = f"https://localhost:{server.server_port}", certificate
    yield handler
    server.shutdown()


def test_a_token_is_fetched_where_the_registry_says_and_used(workspace, liar):
    told = json.loads(push(workspace, liar, "a:1").stdout)
    authorization, query = liar.tokens[0]
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"{USER}:{PASSWORD}"
    assert query == {"service": ["a b"], "scope": ["repository:a:pull,push"]}
    assert "sha256:" + hashlib.sha256(liar.manifests["1"]).hexdigest() == told["digest"]
    assert all("sha256:" + hashlib.sha256(blob).hexdigest() == digest for digest, blob in liar.blobs.items())


@pytest.mark.parametrize("lie,exit_status", [("blob", 4), ("manifest", 4), ("location", 3)])
def test_a_registry_that_lies_is_noticed(workspace, liar, lie, exit_status):
    liar.lie = lie
    push(workspace, liar, "a:1", expect=exit_status)
    assert lie == "manifest" or not liar.manifests
