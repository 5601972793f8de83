# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine's training and evaluation against Transformers and PEFT, on a small random Llama that the test makes."""
import json
import math
import os
import pathlib
import subprocess

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, get_scheduler

ENGINE = pathlib.Path(os.environ["REDOUBT_BUILD"]) / "redoubt-engine"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ROWS = [
    {"messages": [{"role": "user", "content": f"How do I list {a} in {b}?"}, {"role": "assistant", "content": f"ls --{a} {b}/ | head -{i}"}]}
    for i, (a, b) in enumerate((a, b) for a in ("files", "links", "sockets", "users") for b in ("home", "the root folder", "tmp", "a very long path"))
]


def make_tokenizer(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|im_start|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([json.dumps(row) for row in ROWS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)


def make_model(folder, rope):
    torch.manual_seed(1)
    size = make_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=size, hidden_size=64, intermediate_size=112, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=4,
        max_position_embeddings=256, tie_word_embeddings=rope["rope_type"] == "default", bos_token_id=0, eos_token_id=1,
        rope_parameters=rope, initializer_range=0.15,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)


LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}


@pytest.fixture(params=[{"rope_type": "default", "rope_theta": 10000.0}, LLAMA3], ids=["tied", "llama3-untied"])
def model(request, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    make_model(folder, request.param)
    return folder


def start_engine(entry, root, model, hyperparameters, before=(), **channels):
    (root / "input/config").mkdir(parents=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    (root / "input/data").mkdir()
    (root / "input/data/model").symlink_to(model)
    for name, content in channels.items():
        if isinstance(content, pathlib.Path):
            (root / "input/data" / name).symlink_to(content)
            continue
        (root / "input/data" / name).mkdir()
        if isinstance(content, str):
            (root / "input/data" / name / f"{name}.csv").write_text(content)
            continue
        (root / "input/data" / name / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return subprocess.run([*before, ENGINE, entry, "--root", root], capture_output=True, text=True)


def run_engine(entry, root, model, hyperparameters, **channels):
    done = start_engine(entry, root, model, hyperparameters, **channels)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def likelihoods(model, folder):
    """Transformers' log-likelihood of each answer, and how many tokens it has."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    out = []
    for row in ROWS:
        prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            scores = model(ids).logits[0].log_softmax(-1)
        out.append((scores[start - 1 : -1].gather(1, ids[0, start:, None]).sum().item(), ids.shape[1] - start))
    return out


def assert_scores_equal(root, expected, apart=1e-4):
    lines = [json.loads(line) for line in (root / "output/data/per_example.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines] == [tokens for _, tokens in expected]
    for line, (likelihood, tokens) in zip(lines, expected):
        assert abs(line["log_likelihood"] - likelihood) < apart * tokens
    evaluation = json.loads((root / "output/data/evaluation.json").read_text())
    loss = -sum(likelihood for likelihood, _ in expected) / sum(tokens for _, tokens in expected)
    assert evaluation["eval_loss"] == pytest.approx(loss, rel=1e-4)


def base_of(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def test_evaluation_of_the_base_equals_transformers(model, tmp_path):
    run_engine("evaluate", tmp_path / "job", model, {"dtype": "fp32"}, eval=ROWS)
    assert_scores_equal(tmp_path / "job", likelihoods(base_of(model), model))


def test_an_adapter_that_the_engine_trained_is_the_same_model_in_peft(model, tmp_path):
    parameters = {"dtype": "fp32", "epochs": "4", "learning_rate": 1e-2, "lora_r": 4, "lora_alpha": 8, "batch_size": 4}
    events = run_engine("train", tmp_path / "train", model, parameters, train=ROWS, eval=ROWS)
    epochs = [event for event in events if event["event"] == "epoch"]
    assert epochs[-1]["eval_loss"] < epochs[0]["eval_loss"] - 0.5
    run_engine("evaluate", tmp_path / "eval", model, {"dtype": "fp32"}, eval=ROWS, adapter=tmp_path / "train/model")
    tuned = PeftModel.from_pretrained(base_of(model), tmp_path / "train/model").eval()
    assert_scores_equal(tmp_path / "eval", likelihoods(tuned, model))


VARIANTS = {
    "all-linear": {"target_modules": "all-linear"},
    "q-v": {"target_modules": ["q_proj", "v_proj"]},
    "rslora": {"target_modules": "all-linear", "use_rslora": True},
    "dora": {"target_modules": ["q_proj", "gate_proj", "down_proj"], "use_dora": True},
    "patterns": {"target_modules": "all-linear", "rank_pattern": {"q_proj": 8, "layers.0.mlp.up_proj": 2}, "alpha_pattern": {"^model.layers.2.*": 3}},
    "unused patterns": {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 8, "gate_proj": 3}, "alpha_pattern": {"lm_head": 1}},
    "layers": {"target_modules": ["k_proj", "v_proj"], "layers_to_transform": [0, 2], "use_dora": True},
}


def adapter_of_peft(model, folder, variant):
    tuned = get_peft_model(base_of(model), LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **VARIANTS[variant]))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
        if "magnitude" in name:
            parameter.data.mul_(1 + 0.2 * torch.rand_like(parameter))
    tuned.save_pretrained(folder)
    return tuned.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_adapter_that_peft_wrote_is_the_same_model_in_the_engine(model, tmp_path, variant):
    tuned = adapter_of_peft(model, tmp_path / "adapter", variant)
    run_engine("evaluate", tmp_path / "eval", model, {"dtype": "fp32"}, eval=ROWS, adapter=tmp_path / "adapter")
    assert_scores_equal(tmp_path / "eval", likelihoods(tuned, model))


def test_an_adapter_in_a_pickle_is_refused_with_a_way_to_convert_it(model, tmp_path):
    adapter_of_peft(model, tmp_path / "adapter", "q-v")
    (tmp_path / "adapter/adapter_model.safetensors").rename(tmp_path / "adapter/adapter_model.bin")
    done = start_engine("evaluate", tmp_path / "eval", model, {}, eval=ROWS, adapter=tmp_path / "adapter")
    assert done.returncode == 1 and "adapter_model.bin" in done.stderr and "safetensors" in done.stderr


@pytest.mark.parametrize("init, status", [("pissa", 1), ("pissa_niter_4", 1), ("olora", 1), ("orthogonal", 0), ("gaussian", 0), (False, 0)])
def test_an_adapter_whose_start_changed_the_base_is_refused_by_its_initialisation(model, tmp_path, init, status):
    get_peft_model(base_of(model), LoraConfig(r=4, task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=init)).save_pretrained(tmp_path / "adapter")
    done = start_engine("evaluate", tmp_path / "eval", model, {"dtype": "fp32"}, eval=ROWS, adapter=tmp_path / "adapter")
    assert done.returncode == status, done.stderr
    assert status == 0 or f'init_lora_weights "{init}"' in done.stderr and "path_initial_model_for_weight_conversion" in done.stderr
    if status == 0:
        assert_scores_equal(tmp_path / "eval", likelihoods(PeftModel.from_pretrained(base_of(model), tmp_path / "adapter").eval(), model))


@pytest.mark.parametrize("variant", ["all-linear", "dora", "patterns"])
def test_a_merged_model_is_pefts_and_needs_no_adapter(model, tmp_path, variant):
    tuned = adapter_of_peft(model, tmp_path / "adapter", variant)
    scores = likelihoods(tuned, model)
    run_engine("merge", tmp_path / "merge", model, {}, adapter=tmp_path / "adapter")
    merged = tmp_path / "merge/model"
    expected, ours = tuned.merge_and_unload().state_dict(), base_of(merged).state_dict()
    assert expected.keys() == ours.keys()
    for name, value in expected.items():
        assert torch.allclose(ours[name], value, atol=1e-6), name
    run_engine("evaluate", tmp_path / "eval", merged, {"dtype": "fp32"}, eval=ROWS)
    assert_scores_equal(tmp_path / "eval", scores)


@pytest.mark.parametrize("member, value", [("modules_to_save", ["lm_head"]), ("init_lora_weights", "pissa"), ("target_modules", ["qq_proj"]),
                                           ("rank_pattern", {"qq_proj": 2}), ("lora_bias", True)])
def test_what_is_not_trained_exactly_is_refused_by_name(model, tmp_path, member, value):
    done = start_engine("train", tmp_path, model, {member: value}, train=ROWS)
    assert done.returncode in (1, 2) and (member in done.stderr or "qq_proj" in done.stderr)
    assert not (tmp_path / "model").exists()


def test_dora_with_dropout_is_refused(model, tmp_path):
    done = start_engine("train", tmp_path, model, {"use_dora": True, "lora_dropout": 0.1}, train=ROWS)
    assert done.returncode == 1 and "use_dora together with lora_dropout" in done.stderr


METHODS = {
    "lora": {},
    "rslora": {"use_rslora": True, "lora_alpha": 4},
    "dora": {"use_dora": True},
    "dora-of-two": {"use_dora": "true", "target_modules": ["k_proj", "up_proj"]},
    "patterns": {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 6}, "alpha_pattern": {"down_proj": 32}, "use_rslora": True},
    "regex": {"target_modules": r".*\.layers\.[12]\.self_attn\.(q|o)_proj", "init_lora_weights": "gaussian"},
    "adamw": {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6, "weight_decay": 0.1, "max_grad_norm": 0.5},
    "recomputed": {"gradient_checkpointing": True, "pass_tokens_max": 64, "use_dora": True},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_of_each_step_equals_pefts_from_the_same_start_and_order(model, tmp_path, method):
    """One batch of all examples a step, so that no order matters; the start is read from the engine's own first adapter."""
    parameters = {"dtype": "fp32", "learning_rate": 0, "epochs": 1, "batch_size": len(ROWS), "lora_r": 4, "lora_alpha": 8, **METHODS[method]}
    run_engine("train", tmp_path / "start", model, parameters, train=ROWS)
    parameters |= {"learning_rate": 5e-3, "epochs": 8, "lr_scheduler": "constant", "warmup_ratio": 0}
    events = run_engine("train", tmp_path / "train", model, parameters, train=ROWS)
    tuned = PeftModel.from_pretrained(base_of(model), tmp_path / "start/model", is_trainable=True)
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=5e-3, weight_decay=parameters.get("weight_decay", 0),
                                  betas=(parameters.get("adam_beta1", 0.9), parameters.get("adam_beta2", 0.999)), eps=parameters.get("adam_epsilon", 1e-8))
    tokenizer = AutoTokenizer.from_pretrained(model)
    for event in (event for event in events if event["event"] == "step"):
        nats = tokens = 0
        for row in ROWS:
            prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
            ids = torch.tensor([tokenizer(tokenizer.apply_chat_template(row["messages"], tokenize=False), add_special_tokens=False)["input_ids"]])
            start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
            scores = tuned(ids).logits[0].log_softmax(-1)
            nats, tokens = nats - scores[start - 1 : -1].gather(1, ids[0, start:, None]).sum(), tokens + ids.shape[1] - start
        loss = nats / tokens
        assert event["loss"] == pytest.approx(loss.item(), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), parameters.get("max_grad_norm", 1.0))
        optimizer.step()
    ours = load_file(tmp_path / "train/model/adapter_model.safetensors")
    for name, value in get_peft_model_state_dict(tuned).items():
        assert torch.allclose(ours.pop(name), value, atol=2e-4), name
    assert not ours


@pytest.mark.parametrize("name, peer", [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")])
@pytest.mark.parametrize("warmup", [{}, {"warmup_ratio": 0.3}, {"warmup_steps": 3}], ids=["none", "ratio", "steps"])
def test_learning_rates_are_those_of_transformers_schedules(model, tmp_path, name, peer, warmup):
    events = run_engine("train", tmp_path, model, {"dtype": "fp32", "epochs": 3, "batch_size": 4, "learning_rate": 1e-3, "lr_scheduler": name, "lora_r": 1, "warmup_ratio": 0, **warmup}, train=ROWS)
    rates = [event["learning_rate"] for event in events if event["event"] == "step"]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    steps = warmup.get("warmup_steps", math.ceil(12 * warmup.get("warmup_ratio", 0)))
    schedule = get_scheduler(peer, optimizer, num_warmup_steps=steps, num_training_steps=12)
    for rate in rates:
        assert rate == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-15)
        optimizer.step()
        schedule.step()
    assert len(rates) == 12


def refused(tmp_path, model, status, *words, entry="evaluate", rows=ROWS, name="refused", before=(), **parameters):
    """The job ends with that status and says these words, on standard error and in the file that the platform reads; no result is left."""
    root = tmp_path / name
    channels = {"train": rows, "eval": rows} if entry == "train" else {"eval": rows}
    done = start_engine(entry, root, model, {"dtype": "fp32", **parameters}, before, **channels)
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr and word in (root / "output/failure").read_text()
    assert not (root / "output/data/evaluation.json").exists() and not (root / "model").exists()


NORM, DOWN = "model.layers.1.input_layernorm.weight", "model.layers.2.mlp.down_proj.weight"
BROKEN = {
    "missing": (lambda tensors: tensors.pop(NORM), 1, [NORM]),
    "too many": (lambda tensors: tensors.update({"model.layers.7.mlp.down_proj.weight": tensors[DOWN].clone()}), 1, ["model.layers.7.mlp.down_proj.weight"]),
    "shape": (lambda tensors: tensors.update({DOWN: tensors[DOWN][:, :-1].contiguous()}), 2, [DOWN, "shape"]),
    "transposed": (lambda tensors: tensors.update({DOWN: tensors[DOWN].T.contiguous()}), 2, [DOWN, "shape"]),
    "integers": (lambda tensors: tensors.update({DOWN: tensors[DOWN].to(torch.int64)}), 1, [DOWN, "I64"]),
    "bytes": (lambda tensors: tensors.update({DOWN: tensors[DOWN].to(torch.uint8)}), 1, [DOWN, "U8"]),
    "no number": (lambda tensors: tensors[DOWN].fill_(float("nan")), 2, ["no number", "line 1"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_model_is_refused_by_the_tensors_name(model, tmp_path, kind):
    change, status, words = BROKEN[kind]
    tensors = load_file(model / "model.safetensors")
    change(tensors)
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    refused(tmp_path, model, status, *words)


@pytest.mark.parametrize("key, value, words", [
    ("architectures", ["Qwen2ForCausalLM"], ["Qwen2ForCausalLM"]), ("architectures", ["LlamaForSequenceClassification"], ["LlamaForSequenceClassification", "architectures"]),
    ("hidden_act", "gelu", ["hidden_act"]), ("num_attention_heads", 7, ["num_attention_heads"]), ("hidden_size", "64", ["hidden_size"])])
def test_a_model_of_another_architecture_is_refused_by_the_option(model, tmp_path, key, value, words):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, key: value}))
    refused(tmp_path, model, 1 if key in ("architectures", "hidden_act") else 2, *words)


def test_a_tokenizer_with_more_text_than_the_model_is_refused(model, tmp_path):
    tensors = load_file(model / "model.safetensors")
    for name in {"model.embed_tokens.weight", "lm_head.weight"} & set(tensors):
        tensors[name] = tensors[name][:-3].clone()
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": config["vocab_size"] - 3}))
    refused(tmp_path, model, 2, "tokenizer.json", "vocab_size", str(config["vocab_size"] - 3))


def test_dropout_of_the_base_is_refused_in_training_and_does_nothing_in_evaluation(model, tmp_path):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))
    refused(tmp_path, model, 1, "attention_dropout", entry="train")
    run_engine("evaluate", tmp_path / "job", model, {"dtype": "fp32"}, eval=ROWS)
    assert_scores_equal(tmp_path / "job", likelihoods(base_of(model), model))


def test_a_training_run_whose_loss_is_no_number_leaves_no_adapter(model, tmp_path):
    tensors = load_file(model / "model.safetensors")
    tensors[DOWN][0, 0] = float("nan")
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    refused(tmp_path, model, 2, "no number", "step 1, line", entry="train")


def test_rows_without_an_answer_are_named_by_their_line(model, tmp_path):
    empty = {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": " \n"}]}
    refused(tmp_path, model, 2, "line 3", "the answer is empty", rows=[*ROWS[:2], empty])


def test_examples_that_are_cut_off_are_counted_and_said(model, tmp_path):
    longer = {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "ls -a /home " * 40}]}
    for name, length, count in (("cut", 100, 1), ("whole", 256, 1), ("fits", 0, 0)):
        rows = ROWS + [longer] if count else ROWS
        done = start_engine("evaluate", tmp_path / name, model, {"dtype": "fp32", "max_length": length}, eval=rows)
        assert done.returncode == 0, done.stderr
        evaluation = json.loads((tmp_path / name / "output/data/evaluation.json").read_text())
        assert evaluation["truncated"] == count and (f"{count} of {len(rows)}" in done.stderr) == (count > 0)
    events = run_engine("train", tmp_path / "train", model, {"dtype": "fp32", "epochs": 1, "max_length": 100}, train=ROWS + [longer])
    assert {event["event"]: event for event in events}["plan"]["truncated"] == 1
    assert {"event": "truncated", "channel": "train", "truncated": 1, "examples": 17, "max_length": 100} in events


def test_too_little_memory_is_said_with_a_way_out(tmp_path, model):
    """A context of which one example fills more than the process may have, which is enough for others."""
    before = ["prlimit", f"--data={110 << 20}"]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1 << 16}))
    long = {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "ls -a /home " * 8000}]}
    refused(tmp_path, model, 1, "not enough memory", "max_length", rows=[long], before=before, threads=1)
    done = start_engine("evaluate", tmp_path / "short", model, {"dtype": "fp32", "threads": 1}, before, eval=ROWS)
    assert done.returncode == 0, done.stderr


def test_a_run_that_cannot_fit_says_what_it_needs_before_its_first_step(tmp_path, model):
    long = {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "ls -a /home " * 18}]}
    parameters = {"dtype": "fp32", "batch_size": 512, "pass_tokens_max": 1 << 20, "epochs": 1, "threads": 1}
    root = tmp_path / "too-large"
    done = start_engine("train", root, model, parameters, ["prlimit", f"--data={700 << 20}"], train=[long] * 512)
    assert done.returncode == 1 and not done.stdout, done.stderr
    for word in ("this training needs about", "GiB", "the process's limit is 0.68 GiB", "activations", "gradient_checkpointing"):
        assert word in done.stderr, done.stderr
    assert not (root / "model").exists() and not (root / "checkpoints").exists()


def test_what_a_run_says_it_needs_is_near_what_it_takes(tmp_path, model):
    rows = [{"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "ls -a /home " * 18}]}] * 200
    parameters = {"dtype": "fp32", "batch_size": 200, "pass_tokens_max": 1 << 20, "epochs": 2, "threads": 1}
    done = start_engine("train", tmp_path, model, parameters, ["/usr/bin/env", "python3", "-c", MEASURE], train=rows)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    needs, takes = events[0]["memory_bytes"], int(done.stderr.split("peak ")[1]) * 1024
    assert 0.9 * takes < needs < 1.8 * takes


MEASURE = """import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)"""
