# SPDX-License-Identifier: Apache-2.0
"""The endpoint's front against nginx, in turns on one machine: processor time per request (user and system, of the server's own threads)
and p99 at 32 clients over TLS 1.3, of a refusal and of the whole way to an engine that answers at once; full handshakes with and
without client certificates; memory of idle connections.

    apt-get install nginx-light wrk nghttp2-client
    REDOUBT_BUILD=build python3 bench/gateway_vs_nginx.py [--rounds 3] [--seconds 4] [--idle 10000] [--only refused,path,handshakes,idle,litellm]

`litellm` is the whole way once more, before LiteLLM's proxy: `pip install --target SITE 'litellm[proxy]'`, then `--litellm SITE`.

Both serve with the same P-256 certificate and cipher, one processing thread each. nginx answers a file of the refusal's size; as a
proxy it checks the key (a map), limits requests and writes a JSON line for each, before another nginx that answers a chat at once and isn't
counted. Ours checks, limits, reads the request, looks at request and answer with all guards, writes its access log (a JSON line each too), captures, and asks
a scripted worker, whose thread isn't counted either. LiteLLM checks its master key, and has neither limits, guards nor capture here.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "oracle")]
from gateway_server import serving  # noqa: E402

CLIENTS = 32
QUESTION = json.dumps({"model": "bot", "messages": [{"role": "user", "content": "Is the harbour open today?"}], "max_tokens": 1})
ALL_GUARDS = {"secrets": "refuse", "personal": "redact", "hidden": "redact", "patterns": "refuse"}
WHOLE = {"guards": {"input": ALL_GUARDS, "output": ALL_GUARDS, "canary": "refuse", "answer_characters_max": 20000},
         "telemetry": {"access_log": {"file": "access.log", "bytes_max": 1 << 30}}}
LITELLM = """
model_list: [{model_name: bot, litellm_params: {model: openai/bot, api_base: "http://127.0.0.1:%d/v1", api_key: none}}]
general_settings: {master_key: sk-of-the-bench}
"""
NGINX = """
daemon off;
pid %(folder)s/nginx.pid;
error_log %(folder)s/nginx.err crit;
worker_processes 1;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  open_file_cache max=10;
  sendfile on;
  ssl_certificate %(folder)s/server.pem;
  ssl_certificate_key %(folder)s/server.pem;
  ssl_protocols TLSv1.3;
  ssl_session_tickets off;
  ssl_session_cache off;
  ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
  map_hash_bucket_size 256;
  map $http_authorization $known { default 0; "Bearer %(key)s" 1; }
  limit_req_zone $http_authorization zone=keys:1m rate=1000000r/s;
  log_format record escape=json '{"time":"$time_iso8601","peer":"$remote_addr","method":"$request_method","path":"$uri","status":$status,'
    '"bytes":$body_bytes_sent,"seconds":$request_time,"upstream":"$upstream_response_time","agent":"$http_user_agent"}';
  upstream engine { server 127.0.0.1:%(engine)d; keepalive 64; }
  server {
    listen 127.0.0.1:%(plain)d ssl;
    root %(folder)s/www;
    location / { default_type application/json; add_header Strict-Transport-Security max-age=63072000; }
    location /v1/ {
      if ($known = 0) { return 401; }
      limit_req zone=keys burst=100000 nodelay;
      access_log %(folder)s/access.log record;
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
    }
  }
  server { listen 127.0.0.1:%(mutual)d ssl; ssl_client_certificate %(folder)s/clients_ca.pem; ssl_verify_client on; root %(folder)s/www; }
}
"""
ENGINE = """
daemon off;
pid %(folder)s/engine.pid;
error_log %(folder)s/engine.err crit;
worker_processes 1;
events { worker_connections 1024; }
http {
  client_body_temp_path %(folder)s/ebody; proxy_temp_path %(folder)s/eproxy; fastcgi_temp_path %(folder)s/ef; uwsgi_temp_path %(folder)s/eu; scgi_temp_path %(folder)s/es;
  access_log off; keepalive_requests 1000000000;
  server { listen 127.0.0.1:%(engine)d; location / { default_type application/json; return 200 '%(answer)s'; } }
}
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tree_of(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [inner for child in children for inner in tree_of(int(child))]


def processor_s(pid):
    """Of the process and its children; a scripted worker's thread is the engine's part."""
    total = 0
    for process in tree_of(pid):
        for task in pathlib.Path(f"/proc/{process}/task").iterdir():
            if (task / "comm").read_text().strip() != "scripted":
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid):
    total = 0
    for process in tree_of(pid):
        total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)[1]) * 1024
    return total


@contextlib.contextmanager
def nginx(folder, text):
    config = folder / f"nginx{abs(hash(text))}.conf"
    config.write_text("user root;\n" + text if os.geteuid() == 0 else text)
    process = subprocess.Popen(["nginx", "-c", config, "-e", folder / "nginx.err"])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def memory_at_100_a_second(folder, server):
    """About what LiteLLM's proxy does at most."""
    (folder / "question.json").write_text(QUESTION)
    out = subprocess.run(["h2load", "--h1", "-n", str(32 * 30), "-c", "32", "--rps", "3", "-d", folder / "question.json", "-H", f"authorization: Bearer {server.key}",
                          "-H", "content-type: application/json", f"{server.url}/v1/chat/completions"], check=True, capture_output=True, text=True).stdout
    assert "960 2xx" in out, out
    return memory(server.pid)


def metrics(server):
    """By name, summed over labels."""
    context = ssl.create_default_context(cafile=server.ca_file)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost") as one:
        one.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode())
        text = b"".join(iter(lambda: one.recv(1 << 16), b"")).decode()
    sums = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? ([\d.e+]+)", text, re.M):
        sums[name] = sums.get(name, 0) + float(value)
    return sums


@contextlib.contextmanager
def litellm(folder, site, engine):
    (folder / "litellm.yaml").write_text(LITELLM % engine)
    port = free_ports(1)[0]
    command = [sys.executable, site / "bin/litellm", "--config", folder / "litellm.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1",
               "--ssl_keyfile_path", folder / "server.pem", "--ssl_certfile_path", folder / "server.pem"]
    with open(folder / "litellm.log", "w") as log:
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(site), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, stdout=log, stderr=log)
    try:
        wait_for(port)
        yield process.pid, f"https://localhost:{port}/v1/chat/completions"
    finally:
        process.kill()
        process.wait()


def wait_for(port):
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens at {port}")


def load(folder, pid, url, seconds, key=None, body=None, clients=CLIENTS):
    """Microseconds of processor time a request, p99 in milliseconds, requests a second."""
    script = folder / "load.lua"
    lines = [f'wrk.headers["Authorization"] = "Bearer {key}"'] if key else []
    if body:
        lines += ['wrk.method = "POST"', 'wrk.headers["Content-Type"] = "application/json"', f"wrk.body = [[{body}]]"]
    script.write_text("\n".join(lines) + "\n")
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", script, url]
    subprocess.run(command[:3] + ["-d1s"] + command[4:], check=True, capture_output=True)
    before = processor_s(pid)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = processor_s(pid) - before
    count = int(re.search(r"(\d+) requests in", out)[1])
    failed = int((re.search(r"Non-2xx or 3xx responses: (\d+)", out) or [0, 0])[1])
    if body and failed:
        raise SystemExit(f"{failed} of {count} requests failed at {url}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return used / count * 1e6, float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], count / seconds


def handshakes(folder, pid, port, seconds, mutual):
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", str(seconds), "-tls1_3", "-CAfile", folder / "ca.pem"]
    if mutual:
        command += ["-cert", folder / "known.pem", "-key", folder / "known.pem"]
    before = processor_s(pid)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = processor_s(pid) - before
    count = int(re.search(r"(\d+) connections in \d+ real seconds", out)[1])
    return used / count * 1e6, 0, count / seconds


def idle(folder, pid, port, count):
    """Bytes a connection that has asked once and waits."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    before, held = memory(pid), []
    for _ in range(count):
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = context.wrap_socket(plain, server_hostname="localhost")
        one.sendall(b"GET /data.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        one.recv(4096)
        held.append(one)
    time.sleep(3)  # with 10,000 connections it takes two seconds until all are at rest
    after = memory(pid)
    held[0].sendall(b"GET /data.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert held[0].recv(4096), "the first connection was dropped"
    for one in held:
        one.close()
    time.sleep(1)
    return (after - before) / count


def report(name, ours, theirs, unit="us"):
    us, them = (statistics.median(one[0] for one in side) for side in (ours, theirs))
    line = f"{name}: {us:.1f} {unit} against {them:.1f}, ratio {us / them:.{2 if us > them / 10 else 4}f}"
    if ours[0][1]:
        p, q = (statistics.median(one[1] for one in side) for side in (ours, theirs))
        line += f"; p99 {p:.2f} ms against {q:.2f}, ratio {p / q:.2f}"
    if ours[0][2]:
        p, q = (statistics.median(one[2] for one in side) for side in (ours, theirs))
        line += f"; {p:.0f}/s against {q:.0f}/s"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--only", default="refused,path,handshakes,idle")
    parser.add_argument("--litellm", type=pathlib.Path, help="where pip put LiteLLM's proxy")
    options = parser.parse_args()
    wanted = options.only.split(",")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(serving(folder, "connections=16000", "clients=1000", "capture=on", "certificates=none"))
        plain, mutual, engine = free_ports(3)
        context = ssl.create_default_context(cafile=ours.ca_file)
        with context.wrap_socket(socket.create_connection(("127.0.0.1", ours.port)), server_hostname="localhost") as one:
            one.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            refusal = b"".join(iter(lambda: one.recv(4096), b"")).partition(b"\r\n\r\n")[2].decode()
            assert "invalid_api_key" in refusal
        with context.wrap_socket(socket.create_connection(("127.0.0.1", ours.port)), server_hostname="localhost") as one:
            one.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {ours.key}\r\n"
                        f"Content-Type: application/json\r\nContent-Length: {len(QUESTION)}\r\n\r\n{QUESTION}".encode())
            answer = b"".join(iter(lambda: one.recv(4096), b"")).partition(b"\r\n\r\n")[2].decode()
            assert "Is " in answer, answer
        (folder / "www").mkdir()
        (folder / "www/data.json").write_text(refusal)
        names = {"folder": folder, "key": ours.key, "plain": plain, "mutual": mutual, "engine": engine, "answer": answer.replace("\\", "\\\\").replace("'", "\\'")}
        theirs = stack.enter_context(nginx(folder, NGINX % names))
        stack.enter_context(nginx(folder, ENGINE % names))
        wait_for(plain)
        wait_for(engine)
        us, them = f"https://localhost:{ours.port}", f"https://localhost:{plain}"

        def both(first, second):
            results = [], []
            for number in range(options.rounds):
                for side, measure in sorted(enumerate((first, second)), reverse=number % 2 == 1):
                    results[side].append(measure())
            return results

        if "refused" in wanted:
            report("a refusal", *both(lambda: load(folder, ours.pid, us + "/v1/models", options.seconds), lambda: load(folder, theirs, them + "/data.json", options.seconds)))
        if "path" in wanted or "litellm" in wanted:
            second = folder / "whole"
            second.mkdir()
            whole = stack.enter_context(serving(second, "clients=1000", "capture=on", "certificates=none", configuration=WHOLE))
            way = "/v1/chat/completions"
            ask = lambda: load(folder, whole.pid, whole.url + way, options.seconds, whole.key, QUESTION)
        if "path" in wanted:
            with nginx(folder, NGINX % {**names, "key": whole.key, "plain": (port := free_ports(1)[0]), "mutual": free_ports(1)[0]}) as other:
                wait_for(port)
                report("the whole way", *both(ask, lambda: load(folder, other, f"https://localhost:{port}{way}", options.seconds, whole.key, QUESTION)))
        if "litellm" in wanted:
            with litellm(folder, options.litellm, engine) as (proxy, url):
                report("the whole way, and LiteLLM", *both(ask, lambda: load(folder, proxy, url, options.seconds, "sk-of-the-bench", QUESTION)))
                busy, its = memory(whole.pid), memory(proxy)
                third = folder / "calm"
                third.mkdir()
                with serving(third, "clients=1000", "capture=on", "certificates=none", configuration=WHOLE) as calm:
                    mine = memory_at_100_a_second(folder, calm)
                print(f"memory: {mine / 2**20:.1f} MiB at 100 requests a second, {busy / 2**20:.1f} after as many as it could, against {its / 2**20:.1f}, ratios {mine / its:.3f} and {busy / its:.3f}", flush=True)
        if "path" in wanted or "litellm" in wanted:
            told = metrics(whole)
            print(f"of {told['redoubt_requests_total']:.0f} requests not in the access log {told.get('redoubt_telemetry_lost_total', 0):.0f}, not captured {told.get('redoubt_captures_dropped_total', 0):.0f}", flush=True)
        if "handshakes" in wanted:
            report("a full handshake", *both(lambda: handshakes(folder, ours.pid, ours.port, options.seconds, False), lambda: handshakes(folder, theirs, plain, options.seconds, False)))
            second = folder / "mutual"
            second.mkdir()
            with serving(second, "certificates=required") as strict:
                files = {name: (second / name).read_text() for name in ("known.pem", "ca.pem", "server.pem", "clients_ca.pem")}
                for name, text in files.items():
                    (folder / name).write_text(text)
                with nginx(folder, NGINX % {**names, "plain": free_ports(1)[0], "mutual": (port := free_ports(1)[0])}) as other:
                    wait_for(port)
                    report("with a client's certificate", *both(lambda: handshakes(folder, strict.pid, strict.port, options.seconds, True), lambda: handshakes(folder, other, port, options.seconds, True)))
        if "idle" in wanted:
            second = folder / "idle"
            second.mkdir()
            with serving(second, "connections=16000", "certificates=none") as fresh:
                for name in ("ca.pem", "server.pem"):
                    (folder / name).write_text((second / name).read_text())
                with nginx(folder, NGINX % {**names, "plain": (port := free_ports(1)[0]), "mutual": free_ports(1)[0]}) as other:
                    wait_for(port)
                    mine, its = idle(folder, fresh.pid, fresh.port, options.idle), idle(folder, other, port, options.idle)
                    print(f"an idle connection: {mine / 1024:.1f} KiB against {its / 1024:.1f}, ratio {mine / its:.2f}")


if __name__ == "__main__":
    main()
