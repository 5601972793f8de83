# SPDX-License-Identifier: Apache-2.0
"""The judge is judged: what AWS's own clients send passes, and each kind of mistake is named."""
import datetime
import hashlib
import http.server
import json
import pathlib
import re
import ssl
import threading
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import pytest
import regex

import answers
import models
import shapes
from aws_account import KEY_ID, REGION, SECRET
from conftest import make_certificate
from faults import plain_refusal
from judge import Judge

PNG = b"\x89PNG" * 4
SERVICES = re.findall(r'^    \{"([a-z0-9-]+)", Protocol::', (pathlib.Path(__file__).resolve().parents[2] / "src/provider/aws/api/services.cc").read_text(), re.MULTILINE)


@pytest.fixture
def client(judge):
    def make(service, **more):
        return boto3.client(service, endpoint_url=judge.url, region_name=REGION, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET,
                            verify=judge.ca_file, config=botocore.config.Config(retries={"max_attempts": 0}, **more))
    return make


def test_what_boto3_sends_passes(judge, client):
    kms, s3, secrets = client("kms"), client("s3", s3={"addressing_style": "path"}), client("secretsmanager")
    key = kms.create_key(Description="k", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"x"
    s3.create_bucket(Bucket="abc", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="abc", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="abc", Key="a b/ü", Body=PNG, ServerSideEncryption="aws:kms", SSEKMSKeyId=key, Metadata={"m": "1"})
    assert s3.get_object(Bucket="abc", Key="a b/ü", Range="bytes=1-3")["Body"].read() == b"PNG"
    upload = s3.create_multipart_upload(Bucket="abc", Key="m")["UploadId"]
    part = s3.upload_part(Bucket="abc", Key="m", UploadId=upload, PartNumber=1, Body=PNG)
    s3.complete_multipart_upload(Bucket="abc", Key="m", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="abc")["Contents"]] == ["a b/ü", "m"]
    secrets.create_secret(Name="n", SecretString="s")
    client("sns").create_topic(Name="t", Attributes={"DisplayName": "d"})
    client("sts").get_caller_identity()
    client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    client("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}])
    client("logs").create_log_group(logGroupName="/g")
    client("cloudwatch").put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 1.5}])
    client("ecr").create_repository(repositoryName="abc")
    client("cloudformation").list_stacks()
    client("guardduty").list_detectors(MaxResults=5)
    client("route53").list_hosted_zones()
    client("sagemaker").list_training_jobs(MaxResults=1)
    client("events").put_rule(Name="r", ScheduleExpression="rate(1 day)")
    assert judge.violations == []
    assert {"kms:Encrypt", "s3:PutObject", "s3:ListBucket", "s3:GetObject", "secretsmanager:CreateSecret", "cloudwatch:PutMetricData"} <= judge.actions()
    assert len(judge.calls) == 25


def send(judge, service, body, *, headers=None, method="POST", path="/", change=None, time=None, region=REGION):
    """A request signed by botocore and then changed."""
    request = botocore.awsrequest.AWSRequest(method=method, url=judge.url + path, data=body, headers=headers or {})
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(KEY_ID, SECRET), service, region)
    signer.add_auth(request)
    prepared = request.prepare()
    sent = dict(prepared.headers)
    if change:
        body = change(sent, body) or body
    wire = urllib.request.Request(judge.url + path, body.encode() if isinstance(body, str) else body, {k: v if isinstance(v, str) else v.decode() for k, v in sent.items()}, method=method)
    try:
        with urllib.request.urlopen(wire, context=ssl.create_default_context(cafile=judge.ca_file)) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


KMS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Encrypt"}
JOB = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.CreateTrainingJob"}


@pytest.mark.parametrize("headers, body, says", [
    (KMS, {"Plaintext": "AAAA"}, "required and absent"),
    (KMS, {"KeyId": "k", "Plaintext": "AAAA", "Nonsense": 1}, "no such member"),
    (KMS, {"KeyId": 5, "Plaintext": "AAAA"}, "a string is asked for"),
    (KMS, {"KeyId": "k", "Plaintext": "AAAA", "EncryptionAlgorithm": "ROT13"}, "none of"),
    (KMS, {"KeyId": "", "Plaintext": "AAAA"}, "at least 1"),
    (KMS, {"KeyId": "k", "Plaintext": "not base64!"}, "not base64"),
    (KMS, {"KeyId": "k", "Plaintext": "A" * 8192}, "at most 4096"),
    (KMS, {"KeyId": "k", "Plaintext": "AAAA", "EncryptionContext": {"a": 1}}, "a string is asked for"),
    (KMS, {"KeyId": "k", "Plaintext": "AAAA", "GrantTokens": "g"}, "not a list"),
    (KMS, {"KeyId": None, "Plaintext": "AAAA"}, "null"),
    ({**KMS, "Content-Type": "application/json"}, {"KeyId": "k", "Plaintext": "AAAA"}, "Content-Type"),
    ({**KMS, "X-Amz-Target": "Other.Encrypt"}, {"KeyId": "k", "Plaintext": "AAAA"}, "X-Amz-Target"),
    ({**KMS, "X-Amz-Stray": "1"}, {"KeyId": "k", "Plaintext": "AAAA"}, "belongs to no member"),
])
def test_each_mistake_in_a_request_is_named(judge, headers, body, says):
    send(judge, "kms", json.dumps(body), headers=headers)
    assert any(says in violation for violation in judge.violations), judge.violations


def test_patterns_of_names_are_enforced(judge):
    send(judge, "sagemaker", json.dumps({"TrainingJobName": "under_score"}), headers=JOB)
    assert any("TrainingJobName: does not match" in violation for violation in judge.violations), judge.violations


def flip(sent, _):
    sent["Authorization"] = sent["Authorization"][:-1] + ("0" if sent["Authorization"][-1] != "0" else "1")


def other_body(sent, body):
    return body.replace("AAAA", "AAAB")


def unsigned_header(sent, _):
    sent["X-Amz-User-Agent"] = "stray"


def no_signature(sent, _):
    del sent["Authorization"]


def another_key(sent, _):
    sent["Authorization"] = sent["Authorization"].replace(KEY_ID, "AKIDEXAMPLEEXAMPLE99")


@pytest.mark.parametrize("change, says", [(flip, "not the one of this request"), (other_body, "signature"), (unsigned_header, "not signed"),
                                          (no_signature, "is not signed"), (another_key, "nobody has this access key")])
def test_a_signature_that_is_not_the_requests_is_refused(judge, change, says):
    assert send(judge, "kms", json.dumps({"KeyId": "k", "Plaintext": "AAAA"}), headers=KMS, change=change) == 403
    assert any(says in violation for violation in judge.violations), judge.violations


def test_a_stale_request_is_refused(judge):
    judge.skew = datetime.timedelta(minutes=6)
    assert send(judge, "kms", json.dumps({"KeyId": "k", "Plaintext": "AAAA"}), headers=KMS) == 400


def test_an_object_whose_body_is_another_one_is_refused(judge):
    body = "contents"
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()}
    assert send(judge, "s3", body, headers=headers, method="PUT", path="/abc/key") == 403
    assert any("body" in violation for violation in judge.violations)


class Peer:
    """An account whose every answer is the test's own."""

    def __init__(self, status, body, content_type="application/x-amz-json-1.1"):
        peer = self
        self.status, self.body = status, body

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(peer.status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(peer.body)))
                self.end_headers()
                self.wfile.write(peer.body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.mark.parametrize("status, body, says", [
    (200, {"CiphertextBlob": "AAAA", "KeyId": "k", "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, None),
    (200, {"CiphertextBlob": "AAAA", "KeyId": "k", "EncryptionAlgorithm": "ROT13"}, "none of"),
    (200, {"CiphertextBlob": "AAAA", "Key": "k"}, "no such member"),
    (200, {"CiphertextBlob": "no base64!"}, "not base64"),
    (400, {"__type": "DisabledException", "message": "m"}, None),
    (400, {"__type": "ThrottlingException", "message": "m"}, None),
    (400, {"__type": "NoSuchBucket", "message": "m"}, "no error of the operation"),
])
def test_an_answer_that_a_test_invents_is_held_against_the_model(tmp_path, status, body, says):
    certificate, key = make_certificate(tmp_path)
    peer = Peer(status, json.dumps(body).encode())
    judge = Judge(peer.url, certificate, key, {KEY_ID: SECRET}, is_ours=True)
    judge.ca_file = str(certificate)
    send(judge, "kms", json.dumps({"KeyId": "k", "Plaintext": "AAAA"}), headers=KMS)
    assert len(judge.violations) == (says is not None) and all(says in violation for violation in judge.violations), judge.violations
    judge.close()
    peer.server.shutdown()


@pytest.mark.parametrize("kind", ["throttling", "error_500", "error_503", "expired_token", "access_denied"])
def test_the_faults_are_errors_of_every_service_and_operation(kind):
    wrong = set()
    for service in SERVICES:
        for operation in models.model_of(service).operation_names:
            wrong |= {(service, problem) for problem in answers.problems_of(service, operation, *plain_refusal(kind, service, operation))}
    assert wrong == set()


def test_no_pattern_of_a_model_goes_unchecked():
    patterns = set()
    for service in SERVICES:
        model = models.model_of(service)
        patterns |= {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}
    unread = []
    for pattern in patterns:
        try:
            shapes.compiled(pattern)
        except regex.error as problem:
            unread.append((pattern, str(problem)))
    assert len(patterns) > 600 and unread == []


@pytest.mark.parametrize("pattern, good, bad", [
    (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Zü 9_.:/=+-@", "a!"), (r"\p{Print}+", "plain ~", "ü"), (r"arn:[\p{Alnum}\-]+", "arn:aws-cn", "arn:aws_cn"),
    (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", "a+1!", "a b"), (r"\A\S[\p{Print}]*\z", "x y", " x"), (r"[\w-_]*", "a-_", "a.b"),
    (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\U0001f512", "\n"),
])
def test_patterns_that_python_reads_otherwise_mean_what_java_means(pattern, good, bad):
    assert shapes.compiled(pattern).fullmatch(good) and not shapes.compiled(pattern).fullmatch(bad)
