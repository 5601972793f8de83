# SPDX-License-Identifier: Apache-2.0
"""Signature Version 4 as a service verifies it, from AWS's documentation and with nothing of botocore's."""
import collections
import datetime
import hashlib
import hmac
import re
import urllib.parse

Scope = collections.namedtuple("Scope", "key_id date region service signed signature presigned")
UNSIGNED, TRAILER = "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"  # over TLS
MAXIMUM_AGE = datetime.timedelta(minutes=5)


def scope_of(request):
    """Who signed and for what; None where nothing is signed."""
    text = request.header("authorization")
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", text)
    if match:
        key_id, date, region, service, signed, signature = match.groups()
        return Scope(key_id, date, region, service, signed.split(";"), signature, False)
    query = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
    if "X-Amz-Credential" not in query:
        return None
    key_id, date, region, service, _ = query["X-Amz-Credential"].split("/")
    return Scope(key_id, date, region, service, query["X-Amz-SignedHeaders"].split(";"), query["X-Amz-Signature"], True)


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_query(query, presigned):
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name, value = urllib.parse.unquote(name), urllib.parse.unquote(value)
        if not (presigned and name == "X-Amz-Signature"):
            pairs.append((encode(name), encode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical_path(path, service):
    if service == "s3":  # encoded once, never normalised
        return path or "/"
    return "/".join(encode(segment) for segment in path.split("/")) or "/"


def problem_of(request, scope, secrets, now):
    """The code and the reason for which a service refuses the request; None where its signature is right."""
    if scope is None:
        return "MissingAuthenticationToken", "the request is not signed"
    if scope.key_id not in secrets:
        return "InvalidClientTokenId", "nobody has this access key"
    present = {name.lower() for name, _ in request.headers}
    if "host" not in scope.signed:
        return "SignatureDoesNotMatch", "the host is not signed"
    unsigned = sorted(name for name in present if name.startswith("x-amz-") and name not in scope.signed)
    if unsigned:
        return "SignatureDoesNotMatch", f"not signed: {', '.join(unsigned)}"
    if list(scope.signed) != sorted(scope.signed):
        return "SignatureDoesNotMatch", "the signed headers are not sorted"
    query = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
    stamp = query.get("X-Amz-Date") if scope.presigned else request.header("x-amz-date")
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp or "") or not stamp.startswith(scope.date):
        return "IncompleteSignature", "the date is missing, or not the scope's"
    age = now - datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if not scope.presigned and abs(age) > MAXIMUM_AGE:
        return "RequestTimeTooSkewed", "the difference between the request time and the current time is too large"
    hashed = hashlib.sha256(request.body).hexdigest()
    declared = request.header("x-amz-content-sha256") or (UNSIGNED if scope.presigned else hashed)
    if scope.service == "s3" and not scope.presigned and "x-amz-content-sha256" not in present:
        return "InvalidRequest", "x-amz-content-sha256 is missing"
    if declared not in (hashed, UNSIGNED, TRAILER):
        return "XAmzContentSHA256Mismatch", "the body is not the one that was signed"
    if declared != hashed and scope.service != "s3":
        return "SignatureDoesNotMatch", "a body that is not signed"
    headers = collections.defaultdict(list)
    for name, value in request.headers:
        headers[name.lower()].append(" ".join(value.split()))
    missing = [name for name in scope.signed if name not in headers]
    if missing:
        return "SignatureDoesNotMatch", f"signed, but not sent: {', '.join(missing)}"
    canonical = "\n".join([request.method, canonical_path(request.path, scope.service), canonical_query(request.query, scope.presigned),
                           "".join(f"{name}:{','.join(headers[name])}\n" for name in scope.signed), ";".join(scope.signed), declared])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, f"{scope.date}/{scope.region}/{scope.service}/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secrets[scope.key_id]).encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), scope.signature):
        return "SignatureDoesNotMatch", "the signature is not the one of this request"
    return None
