# SPDX-License-Identifier: Apache-2.0
"""As little of S3 as two clients need to be compared: objects in memory behind HTTPS, several processes' worth of threads, nothing checked
and nothing encrypted, so that the clients are what is measured. For bench/s3_vs_awscli.py alone."""
import http.server
import io
import itertools
import socketserver
import ssl
import sys
import threading
import urllib.parse
from xml.sax.saxutils import escape

OBJECTS, UPLOADS, IDS = {}, {}, itertools.count(1)
PAGE = 1000


def pieces(file):
    """The contents of a chunked body, HTTP's or AWS's, without what trails it."""
    data = bytearray()
    while size := int(file.readline().partition(b";")[0], 16):
        data += file.read(size)
        file.readline()
    while file.readline().strip():
        pass
    return bytes(data)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize, wbufsize = 1 << 18, 1 << 18
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def setup(self):
        self.request.do_handshake()
        super().setup()

    def handle_expect_100(self):
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def body(self):
        chunked = (self.headers.get("Transfer-Encoding") or "") == "chunked"
        data = pieces(self.rfile) if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return pieces(io.BytesIO(data)) if "aws-chunked" in (self.headers.get("Content-Encoding") or "") else data

    def parse(self):
        split = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        return urllib.parse.unquote(split.path).lstrip("/").partition("/")[2]  # without the bucket

    def answer(self, status, data=b"", headers=(), length=None):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def do_PUT(self):
        key, data = self.parse(), self.body()
        tag = f'"{next(IDS):032x}"'
        if "uploadId" in self.query:
            UPLOADS[self.query["uploadId"]][int(self.query["partNumber"])] = data
        else:
            OBJECTS[key] = ([data], tag)
        self.answer(200, headers=[("ETag", tag)])

    def do_POST(self):
        key = self.parse()
        self.body()
        if "uploads" in self.query:
            name = f"u{next(IDS)}"
            UPLOADS[name] = {}
            return self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
        parts = UPLOADS.pop(self.query["uploadId"])
        OBJECTS[key] = ([parts[number] for number in sorted(parts)], f'"{next(IDS):032x}"')
        self.answer(200, f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>e</ETag></CompleteMultipartUploadResult>".encode())

    def do_GET(self):
        key = self.parse()
        if "list-type" in self.query:
            return self.list()
        if key not in OBJECTS:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        parts, tag = OBJECTS[key]
        size, headers = sum(map(len, parts)), [("ETag", tag), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
        asked = self.headers.get("Range")
        if self.command == "HEAD" or asked is None:
            return self.answer(200, b"".join(parts) if self.command != "HEAD" else b"", headers, size)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last or size), size - 1)
        data, at = bytearray(), 0
        for part in parts:
            if at + len(part) > first and at <= last:
                data += memoryview(part)[max(0, first - at):last + 1 - at]
            at += len(part)
        self.answer(206, data, [*headers, ("Content-Range", f"bytes {first}-{last}/{size}")])

    do_HEAD = do_GET

    def do_DELETE(self):
        OBJECTS.pop(self.parse(), None)
        self.answer(204)

    def list(self):
        names = sorted(key for key in OBJECTS if key.startswith(self.query.get("prefix", "")))
        start = int(self.query.get("continuation-token", 0))
        page = names[start:start + PAGE]
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{start + PAGE}</NextContinuationToken>" if start + PAGE < len(names) else "<IsTruncated>false</IsTruncated>"
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag><Size>{sum(map(len, OBJECTS[key][0]))}</Size>"
                       "<StorageClass>STANDARD</StorageClass></Contents>" for key in page)
        self.answer(200, f"<ListBucketResult><KeyCount>{len(page)}</KeyCount>{more}{rows}</ListBucketResult>".encode())


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that goes away without a farewell

    daemon_threads = True
    request_queue_size = 128


def main():
    certificate, key = sys.argv[1:3]
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until whoever started it goes away


if __name__ == "__main__":
    main()
