# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation over a base in 8 or 4 bits against PEFT over Transformers' models whose matrices the test rounds itself, as docs/generation.md says."""
import pytest
import torch
from engine_methods_test import PAIRS, dpo_loss, encode, likelihood, pairs_of, steps
from engine_train_test import ROWS, assert_scores_equal, base_of, likelihoods, make_tokenizer, run_engine, start_engine
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM

FORMATS = ["int8", "int4"]
SCALES = [-8.9, -8.5, -8.2, -8.0, -7.7, -7.4, -7.0, 7.0, 7.4]  # where a group's extreme value may come to lie


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(request, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=make_tokenizer(folder), hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=4,
                         max_position_embeddings=256, tie_word_embeddings=request.param, bos_token_id=0, eos_token_id=1, initializer_range=0.15)
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    return folder


def nearest(x):
    """Halves away from zero."""
    return x.sign() * (x.abs() + 0.5).floor()


def in_8_bits(matrix):
    """A group of 64 may be shorter at the end of a row."""
    groups = torch.nn.functional.pad(matrix, (0, -matrix.shape[1] % 64)).reshape(matrix.shape[0], -1, 64)
    scale = (groups.abs().amax(2, keepdim=True) / 127).to(torch.bfloat16).float()
    return (nearest(groups / scale) * scale).reshape(matrix.shape[0], -1)[:, : matrix.shape[1]].contiguous()


def in_4_bits(matrix):
    groups = matrix.reshape(matrix.shape[0], -1, 32)
    extreme = groups.gather(2, groups.abs().argmax(2, keepdim=True))
    best, least = torch.zeros_like(groups), torch.full_like(extreme, torch.inf)
    for steps in SCALES:
        scale = (extreme / steps).to(torch.bfloat16).float()
        values = nearest(groups / scale).clamp(-8, 7) * scale
        error = (groups - values).square().sum(2, keepdim=True)
        best, least = torch.where(error < least, values, best), torch.minimum(error, least)
    return best.reshape(matrix.shape)


def rounded(folder, weights):
    """Linear modules in 8 or 4 bits, the head in 8, the embedding as it is, even where the head is tied to it."""
    peer = base_of(folder)
    for name, module in peer.named_modules():
        if isinstance(module, torch.nn.Linear):
            matrix = in_8_bits if weights == "int8" or name == "lm_head" else in_4_bits
            module.weight = torch.nn.Parameter(matrix(module.weight.detach()), requires_grad=False)
    return peer


@pytest.mark.parametrize("weights", FORMATS)
def test_a_rounded_base_is_evaluated_as_transformers_does_with_the_rounded_matrices(model, tmp_path, weights):
    run_engine("evaluate", tmp_path / "job", model, {"dtype": "fp32", "weights": weights}, eval=ROWS)
    # What meets weights in 8 bits is rounded to 16, which moves a token's likelihood by more than the order of fp32's sums does.
    assert_scores_equal(tmp_path / "job", likelihoods(rounded(model, weights), model), apart=2e-4)


def expect_losses_of_pytorch(events, tuned, loss_of):
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=5e-3, weight_decay=0)
    told = [event["loss"] for event in steps(events)]
    for ours in told:
        loss = loss_of(tuned)
        assert ours == pytest.approx(loss.item(), rel=1e-4, abs=1e-6)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
    assert told[-1] < told[0] - 0.1


METHODS = {"lora": {}, "dora": {"use_dora": True}, "recomputed": {"gradient_checkpointing": True, "pass_tokens_max": 64}}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", FORMATS)
def test_an_adapter_over_a_rounded_base_has_pefts_losses_over_the_rounded_matrices(model, tmp_path, weights, method):
    parameters = {"dtype": "fp32", "weights": weights, "learning_rate": 0, "epochs": 1, "batch_size": len(ROWS), "lora_r": 4, "lora_alpha": 8, **METHODS[method]}
    run_engine("train", tmp_path / "start", model, parameters, train=ROWS)
    parameters |= {"learning_rate": 5e-3, "epochs": 8, "lr_scheduler": "constant", "warmup_ratio": 0}
    events = run_engine("train", tmp_path / "train", model, parameters, train=ROWS, eval=ROWS)
    examples = encode(model, [row["messages"] for row in ROWS])
    tokens = sum(ids.shape[1] - start for ids, start in examples)
    tuned = PeftModel.from_pretrained(rounded(model, weights), tmp_path / "start/model", is_trainable=True)
    expect_losses_of_pytorch(events, tuned, lambda tuned: -sum(likelihood(tuned, example) for example in examples) / tokens)
    # The adapter that was kept, over the base that it was trained on, has the loss that the run told, but for the 16 bits in which
    # activations meet a base in 8 bits that is laid out for generation.
    evaluation = run_engine("evaluate", tmp_path / "eval", model, {"dtype": "fp32", "weights": weights}, eval=ROWS, adapter=tmp_path / "train/model")[-1]
    assert evaluation["eval_loss"] == pytest.approx(min(event["eval_loss"] for event in events if event["event"] == "epoch"), rel=1e-4)
    assert_scores_equal(tmp_path / "eval", likelihoods(PeftModel.from_pretrained(rounded(model, weights), tmp_path / "train/model").eval(), model))


@pytest.mark.parametrize("weights", FORMATS)
def test_preferences_over_a_rounded_base_have_the_losses_of_the_formula(model, tmp_path, weights):
    pairs = pairs_of(model)
    parameters = {"dtype": "fp32", "weights": weights, "loss": "dpo", "dpo_beta": 0.3, "lora_r": 4, "lora_alpha": 8, "epochs": 1, "learning_rate": 0, "batch_size": len(PAIRS)}
    run_engine("train", tmp_path / "start", model, parameters, train=PAIRS)
    parameters |= {"learning_rate": 5e-3, "epochs": 6, "lr_scheduler": "constant", "warmup_ratio": 0}
    events = run_engine("train", tmp_path / "train", model, parameters, train=PAIRS)
    tuned = PeftModel.from_pretrained(rounded(model, weights), tmp_path / "start/model", is_trainable=True)
    with torch.no_grad(), tuned.disable_adapter():
        reference = [[likelihood(tuned, example) for example in pair] for pair in pairs]
    expect_losses_of_pytorch(events, tuned, lambda tuned: dpo_loss(tuned, reference, pairs, 0.3)[0])


@pytest.mark.parametrize("entry", ["train", "evaluate"])
def test_another_format_is_refused_with_those_that_there_are(model, tmp_path, entry):
    done = start_engine(entry, tmp_path, model, {"weights": "fp4"}, train=ROWS, eval=ROWS)
    assert done.returncode == 2 and all(word in done.stderr for word in ("weights", "bf16", "int8", "int4", "hyperparameters"))


def test_full_fine_tuning_of_rounded_weights_is_refused_by_name(model, tmp_path):
    done = start_engine("train", tmp_path, model, {"method": "full", "weights": "int8"}, train=ROWS)
    assert done.returncode == 1 and "weights: int8 together with method: full" in done.stderr and "method: lora" in done.stderr


@pytest.mark.parametrize("entry", ["train", "evaluate"])
def test_a_width_that_4_bits_cannot_hold_is_named(tmp_path, entry):
    folder = tmp_path / "base"
    folder.mkdir()
    config = LlamaConfig(vocab_size=make_tokenizer(folder), hidden_size=64, intermediate_size=112, num_hidden_layers=1, num_attention_heads=4, bos_token_id=0, eos_token_id=1)
    LlamaForCausalLM(config).save_pretrained(folder)
    done = start_engine(entry, tmp_path / "job", folder, {"weights": "int4"}, train=ROWS, eval=ROWS)
    assert done.returncode == 1 and "multiples of 32" in done.stderr and "112" in done.stderr and "int8" in done.stderr
