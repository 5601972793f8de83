# SPDX-License-Identifier: Apache-2.0
"""A strict judge between our programs and an account: an HTTPS proxy that checks each request against botocore's service models
(required and unknown members, types, enums, lengths, ranges, patterns), verifies its signature with code of its own, notes which
IAM actions were used, and injects faults as the services have them. What tests invent as answers is held against the models too."""
import dataclasses
import datetime
import http.client
import http.server
import json
import re
import ssl
import threading
import urllib.parse

import answers
import models
import signature
from faults import Fault, refusal, skewed

# What every request may carry beside its operation's own headers.
COMMON_HEADERS = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-target", "x-amz-user-agent", "x-amz-api-version",
                  "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amzn-trace-id", "x-amzn-query-mode"}

# IAM's name of an operation, where it is another one.
ACTIONS = {"accessanalyzer": {"ListFindingsV2": "ListFindings"}, "s3": {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "ListObjects": "ListBucket", "ListObjectVersions": "ListBucketVersions", "HeadBucket": "ListBucket",
                  "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
                  "ListMultipartUploads": "ListBucketMultipartUploads", "ListParts": "ListMultipartUploadParts",
                  "PutBucketEncryption": "PutEncryptionConfiguration", "GetBucketEncryption": "GetEncryptionConfiguration",
                  "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
                  "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration", "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration"}}
PREFIXES = {"accessanalyzer": "access-analyzer", "monitoring": "cloudwatch", "cloudwatch": "cloudwatch", "sagemaker-runtime": "sagemaker"}

LONG_BODY = 1 << 20


@dataclasses.dataclass
class Call:
    service: str
    operation: str
    members: dict
    status: object  # a number, or "lost" where no answer arrived
    action: str
    request: object
    role: object    # the ARN of the role that it was made in; None: in the keys' own name


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.parameters = dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))

    def header(self, name, default=""):
        return next((value for key, value in self.headers if key.lower() == name), default)


class Judge:
    """`upstream` is where what passed is sent on: moto, or the player before it; `is_ours` says that a test invents all that it
    answers. `secrets` are the secret keys by their ids. Answers of ours that AWS would not give are violations as well; those of
    moto are `departures`."""

    def __init__(self, upstream, certificate, key, secrets, is_ours=False):
        self.upstream = urllib.parse.urlsplit(upstream)
        self.secrets, self.is_ours = secrets, is_ours
        self.calls, self.violations, self.faults = [], [], []
        self.departures, self.earlier, self.roles = set(), {}, {}  # roles: by the key ids that were given for them
        self.skew = datetime.timedelta()  # of the judge's clock against the wall's
        self.lock = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def inject(self, service, operation, kind, times=1, **more):
        """The next `times` calls of the operation meet this fault; the kinds are those of faults.Fault."""
        self.faults.append(Fault(service, operation, kind, times, more))

    def seen(self, service, operation):
        return [call for call in self.calls if call.service == service and operation in ("*", call.operation)]

    def actions(self):
        return {call.action for call in self.calls}

    def note(self, service, operation, what):
        with self.lock:
            self.violations.append(f"{service}.{operation}: {what}")

    def fault_for(self, service, operation, members):
        with self.lock:
            for fault in self.faults:
                if fault.meets(service, operation, members):
                    fault.times -= 1
                    return fault
        return None

    def handler(judge):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def log_message(self, *_):
                pass

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    parts = []
                    while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def serve(self):
                judge.serve(self, Request(self.command, self.path, list(self.headers.items()), self.read_body()))

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = serve

        return Handler

    def serve(self, connection, request):
        scope = signature.scope_of(request)
        service, operation, members, problems = models.parse(request, scope)
        for problem in problems:
            self.note(service, operation, problem)
        if operation is None:
            self.note(service, "?", f"no operation of the service is {request.method} {request.path}")
        names = {key.lower() for key, _ in request.headers if key.lower().startswith("x-amz") and not key.lower().startswith("x-amz-meta-")}
        for name in sorted(names - COMMON_HEADERS - models.headers_of(service, operation)):
            self.note(service, operation, f"the header {name} belongs to no member")
        action = f"{PREFIXES.get(service, service)}:{ACTIONS.get(service, {}).get(operation, operation)}"
        call = Call(service, operation, members, "lost", action, request, self.roles.get(scope and scope.key_id))
        with self.lock:
            self.calls.append(call)  # before whoever sent it can know what became of it
        answer = self.answer(connection, request, scope, service, operation, members)
        if len(request.body) > LONG_BODY:
            request.body = b""  # nobody looks at it again
        if answer:
            call.status = answer[0]
            self.reply(connection, request, answer)

    def answer(self, connection, request, scope, service, operation, members):
        """What the program is told; None where the connection is gone."""
        now = datetime.datetime.now(datetime.timezone.utc) + self.skew
        wrong = signature.problem_of(request, scope, self.secrets, now)
        if wrong is not None:
            code, why = wrong
            if code == "RequestTimeTooSkewed":
                return skewed(service, request.header("x-amz-date"), now)
            self.note(service, operation, f"signature: {why}")
            return refusal(service, 403, code, why)
        fault = self.fault_for(service, operation, members)
        answer = fault.before(service, operation, connection) if fault else None
        if answer == "dropped":
            return None
        is_ours = answer is not None or self.is_ours
        answer = answer or self.forward(request)
        self.check_answer(service, operation, request, answer, is_ours)
        if operation == "AssumeRole" and answer[0] == 200:
            self.learn_keys(members["RoleArn"], answer[2].decode())
        earlier = None if is_ours and not self.is_ours else self.remember(service, operation, members, answer)
        if fault is not None and fault.kind in Fault.SPOILS and answer[0] < 300:
            return fault.after(service, operation, connection, answer, earlier)
        return answer

    def learn_keys(self, role, text):
        key_id, secret = (re.search(f"<{name}>([^<]+)</{name}>", text).group(1) for name in ("AccessKeyId", "SecretAccessKey"))
        with self.lock:
            self.secrets[key_id], self.roles[key_id] = secret, role

    def check_answer(self, service, operation, request, answer, is_ours):
        status, headers, body = answer
        problems = answers.problems_of(service, operation, status, headers, b"" if request.method == "HEAD" else body)
        is_ours = is_ours or any(value == "played" for _, value in headers)
        for problem in problems:
            if is_ours:
                self.note(service, operation, problem)
            else:
                self.departures.add(f"{service}.{operation}: {problem}")

    def remember(self, service, operation, members, answer):
        """What the same question was answered with before: also that there is no such thing."""
        if answer[0] >= 500 or service == "s3":
            return None
        question = (service, operation, json.dumps(members, sort_keys=True, default=str))
        with self.lock:
            earlier, self.earlier[question] = self.earlier.get(question), answer
        return earlier

    def forward(self, request):
        upstream = http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=300)
        try:
            upstream.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "expect"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(request.body)))
            upstream.endheaders(request.body)
            got = upstream.getresponse()
            return got.status, got.getheaders(), got.read()
        finally:
            upstream.close()

    def reply(self, connection, request, answer):
        status, headers, body = answer
        names = {name.lower() for name, _ in headers}
        connection.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "date") and not (name.lower() == "content-length" and request.method != "HEAD"):
                connection.send_header(name, value)
        if request.method != "HEAD":
            connection.send_header("Content-Length", str(len(body)))
        if "x-amzn-requestid" not in names and "x-amz-request-id" not in names:
            connection.send_header("x-amzn-RequestId", f"judge-{len(self.calls)}")
        connection.send_header("Date", (datetime.datetime.now(datetime.timezone.utc) + self.skew).strftime("%a, %d %b %Y %H:%M:%S GMT"))
        connection.end_headers()
        if request.method != "HEAD":
            connection.wfile.write(body)
