# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine's generation over the worker protocol, on a small model with random weights: answers held to schemas, judged by the
`jsonschema` package; logprobs and greedy text, judged by Transformers; and that nothing of one request changes another's answer."""
import json
import math
import os
import random
import shutil
import socket
import string
import subprocess

import jsonschema
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from conftest import BUILD, make_tiny_model, rows
from json_schema_test import Schemas
from tokenizer_kinds import KINDS

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
            if event["type"] == "started":
                answer["prompt_tokens"] = event["prompt_tokens"]
            elif event["type"] == "token":
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


TOOL_TEMPLATE = """{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>{% endif %}{% for message in messages %}[{{ message.role }}]{{ message.content }}{% for call in message.tool_calls or [] %}<call>{{ call.function | tojson }}</call>{% endfor %}
{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"""


def test_tools_and_their_calls_reach_the_chat_template_as_in_transformers(base, serve, tmp_path):
    model = shutil.copytree(base, tmp_path / "tools")
    (model / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(model)
    worker = serve(model)
    assert worker.ready["tools"] is True
    tools = [{"type": "function", "function": {"name": "copy", "description": "copies", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "copy", "arguments": {"z": 1, "a": "x"}}}]}
    plain = [{"role": "user", "content": "How do I copy a1?"}]
    called = [*plain, call, {"role": "tool", "content": "done", "tool_call_id": "c1"}]
    for messages, given in ((plain, None), (plain, tools), (called, tools), (called, None)):
        text = tokenizer.apply_chat_template(messages, tools=given, tokenize=False, add_generation_prompt=True)
        sent = [{"role": m["role"], "content": m["content"], **({"json": json.dumps(m)} if len(m) > 2 else {})} for m in messages]
        request = {"messages": sent, "max_tokens": 12, "greedy": True, **({"tools": json.dumps(given)} if given else {})}
        answer, whole = worker.ask([request, {"prompt": text, "max_tokens": 12, "greedy": True}])
        assert answer["text"] == whole["text"]
        assert answer["prompt_tokens"] == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    refused, broken = worker.ask([{"prompt": "a", "tools": "[]"}, {"messages": plain, "tools": "{"}])
    assert "tools go with messages" in refused["message"] and refused["code"] == "invalid_argument"
    assert broken["code"] == "invalid_argument", broken


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


def model_with(tokenizer, folder):
    torch.manual_seed(3)
    size = max(tokenizer.get_vocab().values()) + 1
    config = LlamaConfig(vocab_size=size, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=512,
                         bos_token_id=1, eos_token_id=2, pad_token_id=2)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


# Those that strip or add a space at a text's start, or write single bytes.
@pytest.mark.parametrize("kind", ["llama2", "metaspace_first", "gemma", "unigram_fallback", "bert_cased", "word_level"])
def test_random_schemas_hold_for_tokenizers_whose_first_token_is_not_like_the_others(kind, serve, tmp_path):
    print("seed", SEED)
    worker = serve(model_with(KINDS[kind](), tmp_path / "model"))
    order = random.Random(SEED)
    chosen = [*SCHEMAS, {"const": "▁ é"}, {"const": 5}, {"enum": ["▁", "a b", [1, " "], True]}, {"type": "boolean"}, *(Schemas(order).document() for _ in range(16))]
    requests = [{"prompt": "it", "schema": json.dumps(schema, ensure_ascii=False), "max_tokens": 120, "temperature": 1, "seed": SEED + seed} for schema in chosen for seed in range(2)]
    whole = 0
    for request, answer in zip(requests, worker.ask(requests[:48]) + worker.ask(requests[48:]), strict=True):
        if answer["type"] == "error":  # a schema that nothing fits, or words alone that can't write what does
            assert answer["param"] == "response_format", answer
        elif answer["finish_reason"] == "stop":
            whole += 1
            jsonschema.Draft202012Validator(json.loads(request["schema"])).validate(json.loads(answer["text"]))
    print("whole", whole, "of", len(requests))
    assert whole > len(requests) / 10


def test_a_schema_that_is_not_understood_is_refused_by_name(base, serve):
    refused, = serve(base).ask([{"prompt": "a", "schema": '{"properties": {"a": {"multipleOf": 2}}}'}])
    assert (refused["code"], refused["param"]) == ("unsupported", "response_format")
    assert refused["message"] == "schema, at #/properties/a: 'multipleOf' is not supported"


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


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_a_long_prompt_of_a_model_that_turns_by_length_goes_on_as_in_transformers(kind, strong, serve, tmp_path):
    """More than the engine reads at once, and behind what shorter prompts of the scope left."""
    sizes = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.15,
             "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 2, "tie_word_embeddings": True}
    torch.manual_seed(9)
    if kind == "dynamic":
        model = LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=300, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}))
    else:
        factors = {"short_factor": [1.0] * 8, "long_factor": [1.0 + i for i in range(8)], "original_max_position_embeddings": 300}
        model = Phi3ForCausalLM(Phi3Config(**sizes, max_position_embeddings=1200, original_max_position_embeddings=300, rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors}))
    model.save_pretrained(tmp_path / "model")
    shutil.copy(strong / "tokenizer.json", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(strong)
    rng = random.Random(SEED)
    words = " ".join(rng.choice(["list", "files", "in", "my", "home", "by", "size"]) for _ in range(500))
    worker = serve(tmp_path / "model", dtype="fp32", slots=2)
    expected = []
    prompts = [tokenizer.decode(tokenizer(words).input_ids[:length]) for length in (100, 280, 700, 640, 320, 290)]
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        fresh = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()  # the length it saw last stays with a dynamic one
        with torch.no_grad():
            expected.append(tokenizer.decode(fresh.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None)[0, ids.shape[1]:]))
    requests = [{"prompt": prompt, "max_tokens": 24, "greedy": True} for prompt in prompts]
    assert [answer["text"] for answer in worker.ask(requests)] == expected
    assert [worker.ask([{**request, "scope": "ada"}])[0]["text"] for request in requests] == expected


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


def make_adapter(base, folder, seed):
    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"][: 2 + seed % 2]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(strong, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {name: make_adapter(strong, folder / name, seed) for seed, name in enumerate(["fr", "de"])}


def test_requests_of_several_adapters_decode_together_as_each_alone(strong, adapters, serve):
    requests = [{**request, **({"adapter": name} if name else {})}
                for request, name in zip(requests_of_many_kinds(random.Random(SEED + 1), 18), [None, "fr", "de"] * 6)]
    many = serve(strong, adapters, dtype="fp32", slots=6)
    assert sorted(many.ready["adapters"]) == ["de", "fr"]
    alone = {name: serve(strong, {name: adapters[name]} if name else {}, dtype="fp32", slots=1) for name in (None, "fr", "de")}
    together = many.ask(requests)
    for request, answer in zip(requests, together, strict=True):
        by_itself, = alone[request.get("adapter")].ask([request])
        assert answer["type"] == "done" and answer["text"] == by_itself["text"], request
    one = [{"prompt": "list files", "max_tokens": 20, "greedy": True, **({"adapter": name} if name else {})} for name in (None, "fr", "de")]
    assert len({answer["text"] for answer in many.ask(one)}) == 3  # they do differ
    unknown, = many.ask([{"prompt": "a", "adapter": "it"}])
    assert (unknown["code"], unknown["param"]) == ("invalid_argument", "model")


def test_a_prefix_is_reused_within_its_scope_and_adapter_alone_and_changes_nothing(strong, adapters, serve):
    rng = random.Random(SEED + 2)
    system = " ".join(rng.choice(["list", "files", "in", "my", "home"]) for _ in range(60))
    requests = [{"prompt": system + " " + question, "max_tokens": 12, "seed": seed, "temperature": 0.9} for seed, question in enumerate(["by size", "by name", "and links", "by size please"])]
    kept, none = serve(strong, adapters, dtype="fp32", slots=2), serve(strong, adapters, dtype="fp32", slots=2, prefix_cache_mib=0)

    def ask(worker, request, **more):
        answer, = worker.ask([{**request, **more}])
        assert answer["type"] == "done", answer
        return answer

    for i, request in enumerate(requests):
        fresh, reused = ask(none, request, scope="ada"), ask(kept, request, scope="ada")
        assert fresh["text"] == reused["text"] and fresh["reused_tokens"] == 0
        assert (reused["reused_tokens"] > 50) == (i > 0)
        assert reused["reused_tokens"] < reused["prompt_tokens"]
    again = ask(kept, requests[0], scope="ada")
    assert again["reused_tokens"] == again["prompt_tokens"] - 1 and again["text"] == ask(none, requests[0])["text"]
    # Another tenant, nobody, and another adapter find nothing.
    assert ask(kept, requests[0], scope="bob")["reused_tokens"] == 0
    assert ask(kept, requests[0])["reused_tokens"] == 0
    assert ask(kept, requests[0])["reused_tokens"] == 0  # what came without a scope is not kept
    assert ask(kept, requests[0], scope="ada", adapter="fr")["reused_tokens"] == 0
    tuned = ask(kept, requests[0], scope="ada", adapter="fr")
    assert tuned["reused_tokens"] > 50 and tuned["text"] == ask(none, requests[0], adapter="fr")["text"]
    # A conversation goes on from the answer as well.
    turn = ask(kept, {"prompt": system, "max_tokens": 30, "greedy": True}, scope="eve")
    longer = ask(kept, {"prompt": system + turn["text"] + " and then", "max_tokens": 3, "greedy": True}, scope="eve")
    assert longer["reused_tokens"] >= turn["prompt_tokens"]


def test_prefixes_keep_within_their_memory(strong, serve):
    worker = serve(strong, slots=1, prefix_cache_mib=1)  # 4,096 tokens of this model
    prompts = [" ".join(f"{letter}{i}" for i in range(90)) for letter in string.ascii_letters[:40]]  # 7,160
    for prompt in prompts:
        worker.ask([{"prompt": prompt, "max_tokens": 1, "scope": "ada"}])
    first, = worker.ask([{"prompt": prompts[0], "max_tokens": 1, "scope": "ada"}])
    last, = worker.ask([{"prompt": prompts[-1], "max_tokens": 1, "scope": "ada"}])
    assert first["reused_tokens"] == 0 and last["reused_tokens"] == last["prompt_tokens"] - 1


def test_slots_that_do_not_fit_memory_are_refused_at_the_start(base, tmp_path):
    root = tmp_path / "job"
    (root / "input/config").mkdir(parents=True)
    (root / "model").mkdir()
    (root / "model/base").symlink_to(base)

    def start(**hyperparameters):
        (root / "input/config/hyperparameters.json").write_text(json.dumps({"threads": 1, **hyperparameters}))
        done = subprocess.run([BUILD / "redoubt-engine", "serve", "--root", root], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
        return done.returncode, (root / "output/failure").read_text()

    code, told = start(prefix_cache_mib=1 << 20)
    needed = 8 * 512 * 2 * 2 * 2 * 16 * 2 + (1 << 40)  # slots, context, layers, key heads, keys and values, head size, bf16
    assert code != 0 and f"need {needed} bytes" in told and "prefix_cache_mib" in told
    code, told = start(context=1024)
    assert code != 0 and "context" in told
