# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect issuer of the tests' own, Python's HTTPS server: it says of its keys what a test wants."""
import contextlib
import http.server
import json
import ssl
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from conftest import free_port, make_certificate

DOCUMENT, KEYS = "/realm/.well-known/openid-configuration", "/realm/keys"


class Key:
    def __init__(self, name):
        self.name, self.private = name, rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self, **more):
        return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key())), "kid": self.name, "use": "sig", "alg": "RS256", **more}


class Issuer:
    """`answers` holds what each path is answered with: status, headers and body. It answers nothing until it is started."""

    def __init__(self, folder, key):
        self.ca_file, self.key_file = make_certificate(folder)
        self.port = free_port()
        self.url = f"https://localhost:{self.port}/realm"
        self.server = None
        self.asked = []
        self.good(key)

    def document(self, **more):
        document = {"issuer": self.url, "jwks_uri": f"https://localhost:{self.port}{self.keys_path}", "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
        self.answer(DOCUMENT, {**document, **more})

    def answer(self, path, body, status=200, **headers):
        self.answers[path] = status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()

    def good(self, *keys, **headers):
        self.answers, self.keys_path = {}, KEYS
        self.answer(KEYS, {"keys": [key.jwk() for key in keys]}, **headers)
        self.document()

    def start(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, headers, body = issuer.answers.get(self.path, (404, {}, b"{}"))
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, self.key_file)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    def token(self, key, **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "redoubt", "sub": "alice", "iat": now, "exp": now + 300, "scope": "models"}
        return jwt.encode({**claims, **more}, key.private, "RS256", {"kid": key.name})
