# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine as a hosting container: its options, and tools in the chat template's form, on a small model with random weights."""
import contextlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import BUILD
from engine_generate_test import TOOL_TEMPLATE, base  # noqa: F401 (a fixture)


def start(root, **options):
    return subprocess.Popen([BUILD / "redoubt-engine", "serve", "--root", root], env={**os.environ, "SAGEMAKER_BIND_TO_PORT": "0", **options}, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def container(root, **options):
    """A function that posts to /invocations: the status, and the body as text."""
    process = start(root, **options)
    try:
        port = next(event["port"] for event in map(json.loads, process.stdout) if event["event"] == "listening")

        def invoke(body):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read().decode()

        yield invoke
    finally:
        process.terminate()
        process.wait(20)


def with_model(folder, model):
    (folder / "model").mkdir()
    (folder / "model/base").symlink_to(model)
    return folder


def test_a_container_takes_its_options_from_the_environment(base, tmp_path):
    with_model(tmp_path, base)
    with container(tmp_path, REDOUBT_CONTEXT="32", REDOUBT_SLOTS="2", REDOUBT_WEIGHTS="int8") as invoke:
        for tokens, status in ((8, 200), (32, 400)):
            assert invoke({"prompt": "a", "max_tokens": tokens})[0] == status
    for name, value in (("REDOUBT_SLOTS", "0"), ("REDOUBT_CONTEXT", "513"), ("REDOUBT_WEIGHTS", "int2")):
        refused = start(tmp_path, **{name: value})
        told = refused.communicate(timeout=60)[1]
        assert refused.returncode == 2 and (name in told or "512" in told), told


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"enum": ["Ulm", "Bonn"]}}, "required": ["city"],
                                                                            "additionalProperties": False}}}]


@pytest.fixture
def invoke(base, tmp_path):
    model = shutil.copytree(base, tmp_path / "base")
    (model / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    with container(with_model(tmp_path, model), REDOUBT_SLOTS="2") as ask:
        yield ask


def test_a_container_takes_tools_and_answers_with_calls(invoke):
    chat = {"messages": [{"role": "user", "content": "How is it in Ulm?"}], "max_tokens": 120, "seed": 1, "tools": TOOLS}
    # A model with random weights calls nothing by itself; held to the schema it must.
    status, body = invoke({**chat, "tool_choice": "required"})
    choice = json.loads(body)["choices"][0]
    assert status == 200 and choice["finish_reason"] == "tool_calls", body
    call, = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "weather" and json.loads(call["function"]["arguments"])["city"] in ("Ulm", "Bonn") and call["id"]
    status, body = invoke({**chat, "tool_choice": "required", "stream": True})
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: {")]
    calls = [one for event in events for choice in event["choices"] for one in choice["delta"].get("tool_calls", [])]
    assert status == 200 and [one["function"]["name"] for one in calls] == ["weather"] and "[DONE]" in body
    # The tools stand in the prompt, and so does the result of a call.
    plain, told = (json.loads(invoke({**chat, "max_tokens": 1, **more})[1])["usage"]["prompt_tokens"] for more in ({"tool_choice": "none"}, {}))
    answered = {**chat, "max_tokens": 1, "messages": [*chat["messages"], {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]}
    status, body = invoke(answered)
    assert status == 200 and plain < told < json.loads(body)["usage"]["prompt_tokens"], body


def test_a_container_refuses_wrong_tools_and_goes_on(invoke):
    chat = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 4}
    for wrong, field in (({"tools": [{}]}, "tools[0]"), ({"tools": TOOLS * 65}, "tools"), ({"tool_choice": "required"}, "tool_choice"),
                         ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id")):
        status, body = invoke({**chat, **wrong})
        assert status == 400 and json.loads(body)["error"]["param"].startswith(field), (wrong, body)
    assert invoke(chat)[0] == 200
