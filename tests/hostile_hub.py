# SPDX-License-Identifier: Apache-2.0
"""A hub of the tests' own, Python's HTTPS server: it says and sends what a test wants."""
import contextlib
import functools
import hashlib
import http.server
import json
import ssl
import struct
import threading
import urllib.parse

from conftest import TOKEN, make_certificate


def safetensors(count=4, header=None, seed=1):
    """A file with one tensor of `count` bytes, or with another header over the same bytes."""
    text = json.dumps(header or {"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    return struct.pack("<Q", len(text)) + text + (bytes(range(256)) * (count // 256 + 1))[seed:seed + count]


def good_model():
    return {"config.json": b'{"model_type": "llama"}', "model.safetensors": safetensors(300), "README.md": b"# A model\n"}


@functools.lru_cache(maxsize=16)  # asked for with each range of a file
def git_blob(data):
    digest = hashlib.sha1(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()


class HostileHub:
    """Serves `files` as test/tiny; `entries`, `answer` and `claims` bend what it says of them."""

    def __init__(self, folder):
        self.certificate, key = make_certificate(folder)
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    hub.serve(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.resets = 0
        self.reset()

    def reset(self):
        self.resets += 1
        self.commit = f"{self.resets:040x}"  # another each time, or the step would be reused
        self.files, self.claims, self.extra, self.answer, self.requests, self.sent = good_model(), {}, [], lambda request: None, [], 0

    def entry(self, path):
        data = self.files[path]
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_blob(data)}
        if path.endswith((".safetensors", ".bin", ".pt")):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        for key, value in self.claims.get(path, {}).items():
            entry[key] = {**entry[key], **value} if isinstance(value, dict) else value
        return entry

    def serve(self, request):
        self.requests.append((request.path, dict(request.headers)))
        if self.answer(request):
            return
        if request.headers.get("Authorization") != "Bearer " + TOKEN:
            return reply(request, 401, b"{}")
        path = urllib.parse.unquote(request.path.split("?")[0])
        if path == "/api/models/test/tiny/revision/main":
            return reply(request, 200, json.dumps({"sha": self.commit}).encode())
        if path == f"/api/models/test/tiny/tree/{self.commit}":
            return reply(request, 200, json.dumps([self.entry(name) for name in self.files] + self.extra).encode())
        prefix = f"/test/tiny/resolve/{self.commit}/"
        if path.startswith(prefix) and path[len(prefix):] in self.files:
            return self.send_file(request, self.files[path[len(prefix):]])
        return reply(request, 404, b"{}")

    def send_file(self, request, data, break_after=None):
        """With ranges, as the Hub's; `break_after` ends the connection within the body."""
        status, headers, wanted = 200, {"ETag": '"%s"' % git_blob(data)}, request.headers.get("Range")
        if wanted:
            first, last = (int(text) for text in wanted.removeprefix("bytes=").split("-"))
            if first >= len(data):
                return reply(request, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            last = min(last, len(data) - 1)
            status, headers["Content-Range"], data = 206, f"bytes {first}-{last}/{len(data)}", data[first:last + 1]
        return reply(request, status, data, headers, break_after)


def reply(request, status, body, headers=None, break_after=None):
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[:break_after])
    if break_after is not None:
        request.wfile.flush()
        request.close_connection = True
        request.connection.close()
    return True
