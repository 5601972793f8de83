# SPDX-License-Identifier: Apache-2.0
"""An hour of mixed load on a deployed endpoint: whether its memory or file descriptors grow, whether any answer is wrong, and whether every
answer is in the capture or among those that its counter calls lost.

    REDOUBT_BUILD=build PYTHON bench/endpoint_soak.py [--minutes 60] [--clients 8] [--per-second 30]

PYTHON is that of ~/.cache/redoubt/venv, which the tests use: the endpoint is the built program's with the tests' tiny model, guards, access log and
capture. By chance, in turn: chats and completions, whole, streamed and streamed to clients that leave in the middle, embeddings, JSON by a
schema, prompts with personal data, over HTTP/1.1 that stays, new connections and HTTP/2; wrong keys, wrong JSON, wrong routes and prompts that are too
long. Meanwhile a key comes and goes each minute, the endpoint is told to look for changes every five, and a worker is killed every ten: requests that
had nothing yet are tried again, so no client may see it but one whose stream was under way.
"""
import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import ssl
import statistics
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
import conftest  # noqa: E402
import httpx2  # noqa: E402

GUARDS = {"input": {"personal": "redact", "secrets": "refuse"}, "output": {"personal": "redact"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}}}
CHATS, READS = "/v1/chat/completions", "/v1/embeddings"
MEMORY_GROWTH_MAX, DESCRIPTORS_GROWTH_MAX = 0.05, 4
PREFIX_CACHE_MIB = 256  # what a worker keeps of earlier prompts at most: it fills up


def chat(content, **fields):
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 16, **fields}


# What is asked, how often among a hundred, and what has to come: (path, body, key, status, captured).
def whole(order):
    return CHATS, chat(f"How do I copy b{order.randrange(1000)}?"), None, 200, True


def completion(order):
    return "/v1/completions", {"model": "tiny", "prompt": f"copy --all b{order.randrange(1000)}", "max_tokens": 8}, None, 200, True


def embedding(order):
    return READS, {"model": "tiny", "input": ["one text", f"another {order.randrange(1000)}"]}, None, 200, True


def by_schema(order):
    return CHATS, chat("Count.", response_format=SCHEMA, max_tokens=40, seed=order.randrange(1 << 30)), None, 200, True


def personal(order):
    return CHATS, chat(f"Write to person{order.randrange(1000)}@example.com"), None, 200, True


def secret(order):
    return CHATS, chat("The key is AKIA" + "".join(order.choices("ABCDEFGHIJKLMNOP234567", k=16))), None, 400, False


def wrong_key(order):
    return CHATS, chat("a"), f"rdt_{order.randrange(1 << 48):012x}_{'A' * 43}", 401, False


def wrong_json(order):
    return CHATS, '{"model": "tiny", "messages": [', None, 400, False


def wrong_route(order):
    return "/v1/nothing", chat("a"), None, 404, False


def too_long(order):
    return CHATS, chat("far too many words " * 2000), None, 400, False


KINDS = {whole: 30, completion: 6, embedding: 6, by_schema: 4, personal: 6, secret: 3, wrong_key: 2, wrong_json: 3, wrong_route: 2, too_long: 2}
STREAMS, CUT, NEW, SECOND = 14, 8, 4, 10  # of a hundred too: streams, streams that are left, new connections, HTTP/2


class Book:
    """What came, from all clients."""

    def __init__(self):
        self.lock, self.counts, self.wrong, self.times, self.answered, self.left, self.broken = threading.Lock(), collections.Counter(), [], [], 0, 0, 0

    def add(self, kind, status, expected, took, captured, text):
        with self.lock:
            self.counts[kind] += 1
            self.times.append(took)
            self.answered += captured and status == expected
            if status != expected:
                self.wrong.append((kind, status, text[:200]))


class Client(threading.Thread):
    """Asks now and then; a connection that stays, and one of HTTP/2 beside it."""

    def __init__(self, number, endpoint, book, rate, ending):
        super().__init__()
        self.order, self.endpoint, self.book, self.rate, self.ending = random.Random(number), endpoint, book, rate, ending
        self.host, self.port = re.match(r"https://([^:]+):(\d+)", endpoint.url).groups()
        self.kept, self.second = self.connect(), httpx2.Client(http2=True, verify=ssl.create_default_context(cafile=endpoint.status["ca_file"]), timeout=120)

    def connect(self):
        return http.client.HTTPSConnection(self.host, int(self.port), context=self.endpoint.context, timeout=120)

    def headers(self, key=None):
        return {"Authorization": f"Bearer {key or self.endpoint.key}", "Content-Type": "application/json"}

    def ask(self, kind, connection):
        path, body, key, expected, captured = kind(self.order)
        data, begun = body if isinstance(body, str) else json.dumps(body), time.monotonic()
        if connection is None:
            answer = self.second.post(self.endpoint.url + path, content=data, headers=self.headers(key))
            status, text = answer.status_code, answer.text
        else:
            connection.request("POST", path, data, self.headers(key))
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode()
        self.book.add(kind.__name__ + (" by HTTP/2" if connection is None else ""), status, expected, time.monotonic() - begun, captured, text)

    def stream(self, is_left):
        connection, begun = self.connect(), time.monotonic()
        with contextlib.closing(connection):
            connection.request("POST", CHATS, json.dumps(chat("Count.", stream=True, max_tokens=300 if is_left else 24)), self.headers())
            answer = connection.getresponse()
            if is_left:
                answer.read(200)
                with self.book.lock:
                    self.book.left += 1
                    self.book.counts["stream that is left"] += 1
                return
            text = answer.read().decode()
        if text.endswith("data: [DONE]\n\n") and '"error"' not in text:
            return self.book.add("stream", answer.status, 200, time.monotonic() - begun, True, text)
        with self.book.lock:
            self.book.broken += 1  # its worker was killed

    def run(self):
        kinds, weights = list(KINDS), list(KINDS.values())
        due = time.monotonic() + self.order.random()
        while not self.ending.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1) + self.order.expovariate(self.rate)
            drawn = self.order.randrange(100)
            if drawn < STREAMS + CUT:
                self.stream(drawn < CUT)
            elif drawn < STREAMS + CUT + NEW:
                with contextlib.closing(self.connect()) as fresh:
                    self.ask(whole, fresh)
            else:
                self.ask(self.order.choices(kinds, weights)[0], None if drawn >= 100 - SECOND else self.kept)


def memory_mib(pid):
    """Its own: what it has of libraries depends on who else runs."""
    return int(re.search(r"^Pss_Anon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def metric(endpoint, name):
    text = endpoint.open("/metrics").read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def disturb(redoubt, minute, told):
    """What an operator and the machine do meanwhile."""
    key = redoubt.json("key", "create", "--name", f"m{minute}", "--environment", "dev")
    redoubt("key", "revoke", key["id"], "--environment", "dev")
    if minute % 5 == 4:
        os.kill(redoubt.json("endpoint", "status", "--environment", "dev")["pid"], signal.SIGHUP)
    if minute % 10 == 9:
        conftest.workers_of(redoubt)[0].kill(9)
        told["killed"] += 1


def watch(redoubt, endpoint, book, minutes):
    """A look each minute: (memory, descriptors, of the worker)."""
    pid, looks, told, begun = endpoint.status["pid"], [], collections.Counter(), time.monotonic()
    for minute in range(minutes):
        disturb(redoubt, minute, told)
        time.sleep(max(0, begun + (minute + 1) * 60 - time.monotonic()))
        workers = [worker.pid for worker in conftest.workers_of(redoubt)]
        looks.append((memory_mib(pid), descriptors(pid), sum(map(memory_mib, workers))))
        with book.lock:
            times, book.times = sorted(book.times), []
            print(f"{minute + 1:3d} min: {looks[-1][0]:.1f} MiB, {looks[-1][1]} descriptors, workers {looks[-1][2]:.0f} MiB; {sum(book.counts.values())} requests, "
                  f"p50 {statistics.median(times) * 1e3:.1f} ms, p99 {times[int(len(times) * .99)] * 1e3:.0f} ms, {len(book.wrong)} wrong, {book.broken} streams broken off", flush=True)
    print(f"workers killed: {told['killed']}")
    return looks


def judge(redoubt, endpoint, book, looks):
    quarter = max(1, len(looks) // 4)
    second, last = looks[quarter:2 * quarter] or looks, looks[-quarter:]
    failures = []
    for index, name in ((0, "memory, MiB"), (1, "descriptors"), (2, "memory of the workers, MiB")):
        before, after = (statistics.median(look[index] for look in part) for part in (second, last))
        print(f"{name}: {before:.1f} in the second quarter, {after:.1f} in the last")
        allowed = {0: before * (1 + MEMORY_GROWTH_MAX), 1: before + DESCRIPTORS_GROWTH_MAX, 2: looks[0][2] * (1 + MEMORY_GROWTH_MAX) + PREFIX_CACHE_MIB}
        if after > allowed[index]:
            failures.append(f"{name} grew")
    captured, lost = metric(endpoint, "redoubt_captures_total"), metric(endpoint, "redoubt_captures_dropped_total")
    print(f"answers: {book.answered}; captured {captured:.0f}, lost by the counter {lost:.0f}")
    # A stream whose client left at its very end may have been whole for the endpoint, and be captured; one that broke off is not.
    if not book.answered <= captured + lost <= book.answered + book.left + book.broken:
        failures.append("the capture and its counter do not make up the answers")
    path = redoubt.folder / "captures.jsonl"
    redoubt("endpoint", "stop", "--environment", "dev")  # stores what is left
    redoubt("capture", "export", "--environment", "dev", "--out", path, timeout=600)
    kept = sum(1 for _ in path.open())
    print(f"exported: {kept}")
    if kept != captured:
        failures.append("the export is not what was captured")
    if book.wrong:
        failures.append(f"{len(book.wrong)} answers were not what they should be, such as {book.wrong[:5]}")
    if not redoubt.json("audit", "verify")["ok"]:
        failures.append("the ledger does not verify")
    for kind, count in sorted(book.counts.items()):
        print(f"  {count:7d} {kind}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--per-second", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        texts = [json.dumps(row) for row in conftest.rows(300)]
        conftest.make_tiny_model(folder / "root" / "test" / "tiny", texts)
        hub = conftest.Hub(folder / "root", folder)
        with contextlib.ExitStack() as stack:
            stack.callback(hub.stop)
            redoubt = conftest.deploy_tiny(folder, hub, deploy={"port": 0, "environment": "dev", "workers": 2, "guards": GUARDS, "requests_per_minute": 100000, "telemetry": {"access_log": {"file": "access.log"}}},
                                           watch={"interval_s": 5, "unauthorized_attempts_max": 1_000_000})
            redoubt.key = redoubt.json("key", "create", "--name", "soak", "--environment", "dev", "--requests-per-minute", "100000", "--scope", "invoke", "--scope", "metrics", "--scope", "models")["key"]
            endpoint, book, ending = conftest.Endpoint(redoubt), Book(), threading.Event()
            clients = [Client(number, endpoint, book, options.per_second / options.clients, ending) for number in range(options.clients)]
            for client in clients:
                client.start()
            try:
                looks = watch(redoubt, endpoint, book, options.minutes)
            finally:
                ending.set()
                for client in clients:
                    client.join()
            time.sleep(10)  # streams that were left come to their end, batches are stored
            failures = judge(redoubt, endpoint, book, looks)
    print("\n".join(failures) or "nothing grew, nothing was lost")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
