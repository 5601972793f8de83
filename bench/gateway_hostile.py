# SPDX-License-Identifier: Apache-2.0
"""What hostile clients do to the others: p99 of a client that asks 200 chats a second over 8 connections of its own, counted from the moment that each was due,
and the server's memory, while

    slow    10,000 TLS connections send their heads byte by byte, a byte in ten seconds each (the limits raised, so that all of them are held)
    bursts  the same, ten of them at once, 100 times a second
    sources slow heads from an address each, some 200 a second more, against the limits as they are; and how many newcomers are served meanwhile
    limits  10,000 sockets of one address say nothing, against the limits as they are, then 1,000 a second more
    keys    100,000 wrong keys are tried, each another, nearly 4,000 a second
    wrong   smuggling, oversized heads, malformed JSON and UTF-8 and path tricks are sent, 40 connections a second, each first once to see that it is refused
    good    as many connections with a good request each, to tell what the handshakes alone do
    http2   HTTP/2 floods, 4 connections a second

    REDOUBT_BUILD=build python3 bench/gateway_hostile.py [--only slow,bursts,sources,limits,keys,wrong,good,http2] [--seconds 10] [--times 1]

The hostile processes run where nobody else wants the processor (SCHED_IDLE) and the client at real-time priority, where the system lets it, since they share the
machine's cores with the server. At nice 19 alone the hostile process's own time on the cores is told as the server's. What the time under attack is compared with is the time before and after together where connections are held, else every other second.
"""
import argparse
import base64
import contextlib
import itertools
import json
import os
import pathlib
import re
import resource
import secrets
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "oracle")]
from gateway_server import serving  # noqa: E402

CLIENTS, PER_SECOND = 8, 200
SOCKETS, KEYS = 10_000, 100_000
KEYS_PER_SECOND, WRONG_PER_SECOND, FLOODS_PER_SECOND = 4_000, 40, 4


def chat(content):
    return {"model": "bot", "messages": [{"role": "user", "content": content}], "max_tokens": 1}


def post(key, body, *headers, length=None):
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body)}"] if length is None else length
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def smuggled(key):
    """Each with a whole second request behind, which must not be answered."""
    second = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    chunks = b"0\r\n\r\n" + second
    for fields in (["Content-Length: 6", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 6"], ["Transfer-Encoding: xchunked"],
                   ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding: identity"], ["Transfer-Encoding : chunked"], ["Transfer-Encoding:\x0bchunked"],
                   ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], ["X: y\nTransfer-Encoding: chunked"], ["Transfer-Encoding:", " chunked"],
                   ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: +5"], ["Content-Length: 0x5"],
                   ["Content-Length: 5, 5"], ["Content-Length : 5"], ["Content-Length: -1"], ["Content-Length: 18446744073709551617"]):
        yield " | ".join(fields), post(key, chunks, length=fields)
    for name, chunk in (("a chunk's size with a sign", b"+5\r\nhello\r\n"), ("with 0x", b"0x5\r\nhello\r\n"), ("with an extension", b"5;a=b\r\nhello\r\n"),
                        ("with a bare LF", b"5\nhello\r\n"), ("too large for 64 bits", b"ffffffffffffffff5\r\nhello\r\n"), ("shorter than the chunk", b"3\r\nhello\r\n")):
        yield "a chunk's size " + name, post(key, chunk + chunks, length=["Transfer-Encoding: chunked"])
    yield "no host", b"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer " + key.encode() + b"\r\n\r\n" + second
    yield "two hosts", second.replace(b"Host:", b"Host: other\r\nHost:") + second
    yield "a bare LF", second.replace(b"\r\n", b"\n") + second
    yield "NUL in a value", second.replace(b"Bearer", b"Bear\0er") + second


def oversized(key):
    yield "a head of 1 MiB", post(key, b"", *[f"X-{i}: " + "a" * 8000 for i in range(130)])
    yield "a field of 64 KiB", post(key, b"", "X: " + "a" * 65536)
    yield "1,000 fields", post(key, b"", *[f"X{i}: y" for i in range(1000)])
    yield "a target of 60 KiB", b"GET /" + b"a" * 61440 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "a body that says 1 TiB", post(key, b"{", length=["Content-Length: 1099511627776"])


def malformed(key):
    whole = json.dumps(chat("a")).encode()
    texts = [whole[:-1], whole + b"}", b"", b"null", b"[]", b"{", b"[" * 100_000, b'{"a":' * 50_000, whole.replace(b'"a"', b"'a'"), whole.replace(b"1}", b"01}"), whole.replace(b"1}", b"NaN}"),
             whole.replace(b"1}", b"1e999}"), whole.replace(b"1}", b"1,}"), whole.replace(b'"bot"', b'"bot","model":"bot"'), b"\xef\xbb\xbf" + whole, whole.decode().encode("utf-16")]
    # Of RFC 3629 section 10 and Unicode's table 3-7: overlong, surrogates, beyond 10FFFF, cut, alone.
    for bad in (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xff", b"\\ud800", b"\\udc00\\ud800", b"\\u12", b"\\x41", b"\0", b"\n"):
        texts.append(whole.replace(b'"a"', b'"' + bad + b'"'))
    for text in texts:
        yield repr(text[:60]), post(key, text)


def tricks(key):
    for path in ("/v1/../v1/models", "/v1/./models", "//v1/models", "/v1//models", "/%2e%2e/v1/models", "/v1/%2E%2E/v1/models", "/v1%2fmodels", "/v1/models%00", "/v1/models%0d%0aX: y", "/v1\\models",
                 "/v1%5cmodels", "/v1/models;a=b", "/V1/models", "/v1/models/", "/v1/models/../../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v1/models%", "/v1/models%zz", "/v1/models#a",
                 "/v1/models\x7f", "/v1/mod\xc3\xa9ls", "v1/models", "http://other/v1/models", "*"):
        yield repr(path), f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode("latin-1")


KINDS = {"smuggling": smuggled, "oversized": oversized, "JSON and UTF-8": malformed, "paths": tricks}


def connect(server, source="127.0.0.1", protocols=None):
    context = ssl.create_default_context(cafile=server.ca_file)
    if protocols:
        context.set_alpn_protocols(protocols)
    plain = socket.create_connection(("127.0.0.1", server.port), 30, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


def said(connection):
    """The answer, until the server waits for more or closes; what comes after it too, if it comes at once."""
    answer, length = b"", None
    connection.settimeout(20)
    while length is None or len(answer) < length:
        try:
            more = connection.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            break
        if not more:
            break
        answer += more
        found = re.search(rb"\r\nContent-Length: (\d+)", answer)
        if found and b"\r\n\r\n" in answer:
            length = answer.index(b"\r\n\r\n") + 4 + int(found[1])
    with contextlib.suppress(OSError):
        connection.settimeout(0.05)
        answer += connection.recv(1 << 16)
    return answer


def send_wrong(server, data):
    with connect(server) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        return said(connection)


def wrong_ones(server):
    return [(kind, name, data) for kind, make in KINDS.items() for name, data in make(server.key)]


# What the hostile processes do: each says "ready" when it has begun and goes on until it is ended or done.


HEAD_BEGUN = b"GET /v1/models HTTP/1.1\r\nX: "


def begin_heads(server):
    held = []
    for _ in range(SOCKETS):
        held.append(connect(server))
        held[-1].sendall(HEAD_BEGUN)
    print("ready", flush=True)
    return held


def trickle(server):
    held = begin_heads(server)
    while True:
        for one in held:  # one after the other, as 10,000 clients would: bytes that come at once are served at once
            one.sendall(b"a")
            time.sleep(10 / SOCKETS)


def burst(server):
    held = begin_heads(server)
    for begin in itertools.cycle(range(0, SOCKETS, 10)):
        for one in held[begin:begin + 10]:
            one.sendall(b"a")
        time.sleep(0.01)


def scatter(server):
    """As many clients as connections: no limit of an address touches any of them. What the server closed is not missed."""
    held = []
    for number in itertools.count():
        with contextlib.suppress(OSError):
            one = connect(server, f"127.{10 + number // 65536}.{number // 256 % 256}.{number % 255 + 1}")
            one.sendall(HEAD_BEGUN)
            held.append(one)
        if number == 1200:
            print("ready", flush=True)
        if len(held) > 1500:
            held.pop(0).close()
        time.sleep(0.004 if number > 1200 else 0)


def fill(server):
    """Opens one after the other; the first ones fill what an address may have and stay."""
    held = []
    for number in itertools.count():
        one = socket.create_connection(("127.0.0.1", server.port), 5)
        if number < 512:
            held.append(one)
        if number == SOCKETS:
            print("ready", flush=True)
        time.sleep(0.001 if number > SOCKETS else 0)


def guess(server):
    begun, asked, refused = time.monotonic(), 0, 0
    with connect(server) as one:
        print("ready", flush=True)
        while asked < KEYS:
            at_once = 8
            texts = [b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer rdt_%s_%s\r\n\r\n" % (secrets.token_hex(6).encode(), base64.b64encode(secrets.token_bytes(32))[:43].replace(b"+", b"A").replace(b"/", b"B")) for _ in range(at_once)]
            one.sendall(b"".join(texts))
            asked, answers = asked + at_once, b""
            while answers.count(b"HTTP/1.1 ") < at_once or not answers.endswith(b"}"):
                more = one.recv(1 << 16)
                assert more, "the connection was closed"
                answers += more
            refused += answers.count(b"HTTP/1.1 401")
            time.sleep(max(0, begun + at_once / KEYS_PER_SECOND - time.monotonic()))
            begun = time.monotonic()
    print(f"{refused} of {asked} keys refused", flush=True)


def pester(server, ones=None):
    ones, sent = ones or [data for *_, data in wrong_ones(server)], 0
    print("ready", flush=True)
    while True:
        begun = time.monotonic()
        with connect(server) as one, contextlib.suppress(OSError):
            one.sendall(ones[sent % len(ones)])
            one.recv(1 << 16)
        sent += 1
        time.sleep(max(0, begun + 1 / WRONG_PER_SECOND - time.monotonic()))


def come_and_go(server):
    pester(server, [f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode()])


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def floods():
    block = bytes.fromhex("828784") + b"\x41\x09localhost"
    resets = b"".join(frame(1, 5, stream, block) + frame(3, 0, stream, struct.pack(">I", 8)) for stream in range(1, 20_001, 2))
    made = b"".join(frame(1, 5, stream, block) + frame(8, 0, stream, struct.pack(">I", 0)) for stream in range(1, 20_001, 2))
    return [resets, made, frame(6, 0, 0, b"01234567") * 50_000, frame(4, 0, 0, struct.pack(">HI", 4, 65535)) * 50_000, frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\x40\x01a\x01b") * 50_000,
            frame(1, 0, 1, b"\x82") + frame(9, 0, 1) * 50_000]


def flood(server):
    kinds, sent = floods(), 0
    print("ready", flush=True)
    while True:
        begun = time.monotonic()
        with connect(server, protocols=["h2"]) as one, contextlib.suppress(OSError):
            one.settimeout(5)
            one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + kinds[sent % len(kinds)])
            while one.recv(1 << 16):
                pass
        sent += 1
        time.sleep(max(0, begun + 1 / FLOODS_PER_SECOND - time.monotonic()))


HOSTILE = {"slow": trickle, "bursts": burst, "sources": scatter, "limits": fill, "keys": guess, "wrong": pester, "good": come_and_go, "http2": flood}
HOLDING = {"slow", "bursts", "sources"}  # their connections stay when they are stopped
RAISED = ("connections=16000", "head_ms=100000")
SETTINGS = {"slow": RAISED, "bursts": RAISED}


class Known:
    """The server as a hostile process of its own knows it."""

    def __init__(self, port, ca_file, key):
        self.port, self.ca_file, self.key = int(port), ca_file, key


def memory(pid):
    return int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def processor_s(pid):
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


class Client:
    """Asks on time, whatever the answers take; a late answer makes the next ones late, and that counts."""

    def __init__(self, server):
        # Another address, so that the hostile one's connections don't count as its own.
        self.connections = [connect(server, "127.0.0.2") for _ in range(CLIENTS)]
        self.request = post(server.key, json.dumps(chat("Is the harbour open today?")).encode())
        self.number = 0
        self.ask(100)

    def ask(self, count):
        times, begun = [], time.perf_counter() + 0.01
        for i in range(count):
            due = begun + i / PER_SECOND
            time.sleep(max(0, due - time.perf_counter()))
            one = self.connections[self.number % CLIENTS]
            self.number += 1
            one.sendall(self.request)
            answer = one.recv(1 << 16)
            times.append(time.perf_counter() - due)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}"), answer
        return times


def percentile(times, share):
    return sorted(times)[int(len(times) * share)] * 1e3


def middle_second(times, share):
    """That of the middle one of the seconds: a host that stops the machine for a moment, now and then, moves some of them and not this one."""
    return statistics.median(percentile(times[begin:begin + PER_SECOND], share) for begin in range(0, len(times), PER_SECOND))


def tell(what, times, server):
    print(f"  {what}: p50 {percentile(times, .5):.2f} ms, p99 {percentile(times, .99):.2f} ms, memory {memory(server.pid):.1f} MiB, {descriptors(server.pid)} descriptors", flush=True)


@contextlib.contextmanager
def hostile_process(kind, server):
    process = subprocess.Popen([sys.executable, __file__, "--as", kind, str(server.port), server.ca_file, server.key], stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)))
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def newcomers_served(server, count=20):
    served, request = 0, post(server.key, json.dumps(chat("a")).encode())
    for _ in range(count):
        with contextlib.suppress(OSError), connect(server, "127.0.0.3") as one:
            one.settimeout(5)
            one.sendall(request)
            served += one.recv(1 << 16).startswith(b"HTTP/1.1 200")
    return served


def hold(client, server, kind, seconds):
    """Before, under and after."""
    before = client.ask(seconds * PER_SECOND)
    tell("before", before, server)
    with hostile_process(kind, server) as hostile:
        print(f"  memory when it has begun {memory(server.pid):.1f} MiB")
        spent = processor_s(hostile.pid), processor_s(server.pid)
        under = client.ask(seconds * PER_SECOND)
        spent = (processor_s(hostile.pid) - spent[0]) / seconds, (processor_s(server.pid) - spent[1]) / seconds
        tell("under attack", under, server)
        if kind == "sources":
            print(f"  {newcomers_served(server)} of 20 newcomers served")
    time.sleep(1)
    after = client.ask(seconds * PER_SECOND)
    tell("after", after, server)
    return before + after, under, spent


def alternate(client, server, kind, seconds):
    """A second without and a second under attack, by turns, so that the machine's own moods fall on both."""
    alone, under, spent = [], [], [0, 0]
    print(f"  memory before {memory(server.pid):.1f} MiB")
    with hostile_process(kind, server) as hostile:
        for _ in range(KEYS // KEYS_PER_SECOND if kind == "keys" else seconds):
            hostile.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            alone += client.ask(PER_SECOND)
            used = processor_s(hostile.pid), processor_s(server.pid)
            hostile.send_signal(signal.SIGCONT)
            under += client.ask(PER_SECOND)
            spent = [spent[0] + processor_s(hostile.pid) - used[0], spent[1] + processor_s(server.pid) - used[1]]
        tell("alone", alone, server)
        tell("under attack", under, server)
        if kind == "keys":
            print("  " + hostile.communicate()[0].strip())
    return alone, under, [one / len(under) * PER_SECOND for one in spent]


def attack(kind, server, seconds):
    client = Client(server)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    alone, under, spent = (hold if kind in HOLDING else alternate)(client, server, kind, seconds)
    print(f"  of a core under attack: the hostile process {spent[0]:.2f}, the server {spent[1]:.2f}")
    for share in (.5, .99):
        first, moved = percentile(alone, share), percentile(under, share)
        middle, middle_moved = middle_second(alone, share), middle_second(under, share)
        print(f"{kind}: p{share * 100:.0f} {moved:.2f} ms under attack against {first:.2f} alone, ratio {moved / first:.2f}; "
              f"of the middle second {middle_moved:.2f} against {middle:.2f}, ratio {middle_moved / middle:.2f}", flush=True)


def judge(server):
    """How many of the wrong ones were refused: one answer, a refusal, and nothing of the request behind."""
    for kind in KINDS:
        ones = [(name, send_wrong(server, data)) for of, name, data in wrong_ones(server) if of == kind]
        taken = [(name, answer[:200]) for name, answer in ones if not re.match(rb"HTTP/1.1 (4\d\d|501|505) ", answer) or answer.count(b"HTTP/1.1 ") != 1]
        print(f"  {kind}: {len(ones) - len(taken)} of {len(ones)} refused", *taken, sep="\n    ", flush=True)


def measure(kind, seconds, times):
    with tempfile.TemporaryDirectory() as folder, serving(pathlib.Path(folder), "certificates=none", *SETTINGS.get(kind, ())) as server:
        if kind == "wrong":
            judge(server)
        for _ in range(times):
            attack(kind, server, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--times", type=int, default=1, help="each on the same server: what its memory does from one to the next")
    parser.add_argument("--only", default=",".join(HOSTILE))
    parser.add_argument("--as", dest="role", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if options.role:
        return HOSTILE[options.role[0]](Known(*options.role[1:]))
    for kind in options.only.split(","):
        measure(kind, options.seconds, options.times)


if __name__ == "__main__":
    main()
