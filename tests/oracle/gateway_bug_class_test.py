# SPDX-License-Identifier: Apache-2.0
"""What went wrong in servers like this one, each as a test that is named after it. The gateway runs with a scripted worker.

Others have theirs elsewhere: a route without a key and a budget on every route (gateway_test.cc), forged tokens (gateway_token_test.py),
a health that lies and a client that left (endpoint_fault_test.py, gateway_test.cc), budgets under races (budget_test.cc)."""
import gzip
import json
import pathlib
import re
import socket
import ssl
import time

import pytest

from gateway_server import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bugs")) as server:
        server.context = ssl.create_default_context(cafile=server.ca_file)
        yield server


def connect(server):
    return server.context.wrap_socket(socket.create_connection(("localhost", server.port), 30), server_hostname="localhost")


def exchange(server, data):
    """Everything that the server says until it closes, or a whole answer."""
    with connect(server) as connection:
        connection.sendall(data)
        answer = b""
        while True:
            head, _, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if length and len(body) >= int(length[1]):
                return answer
            more = connection.recv(65536)
            if not more:
                return answer
            answer += more


def head(server, line="POST /v1/chat/completions HTTP/1.1", *more, key=None):
    lines = [line, "Host: localhost", f"Authorization: Bearer {key or server.key}", *more]
    return ("\r\n".join(lines) + "\r\n").encode()


def post(server, body, path="/v1/chat/completions", *more, key=None):
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    answer = exchange(server, head(server, f"POST {path} HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(raw)}", *more, key=key) + b"\r\n" + raw)
    return int(answer[9:12]), json.loads(answer.partition(b"\r\n\r\n")[2] or b"null")


def chat(content="a", **more):
    return {"model": "bot", "messages": [{"role": "user", "content": content}], **more}


def resident_bytes(server):
    for status in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        if str(server.folder).encode() in status.read_bytes() and b"gateway_test_server" in status.read_bytes():
            return int(re.search(r"VmRSS:\s+(\d+)", (status.parent / "status").read_text())[1]) * 1024
    raise AssertionError("the server is gone")


def test_injection_through_the_key(server):
    for key in ("' OR '1'='1", "rdt_' OR 1=1--_" + "A" * 43, "{{7*7}}", "rdt_../../etc/p_" + "A" * 43, "rdt_000000000000_" + "%00" * 14 + "A", "${jndi:ldap://x}", server.key + "' --", "*"):
        assert post(server, chat(), key=key)[0] == 401, key


def test_identity_by_a_tokens_prefix(server):
    """Two keys that are alike for most of their length are two."""
    assert post(server, chat())[0] == 200
    for at in (5, 20, 40, len(server.key) - 1):
        other = server.key[:at] + ("A" if server.key[at] != "A" else "B") + server.key[at + 1:]
        assert post(server, chat(), key=other)[0] == 401, at


def test_default_credentials(server):
    for key in ("", "admin", "sk-1234", "password", "EMPTY", "none", "test", "rdt_000000000000_" + "A" * 43):
        assert exchange(server, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + key.encode() + b"\r\n\r\n")[9:12] == b"401", key


def test_requests_forged_by_a_field(server):
    for field in ("api_base", "base_url", "endpoint", "proxy", "webhook", "callback_url", "model_path", "user_config"):
        status, answer = post(server, chat(**{field: "http://127.0.0.1:1/"}))
        assert status == 400 and answer["error"]["param"] == field
    image = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}}]
    assert post(server, chat(image))[0] == 400


def test_unbounded_n_template_arguments_and_tool_patterns(server):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a{0,9999}){0,9999}"}}, "required": ["a"]}}}
    for more in ({"n": 2}, {"n": 2**31}, {"best_of": 10**6}, {"chat_template": "{% for i in range(10**9) %}{% endfor %}"}, {"chat_template_kwargs": {"x": 1}},
                 {"tools": [tool], "tool_choice": "required"}, {"tools": [tool] * 65}, {"stop": ["a"] * 5}, {"stop": "a" * 65}, {"logit_bias": {str(i): 1 for i in range(301)}}):
        began = time.monotonic()
        assert post(server, chat(**more))[0] == 400, more
        assert time.monotonic() - began < 5


def test_negative_and_huge_integers(server):
    for value in (-1, 0, -(2**31), 2**31, 2**63, 2**64, 10**300, "1", 1.5, True, [1], {}):
        status, answer = post(server, chat(max_tokens=value))
        assert status == 400 and answer["error"]["param"] == "max_tokens", value
    for raw in ("1e309", "-1e309", "1" * 5000, "NaN", "Infinity", "0x10", "01"):
        assert post(server, '{"model":"bot","messages":[{"role":"user","content":"a"}],"temperature":' + raw + "}")[0] == 400, raw
    for seed in (2**63, -(2**63) - 1):
        assert post(server, chat(seed=seed))[0] == 400


def test_grammar_and_recursion_bombs(server):
    deep = {"type": "object"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}}
    bomb = {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 10} for i in range(9)} | {"d9": {"type": "string"}}, "$ref": "#/$defs/d0"}
    loop = {"$ref": "#"}
    for schema in (deep, loop, {"type": "string", "pattern": "(" * 60_000}, {"type": "string", "pattern": "(x+x+)+" * 500 + "y"}, {"enum": ["a" * 100] * 5000},
                   {"type": "object", "properties": {f"p{i}": {"type": "string", "pattern": "x((a?){30}){30}y"} for i in range(500)}}):
        began = time.monotonic()
        status, _ = post(server, chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}))
        assert status == 400 and time.monotonic() - began < 5, str(schema)[:60]
    began = time.monotonic()
    assert post(server, chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": bomb}}))[0] in (200, 400)
    assert time.monotonic() - began < 5
    for text in ("[" * 100_000, '{"a":' * 50_000, '{"model":"bot","messages":' + "[" * 200_000 + "}"):
        assert post(server, text)[0] == 400


def test_memory_by_the_number_of_chunks(server):
    body = json.dumps(chat("x" * 20_000)).encode()
    before = resident_bytes(server)
    for _ in range(5):
        chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
        assert exchange(server, head(server, "POST /v1/chat/completions HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close") + b"\r\n" + chunks)[9:12] == b"200"
    assert resident_bytes(server) - before < 16 << 20


def test_error_texts_leak_nothing(server):
    for content in ("fail", "odd", "unlike"):
        _, answer = post(server, chat(content))
        assert not re.search(r"secret|/opt|template refuses|Traceback|\.cc:\d+|0x[0-9a-f]{8}", json.dumps(answer)), answer


def test_paths_that_leave_their_place(server):
    for path in ("/v1/models/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%2e%2e/%2e%2e", "//v1/models", "/v1//models", "/v1/models/%00", "/v1/models/..%5c..", "/./ping", "/v1/models/%",
                 "/endpoints/..%2f..%2fx/invocations", "/endpoints//invocations", "\\v1\\models"):
        status = exchange(server, head(server, f"GET {path} HTTP/1.1") + b"\r\n")[9:12]
        assert status in (b"400", b"404", b"405"), (path, status)


SMUGGLED = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5, 5",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked\n", b"X: a\r\n Transfer-Encoding: chunked", b"Content-Length: +5", b"Content-Length: -5", b"Content-Length: 0x5",
    b"Content-Length: 5 5", b"Content-Length : 5", b"X: a\rb", b"X: a\x00b", b"X a: b", b": b", b"Host: other", b"Content-Length: 99999999999999999999999", b"Content-Length:", b"X: a\nTransfer-Encoding: chunked",
]


def test_smuggling(server):
    for line in SMUGGLED:
        answer = exchange(server, b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n0\r\n\r\nGET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer[9:12] in (b"400", b"413", b"501"), (line, answer[:60])
        assert answer.count(b"HTTP/1.1 ") == 1, line  # what follows is never taken for a request
    for request in (b"GET /ping HTTP/1.1\r\n\r\n", b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n", b"GET  /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /ping\r\n\r\n", b"\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /ping HTTP/1.1\nHost: a\n\n",
                    b"G\x00T /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://other/ping HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /ping HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        assert exchange(server, request)[9:12] in (b"400", b"501", b"505"), request
    for chunks in (b"5;a=b\r\nhello\r\n0\r\n\r\n", b"-1\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhelloXX0\r\n\r\n", b"ffffffffffffffff\r\n", b"0\r\nX: trailer\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n"):
        answer = exchange(server, head(server, "POST /v1/chat/completions HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked") + b"\r\n" + chunks)
        assert answer[9:12] in (b"400", b"413"), chunks


def test_compression_and_range_bombs(server):
    bomb = gzip.compress(b" " * (100 << 20))
    before = resident_bytes(server)
    assert post(server, bomb, "/v1/chat/completions", "Content-Encoding: gzip")[0] in (400, 415)
    assert resident_bytes(server) - before < 16 << 20
    ranges = "bytes=" + ",".join(f"{i}-" for i in range(1000))
    assert exchange(server, head(server, "GET /v1/models HTTP/1.1", f"Range: {ranges}", "Accept-Encoding: gzip") + b"\r\n")[9:12] == b"200"


def test_script_in_a_models_answer(server):
    raw = json.dumps(chat("<script>alert(1)</script>")).encode()
    answer = exchange(server, head(server, "POST /v1/chat/completions HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(raw)}") + b"\r\n" + raw)
    for header in (b"Content-Type: application/json", b"X-Content-Type-Options: nosniff", b"Content-Security-Policy: default-src 'none'"):
        assert header in answer, header


def test_invalid_utf_8_and_duplicate_members(server):
    for text in (b'{"model":"bot","messages":[{"role":"user","content":"\xff"}]}', b'{"model":"bot","messages":[{"role":"user","content":"\xed\xa0\x80"}]}', b'{"model":"bot","messages":[{"role":"user","content":"\\ud800"}]}',
                 b'{"model":"bot","model":"tuned","messages":[{"role":"user","content":"a"}]}', b'\xef\xbb\xbf{"model":"bot","messages":[{"role":"user","content":"a"}]}', b'{"model":"bot","messages":[{"role":"user","content":"a"}]} x'):
        assert post(server, text)[0] == 400, text


def test_a_hundred_thousand_wrong_keys_cost_no_memory(server):
    before = resident_bytes(server)
    request = b"".join(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer rdt_%012x_%s\r\n\r\n" % (i, b"A" * 43) for i in range(1000))
    for _ in range(100):
        with connect(server) as connection:
            connection.sendall(request)
            answers = b""
            while answers.count(b"HTTP/1.1 401") < 1000:
                more = connection.recv(1 << 20)
                assert more, answers[-200:]
                answers += more
    assert resident_bytes(server) - before < 16 << 20
    assert post(server, chat())[0] == 200
