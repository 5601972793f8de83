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
