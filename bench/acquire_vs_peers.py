#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Taking a model from a hub: `redoubt model pull` (download, SHA-256, checks, scan, seal and store in one pass) against `openssl dgst
-sha256` over the same bytes, and against huggingface_hub, modelscan and model_signing one after the other; and `redoubt model scan` of the
same model where it lies on the hub.

    bench/acquire_vs_peers.py --redoubt build/redoubt --python VENV/bin/python [--modelscan VENV/bin/modelscan] [--gib 2] [--shards 8] [--folder /dev/shm]

The hub is `redoubt hub serve` on this machine over HTTPS, warm: it has hashed and scanned the model before. It runs on the same
cores as what is measured. "openssl, one process" is one `openssl dgst -sha256 FILE...`, which hashes one file after the other on one core; "all
cores" is one such process a file, as many at once as there are cores, which is how a pull takes the files. Both read files that are in the
page cache and write nothing. Needs huggingface_hub, model_signing and openssl; modelscan where it is named."""
import argparse
import json
import os
import pathlib
import shutil
import ssl
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.request

TOKEN = "hf_bench_token_of_no_worth"


def make_model(folder, gib, shards):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    weights, size = {}, int(gib * 2**30 / shards)
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        tensor = f"layers.{number}.weight"
        header = json.dumps({tensor: {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size // 2 * 2]}}).encode()
        header += b" " * (-len(header) % 8)
        with open(folder / name, "wb") as out:
            out.write(struct.pack("<Q", len(header)) + header)
            for _ in range(size // (1 << 20)):
                out.write(os.urandom(1 << 20))
            out.write(os.urandom(size // 2 * 2 - (size >> 20 << 20)))
        weights[tensor] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": size * shards}, "weight_map": weights}))


def measured(command, environment=None, accepted=(0,)):
    """Seconds, CPU seconds and the largest resident memory in MB of a command."""
    begun = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise SystemExit(f"{command[0]}: exit {process.returncode}\n{output[0].decode()[-2000:]}{output[1].decode()[-2000:]}")
    return {"s": time.monotonic() - begun, "cpu_s": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1024}


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "tls.key", "-out", folder / "tls.pem", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)


def serve(options, folder):
    certificate(folder)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    server = subprocess.Popen([options.redoubt, "hub", "serve", "--root", folder / "root", "--listen", "127.0.0.1:0", "--tls-cert", folder / "tls.pem", "--tls-key", folder / "tls.key",
                               "--token-file", folder / "token"], stderr=subprocess.PIPE, text=True)
    url = "https://localhost:" + server.stderr.readline().rsplit(":", 1)[1].strip()
    request = urllib.request.Request(f"{url}/api/models/bench/model", headers={"Authorization": f"Bearer {TOKEN}"})
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder / "tls.pem"), timeout=600).read()  # hashed and scanned from here on
    return server, url


def pull(options, folder, url):
    shutil.rmtree(folder / "workspace", ignore_errors=True)
    environment = {"REDOUBT_WORKSPACE": str(folder / "workspace"), "XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
    shutil.rmtree(folder / "config", ignore_errors=True)
    subprocess.run([options.redoubt, "init"], env={**os.environ, **environment}, check=True, capture_output=True)
    subprocess.run([options.redoubt, "secret", "put", "hub"], input=TOKEN, text=True, env={**os.environ, **environment}, check=True, capture_output=True)
    hub = ["bench/model", "--endpoint", url, "--ca-file", folder / "tls.pem", "--token-secret", "hub"]
    return measured([options.redoubt, "model", "pull", *hub], environment), lambda: measured([options.redoubt, "model", "scan", *hub], environment)


def peers(options, folder, url):
    """One after the other, as a script would."""
    shutil.rmtree(folder / "hf", ignore_errors=True)
    model = folder / "hf" / "model"
    download = f"import huggingface_hub; huggingface_hub.snapshot_download('bench/model', local_dir={str(model)!r})"
    environment = {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "hf" / "home"), "SSL_CERT_FILE": str(folder / "tls.pem"), "HF_HUB_DISABLE_XET": "1",
                   "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    steps = {"huggingface_hub": measured([options.python, "-c", download], environment)}
    if options.modelscan:
        steps["modelscan"] = measured([options.modelscan, "-p", model], accepted=(0, 3))  # 3: it has no scanner for safetensors
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "key.pem"], check=True, capture_output=True)
    signer = pathlib.Path(options.python).parent / "model_signing"
    steps["model_signing sign"] = measured([signer, "sign", "key", "--private_key", folder / "key.pem", "--signature", folder / "hf" / "model.sig", model])
    shutil.rmtree(folder / "hf", ignore_errors=True)
    return steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--redoubt", default="build/redoubt")
    parser.add_argument("--python", required=True)
    parser.add_argument("--modelscan", default="")
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="acquire-", dir=options.folder))
    try:
        model = folder / "root" / "bench" / "model"
        make_model(model, options.gib, options.shards)
        files = sorted(model.iterdir())
        total = sum(file.stat().st_size for file in files)
        cores = len(os.sched_getaffinity(0))
        server, url = serve(options, folder)
        ticks = os.sysconf("SC_CLK_TCK")
        served = lambda: sum(map(int, pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / ticks  # seconds of processor of the hub
        rates = lambda results: f"{total / 1e6 / statistics.median(r['s'] for r in results):8.0f} MB/s  {statistics.median(r['cpu_s'] for r in results):6.2f} s CPU  {max(r['mb'] for r in results):6.0f} MB"
        try:
            one, all_cores, ours, scans, hub = [], [], [], [], []
            for _ in range(options.runs):
                one.append(measured(["openssl", "dgst", "-sha256", *files]))
                all_cores.append(measured(["xargs", "-a", make_list(folder, files), "-P", cores, "-n", "1", "openssl", "dgst", "-sha256"]))
                before = served()
                pulled, scan = pull(options, folder, url)
                ours.append(pulled)
                hub.append(served() - before)
                scans.append(scan())
            print(f"{total / 2**30:.2f} GiB in {options.shards} shards, {cores} cores, {options.folder}")
            print(f"openssl dgst, one process      {rates(one)}")
            print(f"openssl dgst, {cores} processes      {rates(all_cores)}")
            print(f"redoubt model pull             {rates(ours)}, and the hub {statistics.median(hub):.2f} s CPU")
            print(f"redoubt model scan, remote     {rates(scans)}")
            steps = peers(options, folder, url)
            for name, result in steps.items():
                print(f"{name:30} {rates([result])}")
            median = lambda results: statistics.median(r["s"] for r in results)
            print(f"pull / openssl, one process: {median(one) / median(ours):.2f}; all cores: {median(all_cores) / median(ours):.2f}; peers' time / pull: {sum(r['s'] for r in steps.values()) / median(ours):.1f}")
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_list(folder, files):
    (folder / "list").write_text("\n".join(map(str, files)) + "\n")
    return folder / "list"


if __name__ == "__main__":
    main()
