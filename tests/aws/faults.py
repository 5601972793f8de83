# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a program and AWS, in the words of each service."""
import datetime
import json
import socket
import struct
import time
from xml.sax.saxutils import escape

import models

# The code that a service throttles with, refuses with, and says that it is busy or broken with, where it is not the common one.
THROTTLING = {"s3": (503, "SlowDown"), "ec2": (503, "RequestLimitExceeded"), "sns": (400, "Throttling"), "sts": (400, "Throttling"), "route53": (400, "Throttling"),
              "cloudformation": (400, "Throttling"), "iam": (400, "Throttling"), "guardduty": (400, "ThrottlingException"), "inspector2": (429, "ThrottlingException"), "securityhub": (429, "ThrottlingException"),
              "accessanalyzer": (429, "ThrottlingException"), "scheduler": (429, "ThrottlingException")}
DENIED = {"sns": (403, "AuthorizationError"), "ec2": (403, "UnauthorizedOperation"), "inspector2": (403, "AccessDeniedException"),
          "accessanalyzer": (403, "AccessDeniedException"), "securityhub": (403, "AccessDeniedException"), "guardduty": (403, "AccessDeniedException")}
QUOTA = {"sagemaker": "ResourceLimitExceeded", "s3": "TooManyBuckets", "sns": "TopicLimitExceeded", "iam": "LimitExceeded", "cloudformation": "LimitExceededException"}
XML = ("query", "ec2", "rest-xml")


def refusal(service, status, code, message, headers=()):
    """An error's answer in the service's protocol."""
    protocol = models.protocol_of(service)
    xml = [("Content-Type", "text/xml"), *headers]
    if service == "s3":
        return status, [("Content-Type", "application/xml"), ("x-amz-request-id", "REQ1"), *headers], f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>REQ1</RequestId></Error>".encode()
    if protocol == "ec2":
        return status, xml, f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors><RequestID>REQ1</RequestID></Response>".encode()
    if protocol in ("query", "rest-xml"):
        return status, xml, f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error><RequestId>REQ1</RequestId></ErrorResponse>".encode()
    if protocol == "rest-json":
        return status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code), *headers], json.dumps({"message": message}).encode()
    return status, [("Content-Type", "application/x-amz-json-1.1"), *headers], json.dumps({"__type": code, "message": message}).encode()


def plain_refusal(kind, service, operation):
    """The answer of a fault that has no settings of its own; None for a kind that is none of these."""
    is_xml, is_s3 = models.protocol_of(service) in XML, service == "s3"
    action = f"{service}:{operation}"
    denied = DENIED.get(service, (403, "AccessDenied") if is_xml else (400, "AccessDeniedException"))
    expired = {"s3": (400, "ExpiredToken"), "ec2": (400, "RequestExpired")}.get(service, (403, "ExpiredToken") if is_xml else (400, "ExpiredTokenException"))
    table = {
        "throttling": (*THROTTLING.get(service, (400, "ThrottlingException")), "Rate exceeded"),
        "error_500": (500, "InternalError" if service in ("s3", "ec2") else "InternalFailure", "We encountered an internal error. Please try again."),
        "error_503": (503, "ServiceUnavailable", "Service is unable to handle request."),
        "expired_token": (*expired, "The provided token has expired."),
        "access_denied": (*denied, f"User: arn:aws:iam::123456789012:user/t is not authorized to perform: {action} because no identity-based policy allows the {action} action"),
        "quota": (403 if service == "sns" else 409 if service == "iam" else 400, QUOTA.get(service, "LimitExceededException"), "The account-level service limit was exceeded.")}
    if kind == "wrong_region":
        message = "The bucket you are attempting to access must be addressed using the specified endpoint."
        return refusal(service, 301, "PermanentRedirect", message, [("x-amz-bucket-region", "us-west-2")]) if is_s3 else None
    return refusal(service, *table[kind]) if kind in table else None


def skewed(service, stamp, now):
    """What a request is refused with whose time, `stamp`, is not the service's."""
    is_past = stamp < now.strftime("%Y%m%dT%H%M%SZ")
    limit = (now + datetime.timedelta(minutes=-5 if is_past else 5)).strftime("%Y%m%dT%H%M%SZ")
    message = f"Signature {'expired' if is_past else 'not yet current'}: {stamp} is {'now earlier' if is_past else 'still later'} than {limit} ({now:%Y%m%dT%H%M%SZ} {'-' if is_past else '+'} 5 min.)"
    protocol = models.protocol_of(service)
    if service == "s3":
        return refusal(service, 403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
    if protocol == "ec2":
        return refusal(service, 400, "RequestExpired", "Request has expired.") if is_past else refusal(service, 403, "AuthFailure", "AWS was not able to validate the provided access credentials")
    if protocol in XML:
        return refusal(service, 403, "SignatureDoesNotMatch", message)
    return refusal(service, 403 if protocol == "rest-json" else 400, "InvalidSignatureException", message)


def reset(connection):
    """The peer's kernel forgets the connection."""
    connection.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close_connection = True
    connection.connection.shutdown(socket.SHUT_RDWR)


# What a reader says of a thing that was made a moment ago, where it is not ResourceNotFoundException.
NOT_FOUND = {"kms": (400, "NotFoundException"), "sagemaker": (400, "ResourceNotFound"), "ecr": (400, "RepositoryNotFoundException"),
             "iam": (404, "NoSuchEntity"), "cloudformation": (400, "ValidationError"), "s3": (404, "NoSuchBucket"), "sns": (404, "NotFound"), "route53": (404, "NoSuchHostedZone")}
# SageMaker's older operations model no error of it.
UNMODELLED_NOT_FOUND = {"DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel", "DescribeModelPackage", "DescribeModelPackageGroup", "ListTags", "AddTags", "UpdateModelPackage", "CreateEndpoint", "CreateEndpointConfig"}


def not_yet(service, operation):
    status, code = NOT_FOUND.get(service, (400, "ResourceNotFoundException"))
    if service == "ecr" and operation == "DescribeImageScanFindings":
        code = "ScanNotFoundException"
    if service == "sagemaker" and operation in UNMODELLED_NOT_FOUND:
        code = "ValidationException"
    return refusal(service, status, code, "Could not find the requested resource: it does not exist")


def emptied(service, operation, answer):
    """A listing of a moment ago, when nothing was there; what is told of one named thing is whole or is not there."""
    status, headers, body = answer
    if not models.is_listing(service, operation):
        return answer
    try:
        told = json.loads(body)
    except ValueError:
        return answer
    return status, headers, json.dumps({name: [] if isinstance(member, list) else member for name, member in told.items()}).encode()


class Fault:
    """What the next `times` calls of an operation ("*": any) meet. kind: throttling, error_500, error_503, expired_token,
    access_denied, quota, wrong_region, reset_before (the request never arrives), reset_after (it was carried out, and nobody hears of
    it), truncated (the answer breaks off), flipped (its last byte is another one), slow, not_yet (a reader does not know of what was
    made a moment ago), stale (it answers as it did before, a listing is empty at first), refuse with `status`, `code`, `message` and
    `headers`. `where`, a function of the operation's members, narrows it down. `does` is called before anything else: what others do
    meanwhile. No fault at all is answer with `body` (JSON, or XML as text): what a service would say that the account behind can't."""

    SPOILS = ("reset_after", "truncated", "flipped", "stale")

    def __init__(self, service, operation, kind, times, more):
        self.service, self.operation, self.kind, self.times, self.more = service, operation, kind, times, more

    def meets(self, service, operation, members):
        return (self.times > 0 and self.service in ("*", service) and self.operation in ("*", operation)
                and ("where" not in self.more or self.more["where"](members)))

    def before(self, service, operation, connection):
        """The answer in the account's place, "dropped", or None where the request goes on."""
        if "does" in self.more:
            self.more["does"]()
        if self.kind == "reset_before":
            reset(connection)
            return "dropped"
        if self.kind == "answer":
            body = self.more["body"]
            if isinstance(body, str):
                return self.more.get("status", 200), [("Content-Type", "application/xml"), *self.more.get("headers", ())], body.encode()
            return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(body).encode()
        if self.kind == "slow":
            time.sleep(self.more.get("seconds", 1))
        if self.kind == "refuse":
            return refusal(service, self.more["status"], self.more["code"], self.more.get("message", "refused"), self.more.get("headers", ()))
        if self.kind == "not_yet":
            return not_yet(service, operation)
        return plain_refusal(self.kind, service, operation)

    def after(self, service, operation, connection, answer, earlier):
        """The answer as it arrives; None where it does not. `earlier` is what the same question was answered with before."""
        if self.kind == "reset_after":
            reset(connection)
            return None
        status, headers, body = answer
        if self.kind == "flipped":
            return status, headers, body[:-1] + bytes([body[-1] ^ 1])
        if self.kind == "stale":
            return earlier or emptied(service, operation, answer)
        if self.kind != "truncated":
            return answer
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
