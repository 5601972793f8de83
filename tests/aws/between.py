# SPDX-License-Identifier: Apache-2.0
"""A server between our programs and the account for tests: it passes requests on, counts them, and spoils those it is told to."""
import http.client
import http.server
import threading
import urllib.parse


class Seen:
    def __init__(self, handler, body):
        self.method, self.headers, self.body = handler.command, handler.headers, body
        split = urllib.parse.urlsplit(handler.path)
        self.path, self.query = split.path, dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.target = (self.headers.get("X-Amz-Target") or "").partition(".")[2]
        self.status = None

    def __repr__(self):
        return f"{self.method} {self.path} {self.query} {self.target} -> {self.status}"


def refuse_s3(status, code, message="told to", headers=()):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>REQ1</RequestId></Error>".encode()
    return lambda forward: (status, [("Content-Type", "application/xml"), ("x-amz-request-id", "REQ1"), *headers], body)


def refuse_json(code, message="told to", status=400):
    body = b'{"__type":"%s","message":"%s"}' % (code.encode(), message.encode())
    return lambda forward: (status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", "REQ1")], body)


def lose_the_answer(forward):
    """Carried out, but the line goes dead before anything is told."""
    forward()
    return None


def cut_short(forward):
    """The first half of the answer's body."""
    status, headers, body = forward()
    return status, headers, body, len(body) // 2


def flip_a_byte(forward):
    status, headers, body = forward()
    return status, headers, body[:-1] + bytes([body[-1] ^ 1])


class Between:
    def __init__(self, url):
        self.there = urllib.parse.urlsplit(url).netloc
        self.seen, self.rules, self.lock = [], [], threading.Lock()
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                between.serve(self, body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def inject(self, matches, fault, times=1):
        """The next `times` requests for which `matches(seen)` holds end in `fault(forward)`."""
        with self.lock:
            self.rules.append([matches, fault, times])

    def fault_for(self, seen):
        with self.lock:
            self.seen.append(seen)
            for rule in self.rules:
                if rule[2] > 0 and rule[0](seen):
                    rule[2] -= 1
                    return rule[1]
        return lambda forward: forward()

    def serve(self, handler, body):
        seen = Seen(handler, body)

        def forward():
            connection = http.client.HTTPConnection(self.there, timeout=60)
            # As boto3 would name it: the signature is not checked here.
            connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            return answer.status, answer.getheaders(), data

        answer = self.fault_for(seen)(forward)
        if answer is None:
            seen.status = "lost"
            handler.close_connection = True
            return
        status, headers, data, sent = (*answer, None)[:4]
        seen.status = status
        handler.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                handler.send_header(name, value)
        length = [value for name, value in headers if name.lower() == "content-length"]
        handler.send_header("Content-Length", length[0] if handler.command == "HEAD" and length else str(len(data)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data if sent is None else data[:sent])
        if sent is not None:
            handler.close_connection = True

    def count(self, matches):
        return sum(1 for seen in self.seen if matches(seen))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
