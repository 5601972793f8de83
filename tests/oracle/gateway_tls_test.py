# SPDX-License-Identifier: Apache-2.0
"""The endpoint's TLS as sslscan sees it, and that no other protocol is spoken on its port."""
import subprocess
import xml.etree.ElementTree as tree

from gateway_server import serving

FORWARD_SECRET = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}  # all of TLS 1.3 that OpenSSL offers


def test_a_scan_of_the_port_finds_nothing_weak(tmp_path):
    with serving(tmp_path, "certificates=none") as server:
        done = subprocess.run(["sslscan", "--xml=-", "--no-colour", f"localhost:{server.port}"], capture_output=True, text=True, timeout=120)
    scan = tree.fromstring(done.stdout).find("ssltest")
    assert [(one.get("type"), one.get("version")) for one in scan.iter("protocol") if one.get("enabled") == "1"] == [("tls", "1.3")]
    assert {one.get("cipher") for one in scan.iter("cipher")} == FORWARD_SECRET
    assert {one.get("name").split()[0] for one in scan.iter("group")} == {"x25519", "secp256r1", "secp384r1"}
    assert scan.find("renegotiation").get("supported") == "0"
    assert all(one.get("vulnerable") == "0" for one in scan.iter("heartbleed"))
    certificate = scan.find("certificates/certificate")
    assert certificate.findtext("signature-algorithm") == "ecdsa-with-SHA256" and certificate.findtext("self-signed") == "false"
