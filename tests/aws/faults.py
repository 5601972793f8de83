# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a program and AWS, in the words of each service."""
import json
import socket
import struct
import time
from xml.sax.saxutils import escape

import models

# The code that a service throttles with.
THROTTLING = {"s3": (503, "SlowDown"), "ec2": (503, "RequestLimitExceeded"), "sns": (400, "Throttling"), "sts": (400, "Throttling"),
              "cloudformation": (400, "Throttling"), "iam": (400, "Throttling"), "ecr": (400, "ThrottlingException"), "kms": (400, "ThrottlingException")}


def refusal(service, status, code, message):
    """An error's answer in the service's protocol."""
    protocol = models.protocol_of(service)
    if service == "s3":
        return status, [("Content-Type", "application/xml")], f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>judge</RequestId></Error>".encode()
    if protocol == "ec2":
        return status, [("Content-Type", "text/xml")], f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors><RequestID>judge</RequestID></Response>".encode()
    if protocol in ("query", "rest-xml"):
        return status, [("Content-Type", "text/xml")], f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error><RequestId>judge</RequestId></ErrorResponse>".encode()
    if protocol == "rest-json":
        return status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)], json.dumps({"message": message}).encode()
    return status, [("Content-Type", "application/x-amz-json-1.1")], json.dumps({"__type": code, "message": message}).encode()


def reset(connection):
    """The peer's kernel forgets the connection."""
    connection.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close_connection = True
    connection.connection.shutdown(socket.SHUT_RDWR)


class Fault:
    """kind: throttling, error_500, error_503, expired_token, access_denied, quota, wrong_region, reset_before (the request never
    arrives), reset_after (it was carried out, and nobody hears of it), truncated (the answer breaks off), slow, and refuse with
    `status`, `code` and `message`. No fault at all is answer with `body`: what a service would say that the account behind can't."""

    def __init__(self, service, operation, kind, times, more):
        self.service, self.operation, self.kind, self.times, self.more = service, operation, kind, times, more

    def before(self, service, connection):
        if self.kind == "reset_before":
            reset(connection)
            return "dropped"
        if self.kind == "answer":
            return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(self.more["body"]).encode()
        if self.kind == "slow":
            time.sleep(self.more.get("seconds", 1))
        if self.kind == "throttling":
            status, code = THROTTLING.get(service, (400, "ThrottlingException"))
            return refusal(service, status, code, "Rate exceeded")
        plain = {"error_500": (500, "InternalError" if service == "s3" else "InternalFailure", "We encountered an internal error. Please try again."),
                 "error_503": (503, "ServiceUnavailable", "Service is unable to handle request."),
                 "expired_token": (400 if service in ("s3",) else 403, "ExpiredToken" if service in ("s3", "sts") else "ExpiredTokenException", "The provided token has expired."),
                 "access_denied": (403, "AccessDenied" if service in ("s3", "sts") else "AccessDeniedException",
                                   f"User: arn:aws:iam::123456789012:user/t is not authorized to perform: {service}:{self.operation} because no identity-based policy allows the {service}:{self.operation} action"),
                 "quota": (400, "ResourceLimitExceeded" if service == "sagemaker" else "LimitExceededException", "The account-level service limit was exceeded."),
                 "wrong_region": (301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.")}
        if self.kind in plain:
            return refusal(service, *plain[self.kind])
        if self.kind == "refuse":
            return refusal(service, self.more["status"], self.more["code"], self.more.get("message", "refused"))
        return None

    def after(self, connection, answer):
        if self.kind == "reset_after":
            reset(connection)
            return None
        if self.kind == "truncated":
            status, headers, body = answer
            connection.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    connection.send_header(name, value)
            connection.send_header("Content-Length", str(len(body)))
            connection.end_headers()
            connection.wfile.write(body[:len(body) // 2])
            connection.wfile.flush()
            reset(connection)
            return None
        return answer
