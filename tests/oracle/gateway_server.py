# SPDX-License-Identifier: Apache-2.0
"""The gateway in front of a scripted worker, for clients to judge."""
import contextlib
import json
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


class Server:
    def __init__(self, folder, port, pid):
        self.folder, self.port, self.pid = folder, port, pid
        self.url = f"https://localhost:{port}"
        self.ca_file = str(folder / "ca.pem")
        self.key = (folder / "key.txt").read_text()
        self.access_key_id, self.secret_access_key = (folder / "aws.txt").read_text().split()


@contextlib.contextmanager
def serving(folder, *settings, configuration=None):
    """The settings are those of gateway_test_server.cc; the configuration, with `guards` and `telemetry` as a pipeline's `deploy`, its file's."""
    if configuration is not None:
        (folder / "settings.json").write_text(json.dumps(configuration))
    process = subprocess.Popen([BUILD / "gateway_test_server", folder, *settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Server(folder, int(process.stdout.readline()), process.pid)
    finally:
        process.stdin.close()
        assert process.wait(30) == 0
