# SPDX-License-Identifier: Apache-2.0
"""Full fine-tuning, preferences and adapters that go on, against PyTorch over Transformers' models, on the small Llama of engine_train_test."""
import json
import subprocess

import pytest
import torch
import torch.nn.functional as F
from engine_train_test import ENGINE, ROWS, adapter_of_peft, assert_scores_equal, base_of, likelihoods, model, run_engine, start_engine  # noqa: F401  (model is a fixture)
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoTokenizer
from transformers.trainer_pt_utils import get_parameter_names

PAIRS = [{"prompt": row["messages"][:1], "chosen": row["messages"][1:],
          "rejected": [{"role": "assistant", "content": f"rm -rf / --no-preserve-root {i % 5}"}]} for i, row in enumerate(ROWS)]


def encode(folder, rows):
    """Token ids and where the answer starts."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    out = []
    for messages in rows:
        prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
        out.append((ids, len(tokenizer(prompt, add_special_tokens=False)["input_ids"])))
    return out


def likelihood(model, example):
    ids, start = example
    return model(ids).logits[0].log_softmax(-1)[start - 1 : -1].gather(1, ids[0, start:, None]).sum()


def changed_config(folder, name="config.json", **members):
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, **members}))


def steps(events):
    return [event for event in events if event["event"] == "step"]


@pytest.mark.parametrize("config", [{}, {"tie_word_embeddings": True}, {"pad_token_id": 1}], ids=["", "called tied", "ends pad"])
def test_full_fine_tuning_has_the_losses_of_pytorch_and_leaves_a_model_that_transformers_reads(model, tmp_path, config):
    """A head of its own stays one whatever it is called; the token that pads, here the one that ends each turn, is not trained as an input."""
    changed_config(model, **config)
    parameters = {"dtype": "fp32", "method": "full", "learning_rate": 2e-3, "epochs": 6, "batch_size": len(ROWS), "lr_scheduler": "constant", "warmup_ratio": 0, "weight_decay": 0.1}
    events = run_engine("train", tmp_path / "train", model, parameters, train=ROWS)
    ours = base_of(tmp_path / "train/model")
    peer = base_of(model)
    decayed = get_parameter_names(peer, [type(peer.model.norm)], ["bias"])
    optimizer = torch.optim.AdamW([{"params": [p for n, p in peer.named_parameters() if n in decayed], "weight_decay": 0.1},
                                   {"params": [p for n, p in peer.named_parameters() if n not in decayed], "weight_decay": 0.0}], lr=2e-3)
    examples = encode(model, [row["messages"] for row in ROWS])
    tokens = sum(ids.shape[1] - start for ids, start in examples)
    for event in steps(events):
        loss = -sum(likelihood(peer, example) for example in examples) / tokens
        assert event["loss"] == pytest.approx(loss.item(), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
    for name, value in peer.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=3e-4), name
    run_engine("evaluate", tmp_path / "eval", tmp_path / "train/model", {"dtype": "fp32"}, eval=ROWS)
    assert_scores_equal(tmp_path / "eval", likelihoods(ours, model))


def dpo_loss(model, reference, pairs, beta):
    """The formula of arXiv 2305.18290 (TRL's loss_type sigmoid), and the margin of the rewards."""
    total = margins = 0
    for (chosen, rejected), before in zip(pairs, reference):
        margin = beta * ((likelihood(model, chosen) - before[0]) - (likelihood(model, rejected) - before[1]))
        total, margins = total - F.logsigmoid(margin), margins + margin.item()
    return total / len(pairs), margins / len(pairs)


def pairs_of(folder):
    chosen = encode(folder, [pair["prompt"] + pair["chosen"] for pair in PAIRS])
    rejected = encode(folder, [pair["prompt"] + pair["rejected"] for pair in PAIRS])
    return list(zip(chosen, rejected))


@pytest.mark.parametrize("parts, cut", [({"batch_size": len(PAIRS)}, 0), ({"batch_size": 4, "gradient_accumulation_steps": 4, "pass_tokens_max": 90}, 0), ({"batch_size": len(PAIRS)}, 4)],
                         ids=["whole", "in-parts", "cut-off"])
def test_preferences_have_the_losses_of_the_formula_in_pytorch(model, tmp_path, parts, cut):
    pairs = pairs_of(model)
    length = max(ids.shape[1] for pair in pairs for ids, _ in pair) - cut
    cut_off = sum(ids.shape[1] > length for pair in pairs for ids, _ in pair)
    pairs = [tuple((ids[:, :length], start) for ids, start in pair) for pair in pairs]
    parameters = {"max_length": length} | {"dtype": "fp32", "loss": "dpo", "dpo_beta": 0.3, "lora_r": 4, "lora_alpha": 8, "epochs": 1, "learning_rate": 0, **parts}
    run_engine("train", tmp_path / "start", model, parameters, train=PAIRS)
    parameters |= {"learning_rate": 5e-3, "epochs": 6, "lr_scheduler": "constant", "warmup_ratio": 0}
    events = run_engine("train", tmp_path / "train", model, parameters, train=PAIRS, eval=PAIRS[:4])
    tuned = PeftModel.from_pretrained(base_of(model), tmp_path / "start/model", is_trainable=True)
    with torch.no_grad(), tuned.disable_adapter():
        reference = [[likelihood(tuned, example) for example in pair] for pair in pairs]
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=5e-3, weight_decay=0)
    told = [event["truncated"] for event in events if event["event"] == "truncated" and event["channel"] == "train"]
    assert told == ([cut_off] if cut else []) and bool(cut) == bool(cut_off)
    for event in steps(events):
        loss, margin = dpo_loss(tuned, reference, pairs, 0.3)
        assert event["loss"] == pytest.approx(loss.item(), rel=2e-4, abs=1e-6)
        assert event["reward_margin"] == pytest.approx(margin, rel=1e-3, abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
    assert steps(events)[-1]["reward_accuracy"] == 1
    last = [event for event in events if event["event"] == "epoch"][-1]
    assert last["eval_loss"] == pytest.approx(dpo_loss(tuned, reference[:4], pairs[:4], 0.3)[0].item(), rel=1e-2, abs=1e-4)


def test_where_one_answer_joins_the_prompts_end_both_answers_count_from_there_as_in_trl(model, tmp_path):
    """TRL 1.16's DPOTrainer cuts both answers off where the first of them leaves the prompt's own tokens."""
    rows = [{"prompt": "How do I list ", "chosen": "files in home", "rejected": "9"}, {"prompt": "Where ", "chosen": "7", "rejected": "links"}]
    tokenizer, pairs, joined = AutoTokenizer.from_pretrained(model), [], 0
    for row in rows:
        alone = tokenizer(row["prompt"])["input_ids"]
        both = [tokenizer(row["prompt"] + row[answer] + "<|im_end|>")["input_ids"] for answer in ("chosen", "rejected")]
        common = [next((i for i, (a, b) in enumerate(zip(alone, ids)) if a != b), len(alone)) for ids in both]
        joined += common[0] != common[1]
        pairs.append(tuple((torch.tensor([ids]), min(common)) for ids in both))
    assert joined
    parameters = {"dtype": "fp32", "loss": "dpo", "lora_r": 4, "lora_alpha": 8, "epochs": 1, "batch_size": 2, "learning_rate": 0}
    run_engine("train", tmp_path / "start", model, parameters, train=rows)
    events = run_engine("train", tmp_path / "train", model, parameters | {"learning_rate": 2e-2, "epochs": 4, "lr_scheduler": "constant", "warmup_ratio": 0}, train=rows)
    tuned = PeftModel.from_pretrained(base_of(model), tmp_path / "start/model", is_trainable=True)
    with torch.no_grad(), tuned.disable_adapter():
        reference = [[likelihood(tuned, example) for example in pair] for pair in pairs]
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=2e-2, weight_decay=0)
    for event in steps(events):
        loss, margin = dpo_loss(tuned, reference, pairs, 0.1)
        assert event["loss"] == pytest.approx(loss.item(), rel=2e-4, abs=1e-6)
        assert event["reward_margin"] == pytest.approx(margin, rel=1e-3, abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()


def test_an_adapter_that_goes_on_is_the_reference_of_its_preferences(model, tmp_path):
    tuned = adapter_of_peft(model, tmp_path / "adapter", "all-linear")
    events = run_engine("train", tmp_path / "train", model, {"dtype": "fp32", "loss": "dpo", "epochs": 1, "batch_size": len(PAIRS)},
                        train=PAIRS, adapter=tmp_path / "adapter")
    assert steps(events)[0]["loss"] == pytest.approx(0.6931472, rel=1e-5)  # the model is still its own reference
    events = run_engine("train", tmp_path / "answers", model, {"dtype": "fp32", "epochs": 1, "batch_size": len(ROWS)}, train=ROWS, adapter=tmp_path / "adapter")
    scores = likelihoods(tuned, model)
    assert steps(events)[0]["loss"] == pytest.approx(-sum(s for s, _ in scores) / sum(n for _, n in scores), rel=1e-4)
    for key, value in (("lora_r", 4), ("lora_dropout", 0.1), ("layers_to_transform", [1]), ("init_lora_weights", "gaussian")):
        done = start_engine("train", tmp_path / key, model, {key: value}, train=ROWS, adapter=tmp_path / "adapter")
        assert done.returncode == 2 and key in done.stderr, (key, done.stderr)


def test_an_adapter_that_cannot_go_on_as_it_was_trained_is_refused_by_the_reason(model, tmp_path):
    adapter_of_peft(model, tmp_path / "adapter", "dora")
    changed_config(tmp_path / "adapter", "adapter_config.json", lora_dropout=0.1)
    for name, parameters, words in (("dropout", {}, "use_dora together with lora_dropout"), ("full", {"method": "full"}, "method: full together with an adapter")):
        done = start_engine("train", tmp_path / name, model, parameters, train=ROWS, adapter=tmp_path / "adapter")
        assert done.returncode == 1 and words in done.stderr, (name, done.stderr)
        assert not (tmp_path / name / "model").exists()
    run_engine("evaluate", tmp_path / "eval", model, {}, eval=ROWS, adapter=tmp_path / "adapter")  # which drops nothing


def test_a_layers_number_may_be_a_string_as_sagemaker_sends_it(model, tmp_path):
    run_engine("train", tmp_path, model, {"epochs": "1", "layers_to_transform": "1"}, train=ROWS)
    assert {name.split(".")[4] for name in load_file(tmp_path / "model/adapter_model.safetensors")} == {"1"}


def test_it_is_said_that_no_rows_are_held_out(model, tmp_path):
    for name, more in (("without", {}), ("with", {"eval": ROWS[:2]})):
        done = start_engine("train", tmp_path / name, model, {"epochs": 1}, train=ROWS, **more)
        assert done.returncode == 0 and ("no rows are held out" in done.stderr) == (not more), done.stderr


@pytest.mark.parametrize("entry", ["train", "merge"])
def test_weights_in_other_forms_beside_the_base_are_not_those_of_the_model_that_is_written(model, tmp_path, entry):
    """As folders of the Hub hold them, of any size: they are the base's, not the new model's."""
    for name in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.gguf"):
        (model / name).write_bytes(b"base")
    with (model / "pytorch_model.bin").open("r+b") as file:
        file.truncate(300 << 20)
    adapter_of_peft(model, tmp_path / "adapter", "all-linear")
    parameters, channels = ({"method": "full", "epochs": 1}, {"train": ROWS}) if entry == "train" else ({}, {"adapter": tmp_path / "adapter"})
    run_engine(entry, tmp_path / "job", model, parameters, **channels)
    assert {file.name for file in (tmp_path / "job/model").iterdir()} == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


@pytest.mark.parametrize("entry", ["train", "merge"])
def test_templates_beside_the_models_own_go_with_the_model_that_is_written(model, tmp_path, entry):
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": "{{ tools | tojson }}" + tokenizer.chat_template}
    tokenizer.save_pretrained(model)
    adapter_of_peft(model, tmp_path / "adapter", "all-linear")
    parameters, channels = ({"method": "full", "epochs": 1}, {"train": ROWS}) if entry == "train" else ({}, {"adapter": tmp_path / "adapter"})
    run_engine(entry, tmp_path / "job", model, parameters, **channels)
    assert AutoTokenizer.from_pretrained(tmp_path / "job/model").chat_template == tokenizer.chat_template


def test_values_that_are_no_numbers_are_neither_kept_nor_left(model, tmp_path):
    """Without an epsilon a value whose gradient is zero, as all of A at first, becomes 0 / 0."""
    done = start_engine("train", tmp_path, model, {"dtype": "fp32", "adam_epsilon": 0, "epochs": 1, "batch_size": len(ROWS)}, train=ROWS)
    assert done.returncode == 2 and "no number" in done.stderr and "step 1" in done.stderr, done.stderr
    assert not (tmp_path / "model").exists() and not list((tmp_path / "checkpoints").glob("*"))


def test_a_run_whose_base_has_another_configuration_now_does_not_go_on(model, tmp_path):
    run_engine("train", tmp_path, model, {"epochs": 1}, train=ROWS)
    changed_config(model, rms_norm_eps=1e-3)
    done = subprocess.run([ENGINE, "train", "--root", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and "data.configuration" in done.stderr, done.stderr
    changed_config(model, rms_norm_eps=1e-6)
    (tmp_path / "input/config/hyperparameters.json").write_text(json.dumps({"epochs": 1, "learning_rate": 1e-3}))
    done = subprocess.run([ENGINE, "train", "--root", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and "options.learning_rate" in done.stderr, done.stderr
    (tmp_path / "input/config/hyperparameters.json").write_text(json.dumps({"epochs": 1}))
    assert (tmp_path / "output/failure").exists()
    subprocess.run([ENGINE, "train", "--root", tmp_path], check=True)
    assert not (tmp_path / "output/failure").exists()


LONG = {"prompt": "a", "chosen": "b " * 400, "rejected": "c"}


@pytest.mark.parametrize("row, words, options", [
    ({"prompt": "a", "chosen": "b"}, "'rejected'", {}), ({"prompt": "a", "chosen": "b", "rejected": "b"}, "the same", {}),
    (LONG, "max_length is 64", {"on_too_long": "refuse"}), (LONG, "windows", {"on_too_long": "windows"}), (ROWS[0], "no preference", {}),
    ({"prompt": "b " * 100, "chosen": "b", "rejected": "c"}, "no token of the answer is left", {}),
    ({"prompt": "a", "chosen": "b " * 100 + "c", "rejected": "b " * 100 + "d"}, "the same as far as max_length goes", {})])
def test_a_pair_of_which_nothing_can_be_learnt_is_named_by_its_line(model, tmp_path, row, words, options):
    done = start_engine("train", tmp_path, model, {"loss": "dpo", "max_length": 64, **options}, train=[PAIRS[0], row])
    assert done.returncode in (1, 2) and "line 2" in done.stderr and words in done.stderr, done.stderr
    assert not (tmp_path / "model").exists()


def test_pairs_that_are_too_long_are_left_out_where_that_is_asked_for_and_csv_is_read_too(model, tmp_path):
    events = run_engine("train", tmp_path / "drop", model, {"loss": "dpo", "max_length": 64, "on_too_long": "drop", "epochs": 1, "batch_size": 4}, train=[*PAIRS[:4], LONG])
    told, = [event for event in events if event["event"] == "truncated"]
    assert (told["truncated"], told["dropped"], told["examples"]) == (0, 1, 8)
    texts = [{"prompt": f"q{i} ", "chosen": f"yes, {i}", "rejected": f"no {i}"} for i in range(4)]
    losses = []
    for name, data in (("lines", texts), ("csv", "prompt,chosen,rejected\n" + "".join(f'{t["prompt"]},"{t["chosen"]}",{t["rejected"]}\n' for t in texts))):
        losses.append([event["loss"] for event in steps(run_engine("train", tmp_path / name, model, {"loss": "dpo", "dtype": "fp32", "threads": 1, "batch_size": 4}, train=data))])
    assert losses[0] == losses[1] and len(losses[0]) == 4


def changed_base(folder, change):
    network, tokenizer = base_of(folder.parent / "base"), AutoTokenizer.from_pretrained(folder.parent / "base")
    change(network)
    network.save_pretrained(folder, max_shard_size="100KB" if folder.name == "sharded" else "5GB")
    tokenizer.save_pretrained(folder)
    return folder


def test_an_adapter_is_refused_over_other_weights_of_equal_shapes_and_taken_over_its_own_in_any_form(model, tmp_path):
    adapter = tmp_path / "train/model"
    run_engine("train", tmp_path / "train", model, {"epochs": 1, "batch_size": 8}, train=ROWS)
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        assert len(file.metadata()["redoubt_base_digest"]) == 64
    for name, change in (("half", lambda network: network.to(torch.bfloat16)), ("sharded", lambda network: None)):
        run_engine("evaluate", tmp_path / f"eval-{name}", changed_base(tmp_path / name, change), {}, eval=ROWS, adapter=adapter)
    run_engine("evaluate", tmp_path / "rounded", model, {"weights": "int8"}, eval=ROWS, adapter=adapter)

    def other(network):
        with torch.no_grad():
            network.model.layers[2].mlp.down_proj.weight[0, 5] += 0.25

    folder = changed_base(tmp_path / "other", other)
    for entry, channels in (("evaluate", {"eval": ROWS}), ("train", {"train": ROWS}), ("merge", {})):
        done = start_engine(entry, tmp_path / f"refused-{entry}", folder, {}, adapter=adapter, **channels)
        assert done.returncode == 2 and "another base model" in done.stderr and "other weights of these shapes" in done.stderr


def test_an_adapter_that_peft_wrote_goes_over_any_base_of_its_shapes_and_another_name_is_said(model, tmp_path):
    adapter_of_peft(model, tmp_path / "adapter", "all-linear")
    config_file, own = tmp_path / "adapter/adapter_config.json", model / "config.json"
    own.write_text(json.dumps({**json.loads(own.read_text()), "_name_or_path": "owner/base"}))
    for name, said in (("owner/base", False), ("/models/base/", False), ("owner/another", True), (None, False)):
        config_file.write_text(json.dumps({**json.loads(config_file.read_text()), "base_model_name_or_path": name}))
        done = start_engine("evaluate", tmp_path / f"eval-{str(name).replace('/', '_')}", model, {}, eval=ROWS, adapter=tmp_path / "adapter")
        assert done.returncode == 0, done.stderr
        assert ("owner/another" in done.stderr and "'owner/base'" in done.stderr) == said
