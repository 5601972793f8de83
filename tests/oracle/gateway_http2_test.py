# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 with clients of others: `h2` from PyPI speaks it rightly and, frame by frame, wrongly; curl fetches. The gateway runs with a
scripted worker."""
import json
import re
import select
import socket
import ssl
import struct
import subprocess
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import hpack
import pytest

from gateway_server import serving

SETTINGS, PING, GOAWAY, RST, DATA, HEADERS, CONTINUATION, WINDOW, PRIORITY = 4, 6, 7, 3, 0, 1, 9, 8, 2
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("http2"), "send_ms=700", "head_ms=700", "clients=400") as server:
        yield server


def connect(server, protocols=("h2",)):
    context = ssl.create_default_context(cafile=server.ca_file)
    context.set_alpn_protocols(list(protocols))
    plain = socket.create_connection(("localhost", server.port), 20)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


class Client:
    """`check=False` lets wrong headers leave."""

    def __init__(self, server, check=True, window=None):
        self.server, self.socket = server, connect(server)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=check, normalize_outbound_headers=check))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.answers, self.closed = {}, None
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, method="GET", path="/v1/models", more=(), body=None, key=None, end=True, drop=()):
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost"), ("authorization", f"Bearer {key or self.server.key}")]
        if body is not None:
            headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
        self.h2.send_headers(stream, [one for one in headers if one[0] not in drop] + list(more), end_stream=end and not body)
        if body:
            self.h2.send_data(stream, body, end_stream=end)
        self.answers[stream] = {"headers": {}, "body": b"", "ended": False, "reset": None}
        self.flush()
        return stream

    def take(self, until, seconds=10):
        """Takes what comes until that is so, or the server closes."""
        last = time.monotonic() + seconds
        while not until() and self.closed is None:
            self.socket.settimeout(max(0.01, last - time.monotonic()))
            data = self.socket.recv(65536)
            if not data:
                self.closed = self.closed or "end"
                return
            for event in self.h2.receive_data(data):
                answer = self.answers.get(getattr(event, "stream_id", None))
                if isinstance(event, h2.events.ResponseReceived):
                    answer["headers"] = {name.decode() if isinstance(name, bytes) else name: value.decode() if isinstance(value, bytes) else value for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    answer["body"] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    answer["ended"] = True
                elif isinstance(event, h2.events.StreamReset):
                    answer["reset"] = event.error_code
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.closed = event.error_code
            with_reply = self.h2.data_to_send()
            if with_reply:
                self.socket.sendall(with_reply)

    def answer(self, stream, seconds=10):
        answer = self.answers[stream]
        self.take(lambda: answer["ended"] or answer["reset"] is not None, seconds)
        return answer

    def status(self, *arguments, **more):
        answer = self.answer(self.begin(*arguments, **more))
        return int(answer["headers"].get(":status", 0))


def chat(content, **more):
    return json.dumps({"model": "bot", "messages": [{"role": "user", "content": content}], **more}).encode()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def ended_by(server, frames, seconds=20, read=True):
    """The error of the GOAWAY that ends a connection on which these bytes are sent again and again; None where it goes on."""
    with connect(server) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
        connection.setblocking(False)
        received, last = b"", time.monotonic() + seconds
        try:
            for data in frames:
                view = memoryview(data)
                while view:
                    select.select([connection] if read else [], [connection], [], 1)
                    if read:
                        try:
                            more = connection.recv(65536)
                            if not more:
                                raise ConnectionResetError
                            received += more
                        except (ssl.SSLWantReadError, BlockingIOError):
                            pass
                    try:
                        view = view[connection.send(view):]
                    except (ssl.SSLWantWriteError, BlockingIOError):
                        pass
                    if time.monotonic() > last:
                        return None
            connection.settimeout(3)
            while more := connection.recv(65536):
                received += more
        except TimeoutError:
            return None
        except (ConnectionError, ssl.SSLError, OSError):
            pass
        at = received.rfind(b"\0\0\x08\x07\0\0\0\0\0")
        return struct.unpack(">I", received[at + 13:at + 17])[0] if at >= 0 else "cut"


def is_well(server):
    assert Client(server).status() == 200


def running(server):
    answer = Client(server)
    text = answer.answer(answer.begin(path="/metrics"))["body"].decode()
    return int(re.search(r"^vllm:num_requests_running\S* (\d+)", text, re.M)[1])


def test_it_is_chosen_where_it_is_offered_and_only_there(server):
    assert connect(server, ("h2", "http/1.1")).selected_alpn_protocol() == "h2"
    assert connect(server, ("http/1.1", "h2")).selected_alpn_protocol() == "h2"
    assert connect(server, ("http/1.1",)).selected_alpn_protocol() == "http/1.1"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, ("spdy/3",))


def test_curl_gets_the_same_answer_by_both(server):
    answers = []
    for version in ("--http1.1", "--http2"):
        out = subprocess.run(["curl", "-sS", version, "--cacert", server.ca_file, "-H", f"Authorization: Bearer {server.key}", "-w", "\n%{http_version} %{http_code} %{content_type}",
                              f"https://localhost:{server.port}/v1/models"], check=True, capture_output=True, text=True).stdout
        answers.append(out)
    assert answers[0].splitlines()[1] == "1.1 200 application/json" and answers[1].splitlines()[1] == "2 200 application/json"
    assert answers[0].splitlines()[0] == answers[1].splitlines()[0]


def test_a_chat_is_answered_and_streamed(server):
    client = Client(server)
    whole = client.answer(client.begin("POST", "/v1/chat/completions", body=chat("echo a b")))
    assert json.loads(whole["body"])["choices"][0]["message"]["content"] == "echo a b "
    assert whole["headers"]["strict-transport-security"].startswith("max-age")
    streamed = client.answer(client.begin("POST", "/v1/chat/completions", body=chat("echo a b", stream=True)))
    assert streamed["body"].endswith(b"data: [DONE]\n\n") and streamed["body"].count(b"data: ") == 6


def test_a_hundred_streams_at_once_and_no_more(server):
    client = Client(server)
    client.take(lambda: client.h2.remote_settings.max_concurrent_streams <= 1000)
    assert client.h2.remote_settings.max_concurrent_streams == 100
    streams = [client.begin("POST", "/v1/chat/completions", body=chat("echo a"), end=False) for _ in range(100)]
    for stream in streams[:4]:
        client.h2.end_stream(stream)
    client.flush()
    assert [client.answer(stream)["headers"][":status"] for stream in streams[:4]] == ["200"] * 4
    client.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    client.h2.remote_settings.acknowledge()
    for _ in range(5):  # which wait for their bodies
        client.begin("POST", "/v1/chat/completions", end=False)
    client.take(lambda: False)
    assert client.closed == h2.errors.ErrorCodes.PROTOCOL_ERROR
    is_well(server)


def test_a_head_request_has_a_length_and_no_body(server):
    client = Client(server)
    answer = client.answer(client.begin("HEAD", "/nowhere"))
    assert answer["headers"][":status"] == "404" and int(answer["headers"]["content-length"]) > 0 and answer["body"] == b""
    whole = client.answer(client.begin())
    answer = client.answer(client.begin("HEAD"))
    assert answer["headers"][":status"] == "200" and int(answer["headers"]["content-length"]) == len(whole["body"]) > 0 and answer["body"] == b""
    assert client.status("HEAD", "/ping", key="none") == 200 and client.status("HEAD", "/v1/models", key="none") == 401
    refused = client.answer(client.begin("DELETE"))["headers"]
    assert refused[":status"] == "405" and refused["allow"] == "GET, HEAD"


def test_a_client_that_resets_its_stream_stops_the_generation(server):
    client = Client(server)
    stream = client.begin("POST", "/v1/chat/completions", body=chat("slow", stream=True, max_tokens=100))
    client.take(lambda: client.answers[stream]["body"])
    assert running(server) == 1
    client.h2.reset_stream(stream)
    client.flush()
    last = time.monotonic() + 0.9
    while running(server) and time.monotonic() < last:
        time.sleep(0.02)
    assert running(server) == 0
    assert client.status() == 200


@pytest.mark.parametrize("more", [
    {"drop": (":path",)}, {"drop": (":method",)}, {"drop": (":scheme",)}, {"more": [("X-Upper", "a")]}, {"more": [("connection", "keep-alive")]}, {"more": [("transfer-encoding", "chunked")]},
    {"more": [("upgrade", "h2c")]}, {"more": [("te", "gzip")]}, {"more": [(":status", "200")]}, {"more": [("a", "b\r\nc: d")]}, {"more": [("a", "b\0")]}, {"more": [("a b", "c")]},
    {"more": [("a", " b")]}, {"more": [("host", "other")]}, {"more": [("host", "localhost"), ("host", "localhost")]}, {"more": [("content-length", "7")]}, {"more": [("content-length", "0"), ("content-length", "0")]},
    {"path": "/v1/../metrics"}, {"path": "/v1/%2e%2e/metrics"}, {"path": "//v1/models"}, {"path": "https://localhost/v1/models"}, {"path": "*"}, {"path": ""}, {"path": "/v1/models#a"}, {"path": "/a\\b"},
    {"path": "/%00"}, {"path": "/v1/models HTTP/1.1"}, {"method": "TRACE"}, {"method": "CONNECT"}, {"method": "G T"},
    {"more": [(f"x-{i}", "a") for i in range(70)]}, {"more": [("x-long", "a" * 20_000)]}, {"path": "/" + "a" * 9_000}])
def test_a_request_that_is_none_is_refused(server, more):
    client = Client(server, check=False)
    try:
        answer = client.answer(client.begin(**more))
    except h2.exceptions.ProtocolError:
        pytest.skip("the client does not send this")
    assert answer["reset"] is not None or client.closed or 400 <= int(answer["headers"][":status"]) < 600, answer
    assert not answer["headers"] or answer["headers"][":status"] in ("400", "404", "405", "414", "431", "501")
    is_well(server)


def test_a_body_is_bounded_and_held_to_its_length(server):
    client = Client(server)
    assert client.status("POST", "/v1/chat/completions", more=[("content-length", str(2 << 20))], end=False) == 413
    short = client.begin("POST", "/v1/chat/completions", more=[("content-length", "100")], end=False)
    client.h2.send_data(short, b"{}", end_stream=True)
    client.flush()
    assert client.answer(short)["reset"] == h2.errors.ErrorCodes.PROTOCOL_ERROR
    assert client.status() == 200


def test_what_is_open_to_anybody_takes_no_body(server):
    client = Client(server)
    assert client.status(path="/ping", key="none", end=False) == 413
    assert client.status("POST", "/ping", body=b"{}") == 405
    assert client.status(path="/ping", key="none") == 200


def test_a_body_without_end_is_refused_when_it_is_too_long(server):
    client = Client(server)
    stream = client.begin("POST", "/v1/chat/completions", end=False)
    for _ in range(80):
        client.take(lambda: client.h2.local_flow_control_window(stream) >= 16384 or client.answers[stream]["headers"])
        if client.answers[stream]["headers"]:
            break
        client.h2.send_data(stream, b" " * 16384)
        client.flush()
    assert client.answer(stream)["headers"][":status"] == "413"
    assert client.status() == 200


def test_trailers_are_not_taken(server):
    client = Client(server)
    stream = client.begin("POST", "/v1/chat/completions", body=chat("echo a"), end=False)
    client.h2.send_headers(stream, [("x-after", "all")], end_stream=True)
    client.flush()
    assert client.answer(stream)["headers"][":status"] == "400"


def test_a_window_that_never_opens_ends_the_stream_and_no_other(server):
    client = Client(server, window=0)
    stream = client.begin(path="/openapi.json")
    begun = time.monotonic()
    assert client.answer(stream, 5)["reset"] == h2.errors.ErrorCodes.CANCEL
    assert 0.5 < time.monotonic() - begun < 3
    is_well(server)


def test_a_head_that_never_ends_is_dropped(server):
    begun = time.monotonic()
    assert ended_by(server, [frame(HEADERS, 0, 1, b"\x82")]) in ("cut", 0)
    assert time.monotonic() - begun < 3
    is_well(server)


def rapid_resets(server):
    block = bytes.fromhex("828784") + b"\x41\x09localhost"  # GET https / with the authority: indexed fields of HPACK
    for stream in range(1, 40_001, 2):
        yield frame(HEADERS, 5, stream, block) + frame(RST, 0, stream, struct.pack(">I", 8))


def made_resets(server):
    """CVE-2025-8671: the client makes the server reset."""
    block = bytes.fromhex("828784") + b"\x41\x09localhost"
    for stream in range(1, 40_001, 2):
        yield frame(HEADERS, 5, stream, block) + frame(WINDOW, 0, stream, struct.pack(">I", 0))


def empty_data(server):
    yield frame(HEADERS, 4, 1, hpack.Encoder().encode([(":method", "POST"), (":scheme", "https"), (":path", "/v1/completions"), (":authority", "localhost"), ("authorization", f"Bearer {server.key}")]))
    for _ in range(100_000):
        yield frame(DATA, 0, 1)


FLOODS = {
    "rapid resets (CVE-2023-44487)": rapid_resets,
    "resets that the server is made to send (CVE-2025-8671)": made_resets,
    "pings": lambda _: (frame(PING, 0, 0, b"01234567") for _ in range(100_000)),
    "settings": lambda _: (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) for _ in range(100_000)),
    "window updates": lambda _: (frame(WINDOW, 0, 0, struct.pack(">I", 1)) for _ in range(100_000)),
    "priorities": lambda _: (frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") for _ in range(100_000)),
    "headers that go on and on (CVE-2024-28182)": lambda _: [frame(HEADERS, 0, 1, b"\x82")] + [frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b") for _ in range(100_000)],
    "empty headers that go on (CVE-2019-9518)": lambda _: [frame(HEADERS, 0, 1, b"\x82")] + [frame(CONTINUATION, 0, 1) for _ in range(100_000)],
    "empty data": empty_data,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection_and_no_other(server, name):
    outcome = ended_by(server, FLOODS[name](server))
    assert outcome is not None and outcome != 0, name
    is_well(server)


def test_answers_that_nobody_reads_are_bounded(server):
    assert ended_by(server, FLOODS["pings"](server), read=False) is not None
    is_well(server)
