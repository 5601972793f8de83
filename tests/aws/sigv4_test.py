# SPDX-License-Identifier: Apache-2.0
"""Our Signature Version 4 against AWS's published test suite and against botocore's signer on random requests."""
import datetime
import hashlib
import json
import os
import pathlib
import random
import string
import subprocess
from urllib.parse import quote, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EMPTY = hashlib.sha256(b"").hexdigest()


def signed(orders):
    done = subprocess.run([BUILD / "aws_tool"], input="".join(json.dumps({"do": "sign", **order}) + "\n" for order in orders), capture_output=True,
                          text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


# The suite's cases as AWS's documentation publishes them: name, method, path as sent, query, headers beside host and date, body,
# signature. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-testing.html
SUITE = [
    ("get-vanilla", "GET", "/", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-query", "GET", "/", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-empty-query-key", "GET", "/", [["Param1", "value1"]], [], "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-order-key-case", "GET", "/", [["Param2", "value2"], ["Param1", "value1"]], [], "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-unreserved", "GET", "/", [["-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"] * 2], [], "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/", [["ሴ", "bar"]], [], "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", [], [], "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", "GET", "/ሴ", [], [], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-space", "GET", "/example space/", [], [], "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("get-relative", "GET", "/example/..", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-relative", "GET", "/example1/example2/../..", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash", "GET", "//", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-dot-slash", "GET", "/./", [], [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-pointless-dot", "GET", "/./example", [], [], "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("get-slashes", "GET", "//example//", [], [], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-header-key-duplicate", "GET", "/", [], [["My-Header1", "value2"], ["My-Header1", "value2"], ["My-Header1", "value1"]], "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-order", "GET", "/", [], [["My-Header1", "value4"], ["My-Header1", "value1"], ["My-Header1", "value3"], ["My-Header1", "value2"]], "",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", [], [["My-Header1", " value1"], ["My-Header2", ' "a   b   c"']], "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("post-vanilla", "POST", "/", [], [], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-vanilla-query", "POST", "/", [["Param1", "value1"]], [], "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-header-key-sort", "POST", "/", [], [["My-Header1", "value1"]], "", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", [], [["My-Header1", "VALUE1"]], "", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-x-www-form-urlencoded", "POST", "/", [], [["Content-Type", "application/x-www-form-urlencoded"]], "Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ("post-x-www-form-urlencoded-parameters", "POST", "/", [], [["Content-Type", "application/x-www-form-urlencoded; charset=utf8"]], "Param1=value1",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
]


def test_every_case_of_the_published_suite():
    orders = [{"method": method, "path": path, "query": query, "payload_hash": hashlib.sha256(body.encode()).hexdigest(),
               "headers": [["Host", "example.amazonaws.com"], *headers, ["X-Amz-Date", "20150830T123600Z"]], "service": "service",
               "region": "us-east-1", "time": "2015-08-30T12:36:00Z", "access_key_id": KEY_ID, "secret_access_key": SECRET}
              for _, method, path, query, headers, body, _ in SUITE]
    wrong = [case[0] for case, answer in zip(SUITE, signed(orders)) if answer["signature"] != case[-1]]
    assert not wrong


class Signer:
    """botocore's signer with its clock held, and what it makes of a request."""

    def __init__(self, order, monkeypatch):
        self.order, self.credentials = order, botocore.credentials.Credentials(order["access_key_id"], order["secret_access_key"], order.get("session_token"))
        query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in order["query"])
        self.request = botocore.awsrequest.AWSRequest(order["method"], f"https://{order['headers'][0][1]}{order['path']}" + (f"?{query}" if query else ""),
                                                      data=order["body"].encode())
        for name, value in order["headers"][1:]:
            self.request.headers.add_header(name, value)
        self.request.headers["Host"] = order["headers"][0][1]
        moment = datetime.datetime.fromisoformat(order["time"].replace("Z", "+00:00"))
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None) if remove_tzinfo else moment)

    def header(self):
        order = self.order
        kind = botocore.auth.S3SigV4Auth if order["service"] == "s3" else botocore.auth.SigV4Auth
        self.request.context["payload_signing_enabled"] = True
        kind(self.credentials, order["service"], order["region"]).add_auth(self.request)
        return self.request.headers["Authorization"]

    def url_query(self):
        order = self.order
        kind = botocore.auth.S3SigV4QueryAuth if order["service"] == "s3" else botocore.auth.SigV4QueryAuth
        kind(self.credentials, order["service"], order["region"], expires=order["expires"]).add_auth(self.request)
        return urlsplit(self.request.url).query


TEXT = string.ascii_letters + string.digits + " -_.~!$&'()*+,;=:@/%äßሴ🔒\"<>|^`{}[]#?\\"


def word(order, most=12, least=0, letters=TEXT):
    return "".join(order.choice(letters) for _ in range(order.randint(least, most)))


def random_order(order):
    service = order.choice(["s3", "s3", "kms", "sagemaker", "guardduty", "iam"])
    segments = [quote(word(order, least=1).replace("/", ""), safe="-_.~") for _ in range(order.randint(0, 4))]
    if service != "s3":  # they normalise paths
        segments = [segment for segment in segments for segment in ([segment, order.choice(["", ".", ".."])] if order.random() < 0.2 else [segment])]
    body = word(order, 40)
    headers = [["host", order.choice(["kms.eu-central-1.amazonaws.com", "bucket.s3.amazonaws.com", "localhost:8443"])]]
    for number in range(order.randint(0, 4)):
        value = word(order, 20, letters=string.ascii_letters + string.digits + "  ;=,/").strip()
        headers.append([order.choice(["x-amz-meta-a", "X-Amz-Target", "content-type", f"X-Other-{number}", "range"]), value])
    headers = [header for at, header in enumerate(headers) if header[0].lower() not in [other[0].lower() for other in headers[:at]]]
    moment = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=order.randrange(1_500_000_000))
    made = {"method": order.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]), "path": "/" + "/".join(segments), "service": service, "body": body,
            "query": [[word(order, least=1), word(order)] for _ in range(order.randint(0, 4))], "headers": headers, "region": order.choice(["us-east-1", "cn-north-1"]),
            "payload_hash": hashlib.sha256(body.encode()).hexdigest(), "time": moment.isoformat().replace("+00:00", "Z"),
            "access_key_id": "AKIA" + word(order, 16, 16, string.ascii_uppercase), "secret_access_key": word(order, 40, 1, string.ascii_letters + "/+")}
    if order.random() < 0.5:
        made["session_token"] = word(order, 300, 1, string.ascii_letters + "/+=")
    return made


def test_headers_of_random_requests_are_botocores(monkeypatch):
    order = random.Random(20150830)
    orders = [random_order(order) for _ in range(2500)]
    wrong = []
    for given, answer in zip(orders, signed(orders)):
        theirs = Signer(given, monkeypatch).header()
        if answer["headers"]["authorization"] != theirs:
            wrong.append((given, answer["canonical_request"], theirs))
    assert not wrong, f"{len(wrong)} of {len(orders)}, the first: {wrong[0]}"


def test_presigned_urls_of_random_requests_are_botocores(monkeypatch):
    order = random.Random(20130524)
    orders = [{**random_order(order), "expires": order.randint(1, 604800)} for _ in range(1500)]
    for given in orders:
        given["headers"], given["body"] = given["headers"][:1], ""
        given["payload_hash"] = "UNSIGNED-PAYLOAD" if given["service"] == "s3" else EMPTY
    wrong = []
    for given, answer in zip(orders, signed(orders)):
        ours, theirs = [sorted(query.split("&")) for query in (answer["query"], Signer(given, monkeypatch).url_query())]
        if ours != theirs:
            wrong.append((given, ours, theirs))
    assert not wrong, f"{len(wrong)} of {len(orders)}, the first: {wrong[0]}"
