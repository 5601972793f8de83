# SPDX-License-Identifier: Apache-2.0
"""The ledger against Go's golang.org/x/mod/sumdb (note and tlog), which reads its folder and checks its receipts."""
import os
import pathlib
import subprocess

import pytest

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "evidence_tool")
SOURCE = pathlib.Path(__file__).parent / "tlog_judge.go"


@pytest.fixture(scope="session")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    program = folder / "tlog_judge"
    # Debian's packages of Go libraries are a GOPATH.
    environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOCACHE=str(folder / "cache"), GOFLAGS="")
    built = subprocess.run(["go", "build", "-o", str(program), str(SOURCE)], env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return str(program)


def make(tmp_path, count):
    folder, key = tmp_path / "ledger", tmp_path / "vkey"
    made = subprocess.run([TOOL, "ledger", str(folder), str(count)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    key.write_text(made.stdout)
    return folder, key


def prove(folder, key, index):
    proved = subprocess.run([TOOL, "proof", str(folder), str(key), str(index)], capture_output=True)
    assert proved.returncode == 0, proved.stderr
    return proved.stdout


@pytest.mark.parametrize("count,index", [(1, 0), (2, 1), (7, 3), (255, 254), (256, 0), (257, 256), (600, 300)])
def test_go_reads_the_ledger_and_accepts_its_proof(judge, tmp_path, count, index):
    folder, key = make(tmp_path, count)
    proof = tmp_path / "entry.tlog-proof"
    proof.write_bytes(prove(folder, key, index))
    judged = subprocess.run([judge, str(folder), str(key), str(proof)], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr
    assert judged.stdout.startswith(f"ok {count} ")


def test_go_refuses_what_was_changed(judge, tmp_path):
    folder, key = make(tmp_path, 300)
    bundle = folder / "tile/entries/000"
    data = bytearray(bundle.read_bytes())
    data[2] ^= 1
    bundle.write_bytes(bytes(data))
    assert subprocess.run([judge, str(folder), str(key)], capture_output=True).returncode != 0
