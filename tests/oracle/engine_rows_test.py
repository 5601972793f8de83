# SPDX-License-Identifier: Apache-2.0
"""What a row gives its chat template besides roles and contents: tools and their calls, in the order of the file, and one date for the whole
run, also after a resume. Judged by Transformers' apply_chat_template."""
import csv
import io
import json
import subprocess

import pytest
import torch
from transformers import AutoTokenizer

from chat_template_styles import STYLES
from engine_train_test import ENGINE, ROWS, TEMPLATE, assert_scores_equal, base_of, make_model, run_engine, start_engine

TOOL = {"type": "function", "function": {"name": "list_files", "description": "What lies in a folder <b>&</b> below.",
                                         "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "all": {"type": "boolean"}}, "required": ["path"]}}}
WITH_TOOLS = "{% if tools %}<|im_start|>system\n{{ strftime_now('%Y') }}{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|im_end|>\n{% endif %}" + TEMPLATE


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    make_model(folder, {"rope_type": "default", "rope_theta": 10000.0})
    return folder


def teach(folder, template):
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if name.endswith("jinja"):
            (folder / name).write_text(template)
        else:
            config = json.loads((folder / name).read_text())
            config.pop("chat_template", None)
            (folder / name).write_text(json.dumps(config))


def test_tools_of_a_row_reach_the_template_as_transformers_gives_them(model, tmp_path):
    teach(model, WITH_TOOLS)
    rows = [{**ROWS[0], "tools": [TOOL]}, {"tools": json.dumps([TOOL]), **ROWS[1]}, ROWS[2], {**ROWS[3], "tools": []}]
    tokenizer, network, expected = AutoTokenizer.from_pretrained(model), base_of(model), []
    for row in rows:
        tools = [TOOL] if row.get("tools") else None
        start = tokenizer.apply_chat_template(row["messages"][:1], tools=tools, add_generation_prompt=True, return_dict=True)["input_ids"]
        ids = tokenizer.apply_chat_template(row["messages"], tools=tools, return_dict=True)["input_ids"]
        with torch.no_grad():
            scores = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected.append((sum(scores[i - 1, ids[i]].item() for i in range(len(start), len(ids))), len(ids) - len(start)))
    run_engine("evaluate", tmp_path / "job", model, {"dtype": "fp32"}, eval=rows)
    assert_scores_equal(tmp_path / "job", expected)
    loss = next(event["loss"] for event in run_engine("train", tmp_path / "train", model, {"dtype": "fp32", "epochs": 1, "batch_size": 4}, train=rows) if event["event"] == "step")
    assert loss == pytest.approx(-sum(score for score, _ in expected) / sum(count for _, count in expected), rel=1e-4)


def call(name, arguments, **others):
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments, **others}}


CALLS = [
    {"tools": [TOOL], "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is in tmp?"},
        {"role": "assistant", "content": None, "tool_calls": [call("list_files", {"path": "tmp", "all": True})]},
        {"role": "tool", "tool_call_id": "call_list_files", "name": "list_files", "content": "[\"a\", \"b\"]"},
        {"role": "assistant", "content": "a and b."}]},
    {"tools": json.dumps([TOOL]), "messages": [
        {"role": "user", "content": "And in home and root?"},
        {"tool_calls": [call("list_files", "{\"path\": \"home\"}"), call("list_files", {"zeta": 1, "alpha": {"b": [1.5, None], "a": "\u00e9\\"}})], "role": "assistant", "content": "Looking. "},
        {"role": "tool", "name": "list_files", "content": "x"}, {"role": "tool", "name": "list_files", "content": "y", "extra": {"kept": 1}},
        {"role": "assistant", "content": "x; y", "tool_calls": None}, {"role": "user", "name": "eve", "content": "Again."},
        {"role": "assistant", "content": "x; y", "tool_calls": []}]},
    {"messages": [{"role": "user", "content": "Call it."}, {"role": "assistant", "tool_calls": [{"name": "list_files", "arguments": {}}]}]},
]
# Every key of a message in the order of the file, and the calls with all that they hold.
KEYS = "{% for message in messages %}<|im_start|>{{ message | tojson }}<|im_end|>{% endfor %}{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"


def lengthen(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))


def spans_of(tokenizer, row, counts):
    """The ids of a row, and where each answer that counts stands in them."""
    messages, tools = row["messages"], row.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) else tools
    write = lambda count, adds: tokenizer.apply_chat_template(messages[:count], tools=tools, add_generation_prompt=adds, tokenize=False)
    size = lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    spans = [(size(write(i, True)), size(write(i + 1, False))) for i in (answers if counts == "answers" else answers[-1:])]
    return tokenizer(write(len(messages), False), add_special_tokens=False)["input_ids"], spans


@pytest.mark.parametrize("counts", ["answer", "answers"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_calls_of_tools_are_written_and_count_as_transformers_writes_them(model, tmp_path, counts, kind):
    teach(model, STYLES["grouped_tool_answers"])
    lengthen(model)
    tokenizer, network, expected = AutoTokenizer.from_pretrained(model), base_of(model), []
    for row in CALLS:
        ids, spans = spans_of(tokenizer, row, counts)
        with torch.no_grad():
            scores = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = [i for begin, end in spans for i in range(begin, end)]
        expected.append((sum(scores[i - 1, ids[i]].item() for i in places), len(places)))
    rows = CALLS
    if kind == "csv":
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["tools", "messages"])
        for row in CALLS:
            tools = row.get("tools", "")
            writer.writerow([tools if isinstance(tools, str) else json.dumps(tools), json.dumps(row["messages"], indent=1)])
        rows = table.getvalue()
    parameters = {"dtype": "fp32", "loss_on": counts}
    run_engine("evaluate", tmp_path / "job", model, parameters, eval=rows)
    assert_scores_equal(tmp_path / "job", expected)
    loss = next(event["loss"] for event in run_engine("train", tmp_path / "train", model, {**parameters, "epochs": 1, "batch_size": 3}, train=rows) if event["event"] == "step")
    assert loss == pytest.approx(-sum(score for score, _ in expected) / sum(count for _, count in expected), rel=1e-4)


def test_a_template_sees_the_members_of_a_message_in_the_order_of_the_file(model, tmp_path):
    teach(model, KEYS)
    lengthen(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    counts = [len(spans_of(tokenizer, row, "answer")[0]) for row in CALLS]
    run_engine("evaluate", tmp_path / "job", model, {"dtype": "fp32", "loss_on": "all"}, eval=CALLS[:2])
    lines = [json.loads(line) for line in (tmp_path / "job/output/data/per_example.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines] == [count - 1 for count in counts[:2]]


@pytest.mark.parametrize("message, word", [
    ({"role": "assistant", "content": None}, "'content'"), ({"role": "assistant", "tool_calls": [{"function": "f"}]}, "'tool_calls'"),
    ({"role": "assistant", "tool_calls": "f"}, "'tool_calls'"), ({"role": "assistant", "content": "a", "name": 5}, "'name'"),
    ({"role": "assistant", "content": [{"type": "text", "text": "a"}]}, "parts")])
def test_a_call_that_is_none_is_named_by_its_line(model, tmp_path, message, word):
    done = start_engine("train", tmp_path / "job", model, {}, train=[ROWS[0], {"messages": [ROWS[1]["messages"][0], message]}])
    assert done.returncode == 2 and "line 2" in done.stderr and word in done.stderr


def test_several_files_of_a_channel_are_one_in_sorted_order_and_each_is_named(model, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    lines = [json.dumps(row) + "\n" for row in ROWS]
    (whole / "train.jsonl").write_text("".join(lines))
    for name, chosen in (("train.jsonl", lines[12:]), ("a.jsonl", lines[:5]), ("b.jsonl", lines[5:12])):
        (parts / name).write_text("".join(chosen))
    for name, folder in (("one", whole), ("several", parts)):
        run_engine("train", tmp_path / name, model, {"epochs": 2, "batch_size": 4}, train=folder)
    assert (tmp_path / "one/model/adapter_model.safetensors").read_bytes() == (tmp_path / "several/model/adapter_model.safetensors").read_bytes()
    run_engine("evaluate", tmp_path / "eval", model, {}, eval=parts)
    places = [(line["file"], line["line"]) for line in map(json.loads, (tmp_path / "eval/output/data/per_example.jsonl").read_text().splitlines())]
    assert places == [("a.jsonl", i + 1) for i in range(5)] + [("b.jsonl", i + 1) for i in range(7)] + [("train.jsonl", i + 1) for i in range(4)]
    (parts / "b.jsonl").write_text(lines[0] + "{}\n")
    done = start_engine("train", tmp_path / "bad", model, {}, train=parts)
    assert done.returncode == 2 and "b.jsonl: line 2" in done.stderr


@pytest.mark.parametrize("tools", ["x", 5, [5], {"name": "a"}, '{"name": "a"}'])
def test_tools_that_are_none_are_named_by_their_line(model, tmp_path, tools):
    done = start_engine("train", tmp_path / "job", model, {}, train=[ROWS[0], {**ROWS[1], "tools": tools}])
    assert done.returncode == 2 and "line 2" in done.stderr and "'tools'" in done.stderr


def test_a_run_that_goes_on_reads_its_rows_with_the_date_of_its_start(model, tmp_path):
    teach(model, "{{ strftime_now('%H:%M:%S') }}" + TEMPLATE)
    run_engine("train", tmp_path / "job", model, {"epochs": 2, "batch_size": 8, "early_stopping_patience": 0}, train=ROWS)
    first = (tmp_path / "job/model/adapter_model.safetensors").read_bytes()
    state, = (json.loads(path.read_text()) for path in (tmp_path / "job/checkpoints").glob("*/state.json"))
    assert state["now"] > 1_700_000_000
    again = subprocess.run([ENGINE, "train", "--root", tmp_path / "job"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "job/model/adapter_model.safetensors").read_bytes() == first


PLAIN = [{"prompt": "How do I list files? ", "completion": "ls -a"}, {"prompt": "", "completion": "no prompt"}, {"prompt": "It ends. ", "completion": "ls<|im_end|>"},
         {"text": "a text of its own"}, {"text": "one that ends<|im_end|>"}, {"instruction": "List files", "output": "ls"}]


def plain_model(folder, begins):
    """As base models come: without a chat template, the end token named by config.json alone; `begins`: the tokenizer puts a token before a text."""
    if begins:
        file = json.loads((folder / "tokenizer.json").read_text())
        special = {"<|im_start|>": {"id": "<|im_start|>", "ids": [0], "tokens": ["<|im_start|>"]}}
        file["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                                  "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}
        (folder / "tokenizer.json").write_text(json.dumps(file))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({name: value for name, value in config.items() if name not in ("chat_template", "eos_token")}))
    return AutoTokenizer.from_pretrained(folder)


def as_trl_reads(tokenizer, row):
    """The ids of a row and where its answer starts, as TRL 1.16's SFTTrainer tokenises plain texts."""
    prompt, answer = row.get("prompt", ""), row.get("completion") or row.get("text")
    if "instruction" in row:
        prompt = f"Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n{row['instruction']}\n\n### Response:\n"
        answer = row["output"]
    ids = tokenizer(prompt + answer + ("" if answer.endswith("<|im_end|>") else "<|im_end|>"))["input_ids"]
    before = 0 if "text" in row else sum(a == b for a, b in zip(tokenizer(prompt)["input_ids"], ids))
    return ids, max(1, before)


@pytest.mark.parametrize("begins", [False, True], ids=["bare", "with a first token"])
def test_plain_texts_begin_and_end_as_trl_writes_them(model, tmp_path, begins):
    tokenizer, network = plain_model(model, begins), base_of(model)
    examples = [as_trl_reads(tokenizer, row) for row in PLAIN]
    scores = []
    for ids, start in examples:
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        scores.append((logits[start - 1 : -1].gather(1, torch.tensor(ids)[start:, None]).sum().item(), len(ids) - start))
    events = run_engine("train", tmp_path / "train", model, {"dtype": "fp32", "epochs": 1, "batch_size": len(PLAIN), "learning_rate": 0}, train=PLAIN)
    step, = (event for event in events if event["event"] == "step")
    assert step["tokens"] == sum(len(ids) for ids, _ in examples)
    assert step["loss"] == pytest.approx(-sum(score for score, _ in scores) / sum(tokens for _, tokens in scores), rel=1e-4)
    answers = [i for i, row in enumerate(PLAIN) if "text" not in row]
    run_engine("evaluate", tmp_path / "eval", model, {"dtype": "fp32"}, eval=[PLAIN[i] for i in answers])
    assert_scores_equal(tmp_path / "eval", [scores[i] for i in answers])
    pairs = [{"prompt": "How? ", "chosen": "ls", "rejected": "rm<|im_end|>"}]
    events = run_engine("train", tmp_path / "pairs", model, {"dtype": "fp32", "loss": "dpo", "epochs": 1, "batch_size": 1}, train=pairs)
    step, = (event for event in events if event["event"] == "step")
    assert step["tokens"] == sum(len(tokenizer("How? " + answer)["input_ids"]) for answer in ("ls<|im_end|>", "rm<|im_end|>"))
