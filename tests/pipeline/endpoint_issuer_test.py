# SPDX-License-Identifier: Apache-2.0
"""A deployed endpoint whose tokens are of an issuer that is not always there."""
import pytest

from conftest import Endpoint, deploy_tiny, until
from https_issuer import Issuer, Key

KEY = Key("one")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    issuer = Issuer(tmp_path_factory.mktemp("issuer"), KEY)
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def deployed(tiny_hub, issuer, tmp_path_factory):
    access = {"oidc": {"issuer": issuer.url, "audience": "redoubt", "ca_file": str(issuer.ca_file)}}
    redoubt = deploy_tiny(tmp_path_factory.mktemp("tokens"), tiny_hub, watch={"interval_s": 1}, deploy={"port": 0, "environment": "dev", "access": access})
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


def changes_of(redoubt):
    results = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "issuer")]
    return [result["state"] for result in sorted(results, key=lambda result: result["time"])]


def test_tokens_wait_for_their_issuer_and_nothing_else_does(deployed, issuer):
    endpoint = Endpoint(deployed)
    status, answer = endpoint.post("/v1/models", None, key=issuer.token(KEY))
    assert status == 503 and answer["error"]["code"] == "issuer_unavailable"
    assert endpoint.chat("Count.")[0] == 200
    until(lambda: changes_of(deployed) == ["failing"])
    issuer.start()
    until(lambda: endpoint.post("/v1/models", None, key=issuer.token(KEY))[0] == 200)
    assert endpoint.chat("Count.", key=issuer.token(KEY, scope="invoke"))[0] == 200
    assert endpoint.chat("Count.", key=issuer.token(KEY))[0] == 403
    until(lambda: changes_of(deployed) == ["failing", "fetched"])
    issuer.stop()
    deployed("endpoint", "stop", "--environment", "dev")
    deployed("endpoint", "start", "--environment", "dev")
    assert Endpoint(deployed).chat("Count.")[0] == 200
    assert deployed.json("audit", "verify")["ok"]
