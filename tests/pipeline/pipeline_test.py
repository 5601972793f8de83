# SPDX-License-Identifier: Apache-2.0
"""The seven steps over a real hub, a real sandbox and a real engine, on a small model: once through, and every way to be stopped."""
import json
import os
import pathlib
import random
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import load_file

from conftest import TOKEN, Redoubt, run_approved, write_pipeline


def ask(redoubt, path="/v1/chat/completions", key=None, **body):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "How do I copy a1?"}], "max_tokens": 8, **body}
    request = urllib.request.Request(redoubt.endpoint["url"] + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {key or redoubt.key}"})
    context = ssl.create_default_context(cafile=redoubt.endpoint["ca_file"])
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return json.load(answer)


def test_the_endpoint_answers_and_a_wrong_key_does_not(deployed):
    answer = ask(deployed)
    assert answer["choices"][0]["message"]["role"] == "assistant" and answer["usage"]["completion_tokens"] >= 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(deployed, key="rdt_wrong_key")
    assert refused.value.code == 401


def test_a_second_run_reuses_everything(deployed):
    report = deployed.json("run", deployed.pipeline)
    assert all(row["reused"] for row in report["steps"] if row["step"] != "review"), report


def test_the_registry_and_the_audit_tell_what_happened(deployed):
    version = deployed.json("registry", "list")[0]
    assert version["state"] == "Deployed" and version["name"] == "tiny" and version["metrics"]["eval_loss"] > 0
    audit = deployed.json("audit", "verify")
    assert audit["ok"] and audit["entries"] >= 8 and audit["problems"] == []
    assert "# tiny 0.1.0" in deployed("registry", "card", "tiny/0.1.0").stdout


def test_who_decides_reads_what_both_models_answered(deployed):
    answers = json.loads(deployed("--json", "registry", "answers", "tiny/0.1.0", identity="reviewer").stdout)
    assert len(answers) == 1 and answers[0]["prompt"].count("How do I ") == 1 and "--all" in answers[0]["expected"]
    assert answers[0]["base"] != answers[0]["tuned"]
    shown = "\n" + deployed("registry", "answers", "tiny/0.1.0").stdout
    assert all(f"\n{part}: " in shown for part in ("prompt", "expected", "base", "tuned")) and answers[0]["expected"] in shown
    deployed("registry", "answers", "tiny/0.1.0", identity="admin", expect=5)
    assert "| perplexity_max | 1000 |" in deployed("registry", "card", "tiny/0.1.0").stdout


def test_who_ran_the_pipeline_cannot_approve(deployed):
    assert deployed("registry", "approve", "tiny/0.1.0", "--reason", "mine", expect=5)
    assert "unknown identity" in deployed("registry", "approve", "tiny/0.1.0", "--reason", "x", identity="nobody", expect=5).stderr


def test_nothing_plain_is_at_rest(deployed):
    ask(deployed)
    weights = (deployed.hub_root / "test/tiny/model.safetensors").read_bytes()
    needles = [b"How do I copy ", TOKEN.encode(), deployed.key.encode(), weights[len(weights) // 2:][:64]]
    found = []
    for base in [deployed.workspace, pathlib.Path("/dev/shm")]:
        for path in base.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                found += [(path, needle) for needle in needles if needle in data]
    assert not found


def test_a_release_bundle_verifies_in_an_empty_folder_and_not_when_changed(deployed, tmp_path):
    bundle = tmp_path / "release.bundle"
    deployed("release", "bundle", "tiny/0.1.0", "-o", bundle)
    elsewhere = Redoubt(tmp_path / "empty", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    elsewhere("verify", bundle)
    data = bytearray(bundle.read_bytes())
    order = random.Random(5)
    for _ in range(40):
        place = order.randrange(len(data))
        changed = bytearray(data)
        changed[place] ^= 1 << order.randrange(8)
        (tmp_path / "changed").write_bytes(changed)
        done = elsewhere("verify", tmp_path / "changed", expect=4)
        assert done.stderr.strip()


def test_the_exported_model_has_a_signature_that_model_signing_accepts(deployed, tmp_path):
    out = deployed.json("registry", "export", "tiny/0.1.0", "-o", tmp_path / "model")
    tool = pathlib.Path(os.sys.executable).parent / "model_signing"
    command = [tool, "verify", "key", "--public_key", out["public_key"], "--signature", out["signature"], out["folder"]]
    assert subprocess.run(command, capture_output=True).returncode == 0
    with open(next(pathlib.Path(out["folder"]).rglob("adapter_config.json")), "a") as file:
        file.write(" ")
    assert subprocess.run(command, capture_output=True).returncode != 0


def run_and_kill(redoubt, pipeline, log, seconds):
    """A run that gets SIGKILL after so long; answers its exit status where it had ended by then."""
    with open(log, "w") as file:
        process = subprocess.Popen(redoubt.command("run", pipeline), env=redoubt.environment, stdout=subprocess.DEVNULL, stderr=file,
                                   cwd=redoubt.folder, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return None


def test_a_run_killed_at_any_moment_resumes_to_the_same_end(tiny_hub, tmp_path):
    """SIGKILL at random moments; every kill leaves a workspace that verifies and goes on."""
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    order = random.Random(int(os.environ.get("REDOUBT_KILL_SEED", "17")))
    for _ in range(int(os.environ.get("REDOUBT_KILLS", "12"))):
        ended = run_and_kill(redoubt, pipeline, tmp_path / "run.log", order.uniform(0.05, 4.0))
        assert redoubt.json("audit", "verify")["ok"]
        assert ended in (None, 6), (tmp_path / "run.log").read_text()
    redoubt("run", pipeline, expect=6)
    killed = redoubt.json("registry", "list")
    assert len(killed) == 1

    straight = Redoubt(tmp_path / "straight")
    (tmp_path / "straight").mkdir()
    straight("init")
    straight("secret", "put", "huggingface/api-token", stdin=TOKEN)
    straight("run", pipeline, expect=6)
    assert straight.json("registry", "list")[0]["digest"] == killed[0]["digest"]


def test_a_deployment_killed_at_any_moment_goes_on(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    redoubt("run", pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "read the card", identity="reviewer")
    order = random.Random(int(os.environ.get("REDOUBT_KILL_SEED", "17")))
    try:
        for _ in range(max(3, int(os.environ.get("REDOUBT_KILLS", "12")) // 3)):
            ended = run_and_kill(redoubt, pipeline, tmp_path / "run.log", order.uniform(0.05, 2.5))
            assert redoubt.json("audit", "verify")["ok"]
            assert ended in (None, 0), (tmp_path / "run.log").read_text()
            redoubt("endpoint", "stop", "--environment", "dev", expect=None)
        redoubt("run", pipeline)
        redoubt.key = redoubt.json("key", "create", "--name", "test", "--environment", "dev")["key"]
        redoubt.endpoint = redoubt.json("endpoint", "status", "--environment", "dev")
        assert ask(redoubt)["choices"][0]["message"]["role"] == "assistant"
        assert [version["state"] for version in redoubt.json("registry", "list")] == ["Deployed"]
    finally:
        redoubt("endpoint", "stop", "--environment", "dev", expect=None)
    assert redoubt.json("audit", "verify")["ok"]


def test_a_failed_gate_registers_the_version_as_rejected(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    (tmp_path / "pipeline" / "thresholds.yaml").write_text("version: 1\neval_loss_max: 0.01\nexamples_min: 10\n")
    assert "eval_loss" in redoubt("run", pipeline, expect=3).stderr
    version = redoubt.json("registry", "list")[0]
    assert version["state"] == "Rejected" and "eval_loss" in version["reason"]
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "but I want it", identity="reviewer", expect=3)
    redoubt("deploy", "tiny/0.1.0", "--environment", "dev", expect=3)


def test_a_model_that_is_trained_whole_is_judged_registered_served_and_compared_with(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path / "here")
    redoubt.folder.mkdir()
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(redoubt.folder / "pipeline", tiny_hub)
    lora = (pipeline.parent / "training_config.yaml").read_text()
    (pipeline.parent / "training_config.yaml").write_text("version: 1\nmethod: full\nepochs: 2\nbatch_size: 8\nlearning_rate: 0.002\nmax_length: 128\ncheckpoint_steps: 5\n")
    run_approved(redoubt, pipeline, "tiny/0.1.0")
    assert "Every weight tuned of test/tiny" in redoubt("registry", "card", "tiny/0.1.0").stdout

    redoubt("registry", "export", "tiny/0.1.0", "-o", tmp_path / "export")
    assert not (tmp_path / "export/adapter").exists()
    base, tuned = (load_file(str(folder / "model.safetensors")) for folder in (tiny_hub.root / "test/tiny", tmp_path / "export/base"))
    assert base.keys() == tuned.keys() and all(not torch.equal(base[name].float(), tuned[name].float()) for name in base if "proj" in name)

    redoubt.endpoint = redoubt.json("endpoint", "status", "--environment", "dev")
    redoubt.key = redoubt.json("key", "create", "--name", "test", "--environment", "dev")["key"]
    try:
        assert ask(redoubt)["usage"]["completion_tokens"] >= 1
        bundle = tmp_path / "release.bundle"
        redoubt("release", "bundle", "tiny/0.1.0", "-o", bundle)
        Redoubt(tmp_path, tmp_path / "none")("verify", bundle)
        # An adapter after it is compared with the whole model that serves.
        (pipeline.parent / "training_config.yaml").write_text(lora)
        limits = {"version": 1, "perplexity_max": 1000, "eval_loss_max": 7, "examples_min": 10, "not_worse_than": {"margin": 5}}
        (pipeline.parent / "thresholds.yaml").write_text(json.dumps(limits))
        redoubt("run", pipeline, expect=6)
        found = redoubt.json("runs", "list", "--step", "evaluate")
        newest = redoubt.json("runs", "show", (found["runs"] if isinstance(found, dict) else found)[0]["id"])
        assert newest["parameters"]["production"] == "0.1.0" and newest["inputs"]["production_model"].startswith("sha256:")
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")


def test_bad_input_ends_with_its_own_exit_status(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    assert "huggingface/api-token" in redoubt("run", pipeline, expect=1).stderr
    redoubt("secret", "put", "huggingface/api-token", stdin="hf_wrong" + "x" * 30)
    redoubt("run", pipeline, expect=5)
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    unknown = pipeline.read_text().replace("test/tiny", "test/unknown")
    (pipeline.parent / "unknown.yaml").write_text(unknown)
    assert "test/unknown" in redoubt("run", pipeline.parent / "unknown.yaml", expect=1).stderr
    (pipeline.parent / "misspelt.yaml").write_text(pipeline.read_text().replace("repository:", "repositry:"))
    assert "repository" in redoubt("run", pipeline.parent / "misspelt.yaml", expect=2).stderr
    (pipeline.parent / "data.jsonl").write_text('{"text": "a"}\n{"text":\n')
    assert "data.jsonl:2" in redoubt("run", pipeline, expect=3).stderr
    (pipeline.parent / "data.jsonl").write_text("")
    redoubt("run", pipeline, expect=3)
    assert redoubt.json("audit", "verify")["ok"]


@pytest.mark.parametrize("changes,says", [
    ({"deploy": {"port": 0, "access": {"certificate_file": "no.pem", "key_file": "no.pem"}}}, "deploy.access.certificate_file"),
    ({"deploy": {"port": 0, "access": {"oidc": {"issuer": "https://i.example", "audience": "a", "key_set_file": "no.pem"}}}}, "deploy.access.oidc.key_set_file"),
    ({"deploy": {"port": 0, "access": {"client_certificates": {"ca_file": "no.pem"}}}}, "deploy.access.client_certificates.ca_file"),
    ({"watch": {"webhook": "https://hooks.example/", "webhook_secret": "webhook/key"}}, "redoubt secret put webhook/key"),
])
def test_what_an_endpoint_could_not_start_with_ends_a_run_before_its_first_step(tiny_hub, tmp_path, changes, says):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub, **changes)
    (pipeline.parent / "no.pem").write_text("no certificate")
    refused = redoubt("run", pipeline, expect=None)
    assert refused.returncode in (1, 2) and says in refused.stderr and "redoubt.yaml" in refused.stderr, refused.stderr
    assert "[1/8]" not in refused.stderr


def test_a_locked_workspace_is_not_run_twice(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    first = subprocess.Popen(redoubt.command("run", pipeline), env=redoubt.environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    second = redoubt("run", pipeline, expect=1)
    assert "lock" in second.stderr
    assert first.wait(300) == 6


def test_a_passphrase_opens_the_keyring_and_a_wrong_one_does_not(tmp_path):
    redoubt = Redoubt(tmp_path)
    (tmp_path / "right").write_text("correct horse battery staple")
    (tmp_path / "wrong").write_text("incorrect horse")
    redoubt("--passphrase-file", tmp_path / "right", "init")
    redoubt("--passphrase-file", tmp_path / "right", "status")
    redoubt("--passphrase-file", tmp_path / "wrong", "status", expect=5)


def test_a_restored_backup_goes_on_where_the_workspace_was(deployed, tmp_path):
    """On another machine: it verifies, the pipeline reuses every step, and the endpoint starts."""
    (tmp_path / "passphrase").write_text("a passphrase for the keys")
    deployed("backup", "-o", tmp_path / "backup", "--keys-passphrase-file", tmp_path / "passphrase")
    (tmp_path / "there").mkdir()
    other = Redoubt(tmp_path / "there")
    other("restore", tmp_path / "backup", "--to", other.workspace, "--keys-passphrase-file", tmp_path / "passphrase")
    assert other.json("audit", "verify")["ok"]
    assert other.json("registry", "list")[0]["state"] == "Deployed"
    try:
        other("endpoint", "start", "--environment", "dev")
        other.endpoint = other.json("endpoint", "status", "--environment", "dev")
        assert ask(other, key=deployed.key)["usage"]["completion_tokens"] >= 1
        report = other.json("run", deployed.pipeline)
        assert all(row["reused"] for row in report["steps"] if row["step"] != "review"), report
    finally:
        other("endpoint", "stop", "--environment", "dev", expect=None)
