# SPDX-License-Identifier: Apache-2.0
"""Workers of the real engine that come and go with the load, answers that end with their clients, and prompts that the engine reads before it
answers them."""
import contextlib
import re
import statistics
import time

import pytest

from conftest import Endpoint, deploy_tiny, until, workers_of

TOPIC = "How do I pick the lock of my neighbour's door?"
SERVED = {"port": 0, "environment": "dev", "slots": 2, "scale": {"min": 0, "max": 2, "requests": 1, "scale_in_s": 2},
          "guards": {"reading": {"topics": [{"name": "locks", "examples": [TOPIC], "threshold": 0.97}], "anomaly": {"perplexity_max": 1e6}, "time_ms_max": 60000}}}
ENDLESS = {"max_tokens": 400, "logit_bias": {"0": -100, "1": -100, "2": -100}}  # no end token


@pytest.fixture(scope="module")
def deployed(tiny_hub, tmp_path_factory):
    redoubt = deploy_tiny(tmp_path_factory.mktemp("scale"), tiny_hub, deploy=SERVED)
    redoubt.seer = redoubt.json("key", "create", "--name", "seer", "--scope", "metrics", "--scope", "health", "--environment", "dev")["key"]
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


@pytest.fixture
def endpoint(deployed):
    return Endpoint(deployed)


def counter(endpoint, deployed, pattern):
    with endpoint.open("/metrics", key=deployed.seer) as answer:
        found = re.search(pattern + r" (\d+)$", answer.read().decode(), re.M)
    return int(found[1]) if found else 0


def workers(endpoint, deployed):
    return endpoint.post("/health", None, key=deployed.seer)[1]["workers"]


def test_workers_end_while_nobody_asks_and_come_back(endpoint, deployed):
    for _ in range(2):
        until(lambda: workers(endpoint, deployed) == 0 and not workers_of(deployed))
        assert endpoint.open("/ping", key="").status == 200, "the next request starts one"
        status, answer = endpoint.chat("How do I copy a1?")
        assert status == 200 and answer["usage"]["completion_tokens"] > 0, answer
        assert len(workers_of(deployed)) == 1
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(endpoint.stream(f"Count {i}.", **ENDLESS))) for i in range(4)]
        for stream in streams:
            next(stream)
        for stream in streams:
            assert list(stream)[-1] == {"done": True}
    until(lambda: workers(endpoint, deployed) == 0 and not workers_of(deployed))
    assert not [one for one in deployed.json("incident", "list", "--environment", "dev") if one["alarm"] == "WorkerFailures"], "a worker that is not needed has not failed"


MADE, LEFT = r"vllm:generation_tokens_total\S*", r'vllm:request_success_total\{finished_reason="abort",\S*\}'


def made_for_nobody(endpoint, deployed):
    """How many tokens the engine makes after the client has left (as it counts them itself), and how many it makes in 100 ms."""
    begun = time.monotonic()
    assert endpoint.chat("Count.", **ENDLESS)[1]["usage"]["completion_tokens"] == 400
    list(endpoint.stream("Count.", **ENDLESS))
    in_100_ms = 400 * 0.1 / (time.monotonic() - begun) * 2
    over = []
    for _ in range(9):
        before, ended = counter(endpoint, deployed, MADE), counter(endpoint, deployed, LEFT)
        stream, seen = endpoint.stream("Count.", **ENDLESS), 0
        while seen < 20:
            seen += bool(next(stream)["choices"][0]["delta"].get("content"))
        stream.close()
        until(lambda: counter(endpoint, deployed, LEFT) == ended + 1, every=0.02)
        over.append(counter(endpoint, deployed, MADE) - before - seen)
    print(f"made after the client left: {over} tokens, {in_100_ms:.0f} are made in 100 ms")
    return statistics.median(over), in_100_ms


def test_generation_ends_with_its_client(endpoint, deployed):
    # Where the machine is busy the client itself is late, and what was made meanwhile is told as made for nobody: three tries.
    for _ in range(3):
        over, in_100_ms = made_for_nobody(endpoint, deployed)
        if over <= max(in_100_ms, 8):
            return
    raise AssertionError(f"{over} tokens were made after the client left, {in_100_ms:.0f} are made in 100 ms")


def test_a_prompt_is_read_by_the_engine_before_it_is_answered(endpoint, deployed):
    status, answer = endpoint.chat(TOPIC)
    assert (status, answer["error"]["code"]) == (400, "content_filter")
    status, answer = endpoint.post("/v1/completions", {"model": "tiny", "prompt": TOPIC, "max_tokens": 2})
    assert (status, answer["error"]["code"]) == (400, "content_filter")
    assert endpoint.chat("How do I copy a1?")[0] == 200
    assert counter(endpoint, deployed, r'redoubt_guard_hits_total\{direction="input",guard="topics",kind="locks",action="refuse"\}') == 2
    assert counter(endpoint, deployed, r'redoubt_guard_hits_total\{direction="input",guard="reading",kind="UNREAD",action="refuse"\}') == 0
