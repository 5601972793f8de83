# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry (CNCF distribution) over TLS with a password, and skopeo to say what is there."""
import hashlib
import json
import socket
import subprocess
import time

import pytest

from conftest import free_port, make_certificate

USER, PASSWORD = "pusher", "correct horse:battery"
MANIFEST, INDEX = (f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index"))


class Registry:
    """The real one, with htpasswd, on loopback."""

    def __init__(self, folder, user=USER, password=PASSWORD):
        self.folder, self.user, self.password = folder, user, password
        self.certificate, key = make_certificate(folder)
        subprocess.run(["htpasswd", "-Bbc", folder / "htpasswd", user, password], check=True, capture_output=True)
        self.port = free_port()
        (folder / "config.yml").write_text(json.dumps({
            "version": "0.1", "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "test", "tls": {"certificate": str(self.certificate), "key": str(key)}},
            "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}}))
        self.url = f"https://localhost:{self.port}"
        # skopeo trusts what lies in a folder, by the name ca.crt.
        (folder / "certs").mkdir()
        (folder / "certs" / "ca.crt").write_bytes(self.certificate.read_bytes())
        self.start()

    def start(self):
        """Also again after `stop`: at the same address, with what was stored."""
        self.log = open(self.folder / "log", "a")
        self.process = subprocess.Popen(["docker-registry", "serve", self.folder / "config.yml"], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def skopeo(self, *arguments):
        return subprocess.run(["skopeo", *arguments, "--cert-dir", self.folder / "certs", "--creds", f"{self.user}:{self.password}"], check=True,
                              capture_output=True, text=True).stdout

    def inspect(self, reference):
        return json.loads(self.skopeo("inspect", f"docker://localhost:{self.port}/{reference}"))

    def curl(self, *arguments):
        return subprocess.run(["curl", "-sSf", "--cacert", self.certificate, "-u", f"{self.user}:{self.password}", *arguments], check=True, capture_output=True, text=True).stdout

    def push_blob(self, name, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        headers = self.curl("-X", "POST", "-D", "-", "-o", "/dev/null", f"{self.url}/v2/{name}/blobs/uploads/")
        location = next(line for line in headers.splitlines() if line.lower().startswith("location:"))
        path = self.folder / "upload"
        path.write_bytes(data)
        self.curl("-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{path}", location.split(": ", 1)[1].strip() + f"&digest={digest}")
        return {"digest": digest, "size": len(data)}

    def push_signature(self, name, tag, payload, signature):
        """A manifest as cosign's simple signing has it; whether it is good is the caller's affair."""
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.push_blob(name, b"{}")},
                    "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", **self.push_blob(name, payload), "annotations": {"dev.cosignproject.cosign/signature": signature}}]}
        self.curl("-X", "PUT", "-H", f"Content-Type: {MANIFEST}", "-d", json.dumps(manifest), f"{self.url}/v2/{name}/manifests/{tag}")

    def take_away(self, name, tag):
        """The manifest that a tag names."""
        head = self.curl("-I", "-H", f"Accept: {MANIFEST}, {INDEX}", f"{self.url}/v2/{name}/manifests/{tag}")
        [digest] = [line.split(": ", 1)[1].strip() for line in head.splitlines() if line.lower().startswith("docker-content-digest:")]
        self.curl("-X", "DELETE", f"{self.url}/v2/{name}/manifests/{digest}")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()
