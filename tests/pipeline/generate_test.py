# SPDX-License-Identifier: Apache-2.0
"""`redoubt generate`: every option reaches the engine, what it does is judged by Transformers and jsonschema, and a bad value is told with its
option and its range before anything starts."""
import json

import jsonschema
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import Redoubt, make_tiny_model, rows

PROMPT = "How do I list a1?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("generate") / "tiny", [message["content"] for row in rows(300) for message in row["messages"]])


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def ask(redoubt, model):
    return lambda *options: redoubt.json("generate", "--model", model, "--prompt", PROMPT, "--max-tokens", "8", "--dtype", "fp32", *options)


def adapter(model, folder, seed):
    torch.manual_seed(seed)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(folder)
    return tuned


def greedy(model, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        ids = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1]:]
        logprobs = model(**prompt).logits[0, -1].log_softmax(-1)
    return tokenizer, ids.tolist(), logprobs


def test_greedy_text_and_logprobs_are_those_of_transformers(ask, model):
    tokenizer, ids, logprobs = greedy(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), model)
    answer = ask("--greedy", "--logprobs", "3")
    assert answer["text"] == tokenizer.decode(ids, skip_special_tokens=True)
    first = answer["logprobs"][0]
    top = logprobs.topk(3)
    assert [one["id"] for one in first["top"]] == top.indices.tolist() and first["logprob"] == pytest.approx(top.values[0].item(), abs=1e-3)
    for likeliest_alone in (("--top-k", "1"), ("--min-p", "1")):
        assert ask("--temperature", "2", *likeliest_alone)["text"] == answer["text"], likeliest_alone
    assert ask("--repetition-penalty", "100", "--temperature", "0")["text"] != answer["text"]  # every token but once


def test_a_seed_repeats_its_answer_and_another_gives_another(ask):
    assert ask("--seed", "3", "--temperature", "2")["text"] == ask("--seed", "3", "--temperature", "2")["text"] != ask("--seed", "-4", "--temperature", "2")["text"]


def test_bias_penalties_and_stops_do_what_they_say(ask, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    biased = ("--greedy", *(part for letter in "ab" for part in ("--logit-bias", f"{tokenizer.convert_tokens_to_ids(letter)}=100")))
    likelier = ask(*biased)["text"][0]
    other = "ab".replace(likelier, "")
    assert ask(*biased)["text"] == likelier * 8
    # Each time that one came takes 2 off its logit, so neither gets ahead.
    assert sorted(ask(*biased, "--frequency-penalty", "2")["text"]) == ["a"] * 4 + ["b"] * 4
    assert ask(*biased, "--presence-penalty", "2")["text"][:2] == likelier + other
    stopped = ask(*biased, "--stop", "never", "--stop", likelier * 3)
    assert (stopped["text"], stopped["finish_reason"], stopped["completion_tokens"]) == ("", "stop", 3)


def test_an_answer_is_held_to_the_schema_file(redoubt, model, tmp_path):
    schema = {"type": "object", "properties": {"zeta": {"type": "integer", "minimum": 0, "maximum": 99}, "alpha": {"enum": ["list", "copy"]}},
              "required": ["zeta", "alpha"], "additionalProperties": False}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    for weights in ("bf16", "int8", "int4"):
        answer = redoubt.json("generate", "--model", model, "--prompt", PROMPT, "--schema", file, "--weights", weights)
        parsed = json.loads(answer["text"])
        jsonschema.validate(parsed, schema)
        assert list(parsed) == ["zeta", "alpha"]  # the order of the file
    file.write_text('{"multipleOf": 2}')
    refused = redoubt("generate", "--model", model, "--prompt", PROMPT, "--schema", file, expect=None)
    assert refused.returncode != 0 and "'multipleOf' is not supported" in refused.stderr and str(file) in refused.stderr


def test_one_adapter_answers_or_several_beside_each_other(ask, model, tmp_path):
    texts = {}
    for name, seed in (("first", 1), ("second", 2)):
        tokenizer, ids, _ = greedy(adapter(model, tmp_path / name, seed), model)
        texts[name] = tokenizer.decode(ids, skip_special_tokens=True)
    assert texts["first"] != texts["second"]
    assert ask("--greedy", "--adapter", tmp_path / "second")["text"] == texts["second"]
    several = ask("--greedy", "--adapter", tmp_path / "second", "--adapter", f"{tmp_path}/first/")["answers"]
    assert {answer["adapter"]: answer["text"] for answer in several} == texts


def test_the_terminal_gets_the_text_and_what_was_asked_beside_it(redoubt, model, ask, tmp_path):
    arguments = ("generate", "--model", model, "--prompt", PROMPT, "--max-tokens", "8", "--dtype", "fp32", "--greedy")
    chat = redoubt(*arguments).stdout
    assert chat == ask("--greedy")["text"] + "\n"
    lines = redoubt(*arguments, "--logprobs", "2").stdout.removeprefix(chat).splitlines()
    assert [line.split()[:1] for line in lines if "TOKEN" in line] == [["TOKEN"]] and "LIKELIEST" in "".join(lines)


def test_a_plain_prompt_has_no_template_and_a_system_message_its_place_in_it(ask, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    templated = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ask("--system", "Be brief.")["prompt_tokens"] == len(templated)
    assert ask("--plain")["prompt_tokens"] == len(tokenizer(PROMPT)["input_ids"])


@pytest.mark.parametrize("options, told", [
    (["--temperature", "2.5"], ["--temperature", "from 0", "to 2", "2.5"]),
    (["--temperature", "nan"], ["--temperature", "nan"]),
    (["--top-p", "1.5"], ["--top-p", "from 0", "to 1", "1.5"]),
    (["--top-k", "-1"], ["--top-k", "from 0 to 16777216", "-1"]),
    (["--min-p", "2"], ["--min-p", "from 0", "to 1", "2"]),
    (["--repetition-penalty", "0"], ["--repetition-penalty", "from 0.01 to 100", "0.0"]),
    (["--presence-penalty", "-3"], ["--presence-penalty", "from -2", "to 2", "-3"]),
    (["--frequency-penalty", "3"], ["--frequency-penalty", "from -2", "to 2", "3"]),
    (["--max-tokens", "0"], ["--max-tokens", "from 1 to 131072", "0"]),
    (["--logprobs", "21"], ["--logprobs", "from 0 to 20", "21"]),
    (["--logit-bias", "x=1"], ["--logit-bias", "token ids", '"x"']),
    (["--logit-bias", "5"], ["--logit-bias", "'5'", "15=-100"]),
    (["--logit-bias", "5=101"], ["--logit-bias", "from -100 to 100", "101"]),
    (["--logit-bias", "5=1", "--logit-bias", "5=2"], ["--logit-bias", "5=2", "twice"]),
    (["--stop", ""], ["--stop", "1 to 64 characters"]),
    (["--weights", "int2"], ["--weights", "int2", "int8"]),
    (["--seed", "x"], ["--seed", "x"]),
    (["--plain", "--system", "a"], ["--system", "--plain"]),
])
def test_a_bad_value_is_told_with_its_option_and_range(redoubt, model, options, told):
    refused = redoubt("generate", "--model", model, "--prompt", PROMPT, *options, expect=2)
    assert all(word in refused.stderr for word in told), refused.stderr


def test_a_token_that_the_model_does_not_have_is_told(redoubt, model):
    assert "99999" in redoubt("generate", "--model", model, "--prompt", PROMPT, "--logit-bias", "99999=1", expect=2).stderr


def test_adapters_of_one_name_are_refused(redoubt, model, tmp_path):
    for folder in ("x/same", "y/same"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "adapter_config.json").write_text("{}")
    refused = redoubt("generate", "--model", model, "--prompt", PROMPT, "--adapter", tmp_path / "x/same", "--adapter", tmp_path / "y/same", expect=2)
    assert "one name" in refused.stderr and "--adapter" in refused.stderr
