# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine's training by several processes: started as torchrun starts them, as SageMaker does, and by itself."""
import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from engine_train_test import ENGINE, ROWS, make_model
from safetensors.torch import load_file

PARAMETERS = {"dtype": "fp32", "epochs": 3, "learning_rate": 5e-3, "lora_r": 4, "lora_alpha": 8, "batch_size": 2, "threads": 1,
              "checkpoint_steps": 1, "distributed_timeout_s": 60}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_model(folder, {"rope_type": "default", "rope_theta": 10000.0})
    return folder


def signed(name, issuer, key, issuer_key, *extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
               .not_valid_after(now + datetime.timedelta(days=1)))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256())


def common_name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """What docs/distributed.md says to give: a CA, and one certificate for all ranks."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = signed(common_name("job CA"), common_name("job CA"), ca_key, ca_key, x509.BasicConstraints(True, 0))
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    rank = signed(common_name("rank"), ca.subject, key, ca_key, x509.BasicConstraints(False, None), both,
                  x509.SubjectAlternativeName([x509.DNSName("*.job.internal")]))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "rank.pem").write_bytes(rank.public_bytes(pem))
    (folder / "rank-key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder


def prepare(root, model, parameters, certificates=None):
    (root / "input/config").mkdir(parents=True, exist_ok=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(parameters))
    (root / "input/data/train").mkdir(parents=True, exist_ok=True)
    (root / "input/data/train/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, folder in (("model", model), ("certificates", certificates)):
        if folder and not (root / "input/data" / name).exists():
            (root / "input/data" / name).symlink_to(folder)
    return root


def start(root, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    return subprocess.Popen([ENGINE, "train", "--root", root], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**environment, **{name: str(value) for name, value in variables.items()}})


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def losses(events):
    return [event["loss"] for event in events if event["event"] == "step"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_ranks(roots, port):
    return [start(root, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=rank, WORLD_SIZE=len(roots)) for rank, root in enumerate(roots)]


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """One process that computes the batches of two."""
    root = prepare(tmp_path_factory.mktemp("alone"), model, {**PARAMETERS, "gradient_accumulation_steps": 2})
    status, events, err = finish(start(root))
    assert status == 0, err
    return root, losses(events)


def assert_same_adapter(root, alone):
    one, other = (load_file(folder / "model/adapter_model.safetensors") for folder in (root, alone[0]))
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_two_processes_with_certificates_train_what_one_trains(model, certificates, alone, tmp_path):
    roots = [prepare(tmp_path / str(rank), model, PARAMETERS, certificates) for rank in range(2)]
    done = [finish(process) for process in start_ranks(roots, free_port())]
    assert [status for status, _, _ in done] == [0, 0], done
    assert losses(done[0][1]) == alone[1] and not done[1][1]
    assert_same_adapter(roots[0], alone)
    assert not (roots[1] / "model").exists() and not (roots[1] / "checkpoints").exists()


def test_two_processes_at_half_the_batch_have_the_losses_of_one(model, alone, tmp_path):
    root = prepare(tmp_path / "whole", model, {**PARAMETERS, "batch_size": 4})
    status, events, err = finish(start(root))
    assert status == 0, err
    assert losses(events) == pytest.approx(alone[1], rel=1e-4)


def test_hosts_as_sagemaker_lists_them_train_together(model, certificates, alone, tmp_path):
    """Two names of this machine stand for two machines; the lowest name leads."""
    hosts, port = ["localhost", "127.0.0.1"], free_port()
    roots = []
    for host in hosts:
        root = prepare(tmp_path / host, model, PARAMETERS, certificates)
        (root / "input/config/resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": hosts, "network_interface_name": "lo"}))
        roots.append(root)
    done = [finish(process) for process in [start(root, MASTER_PORT=port) for root in roots]]
    assert [status for status, _, _ in done] == [0, 0], done
    assert not done[0][1] and losses(done[1][1]) == alone[1]
    assert_same_adapter(roots[1], alone)


def test_a_job_starts_its_own_ranks_on_one_machine(model, alone, tmp_path):
    root = prepare(tmp_path, model, {**PARAMETERS, "ranks": "2"})
    status, events, err = finish(start(root))
    assert status == 0, err
    assert losses(events) == alone[1]
    assert_same_adapter(root, alone)


@pytest.mark.parametrize("where", [["--standalone"], ["--master-addr", "127.0.0.1", "--master-port", "free"]], ids=["standalone", "static"])
def test_torchrun_starts_ranks_beside_its_own_agent(model, alone, tmp_path, where):
    root = prepare(tmp_path, model, {**PARAMETERS, "distributed_transport": "loopback"})
    command = [sys.executable, "-m", "torch.distributed.run", *[str(free_port()) if word == "free" else word for word in where], "--nproc-per-node", "2", "--no-python", ENGINE, "train", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert losses(json.loads(line) for line in done.stdout.splitlines()) == alone[1]
    assert_same_adapter(root, alone)


def start_and_wait_for_a_step(roots):
    processes = start_ranks(roots, free_port())
    deadline = time.monotonic() + 60
    while not list((roots[0] / "checkpoints").glob("checkpoint-[0-9]*[0-9]")) and time.monotonic() < deadline:
        time.sleep(0.01)
    return processes


def test_a_rank_that_is_killed_ends_the_job_with_its_name_and_the_job_goes_on_from_its_checkpoint(model, certificates, tmp_path):
    long = {**PARAMETERS, "epochs": 40}
    whole = [prepare(tmp_path / f"whole{rank}", model, long, certificates) for rank in range(3)]
    assert all(finish(process)[0] == 0 for process in start_ranks(whole, free_port()))
    roots = [prepare(tmp_path / str(rank), model, long, certificates) for rank in range(3)]
    processes = start_and_wait_for_a_step(roots)
    processes[2].send_signal(signal.SIGKILL)
    done = [finish(process) for process in processes]
    assert done[2][0] == -signal.SIGKILL
    for rank in (0, 1):
        assert done[rank][0] == 1 and "rank 2" in done[rank][2] and "ended" in done[rank][2], done[rank][2]
        assert "rank 2" in (roots[rank] / "output/failure").read_text()
    assert not (roots[0] / "model").exists()
    resumed = [finish(process) for process in start_ranks(roots, free_port())]
    assert [status for status, _, _ in resumed] == [0, 0, 0], resumed
    assert resumed[0][1][0]["resumed_step"] >= 1
    assert_same_adapter(roots[0], (whole[0],))


def test_a_rank_that_hangs_ends_the_job_with_its_name(model, certificates, tmp_path):
    roots = [prepare(tmp_path / str(rank), model, {**PARAMETERS, "epochs": 10000, "distributed_timeout_s": 2}, certificates) for rank in range(2)]
    processes = start_and_wait_for_a_step(roots)
    processes[1].send_signal(signal.SIGSTOP)
    status, _, err = finish(processes[0])
    processes[1].send_signal(signal.SIGKILL)
    finish(processes[1])
    assert status == 1 and "rank 1" in err and "has not answered for 2 s" in err


def test_without_certificates_no_rank_sends_anything(model, tmp_path):
    roots = [prepare(tmp_path / str(rank), model, PARAMETERS) for rank in range(2)]
    for status, events, err in [finish(process) for process in start_ranks(roots, free_port())]:
        assert status == 2 and "certificates" in err and not events


def test_plain_bytes_are_for_loopback_and_have_to_be_asked_for(model, alone, tmp_path):
    roots = [prepare(tmp_path / str(rank), model, {**PARAMETERS, "distributed_transport": "loopback"}) for rank in range(2)]
    done = [finish(process) for process in start_ranks(roots, free_port())]
    assert [status for status, _, _ in done] == [0, 0] and losses(done[0][1]) == alone[1]
    status, _, err = finish(start(roots[1], MASTER_ADDR="198.51.100.7", MASTER_PORT=29500, RANK=1, WORLD_SIZE=2))
    assert status == 2 and "certificates" in err


def test_ranks_with_other_data_are_named_before_the_first_step(model, certificates, tmp_path):
    roots = [prepare(tmp_path / str(rank), model, PARAMETERS, certificates) for rank in range(2)]
    (roots[1] / "input/data/train/train.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    for status, events, err in [finish(process) for process in start_ranks(roots, free_port())]:
        assert status in (1, 2) and "rank 1" in err and "data.train differs" in err, err
        assert not losses(events)


@pytest.mark.parametrize("what", ["checkpoint_steps", "data.configuration"])
def test_ranks_with_another_rhythm_or_another_configuration_of_the_base_are_named_before_the_first_step(model, tmp_path, what):
    other = tmp_path / "other"
    shutil.copytree(model, other)
    (other / "config.json").write_text(json.dumps({**json.loads((other / "config.json").read_text()), "rms_norm_eps": 1e-3}))
    plain = {**PARAMETERS, "distributed_transport": "loopback"}
    if what == "checkpoint_steps":
        roots = [prepare(tmp_path / str(rank), model, {**plain, "checkpoint_steps": 1 + rank}) for rank in range(2)]
    else:
        roots = [prepare(tmp_path / str(rank), folder, plain) for rank, folder in enumerate((model, other))]
    for status, events, err in [finish(process) for process in start_ranks(roots, free_port())]:
        assert status in (1, 2) and "rank 1" in err and f"{what} differs" in err, err
        assert not losses(events)
