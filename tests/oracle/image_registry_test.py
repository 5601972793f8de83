# SPDX-License-Identifier: Apache-2.0
"""Pull, copy, what stands beside an image, and signatures: against Debian's docker-registry over TLS with a password, with skopeo and
openssl as judges, and against a strict registry of the test for what that one lacks (tests/oci_registry.py)."""
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402
from oci_registry import strict  # noqa: E402, F401  (a fixture)
from registry import PASSWORD, USER, registry  # noqa: E402, F401  (the last a fixture)


def run(*arguments):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("workspace"))
    redoubt("init")
    redoubt("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    redoubt.login = redoubt.folder / "login"
    redoubt.login.write_text(f"{USER}:{PASSWORD}")
    redoubt.login.chmod(0o600)
    context = redoubt.folder / "context"
    context.mkdir()
    (context / "big").write_bytes(os.urandom(40 << 20))  # three parts of an upload
    (context / "small").write_text("x")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY small /\nCOPY big /\nUSER 1\n")
    redoubt.image = redoubt.json("image", "build", context, "-t", "big:1")
    (context / "Small").write_text("FROM scratch\nCOPY small /\nUSER 1\n")
    redoubt.small = redoubt.json("image", "build", context, "-f", context / "Small", "-t", "small:1")
    return redoubt


def image(workspace, registry, *arguments, expect=0):
    done = workspace("--json", "image", *arguments, "--ca", registry.certificate, "--login-secret", "registry/login", expect=expect)
    return json.loads(done.stdout)


def test_what_skopeo_pushed_is_pulled_and_what_was_pulled_is_read_by_skopeo(workspace, registry, tmp_path):
    image(workspace, registry, "push", "small:1", f"{registry.url}/team/app:1")
    told = json.loads(workspace("--json", "image", "pull", f"{registry.url}/team/app:1", "--ca", registry.certificate, "--login-file", workspace.login, "-o", tmp_path / "layout", "-t", "app:1").stdout)
    assert told["digest"] == workspace.small["digest"]
    assert json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/layout:app:1"))["Digest"] == told["digest"]
    again = json.loads(workspace("--json", "image", "pull", f"{registry.url}/team/app@{told['digest']}", "--ca", registry.certificate, "--login-file", workspace.login, "-o", tmp_path / "layout", "-t", "app:2").stdout)
    assert again["blobs_fetched"] == 0 and again["blobs_present"] == 2
    into = image(workspace, registry, "pull", f"{registry.url}/team/app:1")
    assert into["tag"] == f"localhost:{registry.port}/team/app:1"
    assert workspace.json("audit", "verify")["ok"]
    image(workspace, registry, "pull", f"{registry.url}/team/none:1", expect=1)
    image(workspace, registry, "pull", f"{registry.url}/team/app", expect=2)


def test_dockers_own_format_and_an_index_are_read(workspace, registry, tmp_path):
    certs = ["--dest-cert-dir", registry.folder / "certs", "--dest-creds", f"{USER}:{PASSWORD}"]
    layout = workspace.workspace / "images"
    run("skopeo", "copy", "--format", "v2s2", *certs, f"oci:{layout}:small:1", f"docker://localhost:{registry.port}/team/docker:1")
    told = json.loads(workspace("--json", "image", "pull", f"{registry.url}/team/docker:1", "--ca", registry.certificate, "--login-file", workspace.login, "-o", tmp_path / "docker", "-t", "d:1").stdout)
    assert told["media_type"] == "application/vnd.docker.distribution.manifest.v2+json"
    # An image is built on it, its layers under OCI's names.
    (tmp_path / "Dockerfile").write_text(f"FROM oci:{tmp_path}/docker:d:1\nCOPY Dockerfile /d\n")
    child = workspace.json("image", "build", tmp_path, "-o", tmp_path / "child", "-t", "c:1")
    run("oci-image-tool", "validate", "--type", "image", "--ref", "name=c:1", tmp_path / "child")
    assert len(child["layers"]) == 2
    # An index of two platforms, pushed by the fake's neighbour: buildah's and docker's manifests look so.
    images = {}
    for platform in ["linux/amd64", "linux/arm64"]:
        images[platform] = workspace.json("image", "build", workspace.folder / "context", "-f", workspace.folder / "context" / "Small", "--platform", platform, "-t", f"multi:{platform[6:]}")
        image(workspace, registry, "push", f"multi:{platform[6:]}", f"{registry.url}/team/multi:{platform[6:]}")
    entries = [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": i["digest"], "size": len((layout / "blobs/sha256" / i["digest"][7:]).read_bytes()),
                "platform": {"os": "linux", "architecture": p[6:]}} for p, i in images.items()]
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries})
    run("curl", "-sSf", "--cacert", registry.certificate, "-u", f"{USER}:{PASSWORD}", "-X", "PUT", "-H", "Content-Type: application/vnd.oci.image.index.v1+json", "-d", index, f"{registry.url}/v2/team/multi/manifests/both")
    url = f"{registry.url}/team/multi:both"
    assert image(workspace, registry, "pull", url, "-t", "one:1")["digest"] == images["linux/amd64"]["digest"]
    assert image(workspace, registry, "pull", url, "-t", "two:1", "--platform", "linux/arm64")["digest"] == images["linux/arm64"]["digest"]
    assert "linux/arm64" in image(workspace, registry, "pull", url, "--platform", "linux/riscv64", expect=1)["error"]["hint"]
    whole = image(workspace, registry, "pull", url, "-t", "all:1", "--all")
    assert whole["digest"] == "sha256:" + hashlib.sha256(index.encode()).hexdigest()
    assert workspace.json("audit", "verify")["ok"]
    copied = image(workspace, registry, "copy", url, f"{registry.url}/other/multi:both", "--all")
    assert copied["digest"] == whole["digest"] and copied["blobs_sent"] == 0 and copied["blobs_mounted"] >= 2
    image(workspace, registry, "push", "all:1", f"{registry.url}/third/multi:both")
    assert json.loads(registry.skopeo("inspect", "--raw", f"docker://localhost:{registry.port}/third/multi:both")) == json.loads(index)


@pytest.mark.parametrize("kind", ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip"])
def test_a_layer_that_lies_elsewhere_is_no_part_that_is_missing(workspace, strict, kind):
    image(workspace, strict, "push", "small:1", f"{strict.url}/win/small:1")
    kept = strict.server.repositories["win/small"]
    type_of_it, text = kept["manifests"][kept["tags"]["1"]]
    manifest = json.loads(text)
    manifest["layers"].insert(0, {"mediaType": kind, "digest": "sha256:" + os.urandom(32).hex(), "size": 1234, "urls": ["https://example.invalid/layer"]})
    changed = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(changed).hexdigest()
    kept["manifests"][digest], kept["tags"]["2"] = (type_of_it, changed), digest
    is_foreign = "foreign" in kind or "nondistributable" in kind
    if not is_foreign:
        image(workspace, strict, "pull", f"{strict.url}/win/small:2", "-t", "missing:1", expect=1)
        return
    tag = f"foreign:{digest[7:15]}"
    assert image(workspace, strict, "pull", f"{strict.url}/win/small:2", "-t", tag)["digest"] == digest
    assert workspace.json("audit", "verify")["ok"]
    assert image(workspace, strict, "copy", f"{strict.url}/win/small:2", f"{strict.url}/other/{digest[7:15]}:2")["digest"] == digest
    assert image(workspace, strict, "push", tag, f"{strict.url}/third/{digest[7:15]}:2")["digest"] == digest


def test_within_a_registry_blobs_are_mounted_and_tags_stay(workspace, registry):
    image(workspace, registry, "push", "big:1", f"{registry.url}/a/big:1")
    told = image(workspace, registry, "copy", f"{registry.url}/a/big:1", f"{registry.url}/b/big:1")
    assert told["blobs_mounted"] == 3 and told["bytes_sent"] == 0
    assert registry.inspect("b/big:1")["Digest"] == workspace.image["digest"]
    image(workspace, registry, "push", "small:1", f"{registry.url}/a/small:1")
    assert image(workspace, registry, "copy", f"{registry.url}/a/small:1", f"{registry.url}/b/big:1", expect=1)["error"]["code"] == "already_exists"


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_blob_that_may_not_be_mounted_is_sent(workspace, strict, status):
    image(workspace, strict, "push", "small:1", f"{strict.url}/a/small:1")
    strict.server.mount_status = status
    told = image(workspace, strict, "copy", f"{strict.url}/a/small:1", f"{strict.url}/b/small:1")
    assert told["digest"] == workspace.small["digest"] and told["blobs_mounted"] == 0 and told["blobs_sent"] == 2
    assert workspace.small["digest"] in strict.server.repositories["b/small"]["manifests"]


def test_tokens_that_run_out_are_renewed_and_ask_for_no_more_than_is_needed(workspace, strict):
    strict.server.limit_every = 7
    original = strict.server.tokens
    class Short(dict):  # every token serves five requests
        uses = {}
        def get(self, key, default=None):
            self.uses[key] = self.uses.get(key, 0) + 1
            return super().get(key, default) if self.uses[key] <= 5 else default
    strict.server.tokens = Short(original)
    told = image(workspace, strict, "push", "big:1", f"{strict.url}/t/big:1")
    assert told["digest"] == workspace.image["digest"] and len(strict.server.token_requests) > 1
    assert {tuple(q["scope"]) for q in strict.server.token_requests} == {("repository:t/big:pull,push",)}
    strict.server.token_requests.clear()
    pulled = image(workspace, strict, "pull", f"{strict.url}/t/big:1", "-t", "back:1")
    assert pulled["digest"] == told["digest"]
    assert {tuple(q["scope"]) for q in strict.server.token_requests} == {("repository:t/big:pull",)}


def test_an_upload_goes_on_where_it_broke(workspace, strict):
    strict.server.breaks = 3
    told = image(workspace, strict, "push", "big:1", f"{strict.url}/t/big:1")
    assert told["blobs_sent"] == 3
    ranges = [r for method, _, _, r in strict.server.requests if method == "PATCH"]
    assert len(ranges) == 6 and "8388608-16777215" in ranges  # 16 MiB parts, the first broken in its middle
    assert [m for m, path, _, _ in strict.server.requests if m == "GET" and "/uploads/" in path] == ["GET"] * 3


def test_a_download_goes_on_where_it_broke_and_comes_whole_where_there_are_no_ranges(workspace, strict, tmp_path):
    image(workspace, strict, "push", "big:1", f"{strict.url}/t/big:1")
    for number, (breaks, ranges) in enumerate([(3, True), (0, False)]):
        strict.server.get_breaks, strict.server.ranges = breaks, ranges
        layout = tmp_path / f"layout{number}"
        told = json.loads(workspace("--json", "image", "pull", f"{strict.url}/t/big:1", "--ca", strict.certificate, "--login-file", workspace.login, "-o", layout).stdout)
        assert told["digest"] == workspace.image["digest"] and strict.server.get_breaks == 0
        for blob in (layout / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_no_token_goes_to_another_host(workspace, strict, tmp_path):
    image(workspace, strict, "push", "small:1", f"{strict.url}/t/small:1")
    other = strict.keep_blobs_elsewhere()
    told = json.loads(workspace("--json", "image", "pull", f"{strict.url}/t/small:1", "--ca", strict.certificate, "--login-file", workspace.login, "-o", tmp_path / "layout").stdout)
    assert told["digest"] == workspace.small["digest"] and len(other.authorizations) == 2 and set(other.authorizations) == {None}
    strict.server.blob_host = strict.server.blob_host.replace("https", "http")
    workspace("image", "pull", f"{strict.url}/t/small:1", "--ca", strict.certificate, "--login-file", workspace.login, "-o", tmp_path / "plain", expect=3)


def test_a_registry_that_asks_to_come_back_tomorrow_is_not_waited_for(workspace, strict):
    strict.server.limit_every = 1
    from oci_registry import Handler
    original = Handler.answer
    try:
        Handler.answer = lambda self, status, body=b"", **headers: original(self, status, body, **({**headers, "Retry_After": "86400"} if status == 429 else headers))
        strict.server.limit_every = 2
        told = image(workspace, strict, "push", "small:1", f"{strict.url}/t/small:1", expect=1)
        assert told["error"]["code"] == "unavailable" and "86400 seconds" in told["error"]["hint"]
    finally:
        Handler.answer = original


@pytest.mark.parametrize("change", ["layer", "config", "manifest", "longer"])
def test_what_a_registry_changed_is_tampered(workspace, strict, tmp_path, change):
    image(workspace, strict, "push", "small:1", f"{strict.url}/t/small:1")
    repository = strict.server.repositories["t/small"]
    digest = workspace.small["digest"]
    manifest = json.loads(repository["manifests"][digest][1])
    if change == "manifest":
        kind, data = repository["manifests"][digest]
        repository["manifests"][digest] = (kind, data.replace(b"config", b"Config", 1))
    else:
        blob = manifest["config" if change == "config" else "layers"]
        name = (blob if change == "config" else blob[0])["digest"]
        data = repository["blobs"][name]
        repository["blobs"][name] = data + b"x" if change == "longer" else data[:-1] + bytes([data[-1] ^ 1])
    told = workspace("--json", "image", "pull", f"{strict.url}/t/small@{digest}", "--ca", strict.certificate, "--login-file", workspace.login, "-o", tmp_path / "layout", expect=4)
    assert json.loads(told.stdout)["error"]["code"] == "tampered"
    assert json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"] == []


def attach(workspace, registry, target, folder, number):
    path = folder / f"sbom{number}.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "number": number}))
    return image(workspace, registry, "attach", target, path, "--type", "application/vnd.cyclonedx+json")


@pytest.mark.parametrize("lists", [True, False])
def test_what_stands_beside_an_image_is_listed(workspace, strict, tmp_path, lists):
    strict.server.has_referrers = lists
    image(workspace, strict, "push", "small:1", f"{strict.url}/t/small:1")
    target = f"{strict.url}/t/small:1"
    made = [attach(workspace, strict, target, tmp_path, number)["digest"] for number in range(5)]
    assert attach(workspace, strict, target, tmp_path, 0)["digest"] == made[0]
    listed = image(workspace, strict, "referrers", target)
    assert sorted(one["digest"] for one in listed) == sorted(made) and {one["type"] for one in listed} == {"application/vnd.cyclonedx+json"}
    assert image(workspace, strict, "referrers", target, "--type", "text/x") == []
    tag = "sha256-" + workspace.small["digest"][7:]
    assert (tag in strict.server.repositories["t/small"]["tags"]) != lists
    if not lists:
        entries = json.loads(strict.server.repositories["t/small"]["manifests"][strict.server.repositories["t/small"]["tags"][tag]][1])["manifests"]
        assert [entry["artifactType"] for entry in entries] == ["application/vnd.cyclonedx+json"] * 5


def test_what_stands_beside_it_here_goes_along_with_a_push(workspace, registry, tmp_path):
    attach(workspace, registry, "small:1", tmp_path, 7)
    workspace("image", "sign", "small:1", "--public-key", tmp_path / "key.pub")
    workspace("image", "verify", "small:1", "--key", tmp_path / "key.pub")
    assert len(workspace.json("image", "referrers", "small:1")) >= 2
    assert not any(tag["tag"].startswith("sha256-") for tag in workspace.json("image", "list"))
    image(workspace, registry, "push", "small:1", f"{registry.url}/along/app:1")
    listed = image(workspace, registry, "referrers", f"{registry.url}/along/app:1")
    assert {one["type"] for one in listed} == {"application/vnd.cyclonedx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"}
    image(workspace, registry, "verify", f"{registry.url}/along/app:1", "--key", tmp_path / "key.pub")
    assert workspace.json("audit", "verify")["ok"]


@pytest.fixture(scope="module")
def signed(workspace, registry):
    image(workspace, registry, "push", "small:1", f"{registry.url}/signed/app:1")
    told = image(workspace, registry, "sign", f"{registry.url}/signed/app:1", "--public-key", workspace.folder / "signer.pub")
    assert told["forms"] == ["simple", "bundle"]
    return workspace.folder / "signer.pub"


def get(registry, path, *accept):
    return run("curl", "-sSf", "--cacert", registry.certificate, "-u", f"{USER}:{PASSWORD}", *[a for t in accept for a in ("-H", f"Accept: {t}")], f"{registry.url}/v2/{path}")


def test_openssl_verifies_the_simple_signature_where_cosign_looks_for_it(workspace, registry, signed, tmp_path):
    digest = workspace.small["digest"]
    manifest = json.loads(get(registry, f"signed/app/manifests/sha256-{digest[7:]}.sig", "application/vnd.oci.image.manifest.v1+json"))
    layer = manifest["layers"][0]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    payload = get(registry, f"signed/app/blobs/{layer['digest']}")
    critical = json.loads(payload)["critical"]
    assert critical == {"identity": {"docker-reference": f"localhost:{registry.port}/signed/app"}, "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}
    (tmp_path / "payload").write_text(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
    assert "Verified OK" in run("openssl", "dgst", "-sha256", "-verify", signed, "-signature", tmp_path / "signature", tmp_path / "payload")


def test_what_openssl_signed_as_cosigns_specification_says_is_verified(workspace, registry, tmp_path):
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "k.pem")
    run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", tmp_path / "k.pem", "-out", tmp_path / "k.key")
    run("openssl", "ec", "-in", tmp_path / "k.pem", "-pubout", "-out", tmp_path / "k.pub")
    digest = workspace.small["digest"]
    image(workspace, registry, "push", "small:1", f"{registry.url}/theirs/app:1")
    # As specs/SIGNATURE_SPEC.md has it, made by openssl.
    payload = json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}, "optional": {"by": "openssl"}}).encode()
    (tmp_path / "payload").write_bytes(payload)
    run("openssl", "dgst", "-sha256", "-sign", tmp_path / "k.key", "-out", tmp_path / "sig", tmp_path / "payload")
    registry.push_signature("theirs/app", f"sha256-{digest[7:]}.sig", payload, base64.b64encode((tmp_path / "sig").read_bytes()).decode())
    told = image(workspace, registry, "verify", f"{registry.url}/theirs/app:1", "--key", tmp_path / "k.pub")
    assert told["verified"] and told["signatures"][0]["form"] == "simple"
    # The workspace adds its own beside it; both count.
    image(workspace, registry, "sign", f"{registry.url}/theirs/app:1", "--form", "simple", "--public-key", tmp_path / "own.pub")
    for key in ["k.pub", "own.pub"]:
        image(workspace, registry, "verify", f"{registry.url}/theirs/app:1", "--key", tmp_path / key)
    pulled = image(workspace, registry, "pull", f"{registry.url}/theirs/app:1", "-t", "theirs:1", "--key", tmp_path / "k.pub")
    assert pulled["signatures"]


def test_the_bundle_is_what_a_sigstore_client_expects(workspace, registry, signed, tmp_path):
    listed = image(workspace, registry, "referrers", f"{registry.url}/signed/app:1", "--type", "application/vnd.dev.sigstore.bundle.v0.3+json")
    assert listed[0]["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    manifest = json.loads(get(registry, f"signed/app/manifests/{listed[0]['digest']}", "application/vnd.oci.image.manifest.v1+json"))
    assert manifest["subject"]["digest"] == workspace.small["digest"] and manifest["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    bundle = json.loads(get(registry, f"signed/app/blobs/{manifest['layers'][0]['digest']}"))
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    statement = json.loads(payload)
    assert statement["subject"][0]["digest"] == {"sha256": workspace.small["digest"][7:]} and statement["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    kind = envelope["payloadType"]
    (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    assert "Verified OK" in run("openssl", "dgst", "-sha256", "-verify", signed, "-signature", tmp_path / "signature", tmp_path / "signed")


def test_another_key_another_image_and_no_signature_are_told_apart_from_a_good_one(workspace, registry, signed, tmp_path):
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "other.key")
    run("openssl", "ec", "-in", tmp_path / "other.key", "-pubout", "-out", tmp_path / "other.pub")
    url = f"{registry.url}/signed/app:1"
    assert {one["form"] for one in image(workspace, registry, "verify", url, "--key", tmp_path / "other.pub", "--key", signed)["signatures"]} == {"simple", "bundle"}
    assert image(workspace, registry, "verify", url, "--key", tmp_path / "other.pub", expect=4)["error"]["code"] == "tampered"
    image(workspace, registry, "push", "big:1", f"{registry.url}/signed/app:second")
    assert "not signed" in image(workspace, registry, "verify", f"{registry.url}/signed/app:second", "--key", signed, expect=4)["error"]["message"]
    # The signature of one image under the name of another's.
    digest, other = workspace.small["digest"], workspace.image["digest"]
    stolen = get(registry, f"signed/app/manifests/sha256-{digest[7:]}.sig", "application/vnd.oci.image.manifest.v1+json")
    run("curl", "-sSf", "--cacert", registry.certificate, "-u", f"{USER}:{PASSWORD}", "-X", "PUT", "-H", "Content-Type: application/vnd.oci.image.manifest.v1+json", "-d", stolen, f"{registry.url}/v2/signed/app/manifests/sha256-{other[7:]}.sig")
    image(workspace, registry, "verify", f"{registry.url}/signed/app:second", "--key", signed, expect=4)
    image(workspace, registry, "pull", f"{registry.url}/signed/app:second", "-t", "never:1", "--key", signed, expect=4)
    assert "never:1" not in {tag["tag"] for tag in workspace.json("image", "list")}
    workspace("image", "verify", url, "--key", workspace.folder / "login", "--ca", registry.certificate, "--login-secret", "registry/login", expect=2)


def test_the_signatures_of_a_pulled_image_come_along(workspace, registry, signed, tmp_path):
    url = f"{registry.url}/signed/app:1"
    other = Redoubt(tmp_path)
    other("init")
    other("secret", "put", "registry/login", stdin=f"{USER}:{PASSWORD}")
    brought = image(other, registry, "pull", url, "-t", "app:1")["signatures_brought"]
    assert brought >= 2
    registry_is_not_asked = other.json("image", "verify", "app:1", "--key", signed)
    assert {one["form"] for one in registry_is_not_asked["signatures"]} == {"simple", "bundle"}
    run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", tmp_path / "k.key")
    run("openssl", "ec", "-in", tmp_path / "k.key", "-pubout", "-out", tmp_path / "k.pub")
    assert "by this key" in other.json("image", "verify", "app:1", "--key", tmp_path / "k.pub", expect=4)["error"]["message"]
    image(other, registry, "pull", url, "-t", "app:1")  # again: no second one
    assert len(other.json("image", "referrers", "app:1")) == brought


def test_a_workspace_is_not_needed_to_read(workspace, registry, signed, tmp_path):
    alone = Redoubt(tmp_path)
    for command in [["verify", f"{registry.url}/signed/app:1", "--key", signed], ["referrers", f"{registry.url}/signed/app:1"]]:
        alone("image", *command, "--ca", registry.certificate, "--login-file", workspace.login)
    alone("image", "sign", f"{registry.url}/signed/app:1", "--ca", registry.certificate, "--login-file", workspace.login, expect=1)


def test_skopeo_opens_what_we_encrypted_and_we_what_it_encrypted(workspace, registry, tmp_path):
    """ocicrypt's form, with EC keys: layers at rest, here and in a registry, that the named keys alone open."""
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "k.pem")
    run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", tmp_path / "k.pem", "-out", tmp_path / "k.key")
    run("openssl", "ec", "-in", tmp_path / "k.pem", "-pubout", "-out", tmp_path / "k.pub")
    (tmp_path / "k.key").chmod(0o600)
    layout = workspace.workspace / "images"
    sealed = workspace.json("image", "encrypt", "big:1", "-t", "sealed:1", "--recipient", tmp_path / "k.pub")
    manifest = json.loads((layout / "blobs" / "sha256" / sealed["digest"][7:]).read_text())
    plain = [layer["digest"] for layer in workspace.image["layers"]]
    assert all(layer["mediaType"].endswith("+encrypted") and layer["digest"] not in plain for layer in manifest["layers"])
    image(workspace, registry, "push", "sealed:1", f"{registry.url}/sealed/app:1")
    run("skopeo", "copy", "--src-cert-dir", registry.folder / "certs", "--src-creds", f"{USER}:{PASSWORD}", "--decryption-key", tmp_path / "k.key", f"docker://localhost:{registry.port}/sealed/app:1", f"dir:{tmp_path}/opened")
    assert [layer["digest"] for layer in json.loads((tmp_path / "opened" / "manifest.json").read_text())["layers"]] == plain
    # The workspace's own key and the recipient's give the image back, byte for byte.
    assert workspace.json("image", "decrypt", "sealed:1", "-t", "opened:1")["digest"] == workspace.image["digest"]
    assert workspace.json("image", "decrypt", "sealed:1", "-t", "opened:2", "--key-file", tmp_path / "k.key")["digest"] == workspace.image["digest"]
    # The other way round.
    run("skopeo", "copy", "--encryption-key", f"jwe:{tmp_path}/k.pub", f"oci:{layout}:big:1", f"oci:{tmp_path}/theirs:1")
    run("skopeo", "copy", "--dest-cert-dir", registry.folder / "certs", "--dest-creds", f"{USER}:{PASSWORD}", f"oci:{tmp_path}/theirs:1", f"docker://localhost:{registry.port}/sealed/theirs:1")
    image(workspace, registry, "pull", f"{registry.url}/sealed/theirs:1", "-t", "theirs-sealed:1")
    opened = workspace.json("image", "decrypt", "theirs-sealed:1", "-t", "theirs-opened:1", "--key-file", tmp_path / "k.key")
    there = json.loads((layout / "blobs" / "sha256" / opened["digest"][7:]).read_text())
    assert json.loads(run("skopeo", "inspect", "--config", f"oci:{layout}:theirs-opened:1"))["rootfs"]["diff_ids"] == [layer["diff_id"] for layer in workspace.image["layers"]]
    assert not any("enc" in key for layer in there["layers"] for key in layer.get("annotations", {}))
    # Nobody else opens it, and a changed byte is noticed.
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", tmp_path / "other.key")
    (tmp_path / "other.key").chmod(0o600)
    workspace("image", "decrypt", "sealed:1", "-t", "x:1", "--key-file", tmp_path / "other.key", expect=5)
    workspace("image", "decrypt", "big:1", "-t", "x:1", expect=2)
    workspace("image", "encrypt", "sealed:1", "-t", "x:1", expect=2)
    assert "decrypt" in workspace("image", "lint", "sealed:1", expect=1).stderr
    assert workspace.json("audit", "verify")["ok"]
