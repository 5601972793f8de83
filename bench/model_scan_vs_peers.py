#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`redoubt model scan` against picklescan, ModelScan, fickling and ModelAudit: who catches what, and how fast, in one run.

    python -m venv PEERS && PEERS/bin/pip install picklescan modelscan fickling modelaudit
    python bench/model_scan_vs_peers.py --redoubt build/redoubt --peers PEERS/bin/python [--only catch|speed|large] [--write docs/model_scan.md]

The interpreter that runs this makes the files (scripts/requirements-test.txt); the peers run in their own, each in one process for all files, so that
starting Python is not counted. A peer's verdict is "caught" when it reports anything at all or fails on the file.
"""
import argparse
import collections
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "oracle"))

PEER = r'''
import contextlib, io, json, signal, sys, time

def expired(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, expired)

def picklescan():
    from picklescan.scanner import scan_file_path
    def scan(path):
        result = scan_file_path(path)
        return result.issues_count > 0 or result.scan_err or any(g.safety.value == "suspicious" for g in result.globals)
    return scan

def modelscan():
    from modelscan.modelscan import ModelScan
    def scan(path):
        scanner = ModelScan()
        result = scanner.scan(path)
        return bool(result["issues"]) or bool(result["errors"])
    return scan

def fickling():
    from fickling.analysis import check_safety, Severity
    from fickling.fickle import StackedPickle
    def scan(path):
        import zipfile
        if zipfile.is_zipfile(path):
            from fickling.pytorch import PyTorchModelWrapper
            pickles = [PyTorchModelWrapper(path).pickled]
        else:
            with open(path, "rb") as file:
                pickles = StackedPickle.load(file)
        return any(check_safety(pickled).severity > Severity.LIKELY_SAFE for pickled in pickles)
    return scan

def modelaudit():
    from modelaudit.core import scan_model_directory_or_file
    def scan(path):
        result = scan_model_directory_or_file(path)
        return any(issue.severity.value in ("warning", "critical") for issue in result.issues) or result.has_errors
    return scan

scan = {"picklescan": picklescan, "modelscan": modelscan, "fickling": fickling, "modelaudit": modelaudit}[sys.argv[1]]()
for line in sys.stdin:
    path = json.loads(line)
    started, processor = time.perf_counter(), time.process_time()
    signal.alarm(int(sys.argv[2]))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            caught = bool(scan(path))
        except BaseException as problem:
            caught = True
    signal.alarm(0)
    print(json.dumps([path, caught, time.perf_counter() - started, time.process_time() - processor]), flush=True)
'''
PEERS = ["picklescan", "modelscan", "fickling", "modelaudit"]


def run_peer(python, name, paths, seconds=60):
    done = subprocess.run([python, "-c", PEER, name, str(seconds)], input="".join(json.dumps(str(path)) + "\n" for path in paths), capture_output=True, text=True,
                          env={**os.environ, "PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1"})
    answers = {}
    for line in done.stdout.splitlines():
        try:
            path, caught, took, processor = json.loads(line)
        except ValueError:
            continue
        answers[path] = (caught, took, processor)
    if len(answers) < len(paths):
        print(f"{name}: {len(paths) - len(answers)} files without an answer: {done.stderr[-500:]}", file=sys.stderr)
    return answers


def run_redoubt(program, path):
    """The report, the seconds of the whole process by the clock, its peak memory in MB, and its seconds of processor."""
    started = time.perf_counter()
    process = subprocess.Popen([program, "--json", "model", "scan", str(path)], stdout=subprocess.PIPE)
    report = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return report, time.perf_counter() - started, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


GROUPS = [("gadget_", "names that run code (os, importlib, numpy, torch...)"), ("opcode_", "tricks with the pickle machine"), ("template_", "chat templates"), ("tf_", "TensorFlow operators"), ("onnx_", "ONNX data and operators"), ("joblib_", "joblib, compressed or not")]


def group_of(name):
    for prefix, title in GROUPS:
        if name.startswith(prefix):
            return title
    if name.endswith((".npy", ".npz")) or name in ("numpy_build.pkl", "npy_as.pkl"):
        return "NumPy files"
    if name.endswith((".keras", ".h5")):
        return "Keras layers and configurations"
    if name.endswith((".pt", ".bin", ".zip", ".tar", ".gz", ".pkl")) or "_as." in name or name == "text_then_zip.md":
        return "containers, odd or lying, and other names"
    return "configurations, code, bounds"


def catch(options, folder):
    import model_scan_files

    (folder / "bad").mkdir()
    (folder / "good").mkdir()
    bad, good = model_scan_files.harmful(folder / "bad"), model_scan_files.harmless(folder / "good")
    verdicts = {"Redoubt": {str(path): not run_redoubt(options.redoubt, path)[0]["safe"] for path in [*bad.values(), *good.values()]}}
    for peer in PEERS:
        verdicts[peer] = {path: caught for path, (caught, _, _) in run_peer(options.peers, peer, [*bad.values(), *good.values()]).items()}
        print(f"{peer} done", file=sys.stderr)
    versions = dict(line.split("==") for line in subprocess.run([options.peers, "-m", "pip", "freeze"], capture_output=True, text=True).stdout.splitlines() if "==" in line)
    names = ["Redoubt"] + [f"{peer} {versions.get(peer, '')}" for peer in PEERS]
    rows = collections.OrderedDict()
    for name, path in bad.items():
        rows.setdefault(group_of(name), []).append(str(path))
    lines = ["| caught of | files | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    for title, paths in [*rows.items(), ("**all harmful files**", [str(path) for path in bad.values()])]:
        lines.append(f"| {title} | {len(paths)} | " + " | ".join(str(sum(verdict.get(path, False) for path in paths)) for verdict in verdicts.values()) + " |")
    lines.append(f"| **false alarms** on what PyTorch, scikit-learn, joblib, NumPy, Keras, ONNX and others write | {len(good)} | " + " | ".join(str(sum(verdict.get(str(path), False) for path in good.values())) for verdict in verdicts.values()) + " |")
    table = "\n".join(lines)
    print(table)
    missed = {peer: sorted(name for name, path in bad.items() if not verdicts[peer].get(str(path), False)) for peer in verdicts}
    print(json.dumps({peer: len(names) for peer, names in missed.items()}))
    for name in missed["Redoubt"]:
        print("missed by Redoubt:", name)
    if options.write:
        text = options.write.read_text()
        start, end = "<!-- who catches what -->\n", "<!-- end -->"
        head, _, rest = text.partition(start)
        options.write.write_text(head + start + table + "\n" + end + rest.partition(end)[2])


def many_opcodes(path, megabytes):
    """A checkpoint's bookkeeping: names, numbers, tuples, dictionaries, and nothing large. In a process of its own, since the kernel counts the memory
    of the one that starts a program as that program's."""
    program = """if True:
        import pickle, sys
        value = {f"layer.{i}.weight": {"shape": (i % 7, i % 11), "step": i, "lr": i * 0.5, "tags": ["a", "b", i]} for i in range(int(sys.argv[2]) * 16000)}
        open(sys.argv[1], "wb").write(pickle.dumps(value, 4))
    """
    subprocess.run([sys.executable, "-c", program, path, str(megabytes)], check=True)


def speed(options, folder):
    path = folder / "many.pkl"
    many_opcodes(path, 10)
    megabytes = path.stat().st_size / 1e6
    took = sorted(run_redoubt(options.redoubt, path)[1] for _ in range(7))
    report, _, memory, processor = run_redoubt(options.redoubt, path)
    assert report["safe"], report["findings"][:3]
    print(f"pickle of many opcodes, {megabytes:.1f} MB: redoubt {took[3]:.3f} s (median of 7, whole process), {processor:.3f} s of processor, {megabytes / took[3]:.0f} MB/s, {memory:.0f} MB of memory")
    for peer in PEERS:
        answers = run_peer(options.peers, peer, [path], 600)
        _, seconds, theirs = answers[str(path)]
        print(f"  {peer}: {seconds:.2f} s, {megabytes / seconds:.2f} MB/s, {seconds / took[3]:.0f} x; {theirs:.2f} s of processor, {theirs / processor:.0f} x", flush=True)


def large(options, folder):
    """A checkpoint of 10 GB as torch.save writes it, whose zeros are holes of the file."""
    path, tensors, tensor_bytes = folder / "large.pt", 10, 1 << 30
    checksum = 0
    for _ in range(tensor_bytes >> 24):
        checksum = zlib.crc32(bytes(1 << 24), checksum)
    program = b"\x80\x02}("
    for number in range(tensors):
        def text(value):
            return b"X" + struct.pack("<I", len(value)) + value.encode()
        program += text(f"w{number}") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(number)) + text("cpu") + b"J" + struct.pack("<i", tensor_bytes // 4) + b"tQ"
        program += b"K\x00J" + struct.pack("<i", tensor_bytes // 4) + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    program += b"u."
    entries = []
    with open(path, "wb") as file:
        members = [("archive/data.pkl", program, len(program), zlib.crc32(program))] + [(f"archive/data/{n}", None, tensor_bytes, checksum) for n in range(tensors)] + [("archive/version", b"3\n", 2, zlib.crc32(b"3\n"))]
        for name, data, size, crc in members:
            entries.append((name.encode(), file.tell(), size, crc))
            file.write(struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 45, 0, 0, 0, 0, crc, size, size, len(name), 0) + name.encode())
            file.write(data) if data is not None else file.seek(size, os.SEEK_CUR)
        start = file.tell()
        for name, offset, size, crc in entries:
            extra = struct.pack("<HHQ", 1, 8, offset) if offset >= 0xFFFFFFFF else b""
            file.write(struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, crc, size, size, len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF if extra else offset) + name + extra)
        end = file.tell()
        file.write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, len(entries), len(entries), end - start, start))
        file.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1) + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(entries), len(entries), end - start, 0xFFFFFFFF, 0))
    report, seconds, memory, processor = run_redoubt(options.redoubt, path)
    gigabytes = path.stat().st_size / 1e9
    print(f"checkpoint of {gigabytes:.1f} GB: {'safe' if report['safe'] else report['findings'][:2]}, {seconds:.1f} s ({gigabytes / seconds:.2f} GB/s), {processor:.1f} s of processor, {memory:.0f} MB of memory")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redoubt", default=str(ROOT / "build" / "redoubt"))
    parser.add_argument("--peers", default="python3", help="a Python with the peers installed")
    parser.add_argument("--only", choices=["catch", "speed", "large"])
    parser.add_argument("--write", type=pathlib.Path, help="a page whose table is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, part in (("speed", speed), ("large", large), ("catch", catch)):
            if options.only in (None, name):
                part(options, pathlib.Path(folder))


if __name__ == "__main__":
    main()
