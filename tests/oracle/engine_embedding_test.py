# SPDX-License-Identifier: Apache-2.0
"""Texts that redoubt-engine reads over the worker protocol, on a small model with random weights: embeddings and how unexpected each text is,
judged by Transformers."""
import base64
import json

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine_generate_test import Worker, base, serve, strong  # noqa: F401 (fixtures)

WINDOW = 8
TEXTS = ["a", "Where is my order?", "the " * 9, "Überweisung — 12 €", "x" * 40]


def judged(model, tokenizer, text, window=WINDOW):
    ids = text if isinstance(text, list) else tokenizer(text)["input_ids"]
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True)
    mean = out.hidden_states[-1][0].double().mean(0)
    losses = torch.nn.functional.cross_entropy(out.logits[0, :-1].double(), torch.tensor(ids[1:]), reduction="none") if len(ids) > 1 else None
    nats = worst = None
    if losses is not None:
        nats = losses.mean().item()
        worst = losses.unfold(0, min(window, len(losses)), 1).mean(1).max().item()
    return (mean / mean.norm()).numpy(), nats, worst, len(ids)


def read(worker, texts, identity="r", **more):
    worker.socket.sendall((json.dumps({"type": "read", "id": identity, "texts": texts, **more}) + "\n").encode())
    started, events = worker.receive(), []
    while (event := worker.receive())["type"] == "text":
        events.append(event)
    return started, events, event


def numbers(event):
    return numpy.frombuffer(base64.b64decode(event["embedding"]), "<f4")


@pytest.mark.parametrize("dtype, near, near_nats", [("fp32", 1e-4, 1e-3), ("bf16", 3e-2, 0.15)])
def test_embeddings_and_losses_are_those_of_transformers(strong, serve, dtype, near, near_nats):
    tokenizer, model = AutoTokenizer.from_pretrained(strong), AutoModelForCausalLM.from_pretrained(strong, dtype=torch.float32).eval()
    worker = serve(strong, dtype=dtype)
    assert worker.ready["embedding_length"] == model.config.hidden_size
    ids = tokenizer("one two three, how do I copy it? " * 100)["input_ids"]
    texts = [*TEXTS, ids[:500], ids[3:40], ids[7:270]]
    started, events, done = read(worker, texts, window=WINDOW)
    expected = [judged(model, tokenizer, text) for text in texts]
    assert any(tokens > 256 for *_, tokens in expected) and any(tokens == 1 for *_, tokens in expected), "a long text goes in pieces, a short one has no losses"
    assert started["prompt_tokens"] == done["prompt_tokens"] == sum(tokens for *_, tokens in expected) and done["finish_reason"] == "stop"
    assert [event["index"] for event in events] == list(range(len(texts)))
    for event, (embedding, nats, worst, tokens) in zip(events, expected):
        got = numbers(event)
        assert event["tokens"] == tokens and got.shape == embedding.shape
        assert abs(numpy.linalg.norm(got) - 1) < 1e-5
        assert numpy.abs(got - embedding).max() < near, event["index"]
        if nats is None:
            assert "nats" not in event
        else:
            assert event["nats"] == pytest.approx(nats, abs=near_nats) and event["window_nats"] == pytest.approx(worst, abs=near_nats)


def test_a_text_is_read_alike_alone_among_others_and_while_answers_are_made(strong, serve):
    worker = serve(strong, dtype="fp32", slots=2)
    alone = [numbers(read(worker, [text])[1][0]) for text in TEXTS]
    together = [numbers(event) for event in read(worker, TEXTS)[1]]
    for one, other in zip(alone, together):
        assert numpy.abs(one - other).max() < 1e-5
    # Both slots are taken by answers that go on for long; texts wait for none of them.
    requests = [{"type": "generate", "id": str(i), "prompt": "Once", "max_tokens": 400, "seed": i} for i in range(2)]
    worker.socket.sendall("".join(json.dumps(request) + "\n" for request in requests).encode())
    worker.socket.sendall((json.dumps({"type": "read", "id": "r", "texts": TEXTS}) + "\n").encode())
    ended, events = [], []
    while len(ended) < 3:
        event = worker.receive()
        assert event["type"] != "error", event
        if event["type"] == "text":
            events.append(numbers(event))
        if event["type"] == "done":
            ended.append(event["id"])
    for one, other in zip(alone, events):
        assert numpy.abs(one - other).max() < 1e-5


def test_a_text_beyond_the_context_and_unknown_tokens_are_refused(strong, serve):
    worker = serve(strong, dtype="fp32", context=32)
    for texts, code in (["word " * 200], "limit_exceeded"), ([[10**8]], "invalid_argument"), (["a", list(range(33))], "limit_exceeded"):
        worker.socket.sendall((json.dumps({"type": "read", "id": "r", "texts": texts}) + "\n").encode())
        event = worker.receive()
        assert (event["type"], event["code"]) == ("error", code)
    assert read(worker, ["still there"])[2]["type"] == "done"
