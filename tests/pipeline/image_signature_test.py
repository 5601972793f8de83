# SPDX-License-Identifier: Apache-2.0
"""A policy that names a registry: a deployment asks it, and it alone, for the signature of the image, in both of cosign's forms; whatever is not a good
answer refuses. The registry is Debian's docker-registry; what lies in it is put there and taken away by curl."""
import base64
import json
import subprocess

import pytest
import yaml

from conftest import TOKEN, Redoubt, write_pipeline
from registry import INDEX, PASSWORD, USER, registry  # noqa: F401  (the last a fixture)


def make_key(folder, name):
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{name}.key"], check=True)
    subprocess.run(["openssl", "ec", "-in", folder / f"{name}.key", "-pubout", "-out", folder / f"{name}.pub"], check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def waiting(tiny_hub, registry, tmp_path_factory):
    """An approved version whose policy asks the registry."""
    redoubt = Redoubt(tmp_path_factory.mktemp("signed"))
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    redoubt.pipeline = write_pipeline(redoubt.folder / "pipeline", tiny_hub)
    for name in ("build", "other"):
        make_key(redoubt.pipeline.parent, name)
    (redoubt.pipeline.parent / "ca.pem").write_bytes(registry.certificate.read_bytes())
    (redoubt.pipeline.parent / "policy.yaml").write_text(yaml.safe_dump({"version": 1, "images": {
        "signed_by": [{"name": "build", "key": "build.pub"}],
        "signatures_from": {"repository": f"{registry.url}/team/engine", "ca_file": "ca.pem", "login_secret": "registry/login"}}}))
    redoubt("run", redoubt.pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "read the card", identity="reviewer")
    [redoubt.image] = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "image", "--limit", "20")]
    [tagged] = [one for one in redoubt.json("image", "list") if one["tag"] == redoubt.image["tag"]]
    redoubt.digest = tagged["digest"]
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev", expect=None)


def image(redoubt, registry, *arguments):
    return redoubt.json("image", *arguments, "--ca", registry.certificate, "--login-secret", "registry/login")


def sign(redoubt, registry, key, form):
    return image(redoubt, registry, "sign", f"{registry.url}/team/engine@{redoubt.digest}", "--key-file", redoubt.pipeline.parent / f"{key}.key", "--form", form)


def refused(redoubt, expect=3):
    return json.loads(redoubt("--json", "deploy", "tiny/0.1.0", "--environment", "dev", expect=expect).stdout)["error"]


def admitted(redoubt, registry):
    redoubt("deploy", "tiny/0.1.0", "--environment", "dev")
    redoubt("endpoint", "stop", "--environment", "dev")
    told = [entry["result"] for entry in redoubt.json("audit", "query", "--step", "deploy", "--limit", "20")]
    assert told and all(one["image_signed_by"] == ["build"] and one["image_signatures_from"] == f"{registry.url}/team/engine" for one in told)


def openssl_signature(redoubt, digest, key, folder):
    """The payload and its signature as cosign's specification has them, made by openssl."""
    payload = json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}, "optional": None}).encode()
    (folder / "payload").write_bytes(payload)
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", redoubt.pipeline.parent / f"{key}.key", "-out", folder / "signature", folder / "payload"], check=True)
    return payload, base64.b64encode((folder / "signature").read_bytes()).decode()


def test_a_deployment_takes_the_registrys_word_and_nobody_elses(waiting, registry, tmp_path):
    """One test, since each step changes what the registry holds."""
    redoubt, tag = waiting, "sha256-" + waiting.digest[7:]
    unsigned = "0 of 1 signatures of those whom the policy names (build) in " + registry.url

    # The image is not there; then it is, and unsigned. A signature that lies here alone does not count.
    assert "does not have the image" in refused(redoubt)["message"]
    image(redoubt, registry, "push", redoubt.digest, f"{registry.url}/team/engine:1")
    assert unsigned in refused(redoubt)["message"]
    redoubt("image", "sign", redoubt.digest, "--key-file", redoubt.pipeline.parent / "build.key")
    assert unsigned in refused(redoubt)["message"]

    # Another key, in both forms.
    sign(redoubt, registry, "other", "both")
    assert unsigned in refused(redoubt)["message"]

    # The accepted key about another image; a document that was changed after it was signed; no document at all.
    payload, signature = openssl_signature(redoubt, "sha256:" + "0" * 64, "build", tmp_path)
    registry.push_signature("team/engine", tag + ".sig", payload, signature)
    assert unsigned in refused(redoubt)["message"]
    payload, signature = openssl_signature(redoubt, redoubt.digest, "build", tmp_path)
    registry.push_signature("team/engine", tag + ".sig", payload + b" ", signature)
    assert unsigned in refused(redoubt)["message"]
    registry.push_signature("team/engine", tag + ".sig", b"\x00 no json", "%%%")
    assert unsigned in refused(redoubt)["message"]

    # What openssl signs is a signature; and is none any more where it was taken away.
    registry.push_signature("team/engine", tag + ".sig", payload, signature)
    admitted(redoubt, registry)
    registry.take_away("team/engine", tag + ".sig")
    assert unsigned in refused(redoubt)["message"]

    # The other form.
    sign(redoubt, registry, "build", "bundle")
    admitted(redoubt, registry)

    # A list of referrers that is none, a wrong password, no answer: nothing is taken for a yes.
    there = registry.curl("-H", f"Accept: {INDEX}", f"{registry.url}/v2/team/engine/manifests/{tag}")
    (tmp_path / "list").write_text(there)
    registry.take_away("team/engine", tag)
    registry.push_signature("team/engine", tag, payload, signature)
    assert "can't be read" in refused(redoubt)["message"]
    registry.take_away("team/engine", tag)
    registry.curl("-X", "PUT", "-H", f"Content-Type: {INDEX}", "--data-binary", f"@{tmp_path / 'list'}", f"{registry.url}/v2/team/engine/manifests/{tag}")
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:wrong")
    refused(redoubt, expect=5)
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    registry.stop()
    try:
        assert refused(redoubt, expect=1)["code"] == "unavailable"
    finally:
        registry.start()
    admitted(redoubt, registry)
    assert redoubt.json("audit", "verify")["ok"]
