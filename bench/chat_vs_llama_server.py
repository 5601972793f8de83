#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A deployed endpoint against llama-server: chats of many clients over TLS, the same model in bf16, the same cores.

usage: REDOUBT_BUILD=build chat_vs_llama_server.py MODEL_FOLDER MODEL.gguf ROWS.jsonl --llama-server PROGRAM [--clients 32] [--tokens 64] [--seconds 30] [--rounds 2]

MODEL.gguf is the file that MODEL_FOLDER was imported from; it is written anew in BF16. llama-server comes out of the sources in llama-cpp-python's
sdist: cmake -DGGML_NATIVE=ON -DLLAMA_BUILD_UI=OFF -DLLAMA_OPENSSL=ON, target llama-server. Ours is taken through the pipeline with a short training, so it
serves an adapter over the base, checks a key and limits, captures, and writes an access log. Both have two threads, a slot for each client, and run alone,
in turns. Each client asks the next question of ROWS over a connection that stays, streamed, without an end before --tokens tokens. Prints one JSON object: tokens a
second of all clients together, the median and 99th percentile of the seconds to the first token, and the ratios ours : llama-server.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]
import conftest  # noqa: E402
from decode_vs_llamacpp import rewrite  # noqa: E402

THREADS = 2
ENDS = ("0", "2")  # <|endoftext|> and <|im_end|>, which no answer may have


class Client(threading.Thread):
    """Asks, one request after the other, until the end."""

    def __init__(self, port, context, key, model, questions, tokens, ending):
        super().__init__()
        self.port, self.context, self.questions, self.ending, self.firsts = port, context, questions, ending, []
        self.pieces = self.whole_pieces = 0  # that came within the time, and those of them that belong to an answer that ended in it
        self.fields = {"model": model, "stream": True, "max_tokens": tokens, "temperature": 0, "logit_bias": dict.fromkeys(ENDS, -100)}
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def ask(self, connection, body):
        """The open answer; a connection that the server closed after the one before is opened anew."""
        try:
            connection.request("POST", "/v1/chat/completions", body, self.headers)
            return connection.getresponse()
        except (ssl.SSLError, http.client.HTTPException, OSError):
            connection.close()
            connection.request("POST", "/v1/chat/completions", body, self.headers)
            return connection.getresponse()

    def run(self):
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=300)
        for question in self.questions:
            if self.ending.is_set():
                return
            asked, first, before = time.monotonic(), None, self.pieces
            with self.ask(connection, json.dumps({**self.fields, "messages": [{"role": "user", "content": question}]})) as answer:
                assert answer.status == 200, answer.read()
                for line in answer:
                    if b'"content":' in line and b'"content":null' not in line and b'"content":""' not in line:
                        first = first or time.monotonic() - asked
                        self.pieces += not self.ending.is_set()
            if not self.ending.is_set():
                self.firsts.append(first)
                self.whole_pieces += self.pieces - before


def load(port, context, key, model, questions, o):
    ending = threading.Event()
    each = len(questions) // o.clients
    clients = [Client(port, context, key, model, questions[n * each:(n + 1) * each] * 50, o.tokens, ending) for n in range(o.clients)]
    begun = time.monotonic()
    for client in clients:
        client.start()
    time.sleep(o.seconds)
    ending.set()
    took = time.monotonic() - begun
    for client in clients:
        client.join()
    firsts = sorted(first for client in clients for first in client.firsts)
    tokens_of_piece = o.tokens * len(firsts) / sum(client.whole_pieces for client in clients)  # a letter of several tokens is one piece
    return {"tokens_per_second": sum(client.pieces for client in clients) * tokens_of_piece / took, "requests": len(firsts), "first_token_s": statistics.median(firsts),
            "first_token_p99_s": firsts[int(len(firsts) * 0.99)]}


@contextlib.contextmanager
def ours(o, folder):
    (folder / "root/test").mkdir(parents=True)
    shutil.copytree(o.model, folder / "root/test/tiny")
    hub = conftest.Hub(folder / "root", folder)
    try:
        redoubt = conftest.deploy_tiny(folder, hub, deploy={"port": 0, "environment": "dev", "names": ["localhost"], "slots": o.clients, "requests_per_minute": 100000,
                                                            "telemetry": {"access_log": {"file": "access.log"}}, "capture": {"share": 1}}, watch={"latency_p99_ms_max": 600000})
        redoubt("endpoint", "stop", "--environment", "dev")
    finally:
        hub.stop()
    yield redoubt


def measure_ours(o, redoubt, questions):
    redoubt("endpoint", "start", "--environment", "dev")
    try:
        endpoint = conftest.Endpoint(redoubt)
        return load(int(endpoint.url.rpartition(":")[2]), endpoint.context, endpoint.key, "tiny", questions, o)
    finally:
        redoubt("endpoint", "stop", "--environment", "dev")


def measure_llama(o, folder, questions):
    certificate, key = folder / "tls.crt", folder / "tls.key"
    port = conftest.free_port()
    with open(folder / "llama.log", "w") as log:
        server = subprocess.Popen([o.llama_server, "-m", folder / "bf16.gguf", "-t", str(THREADS), "-tb", str(THREADS), "-np", str(o.clients), "-c", str(512 * o.clients), "-fa", "on", "--jinja", "--port", str(port),
                                   "--host", "127.0.0.1", "--threads-http", str(o.clients + 4), "--api-key", "k", "--ssl-cert-file", certificate, "--ssl-key-file", key], stdout=log, stderr=log)
    try:
        context = ssl.create_default_context(cafile=certificate)
        for _ in range(600):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"https://localhost:{port}/health", context=context, timeout=5).status == 200:
                    break
            assert server.poll() is None, (folder / "llama.log").read_text()[-2000:]
            time.sleep(0.1)
        return load(port, context, "k", "any", questions, o)
    finally:
        server.terminate()
        server.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("gguf")
    parser.add_argument("rows")
    parser.add_argument("--llama-server", required=True)
    for name, default in (("clients", 32), ("tokens", 64), ("seconds", 30), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    o = parser.parse_args()
    os.environ["GOMP_SPINCOUNT"] = "5000"  # as the engine's image has it
    questions = [json.loads(row)["messages"][-2]["content"] for row in open(o.rows)]
    sides = {"ours": [], "llama-server": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        conftest.make_certificate(folder)
        rewrite(o.gguf, folder / "bf16.gguf")
        with ours(o, folder / "ours") as redoubt:
            for _ in range(o.rounds):
                sides["ours"].append(measure_ours(o, redoubt, questions))
                sides["llama-server"].append(measure_llama(o, folder, questions))
    out = {side: {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]} for side, runs in sides.items()}
    out["ratio"] = {key: round(out["ours"][key] / out["llama-server"][key], 3) for key in ("tokens_per_second", "first_token_s", "first_token_p99_s")}
    print(json.dumps(out, indent=2))


if __name__ == "__main__":
    main()
