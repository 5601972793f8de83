# SPDX-License-Identifier: Apache-2.0
"""boto3's sagemaker-runtime client, unchanged but for its address, against the gateway."""
import datetime
import json

import boto3
import botocore.config
import botocore.exceptions
import pytest

from gateway_server import serving

CHAT = json.dumps({"messages": [{"role": "user", "content": "hello there"}]})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("sagemaker")) as server:
        yield server


def client(server, secret=None, access=None, region="us-east-1", token=None):
    return boto3.client("sagemaker-runtime", endpoint_url=server.url, verify=server.ca_file, region_name=region, aws_session_token=token,
                        aws_access_key_id=access or server.access_key_id, aws_secret_access_key=secret or server.secret_access_key,
                        config=botocore.config.Config(retries={"total_max_attempts": 1}))


def test_an_endpoint_is_invoked(server):
    answer = client(server).invoke_endpoint(EndpointName="bot", ContentType="application/json", Body=CHAT)
    assert answer["ContentType"] == "application/json"
    assert json.load(answer["Body"])["choices"][0]["message"]["content"] == "hello there "
    inputs = client(server).invoke_endpoint(EndpointName="bot", ContentType="application/json", Body=json.dumps({"inputs": "a b", "parameters": {"max_new_tokens": 1}}))
    assert json.load(inputs["Body"]) == [{"generated_text": "a "}]


def parts_of(answer):
    return b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()


def test_an_answer_is_streamed(server):
    answer = client(server).invoke_endpoint_with_response_stream(EndpointName="bot", ContentType="application/json", Body=CHAT)
    lines = [line.removeprefix("data: ") for line in parts_of(answer).split("\n\n") if line]
    assert lines[-1] == "[DONE]" and answer["ContentType"] == "text/event-stream"
    assert "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]) == "hello there "


def test_a_stream_that_breaks_raises(server):
    answer = client(server).invoke_endpoint_with_response_stream(EndpointName="bot", ContentType="application/json", Body=json.dumps({"messages": [{"role": "user", "content": "half"}]}))
    with pytest.raises(botocore.exceptions.EventStreamError, match="InternalStreamFailure.*the model could not answer, try again"):
        parts_of(answer)


def refused(client, body=CHAT, name="bot", **more):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body, **more)
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"], error.value.response["Error"]["Message"]


def test_errors_are_sagemakers(server):
    assert refused(client(server), name="other")[:2] == ("ValidationError", 404)
    assert refused(client(server), body="{")[:2] == ("ValidationError", 400)
    code, status, message = refused(client(server), body=json.dumps({"messages": [{"role": "user", "content": "fail"}]}))
    assert (code, status) == ("ServiceUnavailable", 503) and "secret detail" not in message
    assert "target-variant" in refused(client(server), TargetVariant="green")[2]


def test_only_its_own_signature_over_its_own_scope_is_taken(server):
    for wrong in (client(server, secret="x" * 40), client(server, access="RDTK000000000000"), client(server, region="eu-west-1"), client(server, token="session")):
        assert refused(wrong)[:2] == ("AccessDeniedException", 401)


def test_a_clock_that_is_six_minutes_wrong_is_refused(server, monkeypatch):
    import botocore.auth
    late = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=6)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: late.replace(tzinfo=None))
    assert refused(client(server))[:2] == ("AccessDeniedException", 401)


def test_a_body_that_was_changed_on_its_way_is_refused(server):
    changed = client(server)
    changed.meta.events.register("before-send.*", lambda request, **_: setattr(request, "body", request.body.replace(b"hello", b"jello")))
    assert refused(changed)[:2] == ("AccessDeniedException", 401)
