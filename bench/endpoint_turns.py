# SPDX-License-Identifier: Apache-2.0
"""Certificates, releases and gateways that change under load: how many requests fail and how many streams are cut. It should be none.

    python3 bench/endpoint_turns.py [--certificates 1000] [--releases 100] [--drains 100] [--clients 8]

Over build/gateway_test_server, whose worker is scripted: it is the gateway that is looked at. The next gateway listens before the one before is
drained, so that whoever can't connect counts as failed too.
"""
import argparse
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", pathlib.Path(__file__).resolve().parents[1] / "build"))


class Client(threading.Thread):
    def __init__(self, folder, port, ending, streams):
        super().__init__()
        self.port, self.ending, self.streams = port, ending, streams
        self.context = ssl.create_default_context(cafile=folder / "ca.pem")
        self.key = (folder / "key.txt").read_text()
        self.answered, self.failures = 0, []

    def ask(self):
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=30)
        body = {"model": "bot", "messages": [{"role": "user", "content": "slow" if self.streams else "a b c"}], "stream": self.streams, "max_tokens": 20}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return self.failures.append(repr(error))
        finally:
            connection.close()
        if answer.status != 200 or (self.streams and not text.endswith(b"data: [DONE]\n\n")):
            return self.failures.append(f"{answer.status} {text[-200:]}")
        self.answered += 1

    def run(self):
        while not self.ending.is_set():
            self.ask()


def memory_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def turn(server, line, count, pause):
    begun = time.monotonic()
    for _ in range(count):
        time.sleep(pause)
        server.stdin.write(line + "\n")
        server.stdin.flush()
        said = server.stdout.readline().strip()
        assert said == "done", f"{line}: {said or 'the server ended'}"
    return time.monotonic() - begun


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("certificates", 1000), ("releases", 100), ("drains", 100), ("clients", 8)):
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = subprocess.Popen([BUILD / "gateway_test_server", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ending = threading.Event()
        port = int(server.stdout.readline())
        clients = [Client(folder, port, ending, streams=number % 2 == 0) for number in range(wanted.clients)]
        for client in clients:
            client.start()
        time.sleep(1)
        before = memory_mib(server.pid)
        for line, count, pause in (("certificate", wanted.certificates, 0.02), ("release", wanted.releases, 0.2), ("drain", wanted.drains, 0.2)):
            answered = sum(client.answered for client in clients)
            took = turn(server, line, count, pause)
            print(f"{count} x {line}: {took:.1f} s, {sum(client.answered for client in clients) - answered} requests answered meanwhile, {sum(len(client.failures) for client in clients)} failed so far")
        ending.set()
        for client in clients:
            client.join()
        after = memory_mib(server.pid)
        server.stdin.close()
        code = server.wait(60)
    failures = [failure for client in clients for failure in client.failures]
    print(f"{sum(client.answered for client in clients)} answered, {len(failures)} failed, memory {before:.0f} -> {after:.0f} MiB, exit {code}")
    for failure in failures[:5]:
        print("  " + failure)
    raise SystemExit(1 if failures or code else 0)


if __name__ == "__main__":
    main()
