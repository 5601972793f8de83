# SPDX-License-Identifier: Apache-2.0
"""The deployed endpoint under odd and hostile requests, over the built program and a small model."""
import json

import pytest

from conftest import Endpoint, deploy_tiny


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    redoubt = deploy_tiny(tmp_path_factory.mktemp("endpoint"), tiny_hub)
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


@pytest.fixture
def endpoint(deployed):
    """Checks after each test that the same process goes on and answers."""
    endpoint = Endpoint(deployed)
    yield endpoint
    now = deployed.json("endpoint", "status", "--environment", "dev")
    assert now["running"] and now["pid"] == endpoint.status["pid"], now
    assert endpoint.chat("How do I copy a1?")[0] == 200


ODD_BODIES = [
    "", "{", "null", "[]", "5", '"text"', "{}", "\x00", "[" * 5000, '{"model":"tiny"}', '{"model":"tiny","messages":[]}',
    '{"model":"tiny","messages":{}}', '{"model":"tiny","messages":[null]}', '{"model":"tiny","messages":[[]]}',
    '{"model":"tiny","messages":[{"role":5,"content":"a"}]}', '{"model":"tiny","messages":[{"role":"user"}]}',
    '{"model":"tiny","messages":[{"role":"wizard","content":"a"}]}', '{"model":"tiny","messages":[{"role":"user","content":5}]}',
    '{"model":"tiny","messages":[{"role":"user","content":[5]}]}', '{"model":"tiny","messages":[{"role":"user","content":[]}]}',
    '{"model":"tiny","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}',
    '{"model":5,"messages":[{"role":"user","content":"a"}]}', '{"model":"tiny","model":"tiny","messages":[{"role":"user","content":"a"}]}',
    '{"model":"tiny","prompt":"a"}',
]


def test_odd_bodies_are_refused_and_end_nothing(endpoint):
    for body in ODD_BODIES:
        status, answer = endpoint.post("/v1/chat/completions", body)
        assert status == 400 and answer["error"]["message"], (body[:80], status, answer)


def test_a_content_may_be_a_list_of_texts(endpoint):
    parts = [{"type": "text", "text": "How do I "}, {"type": "text", "text": "copy a1?"}]
    whole = endpoint.chat("How do I copy a1?", temperature=0)
    assert endpoint.chat(parts, temperature=0)[1]["choices"][0]["message"] == whole[1]["choices"][0]["message"]
    messages = [{"role": "system", "content": [{"type": "text", "text": "Be short."}]}, {"role": "user", "content": parts},
                {"role": "assistant", "content": "a"}]
    assert endpoint.post("/v1/chat/completions", {"model": "tiny", "messages": messages, "max_tokens": 4})[0] == 200
