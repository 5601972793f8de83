# SPDX-License-Identifier: Apache-2.0
"""PyJWT's tokens, what attackers make of them, and client certificates, against the gateway."""
import base64
import datetime
import hashlib
import hmac
import json
import ssl
import time
import urllib.error
import urllib.request

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from gateway_server import serving

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key, algorithm, **more):
    return {**json.loads(algorithm.to_jwk(key.public_key())), **more}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("token")
    (folder / "jwks.json").write_text(json.dumps({"keys": [
        jwk(RSA, jwt.algorithms.RSAAlgorithm, kid="rsa", use="sig", alg="RS256"), jwk(EC, jwt.algorithms.ECAlgorithm, kid="ec", use="sig"),
        {"kty": "oct", "kid": "shared", "k": "AAAA", "use": "enc"}]}))
    with serving(folder) as server:
        yield server


def status(server, token=None, certificate=None):
    context = ssl.create_default_context(cafile=server.ca_file)
    if certificate:
        context.load_cert_chain(certificate)
    request = urllib.request.Request(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {token}"} if token is not None else {})
    try:
        return urllib.request.urlopen(request, context=context).status
    except urllib.error.HTTPError as error:
        return error.code


def claims(**more):
    now = int(time.time())
    return {"iss": "https://issuer.example", "aud": "redoubt", "sub": "alice", "iat": now, "nbf": now, "exp": now + 60, "scope": "models", **more}


def test_tokens_of_the_issuer_are_taken(server):
    assert status(server, jwt.encode(claims(), RSA, "RS256", {"kid": "rsa"})) == 200
    assert status(server, jwt.encode(claims(aud=["x", "redoubt"]), EC, "ES256", {"kid": "ec"})) == 200
    assert status(server, jwt.encode(claims(scope="invoke"), RSA, "RS256", {"kid": "rsa"})) == 403


def part(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def signed(header, payload):
    text = f"{part(header)}.{part(payload)}"
    return text + "." + part(jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(text.encode(), RSA))


def confused(server):
    """HS256 with the public key as its secret."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(claims())}"
    return text + "." + part(hmac.new(pem, text.encode(), hashlib.sha256).digest())


def forgeries(server):
    late = int(time.time()) - 3600
    yield "none", f"{part({'alg': 'none'})}.{part(claims())}."
    yield "none with a key's name", f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims())}.AAAA"
    yield "HS256 with the public key", confused(server)
    yield "HS256 with the set's shared key", jwt.encode(claims(), b"\0\0\0", "HS256", {"kid": "shared"})
    yield "another key", jwt.encode(claims(), OTHER, "RS256", {"kid": "rsa"})
    yield "another algorithm of the key", jwt.encode(claims(), RSA, "PS256", {"kid": "rsa"})
    yield "RS512", jwt.encode(claims(), RSA, "RS512", {"kid": "rsa"})
    yield "another key's name", jwt.encode(claims(), RSA, "RS256", {"kid": "ec"})
    yield "a path as key's name", jwt.encode(claims(), RSA, "RS256", {"kid": "../../rsa"})
    yield "no key's name among several", jwt.encode(claims(), RSA, "RS256")
    yield "jku", jwt.encode(claims(), RSA, "RS256", {"kid": "rsa", "jku": server.url})
    yield "jwk", jwt.encode(claims(), OTHER, "RS256", {"jwk": jwk(OTHER, jwt.algorithms.RSAAlgorithm)})
    yield "x5u", jwt.encode(claims(), RSA, "RS256", {"kid": "rsa", "x5u": server.url})
    yield "crit", signed({"alg": "RS256", "kid": "rsa", "crit": ["exp"]}, claims())
    yield "expired", jwt.encode(claims(exp=late), RSA, "RS256", {"kid": "rsa"})
    yield "not yet", jwt.encode(claims(nbf=int(time.time()) + 3600), RSA, "RS256", {"kid": "rsa"})
    yield "another issuer", jwt.encode(claims(iss="https://issuer.example.evil"), RSA, "RS256", {"kid": "rsa"})
    yield "another audience", jwt.encode(claims(aud="redoub"), RSA, "RS256", {"kid": "rsa"})
    yield "a claim twice", signed({"alg": "RS256", "kid": "rsa"}, json.dumps(claims()).replace("{", '{"aud": "x", ', 1).encode())
    yield "a header's member twice", signed(b'{"alg": "none", "alg": "RS256", "kid": "rsa"}', claims())
    yield "a deep claim", signed({"alg": "RS256", "kid": "rsa"}, json.dumps(claims()).replace("{", '{"x": ' + "[" * 500 + "]" * 500 + ", ", 1).encode())
    yield "too long", jwt.encode(claims(x="a" * 9000), RSA, "RS256", {"kid": "rsa"})


def test_forged_tokens_are_refused(server):
    for name, token in forgeries(server):
        assert status(server, token) == 401, name


def test_a_client_certificate_speaks_for_whom_it_names(server, tmp_path):
    assert status(server) == 401
    assert status(server, certificate=server.folder / "known.pem") == 200
    assert status(server, certificate=server.folder / "unknown.pem") == 401
    # A header counts before a certificate: a wrong key is not helped by it.
    assert status(server, "wrong", server.folder / "known.pem") == 401
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "known")])
    now = datetime.datetime.now(datetime.timezone.utc)
    own = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    own = own.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    pem = tmp_path / "own.pem"
    pem.write_bytes(own.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    with pytest.raises((ssl.SSLError, urllib.error.URLError, ConnectionError)):
        status(server, certificate=pem)
