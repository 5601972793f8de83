# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry (CNCF distribution) over TLS with a password, and skopeo to say what is there."""
import json
import socket
import subprocess
import time


from conftest import free_port, make_certificate

USER, PASSWORD = "pusher", "correct horse:battery"


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
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        self.url = f"https://localhost:{self.port}"
        # skopeo trusts what lies in a folder, by the name ca.crt.
        (folder / "certs").mkdir()
        (folder / "certs" / "ca.crt").write_bytes(self.certificate.read_bytes())

    def skopeo(self, *arguments):
        return subprocess.run(["skopeo", *arguments, "--cert-dir", self.folder / "certs", "--creds", f"{self.user}:{self.password}"], check=True,
                              capture_output=True, text=True).stdout

    def inspect(self, reference):
        return json.loads(self.skopeo("inspect", f"docker://localhost:{self.port}/{reference}"))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
