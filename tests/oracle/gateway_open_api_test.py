# SPDX-License-Identifier: Apache-2.0
"""schemathesis holds the served OpenAPI document and the gateway against one another."""
import re
import subprocess
import sys

import pytest

from gateway_server import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("open_api")) as server:
        yield server


def test_schemathesis_finds_nothing(server, tmp_path):
    ran = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--tls-verify", server.ca_file, "-H", f"Authorization: Bearer {server.key}",
                          "--checks", "all", "--max-examples", "40", "--seed", "7", "--no-color"], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "No issues found" in ran.stdout, ran.stdout[-3000:]
    assert re.search(r"(\d+) selected / \1 total|Operations: *(\d+)", ran.stdout), ran.stdout[-3000:]
