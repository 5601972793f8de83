# SPDX-License-Identifier: Apache-2.0
"""A strict registry of the OCI distribution specification v1.1 for what Debian's docker-registry 2.8 lacks or does not do on demand:
tokens that run out, uploads that break off and are taken up again, mounts, referrers in pages, rate limits, redirects to another
host. It refuses what the specification does not allow, and keeps a list of each offence; and where a test wants it, it lies."""
import base64
import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse
import uuid

import pytest

from conftest import make_certificate
from registry import PASSWORD, USER

INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def offend(self, what, status=400):
        self.server.offences.append(f"{self.command} {self.path}: {what}")
        self.answer(status, what.encode())

    def scopes(self):
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return self.server.tokens.get(token)

    def give_token(self, query):
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            return self.answer(401)
        token = uuid.uuid4().hex
        self.server.tokens[token] = {scope.split(":")[1]: set(scope.split(":")[2].split(",")) for scope in query.get("scope", [])}
        self.server.token_requests.append(query)
        return self.answer(200, json.dumps({"token": token, "expires_in": 60}).encode())

    def serve(self):
        server = self.server
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        length = int(self.headers.get("Content-Length") or 0)
        server.requests.append((self.command, self.path, self.headers.get("Range"), self.headers.get("Content-Range")))
        if url.path == "/token":
            self.rfile.read(length)
            return self.give_token(query)
        if server.limit_every and len(server.requests) % server.limit_every == 0:
            self.rfile.read(length)
            return self.answer(429, Retry_After="1")
        parts = re.fullmatch(r"/v2/((?P<name>[a-z0-9/_.-]+?)/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>.*))?", url.path)
        name = parts["name"] if parts else None
        scopes = self.scopes()
        need = "pull" if self.command in ("GET", "HEAD") and (not parts or parts["kind"] != "blobs/uploads") else "push"
        if scopes is None or (name and need not in scopes.get(name, set())):
            self.rfile.read(length)
            return self.answer(401, WWW_Authenticate=f'Bearer realm="{server.url}/token",service="a strict one",scope="repository:{name}:pull,push"')
        if parts is None:
            return self.offend("no such route", 404)
        if not name:
            return self.answer(200, b"{}")
        return getattr(self, "on_" + parts["kind"].replace("/", "_"))(server.repositories.setdefault(name, {"blobs": {}, "manifests": {}, "tags": {}}), name, parts["rest"], query, length)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = serve

    def on_blobs(self, repository, name, rest, query, length):
        blob = repository["blobs"].get(rest)
        if blob is None:
            return self.answer(404)
        if self.server.blob_host and self.command == "GET":
            return self.answer(307, Location=f"{self.server.blob_host}/{rest}")
        return serve_bytes(self, blob, rest, self.server.ranges)

    def on_blobs_uploads(self, repository, name, rest, query, length):
        server = self.server
        if self.command == "POST":
            self.rfile.read(length)
            source = query.get("from", [None])[0]
            mount = query.get("mount", [None])[0]
            if mount and server.mount_status:
                return self.answer(server.mount_status, WWW_Authenticate=f'Bearer realm="{server.url}/token",service="a strict one",scope="repository:{source}:pull"')
            if mount and source and "pull" in self.scopes().get(source, set()) and mount in server.repositories.get(source, {}).get("blobs", {}):
                repository["blobs"][mount] = server.repositories[source]["blobs"][mount]
                return self.answer(201, Location=f"/v2/{name}/blobs/{mount}", Docker_Content_Digest=mount)
            session = uuid.uuid4().hex
            server.uploads[session] = b""
            return self.answer(202, Location="https://127.0.0.1:1/elsewhere" if server.lie == "location" else f"/v2/{name}/blobs/uploads/{session}?state=a")
        if rest not in server.uploads:
            self.rfile.read(length)
            return self.answer(404)
        have = server.uploads[rest]
        where = dict(Location=f"/v2/{name}/blobs/uploads/{rest}?state={uuid.uuid4().hex}", Range=f"0-{max(len(have) - 1, 0)}")
        if self.command == "GET":
            return self.answer(204, **where)
        if self.command == "PATCH":
            given = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range") or "")
            if not given or int(given[2]) - int(given[1]) + 1 != length:
                return self.offend("a part without its range")
            if int(given[1]) != len(have):
                self.rfile.read(length)
                return self.answer(416, **where)
            if server.breaks > 0:  # half of it arrives, and the line goes dead
                server.breaks -= 1
                server.uploads[rest] = have + self.rfile.read(length // 2)
                return hang_up(self)
            server.uploads[rest] = have + self.rfile.read(length)
            where["Range"] = f"0-{len(server.uploads[rest]) - 1}"
            return self.answer(202, **where)
        data = have + self.rfile.read(length)
        digest = query.get("digest", [""])[0]
        if digest_of(data) != digest:
            return self.offend("the upload is not its digest")
        del server.uploads[rest]
        repository["blobs"][digest] = data
        return self.answer(201, Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest="sha256:" + "0" * 64 if server.lie == "blob" else digest)

    def on_manifests(self, repository, name, rest, query, length):
        if self.command == "PUT":
            data = self.rfile.read(length)
            manifest = json.loads(data)
            if manifest.get("mediaType", self.headers["Content-Type"]) != self.headers["Content-Type"]:
                return self.offend("a manifest of another type than it says")
            elsewhere = [part for part in manifest.get("layers", []) if "urls" in part and ("foreign" in part["mediaType"] or "nondistributable" in part["mediaType"])]
            needed = [part["digest"] for part in manifest.get("layers", []) + ([manifest["config"]] if "config" in manifest else []) if part not in elsewhere]
            missing = [d for d in needed if d not in repository["blobs"]] + [m["digest"] for m in manifest.get("manifests", []) if m["digest"] not in repository["manifests"]]
            if missing:
                return self.offend(f"names what is not there: {missing}")
            digest = digest_of(data)
            if rest.startswith("sha256:") and rest != digest:
                return self.offend("another digest than the manifest's")
            repository["manifests"][digest] = (self.headers["Content-Type"], data + b" " if self.server.lie == "manifest" else data)
            if not rest.startswith("sha256:"):
                repository["tags"][rest] = digest
            more = {"OCI_Subject": manifest["subject"]["digest"]} if "subject" in manifest and self.server.has_referrers else {}
            return self.answer(201, Location=f"/v2/{name}/manifests/{digest}", Docker_Content_Digest=digest, **more)
        digest = rest if rest.startswith("sha256:") else repository["tags"].get(rest)
        if digest not in repository["manifests"]:
            return self.answer(404)
        kind, data = repository["manifests"][digest]
        if kind not in (self.headers.get("Accept") or ""):
            return self.offend("a manifest whose type was not asked for", 404)
        return self.answer(200, data, Content_Type=kind, Docker_Content_Digest=digest)

    def on_tags(self, repository, name, rest, query, length):
        tags = sorted(repository["tags"])
        last = query.get("last", [""])[0]
        page = [tag for tag in tags if tag > last][:2]
        more = {"Link": f'</v2/{name}/tags/list?n=2&last={page[-1]}>; rel="next"'} if page and page[-1] != tags[-1] else {}
        return self.answer(200, json.dumps({"name": name, "tags": page}).encode(), **more)

    def on_referrers(self, repository, name, rest, query, length):
        if not self.server.has_referrers:
            return self.answer(404)
        found = []
        for digest, (kind, data) in repository["manifests"].items():
            manifest = json.loads(data)
            if manifest.get("subject", {}).get("digest") == rest:
                found.append({"mediaType": kind, "digest": digest, "size": len(data), "artifactType": manifest.get("artifactType", ""), "annotations": manifest.get("annotations", {})})
        start = int(query.get("from", ["0"])[0])
        more = {"Link": f'<{self.server.url.replace("localhost", "LocalHost")}/v2/{name}/referrers/{rest}?from={start + 2}>; rel="next"'} if start + 2 < len(found) else {}
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": found[start:start + 2]}).encode()
        return self.answer(200, body, Content_Type=INDEX, **more)


def hang_up(handler):
    """`close` alone leaves the socket open as long as the handler's files are, and the other end waits until it gives up."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def serve_bytes(handler, blob, digest, ranges):
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range") or "")
    if not wanted or not ranges:
        return handler.answer(200, blob, Docker_Content_Digest=digest)
    first, last = int(wanted[1]), min(int(wanted[2]), len(blob) - 1)
    part = blob[first:last + 1]
    if handler.server.get_breaks > 0:  # the first half arrives
        handler.server.get_breaks -= 1
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(blob)}")
        handler.send_header("Content-Length", str(len(part)))
        handler.end_headers()
        handler.wfile.write(part[:len(part) // 2])
        handler.wfile.flush()
        return hang_up(handler)
    return handler.answer(206, part, Content_Range=f"bytes {first}-{last}/{len(blob)}", Docker_Content_Digest=digest)


class BlobHost(http.server.BaseHTTPRequestHandler):
    """Where another host keeps the blobs."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    answer = Handler.answer

    def do_GET(self):
        self.server.authorizations.append(self.headers.get("Authorization"))
        blob = next((r["blobs"][self.path[1:]] for r in self.server.owner.repositories.values() if self.path[1:] in r["blobs"]), None)
        return self.answer(404) if blob is None else serve_bytes(self, blob, self.path[1:], True)


class StrictRegistry:
    def __init__(self, folder):
        self.certificate, key = make_certificate(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.server = self.start(Handler)
        self.server.__dict__.update(tokens={}, token_requests=[], repositories={}, uploads={}, offences=[], requests=[], breaks=0, get_breaks=0, limit_every=0, blob_host=None, ranges=True, has_referrers=True, mount_status=0, lie="")
        self.url = self.server.url = f"https://localhost:{self.server.server_port}"
        self.others = []

    def start(self, handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.socket = self.context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def keep_blobs_elsewhere(self):
        other = self.start(BlobHost)
        other.__dict__.update(owner=self.server, authorizations=[], get_breaks=0)
        self.others.append(other)
        self.server.blob_host = f"https://127.0.0.1:{other.server_port}"
        return other

    def stop(self):
        for server in [self.server, *self.others]:
            server.shutdown()


@pytest.fixture
def strict(tmp_path):
    registry = StrictRegistry(tmp_path)
    yield registry
    registry.stop()
    assert registry.server.offences == []
