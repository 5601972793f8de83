# SPDX-License-Identifier: Apache-2.0
"""The model signatures of attest/ against OpenSSF's `model_signing`, both ways."""
import base64
import json
import os
import pathlib
import subprocess
import sys

import pytest

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "evidence_tool")
MODEL_SIGNING = str(pathlib.Path(sys.executable).parent / "model_signing")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    # Names whose order differs between comparing paths and comparing their components.
    for name in ("config.json", "a.b", "a/b", "a-b", "sub/deep/weights.safetensors", "B", "ümlaut.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(tmp_path / "sec1.pem"))
    run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", str(tmp_path / "sec1.pem"), "-out", str(tmp_path / "key.pem"))
    run("openssl", "ec", "-in", str(tmp_path / "key.pem"), "-pubout", "-out", str(tmp_path / "key.pub"))
    return tmp_path


def tool_verify(model):
    return run(MODEL_SIGNING, "verify", "key", "--public_key", str(model / "key.pub"), "--signature", str(model / "model/model.sig"),
               str(model / "model"))


def our_verify(model):
    return run(TOOL, "model-verify", str(model / "key.pub"), str(model / "model"))


def test_the_tool_accepts_ours(model):
    ours = run(TOOL, "model-sign", str(model / "key.pem"), "model", str(model / "model"))
    assert ours.returncode == 0, ours.stderr
    judged = tool_verify(model)
    assert judged.returncode == 0, judged.stderr + judged.stdout
    assert our_verify(model).returncode == 0


@pytest.mark.parametrize("change", ["changed", "missing", "extra"])
def test_the_tool_refuses_what_changed_after_ours(model, change):
    assert run(TOOL, "model-sign", str(model / "key.pem"), "model", str(model / "model")).returncode == 0
    if change == "changed":
        (model / "model/a/b").write_bytes(b"other")
    elif change == "missing":
        (model / "model/a/b").unlink()
    else:
        (model / "model/a/c").write_bytes(b"new")
    assert tool_verify(model).returncode != 0
    ours = our_verify(model)
    assert ours.returncode == 4
    assert ours.stdout == f"{change} a/{'c' if change == 'extra' else 'b'}\n"


def test_ours_accepts_the_tools(model):
    signed = run(MODEL_SIGNING, "sign", "key", "--private_key", str(model / "key.pem"), "--signature", str(model / "model/model.sig"),
                 str(model / "model"))
    assert signed.returncode == 0, signed.stderr
    ours = our_verify(model)
    assert ours.returncode == 0, ours.stdout + ours.stderr


def test_ours_names_a_git_file_that_the_tool_lets_through(model):
    assert run(MODEL_SIGNING, "sign", "key", "--private_key", str(model / "key.pem"), "--signature", str(model / "model/model.sig"),
               str(model / "model")).returncode == 0
    (model / "model/.gitattributes").write_text("added later")
    assert tool_verify(model).returncode == 0
    assert our_verify(model).stdout == "extra .gitattributes\n"


@pytest.mark.parametrize("ours_signs", [True, False])
def test_a_clones_git_files_are_told_with_what_leaves_them_out(model, ours_signs):
    folder = model / "model"
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    leave_out = ["--ignore", ".git", "--ignore", ".gitattributes"]
    def verify(*more):
        return redoubt("model", "verify", folder, "--public-key", model / "key.pub", *more)
    if ours_signs:
        told = redoubt("model", "sign", folder, "--private-key", model / "key.pem")
        assert told.returncode == 0 and " ".join(leave_out) in told.stderr and verify().returncode == 0
        assert tool_verify(model).returncode != 0
        assert redoubt("model", "sign", folder, "--private-key", model / "key.pem", *leave_out).stderr == ""
    else:
        assert run(MODEL_SIGNING, "sign", "key", "--private_key", str(model / "key.pem"), "--signature", str(folder / "model.sig"), str(folder)).returncode == 0
        told = verify()
        assert told.returncode == 4 and " ".join(leave_out) in told.stderr
    assert tool_verify(model).returncode == 0 and verify(*leave_out).returncode == 0


@pytest.mark.parametrize("ours_signs", [True, False])
def test_a_bundle_as_the_tools_first_versions_wrote_it_is_read(model, ours_signs):
    """Up to 1.0 the key itself stood where its digest does now, without a name of the key, and without a list of log entries."""
    command = [TOOL, "model-sign", str(model / "key.pem"), "model", str(model / "model")] if ours_signs else \
        [MODEL_SIGNING, "sign", "key", "--private_key", str(model / "key.pem"), "--signature", str(model / "model/model.sig"), str(model / "model")]
    assert run(*command).returncode == 0
    path = model / "model/model.sig"
    bundle = json.loads(path.read_text())
    def write(key):
        bundle["verificationMaterial"] = {"publicKey": {"rawBytes": base64.b64encode((model / key).read_bytes()).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}}
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = None
        path.write_text(json.dumps(bundle))
    write("key.pub")
    assert tool_verify(model).returncode == 0 and our_verify(model).returncode == 0
    (model / "model/a/b").write_bytes(b"other")
    assert our_verify(model).returncode == 4
    (model / "model/a/b").write_bytes(b"a/b" * 100)
    assert our_verify(model).returncode == 0
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", model / "other.pem")
    openssl("ec", "-in", model / "other.pem", "-pubout", "-out", model / "other.pub")
    write("other.pub")
    assert our_verify(model).returncode == 4


def test_both_refuse_a_changed_signature(model):
    assert run(TOOL, "model-sign", str(model / "key.pem"), "model", str(model / "model")).returncode == 0
    path = model / "model/model.sig"
    bundle = json.loads(path.read_text())
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    path.write_text(json.dumps(bundle))
    assert tool_verify(model).returncode != 0
    assert our_verify(model).returncode == 4


# --- by the command line: certificates, tokens, curves and the policy of signers

REDOUBT = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "redoubt")
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
CODE_SIGNING = "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=email:release@acme.example,URI:https://acme.example/release\n"


def openssl(*words, **options):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def redoubt(*words, env=None, stdin=None):
    return subprocess.run([REDOUBT, "--json", *map(str, words)], capture_output=True, text=True, env={**os.environ, **(env or {})}, input=stdin)


def make_authority(folder, name="ca", extensions="basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"):
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", folder / f"{name}.key")
    return issue(folder, name, f"/CN={name}", extensions, key=folder / f"{name}.key")


def issue(folder, name, subject, extensions, by=None, key=None, days=("20200101000000Z", "20400101000000Z"), digest="sha256"):
    """`openssl ca` is the one command of OpenSSL 3.0 that sets both dates."""
    (folder / f"{name}.ext").write_text("[e]\n" + extensions)
    (folder / f"{name}.db").write_text("")
    (folder / f"{name}.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/{name}.db\nnew_certs_dir={folder}\nrand_serial=yes\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    openssl("req", "-new", "-key", key, "-subj", subject, "-out", folder / f"{name}.csr")
    signer = ["-selfsign", "-keyfile", key] if by is None else ["-cert", folder / f"{by}.crt", "-keyfile", folder / f"{by}.key"]
    openssl("ca", "-batch", "-notext", "-config", folder / f"{name}.cnf", *signer, "-in", folder / f"{name}.csr", "-out", folder / f"{name}.crt", "-startdate", days[0], "-enddate", days[1],
            "-md", digest, "-extfile", folder / f"{name}.ext", "-extensions", "e")
    return folder / f"{name}.crt"


@pytest.fixture
def certified(model):
    make_authority(model)
    issue(model, "leaf", "/CN=Acme Release", CODE_SIGNING, by="ca", key=model / "key.pem")
    return model


def sign_certified(folder, leaf="leaf", chain="ca", key="key.pem"):
    return redoubt("model", "sign", folder / "model", "--private-key", folder / key, "--signing-certificate", folder / f"{leaf}.crt", "--certificate-chain", folder / f"{chain}.crt")


def verify_certified(folder, chain="ca"):
    return redoubt("model", "verify", folder / "model", "--certificate-chain", folder / f"{chain}.crt")


def tool_certified(folder, chain="ca"):
    return run(MODEL_SIGNING, "verify", "certificate", "--certificate_chain", str(folder / f"{chain}.crt"), "--signature", str(folder / "model/model.sig"), str(folder / "model"))


def test_certificates_both_ways(certified):
    signed = sign_certified(certified)
    assert signed.returncode == 0, signed.stdout
    assert tool_certified(certified).returncode == 0
    ours = verify_certified(certified)
    assert ours.returncode == 0, ours.stdout
    assert json.loads(ours.stdout)["signature"]["identity"] == "CN=Acme Release"
    assert "release@acme.example" in json.loads(ours.stdout)["signature"]["names"]
    (certified / "model/model.sig").unlink()
    tools = run(MODEL_SIGNING, "sign", "certificate", "--private_key", str(certified / "key.pem"), "--signing_certificate", str(certified / "leaf.crt"), "--certificate_chain",
                str(certified / "ca.crt"), "--signature", str(certified / "model/model.sig"), str(certified / "model"))
    assert tools.returncode == 0, tools.stderr
    assert verify_certified(certified).returncode == 0
    (certified / "model/a/b").write_bytes(b"other")
    changed = verify_certified(certified)
    assert changed.returncode == 4 and json.loads(changed.stdout)["problems"][0]["object"] == "a/b"


def test_an_intermediate_leads_to_the_authority(certified):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", certified / "middle.key")
    issue(certified, "middle", "/CN=middle", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n", by="ca", key=certified / "middle.key")
    issue(certified, "leaf", "/CN=Acme Release", CODE_SIGNING, by="middle", key=certified / "key.pem")
    assert sign_certified(certified, chain="middle").returncode == 0
    assert verify_certified(certified).returncode == 0 and tool_certified(certified).returncode == 0
    assert sign_certified(certified, chain="ca").returncode == 0  # without the intermediate nothing leads there
    assert verify_certified(certified).returncode == 4 and tool_certified(certified).returncode != 0


@pytest.mark.parametrize("what, extensions, days", [
    ("expired", CODE_SIGNING, ("20200101000000Z", "20210101000000Z")),
    ("not yet valid", CODE_SIGNING, ("20390101000000Z", "20400101000000Z")),
    ("key usage", "keyUsage=critical,keyEncipherment\nextendedKeyUsage=codeSigning\n", None),
    ("extended key usage", "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n", None),
    ("no usage", "subjectAltName=DNS:acme.example\n", None),
    ("authority", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign\n", None),
])
def test_a_certificate_that_is_not_for_this_does_not_pass(certified, what, extensions, days):
    """Signed by the tool, which lets most of these through."""
    issue(certified, "leaf", "/CN=Acme Release", extensions, by="ca", key=certified / "key.pem", **({"days": days} if days else {}))
    signed = run(MODEL_SIGNING, "sign", "certificate", "--private_key", str(certified / "key.pem"), "--signing_certificate", str(certified / "leaf.crt"), "--certificate_chain",
                 str(certified / "ca.crt"), "--signature", str(certified / "model/model.sig"), str(certified / "model"))
    assert signed.returncode == 0, signed.stderr
    assert what not in ("expired", "extended key usage") or tool_certified(certified).returncode == 0
    ours = verify_certified(certified)
    assert ours.returncode == 4, ours.stdout
    if days:
        assert redoubt("model", "sign", certified / "model", "--private-key", certified / "key.pem", "--signing-certificate", certified / "leaf.crt").returncode == 2


def test_a_leaf_that_calls_itself_an_authority_and_may_issue_nothing_signs(certified):
    """As the certificates of the tool's own examples are."""
    issue(certified, "leaf", "/CN=Acme Release", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n", by="ca", key=certified / "key.pem")
    assert sign_certified(certified).returncode == 0
    assert tool_certified(certified).returncode == 0 and verify_certified(certified).returncode == 0


def test_a_leaf_issues_no_signers_and_sha1_vouches_for_nobody(certified):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", certified / "evil.key")
    (certified / "leaf.key").write_bytes((certified / "key.pem").read_bytes())
    issue(certified, "evil", "/CN=Acme Release", CODE_SIGNING, by="leaf", key=certified / "evil.key")
    assert sign_certified(certified, leaf="evil", chain="leaf", key="evil.key").returncode == 0
    assert verify_certified(certified).returncode == 4
    issue(certified, "weak", "/CN=Acme Release", CODE_SIGNING, by="ca", key=certified / "key.pem", digest="sha1")
    assert sign_certified(certified, leaf="weak").returncode == 0
    assert verify_certified(certified).returncode == 4


def test_another_authority_and_another_key_do_not_pass(certified):
    make_authority(certified, "other")
    assert sign_certified(certified).returncode == 0
    assert verify_certified(certified, "other").returncode == 4
    assert redoubt("model", "verify", certified / "model", "--public-key", certified / "key.pub").returncode == 4
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", certified / "other.pem")
    assert sign_certified(certified, key="other.pem").returncode == 2  # the certificate is not that key's


def test_two_signatures_and_another_payload_type_do_not_pass(certified):
    assert sign_certified(certified).returncode == 0
    path = certified / "model/model.sig"
    good = json.loads(path.read_text())
    two = json.loads(path.read_text())
    two["dsseEnvelope"]["signatures"] *= 2
    other = json.loads(path.read_text())
    other["dsseEnvelope"]["payloadType"] = "application/json"
    for bundle in (two, other):
        path.write_text(json.dumps(bundle))
        assert verify_certified(certified).returncode == 4
    path.write_text(json.dumps(good))
    assert verify_certified(certified).returncode == 0


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_every_curve_both_ways(model, curve):
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", model / "key.pem")
    openssl("ec", "-in", model / "key.pem", "-pubout", "-out", model / "key.pub")
    ours = redoubt("model", "sign", model / "model", "--private-key", model / "key.pem")
    assert ours.returncode == 0, ours.stdout
    assert tool_verify(model).returncode == 0
    signed = run(MODEL_SIGNING, "sign", "key", "--private_key", str(model / "key.pem"), "--signature", str(model / "model/model.sig"), str(model / "model"))
    assert signed.returncode == 0, signed.stderr
    assert redoubt("model", "verify", model / "model", "--public-key", model / "key.pub").returncode == 0


@pytest.mark.parametrize("curve", ["secp256k1", "secp224r1", "brainpoolP256r1"])
def test_other_curves_are_refused(model, curve):
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", model / "key.pem")
    assert redoubt("model", "sign", model / "model", "--private-key", model / "key.pem").returncode == 2
    assert not (model / "model/model.sig").exists()


def test_what_is_ignored_is_the_verifiers_choice(model):
    assert redoubt("model", "sign", model / "model", "--private-key", model / "key.pem", "--ignore", "sub").returncode == 0
    assert tool_verify(model).returncode == 0  # the tool believes what the signature says to ignore
    verify = lambda *more: redoubt("model", "verify", model / "model", "--public-key", model / "key.pub", *more)
    assert verify().returncode == 4
    assert verify("--ignore", "sub").returncode == 0
    (model / "model/link").symlink_to("/etc/passwd")
    assert verify("--ignore", "sub").returncode not in (0, 4) and verify("--ignore", "link").returncode not in (0, 4)


@pytest.fixture
def token(model):
    (model / "tokens").mkdir()
    (model / "softhsm.conf").write_text(f"directories.tokendir = {model}/tokens\n")
    (model / "pin").write_text("1234\n")
    (model / "pin").chmod(0o600)
    os.environ["SOFTHSM2_CONF"] = str(model / "softhsm.conf")
    for curve, name in (("prime256v1", "key"), ("secp384r1", "key384"), ("secp521r1", "key521")):
        if name != "key":
            openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", model / f"{name}.sec1")
            openssl("pkcs8", "-topk8", "-nocrypt", "-in", model / f"{name}.sec1", "-out", model / f"{name}.pem")
            openssl("ec", "-in", model / f"{name}.pem", "-pubout", "-out", model / f"{name}.pub")
    softhsm = lambda *words: subprocess.run(["softhsm2-util", *map(str, words)], check=True, capture_output=True)
    softhsm("--init-token", "--free", "--label", "acme token", "--so-pin", "12345678", "--pin", "1234")
    for number, name in enumerate(("key", "key384", "key521")):
        softhsm("--import", model / f"{name}.pem", "--token", "acme token", "--label", name, "--id", f"0{number + 1}", "--pin", "1234")
    yield model
    del os.environ["SOFTHSM2_CONF"]


def token_uri(name, more=""):
    return f"pkcs11:token=acme%20token;object={name}{more}?module-path={SOFTHSM}"


@pytest.mark.parametrize("name", ["key", "key384", "key521"])
def test_a_token_signs_and_the_tool_accepts(token, name):
    signed = redoubt("model", "sign", token / "model", "--pkcs11-uri", token_uri(name), "--pin-file", token / "pin")
    assert signed.returncode == 0, signed.stdout
    assert (token / "model.pub").read_text() == (token / f"{name}.pub").read_text()
    judged = run(MODEL_SIGNING, "verify", "key", "--public_key", str(token / f"{name}.pub"), "--signature", str(token / "model/model.sig"), str(token / "model"))
    assert judged.returncode == 0, judged.stderr + judged.stdout
    assert redoubt("model", "verify", token / "model").returncode == 0


def test_ours_accepts_what_the_tool_signs_by_token(token):
    signed = run(MODEL_SIGNING, "sign", "pkcs11-key", "--pkcs11_uri", token_uri("key") + "&pin-value=1234", "--signature", str(token / "model/model.sig"), str(token / "model"))
    assert signed.returncode == 0, signed.stderr
    assert redoubt("model", "verify", token / "model", "--public-key", token / "key.pub").returncode == 0


def test_a_token_signs_with_a_certificate(token):
    make_authority(token)
    issue(token, "leaf", "/CN=Acme Release", CODE_SIGNING, by="ca", key=token / "key384.pem")
    signed = redoubt("model", "sign", token / "model", "--pkcs11-uri", token_uri("key384") + f"&pin-source=file:{token}/pin", "--signing-certificate", token / "leaf.crt", "--certificate-chain", token / "ca.crt")
    assert signed.returncode == 0, signed.stdout
    assert tool_certified(token).returncode == 0 and verify_certified(token).returncode == 0


@pytest.mark.parametrize("uri, pin, code", [
    (token_uri("absent"), "1234", 1), (token_uri("key").replace("acme", "other"), "1234", 1), (token_uri("key"), "9999", 5),
    (token_uri("key", ";id=%02"), "1234", 1), (token_uri("key") + "&pin-value=1234", "1234", 2), ("pkcs11:object=key", "1234", 2),
    ("pkcs11:object=key?module-path=/absent.so", "1234", 1),
])
def test_a_token_that_can_not_sign_says_why(token, uri, pin, code):
    (token / "pin").write_text(pin)
    done = redoubt("model", "sign", token / "model", "--pkcs11-uri", uri, "--pin-file", token / "pin")
    assert done.returncode == code, done.stdout
    assert not (token / "model/model.sig").exists() and pin not in done.stdout + done.stderr


def test_a_policy_says_whose_signature_counts_for_which_model(certified):
    (certified / "signers.yaml").write_text("""version: 1
rules:
  - models: [acme/*]
    signers:
      - {name: acme release, certificate_chain: ca.crt, identities: ["*@acme.example"]}
  - models: [lab/*]
    signers: [{name: lab, public_key: key.pub}]
  - models: [drafts/*]
    unsigned: accept
""")
    verify = lambda name: redoubt("model", "verify", certified / "model", "--policy", certified / "signers.yaml", "--model", name)
    assert verify("drafts/x").returncode == 0
    assert verify("acme/tiny").returncode == 3
    assert sign_certified(certified).returncode == 0
    done = verify("acme/tiny")
    assert done.returncode == 0 and json.loads(done.stdout)["signature"]["signer"] == "acme release"
    assert verify("ACME/tiny").returncode == 0
    assert [verify(name).returncode for name in ("lab/tiny", "other/tiny", "acme/sub/tiny")] == [3, 3, 3]
    (certified / "model/a/b").write_bytes(b"other")
    assert verify("acme/tiny").returncode == 4
    (certified / "model/a/b").write_bytes(b"a/b" * 100)
    issue(certified, "leaf", "/CN=Acme Release", CODE_SIGNING.replace("acme.example", "evil.example"), by="ca", key=certified / "key.pem")
    assert sign_certified(certified).returncode == 0
    assert verify("acme/tiny").returncode == 3
    assert redoubt("model", "sign", certified / "model", "--private-key", certified / "key.pem").returncode == 0
    assert verify("acme/tiny").returncode == 3 and verify("lab/tiny").returncode == 0
    (certified / "signers.yaml").write_text("version: 1\nrules:\n  - models: [acme/*]\n    signer: []\n")
    assert verify("acme/tiny").returncode == 2
