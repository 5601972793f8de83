# SPDX-License-Identifier: Apache-2.0
"""What a row gives its chat template besides the messages: tools, in the order of the file, and one date for the whole run, also after a
resume. Judged by Transformers' apply_chat_template."""
import json
import subprocess

import pytest
import torch
from transformers import AutoTokenizer

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
