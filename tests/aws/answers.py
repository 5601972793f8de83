# SPDX-License-Identifier: Apache-2.0
"""Answers judged by botocore's service models: a success by the operation's output, an error by the codes that the operation may
give, with the status that the model names for it."""
import json
import xml.etree.ElementTree as ElementTree

import models
from shapes import Check, from_xml, scalar

# "Common Error Types" of the API references.
COMMON = {"AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException", "InternalFailure", "InvalidSignatureException",
          "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired", "RequestExpired", "RequestTimeTooSkewed", "ServiceUnavailable",
          "SignatureDoesNotMatch", "ThrottlingException", "UnrecognizedClientException", "ValidationException", "MissingAuthenticationToken", "InvalidClientTokenId"}
COMMON_QUERY = {"AccessDenied", "ExpiredToken", "Throttling", "ValidationError", "RequestLimitExceeded"}
# Services that name few of their errors in the model: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and EC2's.
UNMODELLED = {
    "s3": {"AccessDenied": 403, "AuthorizationHeaderMalformed": 400, "BadDigest": 400, "BucketAlreadyExists": 409, "BucketAlreadyOwnedByYou": 409,
           "ConditionalRequestConflict": 409, "EntityTooLarge": 400, "EntityTooSmall": 400, "ExpiredToken": 400, "IllegalLocationConstraintException": 400, "InternalError": 500, "InvalidAccessKeyId": 403,
           "InvalidPart": 400, "InvalidPartOrder": 400, "InvalidRange": 416, "InvalidRequest": 400, "KMS.DisabledException": 400, "KMS.KMSInvalidStateException": 400,
           "KMS.NotFoundException": 400, "MissingAuthenticationToken": 403, "NoSuchBucket": 404, "NoSuchKey": 404, "NoSuchUpload": 404, "OperationAborted": 409,
           "PermanentRedirect": 301, "PreconditionFailed": 412, "RequestTimeTooSkewed": 403, "RequestTimeout": 400, "ServiceUnavailable": 503,
           "SignatureDoesNotMatch": 403, "SlowDown": 503, "TooManyBuckets": 400, "XAmzContentSHA256Mismatch": 400},
    "ec2": {"AuthFailure": 403, "InternalError": 500, "RequestExpired": 400, "RequestLimitExceeded": 503, "ServiceUnavailable": 503, "Unavailable": 503,
            "UnauthorizedOperation": 403},
}

# S3 begins to answer these before it knows how they end.
LATE = {"CompleteMultipartUpload", "CopyObject", "UploadPartCopy"}


def problems_of(service, operation, status, headers, body):
    """What is wrong with an answer; nothing where the operation is not known."""
    if operation is None:
        return []
    try:
        if status >= 300:
            return problems_of_error(service, operation, status, headers, body)
        if operation in LATE and body.startswith(b"<Error>"):
            code = code_of(service, headers, body)
            return [] if code in UNMODELLED["s3"] else [f"answer: {code} is no error of the operation"]
        problems = []
        shape = models.model_of(service).operation_model(operation).output_shape
        if shape is not None:
            Check(problems).value(shape, members_of(service, operation, shape, headers, body), "answer")
        return problems
    except (ValueError, ElementTree.ParseError) as problem:
        return [f"answer: can't be read: {problem}"]


def members_of(service, operation, shape, headers, body):
    protocol = models.protocol_of(service)
    if protocol == "json":
        return json.loads(body or b"{}")
    if protocol in ("query", "ec2"):
        root = ElementTree.fromstring(body)
        wrapper = shape.serialization.get("resultWrapper")
        element = root if wrapper is None else next((node for node in root if node.tag.rpartition("}")[2] == wrapper), root)
        members = from_xml(shape, element)
        for extra in ("?requestId", "?ResponseMetadata"):
            members.pop(extra, None)
        return members
    return rest_members(protocol, shape, headers, body)


def rest_members(protocol, shape, headers, body):
    told = {name.lower(): value for name, value in headers}
    members, in_body = {}, {}
    for name, member in shape.members.items():
        where, key = member.serialization.get("location"), member.serialization.get("name", name)
        if where == "header" and key.lower() in told:
            members[name] = scalar(member, told[key.lower()])
        if where is None:
            in_body[key] = name
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name in ("blob", "string"):
        members[payload] = body
    elif body:
        target = shape.members[payload] if payload else shape
        value = from_xml(target, ElementTree.fromstring(body)) if protocol == "rest-xml" else json.loads(body)
        if payload:
            members[payload] = value
        else:
            members.update({in_body.get(key, key): inner for key, inner in value.items()})
    return members


def code_of(service, headers, body):
    """The code of an error's answer, without what services put around it; None for an answer without a body."""
    protocol = models.protocol_of(service)
    if not body:
        return None
    if protocol in ("json", "rest-json"):
        named = next((value for name, value in headers if name.lower() == "x-amzn-errortype"), None)
        told = json.loads(body)
        return (named or told.get("__type") or told.get("code") or "").partition(":")[0].rpartition("#")[2]
    found = next((node.text for node in ElementTree.fromstring(body).iter() if node.tag.rpartition("}")[2] == "Code"), "")
    return found or ""


def problems_of_error(service, operation, status, headers, body):
    code = code_of(service, headers, body)
    if code is None:  # HEAD, and S3's redirects
        return [] if service == "s3" else ["answer: an error without a code"]
    if code in UNMODELLED.get(service, {}):
        expected = UNMODELLED[service][code]
        return [] if status == expected else [f"answer: {code} comes with status {expected}, not {status}"]
    for shape in models.model_of(service).operation_model(operation).error_shapes:
        error = shape.metadata.get("error", {})
        if code in (error.get("code"), shape.name):
            expected = error.get("httpStatusCode", status)
            return [] if expected == status else [f"answer: {code} comes with status {expected}, not {status}"]
    if code in COMMON or (models.protocol_of(service) in ("query", "ec2", "rest-xml") and code in COMMON_QUERY):
        return []
    return [f"answer: {code} is no error of the operation"]
