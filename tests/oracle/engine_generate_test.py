# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine's generation over the worker protocol, on a small model with random weights: answers held to schemas, judged by the
`jsonschema` package; logprobs and greedy text, judged by Transformers; and that nothing of one request changes another's answer."""
import json
import math
import os
import random
import shutil
import socket
import subprocess

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import BUILD, make_tiny_model, rows

SEED = 20261128


class Worker:
    """The engine's `serve` behind a socket, and the gateway's side of the protocol."""

    def __init__(self, root, **hyperparameters):
        (root / "input/config").mkdir(parents=True, exist_ok=True)
        (root / "input/config/hyperparameters.json").write_text(json.dumps({"threads": 1, **hyperparameters}))
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([BUILD / "redoubt-engine", "serve", "--root", root], pass_fds=[theirs.fileno()], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, "REDOUBT_WORKER_FD": str(theirs.fileno())})
        theirs.close()
        ours.settimeout(240)
        self.socket, self.lines = ours, ours.makefile("r")
        self.ready = self.receive()

    def receive(self):
        line = self.lines.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def ask(self, requests):
        """Sends all at once; the answers, in order, as {"text", "logprobs", and what `done` or `error` says}."""
        self.socket.sendall("".join(json.dumps({"type": "generate", "id": str(i), **request}) + "\n" for i, request in enumerate(requests)).encode())
        answers = [{"text": "", "logprobs": []} for _ in requests]
        running = len(requests)
        while running:
            event = self.receive()
            answer = answers[int(event["id"])]
            if event["type"] == "token":
                answer["text"] += event["text"]
                answer["logprobs"] += event.get("logprobs", [])
            elif event["type"] in ("done", "error"):
                answer.update(event)
                running -= 1
        return answers

    def stop(self):
        self.lines.close()
        self.socket.close()
        assert self.process.wait(60) == 0, self.process.stderr.read()


def scaled(source, to, factor):
    """The model with weights that make it opinionated."""
    shutil.copytree(source, to)
    tensors = load_file(to / "model.safetensors")
    save_file({name: tensor * factor if tensor.dim() == 2 else tensor for name, tensor in tensors.items()}, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    texts = [message["content"] for row in rows(300) for message in row["messages"]] + [json.dumps(row) for row in rows(100)]
    return make_tiny_model(tmp_path_factory.mktemp("generate") / "tiny", texts)


@pytest.fixture(scope="module")
def strong(base, tmp_path_factory):
    return scaled(base, tmp_path_factory.mktemp("strong") / "base", 6)


@pytest.fixture
def serve(tmp_path):
    workers = []

    def start(model, adapters=None, **hyperparameters):
        root = tmp_path / f"job{len(workers)}"
        (root / "model").mkdir(parents=True)
        (root / "model/base").symlink_to(model)
        for name, folder in (adapters or {}).items():
            (root / "model/adapters").mkdir(exist_ok=True)
            (root / "model/adapters" / name).symlink_to(folder)
        workers.append(Worker(root, **hyperparameters))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


SCHEMAS = [
    {"type": "object"},
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
                                      "ok": {"type": "boolean"}, "tags": {"type": "array", "items": {"enum": ["a", "b", "größe"]}, "maxItems": 3}},
     "required": ["name", "age"], "additionalProperties": False},
    {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "minItems": 2, "maxItems": 4},
    {"type": "string", "pattern": "^[A-Z]{2}-\\d{4}(é|ö)?$"},
    {"$defs": {"tree": {"type": "object", "properties": {"value": {"type": "integer"}, "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                        "required": ["value", "left"], "additionalProperties": False}}, "$ref": "#/$defs/tree"},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}, "n": {"type": ["integer", "null"]}}, "required": ["kind", "n"], "additionalProperties": False},
               {"type": "object", "properties": {"kind": {"const": "y"}}, "required": ["kind"], "additionalProperties": False}]},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "properties": {"id": {"const": 7}}, "required": ["id"]},
    {"enum": ["yes", "no", {"maybe": [1, None]}]},
]


def test_whatever_the_model_an_answer_validates_or_ends_by_its_length(base, strong, serve):
    print("seed", SEED)
    for model in (base, strong):
        worker = serve(model)
        requests = [{"prompt": "Say it", "schema": json.dumps(schema), "max_tokens": 160, "temperature": temperature, "seed": SEED + seed}
                    for schema in SCHEMAS for seed in range(6) for temperature in (0, 1, 1.5)]
        whole = 0
        for request, answer in zip(requests, worker.ask(requests[:64]) + worker.ask(requests[64:128]) + worker.ask(requests[128:]), strict=True):
            assert answer["type"] == "done", answer
            if answer["finish_reason"] == "length":
                continue
            whole += 1
            jsonschema.Draft202012Validator(json.loads(request["schema"])).validate(json.loads(answer["text"]))
        print("whole", whole, "of", len(requests))
        assert whole > len(requests) / 3


def test_a_schema_that_is_not_understood_is_refused_by_name(base, serve):
    refused, = serve(base).ask([{"prompt": "a", "schema": '{"properties": {"a": {"format": "date"}}}'}])
    assert (refused["code"], refused["param"]) == ("unsupported", "response_format")
    assert refused["message"] == "schema, at #/properties/a: 'format' is not supported"


def test_logprobs_and_greedy_tokens_are_those_of_transformers(strong, serve):
    prompt = "How do I list files"
    answer, = serve(strong, dtype="fp32").ask([{"prompt": prompt, "max_tokens": 24, "greedy": True, "top_logprobs": 5}])
    tokenizer = AutoTokenizer.from_pretrained(strong)
    model = AutoModelForCausalLM.from_pretrained(strong, dtype=torch.float32).eval()
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        made = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1]:]
        scores = model(torch.cat([ids[0], made])[None]).logits[0, ids.shape[1] - 1 : -1].log_softmax(-1)
    if made[-1] == 2:
        made = made[:-1]
    assert len(answer["logprobs"]) == len(made) > 3
    for told, token, row in zip(answer["logprobs"], made, scores):
        assert told["logprob"] == pytest.approx(row[token].item(), abs=2e-3)
        assert [one["logprob"] for one in told["top"]] == pytest.approx(row.topk(5).values.tolist(), abs=2e-3)
        assert bytes(told["bytes"]).decode(errors="replace") == tokenizer.decode([token], clean_up_tokenization_spaces=False)
    assert math.isfinite(answer["logprobs"][0]["logprob"])


def requests_of_many_kinds(rng, count):
    words = ["list", "files", "in", "my", "home", "folder", "by", "size"]
    for i in range(count):
        yield {"prompt": " ".join(rng.choice(words) for _ in range(rng.randrange(1, 90))), "max_tokens": rng.randrange(5, 40), "seed": rng.randrange(1000),
               **rng.choice([{"greedy": True}, {"temperature": 0.8, "top_p": 0.9}, {"temperature": 1.2, "top_k": 20, "repetition_penalty": 1.3}, {"min_p": 0.05, "presence_penalty": 1},
                             {"schema": json.dumps(SCHEMAS[i % len(SCHEMAS)])}])}


def test_a_request_gets_the_same_answer_alone_and_among_others(strong, serve):
    requests = list(requests_of_many_kinds(random.Random(SEED), 24))
    alone = serve(strong, dtype="fp32", slots=1)
    many = serve(strong, dtype="fp32", slots=8)
    together = many.ask(requests)
    again = many.ask(list(reversed(requests)))[::-1]
    for request, one, other in zip(requests, together, again, strict=True):
        by_itself, = alone.ask([request])
        assert by_itself["text"] == one["text"] == other["text"], request
        assert by_itself["completion_tokens"] == one["completion_tokens"] == other["completion_tokens"]
