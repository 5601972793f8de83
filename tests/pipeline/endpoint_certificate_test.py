# SPDX-License-Identifier: Apache-2.0
"""An endpoint with a certificate of its owner's that expires, and with budgets, which is killed."""
import datetime
import os
import signal
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import Endpoint, deploy_tiny, until


class Authority:
    def __init__(self, folder):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Owner")])
        self.ca_file, self.certificate_file, self.key_file = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
        certificate = self.issue(self.name, self.key, 0, 30, is_ca=True)
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, key, first_day, last_day, is_ca):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=first_day, hours=-1)).not_valid_after(now + datetime.timedelta(days=last_day))
                   .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False))
        if is_ca:
            builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def put(self, first_day, last_day):
        """A chain and its key where the endpoint looks for them; answers the serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key, first_day, last_day, is_ca=False)
        self.key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate.serial_number


class Owned(Endpoint):
    def __init__(self, redoubt, key=None):
        self.status = redoubt.json("endpoint", "status", "--environment", "dev")
        self.url, self.key = self.status["url"], key or redoubt.key
        self.context = ssl.create_default_context(cafile=redoubt.authority.ca_file)

    def serial(self):
        pem = ssl.get_server_certificate(("localhost", int(self.url.rpartition(":")[2])), ca_certs=str(self.authority_file))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.first = authority.put(0, 2)
    access = {"certificate_file": str(authority.certificate_file), "key_file": str(authority.key_file)}
    redoubt = deploy_tiny(tmp_path_factory.mktemp("certificate"), tiny_hub, watch={"interval_s": 1}, deploy={"port": 0, "environment": "dev", "names": ["localhost"], "access": access})
    redoubt.authority = authority
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


@pytest.fixture
def endpoint(deployed):
    endpoint = Owned(deployed)
    endpoint.authority_file = deployed.authority.ca_file
    return endpoint


def log_of(redoubt):
    return (redoubt.workspace / "endpoint-dev.log").read_text()


def test_an_expired_chain_leaves_the_one_before_and_a_new_one_is_taken(deployed, endpoint):
    assert endpoint.serial() == deployed.authority.first
    stream = endpoint.stream("Count.", max_tokens=300)
    next(stream)
    deployed.authority.put(-2, -1)
    until(lambda: "has expired" in log_of(deployed))
    assert endpoint.serial() == deployed.authority.first and endpoint.chat("a")[0] == 200
    fresh = deployed.authority.put(0, 2)
    until(lambda: endpoint.serial() == fresh)
    assert endpoint.chat("a")[0] == 200
    assert list(stream)[-1] == {"done": True}


def test_an_endpoint_does_not_start_with_an_expired_chain(deployed, endpoint):
    deployed("endpoint", "stop", "--environment", "dev")
    deployed.authority.put(-2, -1)
    failed = deployed("endpoint", "start", "--environment", "dev", expect=1).stderr
    assert "expired" in failed and "chain.pem" in failed, failed
    deployed.authority.put(0, 2)
    deployed("endpoint", "start", "--environment", "dev")


def test_what_was_used_of_a_day_counts_after_a_kill(deployed):
    deployed.authority.put(0, 2)
    key = deployed.json("key", "create", "--name", "few", "--environment", "dev", "--limit", "requests_per_day=2", "--limit", "tokens_per_day=100000")["key"]
    endpoint = Owned(deployed, key)
    assert endpoint.chat("a")[0] == 200 and endpoint.chat("a")[0] == 200
    assert endpoint.chat("a")[0] == 429
    time.sleep(2)  # the counts are saved once a second
    os.kill(endpoint.status["pid"], signal.SIGKILL)
    until(lambda: not deployed.json("endpoint", "status", "--environment", "dev")["running"])
    deployed("endpoint", "start", "--environment", "dev")
    again = Owned(deployed, key)
    status, answer = again.chat("a")
    assert status == 429 and "requests_per_day" in answer["error"]["message"], answer
    assert Owned(deployed).chat("a")[0] == 200
    deployed("endpoint", "stop", "--environment", "dev")
    deployed("endpoint", "start", "--environment", "dev")
    assert Owned(deployed, key).chat("a")[0] == 429
    assert deployed.json("audit", "verify")["ok"]
