# SPDX-License-Identifier: Apache-2.0
"""`model scan` against files that attack the loaders of models, and against what PyTorch, scikit-learn, joblib, NumPy, Keras, ONNX and safetensors write."""
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import model_scan_files as files  # noqa: E402
from conftest import Redoubt  # noqa: E402


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("redoubt"))


@pytest.fixture(scope="module")
def harmful(tmp_path_factory):
    return files.harmful(tmp_path_factory.mktemp("harmful"))


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return files.harmless(tmp_path_factory.mktemp("harmless"))


def scan(redoubt, path):
    done = redoubt("--json", "model", "scan", path, expect=None, timeout=60)
    assert done.returncode in (0, 3), f"{path}: exit {done.returncode} {done.stdout}{done.stderr}"
    report = json.loads(done.stdout)
    assert report["safe"] == (done.returncode == 0) == (report["findings"] == [])
    return report


def test_every_technique_is_caught(redoubt, harmful):
    missed = [name for name, path in harmful.items() if scan(redoubt, path)["safe"]]
    assert missed == [] and len(harmful) > 200
    assert not os.path.exists(files.MARK)


def test_what_the_libraries_write_is_safe(redoubt, harmless):
    flagged = {name: report["findings"][:3] for name, path in harmless.items() if not (report := scan(redoubt, path))["safe"]}
    assert flagged == {} and len(harmless) > 120


def test_findings_name_the_member_the_opcode_and_where_it_stands(redoubt, harmful):
    [finding] = scan(redoubt, harmful["torch_zip.pt"])["findings"]
    assert (finding["path"], finding["member"], finding["kind"], finding["rule"], finding["severity"], finding["opcode"]) == ("torch_zip.pt", "torch_zip.pt!archive/data.pkl", "pickle", "pickle/unsafe-global", "critical", "STACK_GLOBAL")
    assert files.PAYLOAD[finding["offset"]] == 0x93 and "os.system" in finding["detail"]
    members = {finding["member"] for finding in scan(redoubt, harmful["zip_in_zip.zip"])["findings"]}
    assert members == {"zip_in_zip.zip!inner/model.zip!a/model.pt!archive/data.pkl"}
    assert "archive/data.pkl" in redoubt("model", "scan", harmful["torch_zip.pt"], expect=3).stdout


@pytest.mark.parametrize("name,rule", [
    ("duplicate.pt", "archive/zip-duplicate"), ("wrong_checksum.pt", "archive/zip-checksum"), ("local_name_differs.pt", "archive/zip-differs"), ("encrypted.pt", "archive/zip-encrypted"), ("prepended.pt", "archive/zip-prepended-data"),
    ("appended.pt", "archive/zip-trailing-data"), ("slip.zip", "archive/zip-slip"), ("link.pt", "archive/zip-link"), ("bomb.zip", "archive/bomb"), ("bomb.pkl.gz", "archive/bomb"), ("tar_slip.tar", "archive/tar-slip"),
    ("tar_link.tar", "archive/tar-link"), ("gzip_trailing.pkl", "archive/trailing-data"), ("gzip_cut.pkl", "archive/broken-compression"), ("opcode_memo_bomb.pkl", "pickle/malformed"), ("opcode_ext1.pkl", "pickle/extension"),
    ("opcode_build_setstate.pkl", "pickle/special-attribute"), ("opcode_build_on_class.pkl", "pickle/changed-global"), ("opcode_call_of_a_result.pkl", "pickle/computed-call"), ("opcode_trailing_junk.pkl", "pickle/malformed"),
    ("opcode_stored_loader.pkl", "pickle/stored-function"), ("lambda.keras", "keras/lambda"), ("lambda.h5", "keras/lambda"), ("module.keras", "keras/module"), ("tf_write/saved_model.pb", "tensorflow/operator"),
    ("hdf5_external_latest.h5", "hdf5/external-file"), ("hdf5_external.keras", "hdf5/external-file"), ("hdf5_virtual_earliest.h5", "hdf5/external-file"), ("storage_too_small.pt", "archive/torch-malformed"), ("opcode_filled_tensor.pkl", "pickle/unsafe-build"),
    ("hidden_object_0.npy", "array/malformed"), ("zip_second_name.zip", "archive/zip-differs"), ("tar_folder_with_contents.tar", "archive/tar-malformed"), ("no_class.keras", "keras/lambda"), ("nan.h5", "keras/unreadable"),
    ("onnx_parent.onnx", "onnx/external-data"), ("onnx_custom.onnx", "onnx/custom-operator"), ("template.gguf", "template/attribute"), ("torchscript.pt", "torchscript/program"), ("auto_map/config.json", "config/remote-code"),
    ("notebook.ipynb", "file/code"), ("unknown.xyz", "file/unknown"), ("text_then_zip.md", "file/archive-under-another-name"),
])
def test_the_rule_says_what_is_wrong(redoubt, harmful, name, rule):
    assert rule in {finding["rule"] for finding in scan(redoubt, harmful[name])["findings"]}


def test_a_whole_folder_is_one_report(redoubt, harmful, harmless):
    folder = next(iter(harmful.values())).parent
    report = scan(redoubt, folder)
    named = {finding["path"] for finding in report["findings"]}
    assert named >= {path.relative_to(folder).as_posix() for path in harmful.values()}
    assert report["files"] == sum(1 for path in folder.rglob("*") if path.is_file())


def test_payloads_do_run_when_they_are_loaded(harmful):
    """The files are no straw men: those that only need Python's own unpickler run their command."""
    for name in ("opcode_memo_counted_twice.pkl", "opcode_protocol0.pkl", "opcode_inst.pkl", "opcode_obj.pkl", "opcode_memo_names.pkl", "opcode_memo_mixed_numbers.pkl", "opcode_dup_pop.pkl", "opcode_pop_mark.pkl", "opcode_far_apart.pkl", "opcode_escaped_text.pkl", "opcode_build_setstate.pkl",
                 "opcode_before_break.pkl", "gadget_posix_system.pkl"):
        subprocess.run([sys.executable, "-c", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))", harmful[name]], capture_output=True)
        assert os.path.exists(files.MARK), name
        os.remove(files.MARK)


def test_a_pickle_of_anybodys_class_is_not_safe(redoubt, tmp_path):
    for value in (Own(), [Own()], {"x": Own}):
        for protocol in range(6):
            (tmp_path / "own.pkl").write_bytes(pickle.dumps(value, protocol))
            assert scan(redoubt, tmp_path / "own.pkl")["findings"][0]["rule"] == "pickle/unsafe-global"


class Own:
    x = 1


@pytest.fixture(scope="module")
def peers_samples(tmp_path_factory):
    """The samples that ModelAudit publishes for its own tests: its source package, unpacked."""
    folder = tmp_path_factory.mktemp("samples")
    done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "modelaudit", "modelaudit==0.2.54", "-d", folder], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"the package with the samples can't be downloaded: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("modelaudit-*/tests/assets"))


def test_the_peers_own_samples_are_caught(redoubt, peers_samples):
    samples = [path for path in sorted(peers_samples.rglob("*")) if path.is_file() and path.suffix in {".pkl", ".pt", ".h5", ".json", ".jinja", ".zip", ".safetensors"} and path.parent.name != "manifests"]
    bad = [path for path in samples if "exploits" in path.parts or any(word in path.name for word in ("malicious", "attack", "injection", "chain", "dill", "traversal", "nested_pickle")) or path.parent.name in {"malicious", "obfuscated"}]
    assert len(bad) > 35
    assert [path.name for path in bad if scan(redoubt, path)["safe"]] == []


def test_the_peers_harmless_samples_pass(redoubt, peers_samples):
    good = [path for path in sorted(peers_samples.rglob("*")) if path.is_file() and (path.parent.name == "benign" or (path.name.startswith("safe_") and path.suffix in {".pkl", ".pt", ".safetensors"}))]
    assert len(good) > 10
    assert {path.name: scan(redoubt, path)["findings"] for path in good if not scan(redoubt, path)["safe"]} == {}
