# SPDX-License-Identifier: Apache-2.0
"""The keys of an OpenID Connect issuer over HTTPS: one that rotates them, goes away, lies about itself and answers garbage."""
import contextlib
import json
import ssl
import time
import urllib.error
import urllib.request

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import make_certificate
from gateway_server import serving
from https_issuer import DOCUMENT, KEYS, Issuer, Key

OTHER_KEYS = "/realm/keys/other"
ONE, TWO = Key("one"), Key("two")


@pytest.fixture
def issuer(tmp_path):
    (tmp_path / "issuer").mkdir()
    issuer = Issuer(tmp_path / "issuer", ONE)
    yield issuer
    issuer.stop()


@contextlib.contextmanager
def gateway(folder, issuer, *settings, **oidc):
    folder = folder / "gateway"
    folder.mkdir()
    oidc = {"issuer": issuer.url, "audience": "redoubt", "ca_file": str(issuer.ca_file), **oidc}
    with serving(folder, *settings, configuration={"oidc": oidc}) as server:
        yield server


def answer(server, token, path="/v1/models"):
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(request, context=ssl.create_default_context(cafile=server.ca_file))
    except urllib.error.HTTPError as error:
        return error


def status(server, token):
    return answer(server, token).status


def metric(server, name):
    lines = answer(server, server.key, "/metrics").read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(name + " ")).split()[1])


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def told(server):
    with contextlib.suppress(FileNotFoundError):
        return (server.folder / "issuer.txt").read_text()
    return ""


def test_an_issuer_and_an_audience_are_enough(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer) as server:
        assert issuer.asked == [DOCUMENT, KEYS]
        assert status(server, issuer.token(ONE)) == 200
        assert status(server, issuer.token(ONE, iss=issuer.url + "/")) == 401
        # What the document offers decides nothing.
        unsigned = jwt.encode({"iss": issuer.url, "aud": "redoubt", "sub": "a", "exp": int(time.time()) + 60}, None, "none", {"kid": "one"})
        assert status(server, unsigned) == 401
        assert metric(server, "redoubt_oidc_keys") == 1 and metric(server, 'redoubt_oidc_key_fetches_total{outcome="success"}') == 1
        assert abs(metric(server, "redoubt_oidc_keys_fetched_timestamp_seconds") - time.time()) < 60
        assert len(issuer.asked) == 2


def test_a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_is_gone(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer, "keys_asked_ms=1000") as server:
        assert status(server, issuer.token(ONE)) == 200
        time.sleep(1)  # since the first fetch
        issuer.good(TWO)
        first = answer(server, issuer.token(TWO))
        assert first.status == 503 and int(first.headers["Retry-After"]) > 0 and json.load(first)["error"]["code"] == "issuer_unavailable"
        until(lambda: status(server, issuer.token(TWO)) == 200, 5)
        until(lambda: status(server, issuer.token(ONE)) == 401)  # 503 first where a slow machine lets the set be asked for again
        assert metric(server, "redoubt_unauthorized_total") == 1  # the one just now, not the one that was told to wait


def test_wrong_tokens_do_not_make_the_gateway_ask_again_and_again(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer, "keys_asked_ms=2000") as server:
        time.sleep(2)
        begin = time.monotonic()
        answers = [status(server, jwt.encode({"iss": "x"}, ONE.private, "RS256", {"kid": f"k{i}"})) for i in range(100)]
        assert set(answers) == {401, 503}
        assert 4 <= len(issuer.asked) <= 2 + 2 * (1 + (time.monotonic() - begin) // 2)


def test_an_issuer_that_goes_away_leaves_its_last_keys(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer, "keys_age_ms=100", "keys_retry_ms=100", "keys_asked_ms=100") as server:
        assert status(server, issuer.token(ONE)) == 200
        issuer.stop()
        until(lambda: metric(server, 'redoubt_oidc_key_fetches_total{outcome="failure"}') > 1)
        assert status(server, issuer.token(ONE)) == 200 and metric(server, "redoubt_oidc_keys") == 1
        issuer.good(TWO)
        issuer.start()
        until(lambda: status(server, issuer.token(TWO)) == 200)
        until(lambda: told(server) == "fetched")


def test_without_keys_tokens_wait_and_api_keys_do_not(issuer, tmp_path):
    with gateway(tmp_path, issuer, "keys_retry_ms=100") as server:
        waiting = answer(server, issuer.token(ONE))
        assert waiting.status == 503 and int(waiting.headers["Retry-After"]) > 0
        assert status(server, "no.such.token") == 401
        assert status(server, server.key) == 200
        assert metric(server, "redoubt_oidc_keys") == 0
        issuer.start()
        until(lambda: status(server, issuer.token(ONE)) == 200)


EC = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
LIES = {
    "another issuer": (lambda i: i.document(issuer="https://localhost.evil.example"), "of another issuer"),
    "its own with a slash": (lambda i: i.document(issuer=i.url + "/"), "of another issuer"),
    "no issuer": (lambda i: i.document(issuer=None), "'issuer'"),
    "keys over plain HTTP": (lambda i: i.document(jwks_uri=f"http://localhost:{i.port}{KEYS}"), "not at an https URL"),
    "keys in a file": (lambda i: i.document(jwks_uri="file:///etc/passwd"), "not at an https URL"),
    "keys elsewhere": (lambda i: i.document(jwks_uri=f"https://127.0.0.1:{i.port}{KEYS}"), "on a host that the configuration does not name: 127.0.0.1"),
    "keys nowhere": (lambda i: i.document(jwks_uri=f"https://localhost:{i.port}/none"), "HTTP 404"),
    "a redirect of the document": (lambda i: i.answer(DOCUMENT, b"", 302, Location=f"https://localhost:{i.port}/x"), "a redirect, and none is followed here"),
    "a redirect of the keys": (lambda i: i.answer(KEYS, b"", 307, Location=f"https://127.0.0.1:{i.port}{KEYS}"), "a redirect, and none is followed here"),
    "an empty answer": (lambda i: i.answer(KEYS, b"", 204), "status 204"),
    "a document that is too large": (lambda i: i.answer(DOCUMENT, b" " * (1 << 20) + json.dumps({"issuer": i.url}).encode()), "longer than"),
    "keys that are too large": (lambda i: i.answer(KEYS, b" " * (1 << 20) + b'{"keys": []}'), "longer than"),
    "no JSON": (lambda i: i.answer(DOCUMENT, b"<html>"), "OpenID configuration"),
    "a list": (lambda i: i.answer(DOCUMENT, []), "OpenID configuration"),
    "a member twice": (lambda i: i.answer(DOCUMENT, json.dumps({"issuer": i.url}).replace("{", '{"issuer": "x", ').encode()), "OpenID configuration"),
    "deep JSON": (lambda i: i.answer(KEYS, b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}"), "JSON Web Key Set"),
    "no keys": (lambda i: i.answer(KEYS, {"keys": []}), "no key that can verify a token"),
    "a key for encryption": (lambda i: i.answer(KEYS, {"keys": [TWO.jwk(use="enc")]}), "use is another"),
    "a key for signing alone": (lambda i: i.answer(KEYS, {"keys": [TWO.jwk(key_ops=["sign"])]}), "do not have 'verify'"),
    "a key for another algorithm": (lambda i: i.answer(KEYS, {"keys": [TWO.jwk(alg="PS512")]}), "none that is allowed"),
    "a key of another kind than its algorithm": (lambda i: i.answer(KEYS, {"keys": [{**EC, "kid": "two", "alg": "RS256"}]}), "none of its kind"),
    "a shared key": (lambda i: i.answer(KEYS, {"keys": [{"kty": "oct", "kid": "two", "k": "AAAA", "alg": "HS256"}]}), "no public key"),
    "two keys of one name": (lambda i: i.answer(KEYS, {"keys": [ONE.jwk(), TWO.jwk(kid="one")]}), "the same kid"),
}


def test_lies_and_garbage_are_refused_with_a_reason_and_leave_the_keys(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer, "keys_age_ms=50", "keys_retry_ms=50", "keys_asked_ms=50") as server:
        for name, (lie, reason) in LIES.items():
            issuer.good(ONE)
            until(lambda: told(server) == "fetched")
            issuer.answer(OTHER_KEYS, {"keys": [TWO.jwk()]})
            issuer.keys_path = OTHER_KEYS  # of a document from now on: one that lies is not half believed
            lie(issuer)
            until(lambda: told(server) not in ("", "fetched"))
            assert reason in told(server), name
            assert status(server, issuer.token(ONE)) == 200, name
            assert status(server, issuer.token(TWO)) in (401, 503), name
            assert status(server, server.key) == 200, name


def test_a_key_that_is_left_out_leaves_the_others(issuer, tmp_path):
    issuer.answer(KEYS, {"keys": [TWO.jwk(use="enc"), {"kty": "none of ours", "kid": "x"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"}, ONE.jwk()]})
    issuer.start()
    with gateway(tmp_path, issuer) as server:
        assert status(server, issuer.token(ONE)) == 200
        assert status(server, issuer.token(TWO)) == 401  # it is there: nobody asks for it again
        assert issuer.asked == [DOCUMENT, KEYS] and metric(server, "redoubt_oidc_keys") == 1


def test_keys_are_taken_from_a_host_that_the_configuration_names(issuer, tmp_path):
    issuer.document(jwks_uri=f"https://127.0.0.1:{issuer.port}{KEYS}")
    issuer.start()
    with gateway(tmp_path, issuer, key_set_hosts=["127.0.0.1"]) as server:
        assert status(server, issuer.token(ONE)) == 200


def test_a_configured_key_set_needs_no_document(issuer, tmp_path):
    issuer.start()
    with gateway(tmp_path, issuer, key_set_url=f"https://localhost:{issuer.port}{KEYS}") as server:
        assert status(server, issuer.token(ONE)) == 200 and issuer.asked == [KEYS]


def test_an_issuer_with_a_certificate_of_somebody_else_is_none(issuer, tmp_path):
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    issuer.start()
    with gateway(tmp_path, issuer, ca_file=str(other)) as server:
        assert status(server, issuer.token(ONE)) == 503 and issuer.asked == []
        assert "certificate" in told(server)
