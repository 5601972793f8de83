# SPDX-License-Identifier: Apache-2.0
"""Every family and option of docs/models.md against Transformers and PEFT, on small random models that the test makes."""
import json
import os
import pathlib
import shutil
import subprocess

import numpy
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])
VOCABULARY = 131
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.12, "tie_word_embeddings": False,
         "bos_token_id": 0, "eos_token_id": None, "pad_token_id": 0}


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


def model_of(name, **options):
    sizes = dict(SMALL)
    if name == "GPT2":
        sizes = {key: value for key, value in SMALL.items() if key not in ("intermediate_size", "num_key_value_heads")}
        options = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0, "tie_word_embeddings": True, **options}
    config = getattr(transformers, f"{name}Config")(**{**sizes, **options})
    return getattr(transformers, "GPT2LMHeadModel" if name == "GPT2" else name.removesuffix("Text") + "ForCausalLM")(config)


LONG = {"short_factor": [1.0, 1.1, 1.3, 1.2, 1.5, 1.6], "long_factor": [1.0, 1.7, 2.4, 3.1, 4.5, 6.0]}
GEMMA = {"head_dim": 16, "sliding_window": 20, "query_pre_attn_scalar": 24}
# The family, its options, and how config.json is written again as older versions of Transformers wrote it.
CASES = {
    "llama": ("Llama", {}),
    "llama, one key head": ("Llama", {"num_key_value_heads": 1, "tie_word_embeddings": True, "head_dim": 20}),
    "llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, linear": ("Llama", rope("linear", factor=3.0)),
    "llama, dynamic": ("Llama", {**rope("dynamic", factor=4.0), "max_position_embeddings": 48}),
    "llama, yarn": ("Llama", rope("yarn", factor=4.0, original_max_position_embeddings=32)),
    "llama, yarn by its factors": ("Llama", {**rope("yarn", factor=4.0, beta_fast=16.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=0.4, truncate=False),
                                             "max_position_embeddings": 32}),
    "llama, llama3": ("Llama", rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)),
    "mistral": ("Mistral", {"sliding_window": 20, "head_dim": 20}),
    "mistral, no window": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen2, windows": ("Qwen2", {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}),
    "qwen2, yarn": ("Qwen2", rope("yarn", factor=4.0, original_max_position_embeddings=32)),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3, windows and biases": ("Qwen3", {"head_dim": 16, "attention_bias": True, "use_sliding_window": True, "sliding_window": 20,
                                            "max_window_layers": 2, "tie_word_embeddings": True}),
    "gemma2": ("Gemma2", {**GEMMA, "tie_word_embeddings": True, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}),
    "gemma2, no caps": ("Gemma2", {**GEMMA, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
    "gemma3": ("Gemma3Text", {**GEMMA, "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2, "tie_word_embeddings": True,
                              "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                                                  "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    "phi3": ("Phi3", {"sliding_window": 20}),
    "phi3, part of a head": ("Phi3", {"tie_word_embeddings": True, "num_attention_heads": 3, "num_key_value_heads": 1,
                                      **rope("default", partial_rotary_factor=0.75)}),
    "phi3, longrope": ("Phi3", {**rope("longrope", **LONG), "original_max_position_embeddings": 40}),
    "gpt2": ("GPT2", {}),
    "gpt2, other scales": ("GPT2", {"n_inner": 70, "scale_attn_by_inverse_layer_idx": True, "activation_function": "gelu_pytorch_tanh",
                                    "layer_norm_epsilon": 1e-3}),
    "gpt2, no scale": ("GPT2", {"scale_attn_weights": False, "tie_word_embeddings": False}),
}
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3, longrope", "gpt2"]
IDS = torch.randint(1, VOCABULARY, (3, 100), generator=torch.Generator().manual_seed(4)).tolist()
BATCH = [IDS[0][:97], IDS[1][:30], IDS[2][:71], IDS[0][50:52]]
PROMPTS = [IDS[1][:30], IDS[2][:9]]
EXAMPLES = [{"ids": IDS[0][:60], "answer_start": 40}, {"ids": IDS[1][:25], "answer_start": 3}, {"ids": IDS[2][:44], "answer_start": 20}]


def make(folder, case):
    """Norms and biases away from where training begins, so that leaving one out would show."""
    name, options = CASES[case]
    torch.manual_seed(5)
    model = model_of(name, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return folder


def judge(folder, adapter=None):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = None
    return PeftModel.from_pretrained(model, adapter).eval() if adapter else model


@pytest.fixture(scope="module")
def tool():
    """The engine, asked one thing after another."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([BUILD / "model_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(**task):
        process.stdin.write(json.dumps({key: str(value) if isinstance(value, pathlib.Path) else value for key, value in task.items()}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    assert process.wait() == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of the cases, each made once."""
    made = {}

    def get(case):
        if case not in made:
            made[case] = make(tmp_path_factory.mktemp("model"), case)
        return made[case]

    return get


def opened(tool, folder, **more):
    assert tool(open=folder, **more) is None


def logits_of(tool, tmp_path, batch=BATCH):
    shape = tool(batch=batch, logits=tmp_path / "logits")
    return torch.from_numpy(numpy.fromfile(tmp_path / "logits", dtype=numpy.float32).reshape(shape))


def expected_logits(model, batch=BATCH):
    with torch.no_grad():
        return torch.cat([model(torch.tensor([ids])).logits[0] for ids in batch])


def assert_logits_equal(tool, tmp_path, model):
    ours, theirs = logits_of(tool, tmp_path), expected_logits(model)
    assert theirs.std() > 0.3, "the model says nothing, so equality would not either"
    assert (ours - theirs).abs().max() < 1e-4


def continuation(model, ids, count=64):
    with torch.no_grad():
        out = model.generate(input_ids=torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return out[0, len(ids) :].tolist()


@pytest.mark.parametrize("packed", [False, True], ids=["as loaded", "packed"])
@pytest.mark.parametrize("case", CASES)
def test_logits_and_greedy_continuation_equal_transformers(case, packed, models, tool, tmp_path):
    folder = models(case)
    opened(tool, folder, packed=packed)
    assert_logits_equal(tool, tmp_path, judge(folder))
    expected = [continuation(judge(folder), ids) for ids in PROMPTS]
    assert tool(batch=PROMPTS, greedy=64) == expected
    assert tool(batch=PROMPTS, greedy=64, prefix=5) == expected


def as_before(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def scaling_as_before(config, **more):
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    parameters["type"] = parameters.pop("rope_type")
    config["rope_scaling"] = {**parameters, **more} if parameters["type"] != "default" else None


def gemma3_as_before(config):
    config.update(rope_theta=1e6, rope_local_base_freq=1e4, rope_scaling={"factor": 8.0, "rope_type": "linear"}, sliding_window_pattern=2)
    del config["rope_parameters"], config["layer_types"]


def gpt2_as_before(config):
    for key in ("tie_word_embeddings", "n_inner", "scale_attn_weights"):
        config.pop(key, None)


@pytest.mark.parametrize("case, change", [
    ("gemma2", lambda config: [config.pop("layer_types"), config.update(sliding_window_pattern=3)]), ("gpt2", lambda config: config.update(num_attention_heads=2)),
    ("llama", lambda config: config.pop("architectures")), ("gemma3", lambda config: config.update(architectures=None)),
    ("llama, dynamic", scaling_as_before), ("llama, llama3", scaling_as_before), ("qwen2, yarn", scaling_as_before),
    ("phi3, longrope", lambda config: scaling_as_before(config, type="su")), ("qwen2, windows", lambda config: config.pop("layer_types")),
    ("gemma2", lambda config: [config.pop(key) for key in ("layer_types", "rope_parameters", "tie_word_embeddings")]),
    ("gemma3", gemma3_as_before), ("gpt2", gpt2_as_before), ("mistral", lambda config: config.update(head_dim=None, rope_parameters=None, rope_theta=500.0) or config.pop("head_dim")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_configuration_as_older_versions_wrote_it_is_read_as_transformers_does(case, change, models, tool, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models("mistral, no window" if case == "mistral" else case), folder)
    as_before(folder, change)
    opened(tool, folder)
    assert_logits_equal(tool, tmp_path, judge(folder))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
@pytest.mark.parametrize("case", ["gemma3", "gpt2"])
def test_sharded_files_of_half_precision_are_read(case, dtype, models, tool, tmp_path):
    model = judge(models(case)).to(dtype)
    model.save_pretrained(tmp_path / "model", max_shard_size="30KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 2
    opened(tool, tmp_path / "model")
    assert_logits_equal(tool, tmp_path, judge(tmp_path / "model"))


@pytest.mark.parametrize("case", FAMILIES)
def test_in_bf16_the_error_is_no_larger_than_transformers_own(case, models, tool, tmp_path):
    exact = expected_logits(judge(models(case)))
    theirs = expected_logits(AutoModelForCausalLM.from_pretrained(models(case), dtype=torch.bfloat16, attn_implementation="eager").eval())
    opened(tool, models(case), dtype="bf16")
    error = (logits_of(tool, tmp_path) - exact).square().mean().sqrt()
    assert error < 1.2 * (theirs.float() - exact).square().mean().sqrt()


def test_files_of_the_model_without_its_prefix_and_with_old_tables_are_read(models, tool, tmp_path):
    """As the first GPT-2 checkpoints lie on the Hub."""
    shutil.copytree(models("gpt2"), tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    save_file({**tensors, "h.0.attn.bias": torch.ones(1, 1, 128, 128)}, file, {"format": "pt"})
    opened(tool, tmp_path / "model")
    assert_logits_equal(tool, tmp_path, judge(models("gpt2")))


def test_a_tied_head_that_differs_is_not_tied(models, tool, tmp_path):
    shutil.copytree(models("llama"), tmp_path / "model")
    as_before(tmp_path / "model", lambda config: config.update(tie_word_embeddings=True))
    opened(tool, tmp_path / "model")
    assert_logits_equal(tool, tmp_path, judge(tmp_path / "model"))


TARGETS = {
    "llama": [["q_proj", "down_proj"], ["layers.1.self_attn.v_proj", "mlp.up_proj"]],
    "phi3, longrope": [["qkv_proj", "down_proj"], ["gate_up_proj"]],
    "gpt2": [["c_attn"], ["mlp.c_proj", "c_fc"]],
}


def peft_adapter(model, folder, targets):
    torch.manual_seed(7)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    tuned.save_pretrained(folder)
    return tuned.eval()


@pytest.mark.parametrize("case, targets", [(case, targets) for case in FAMILIES for targets in ["all-linear", *TARGETS.get(case, [])]],
                         ids=lambda value: value if isinstance(value, str) else "+".join(value))
def test_an_adapter_that_peft_wrote_is_the_same_model_in_the_engine(case, targets, models, tool, tmp_path):
    tuned = peft_adapter(judge(models(case)), tmp_path / "adapter", targets)
    opened(tool, models(case), adapter=tmp_path / "adapter")
    assert_logits_equal(tool, tmp_path, tuned)
    assert tool(ids=PROMPTS[0], greedy=16) == continuation(tuned, PROMPTS[0], 16)


def peft_losses(tuned, steps, rate):
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=rate, weight_decay=0)
    losses = []
    for _ in range(steps):
        nats = tokens = 0
        for example in EXAMPLES:
            ids, start = torch.tensor([example["ids"]]), example["answer_start"]
            scores = tuned(ids).logits[0].log_softmax(-1)
            nats, tokens = nats - scores[start - 1 : -1].gather(1, ids[0, start:, None]).sum(), tokens + ids.shape[1] - start
        optimizer.zero_grad()
        (nats / tokens).backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        losses.append((nats / tokens).item())
    return losses


@pytest.mark.parametrize("case, targets", [(case, []) for case in FAMILIES] + [("gpt2", ["attn.c_proj"]), ("phi3, longrope", ["qkv_proj"])],
                         ids=lambda value: value if isinstance(value, str) else "+".join(value))
def test_the_loss_of_each_training_step_equals_pefts(case, targets, models, tool, tmp_path):
    folder = models(case)
    opened(tool, folder)
    losses = tool(train=tmp_path, examples=EXAMPLES, steps=5, rate=2e-2, lora={"r": 4, "alpha": 8, "targets": targets})
    start = PeftModel.from_pretrained(judge(folder), tmp_path / "start", is_trainable=True)
    if not targets:
        modules = {name.rpartition(".lora_A")[0] for name, _ in start.named_parameters() if ".lora_A" in name}
        linear = get_peft_model(judge(folder), LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
        assert modules == {name.rpartition(".lora_A")[0] for name, _ in linear.named_parameters() if ".lora_A" in name}
    expected = peft_losses(start, 5, 2e-2)
    assert expected[-1] < expected[0] - 0.1
    assert losses == pytest.approx(expected, rel=1e-4)
    tuned = judge(folder, tmp_path / "adapter")
    opened(tool, folder, adapter=tmp_path / "adapter")
    assert_logits_equal(tool, tmp_path, tuned)


@pytest.mark.parametrize("case", [*FAMILIES, "qwen3, windows and biases"])
def test_full_fine_tuning_has_the_losses_of_pytorch_and_its_weights(case, models, tool, tmp_path):
    folder = models(case)
    opened(tool, folder)
    losses = tool(train=tmp_path, full=folder, examples=EXAMPLES, steps=5, rate=2e-3)
    peer = judge(folder)
    expected = peft_losses(peer, 5, 2e-3)
    assert expected[-1] < expected[0] - 0.1
    assert losses == pytest.approx(expected, rel=1e-4)
    ours = judge(tmp_path / "model").state_dict()
    for name, value in peer.state_dict().items():
        # AdamW moves a value whose gradient is rounding alone by as much as any other, either way.
        apart = (ours[name] - value).abs() > 3e-4
        if name.endswith("c_attn.bias"):
            # Where keys are not turned by their position, their bias adds the same to all scores of a query: its gradient is rounding.
            apart = apart.view(3, -1)[[0, 2]]
        assert apart.float().mean() < 1e-2, name


@pytest.mark.parametrize("case, change, words", [
    ("llama", {"architectures": ["MixtralForCausalLM"]}, ["MixtralForCausalLM", "architectures"]),
    ("llama", {"architectures": ["LlamaForSequenceClassification"]}, ["LlamaForSequenceClassification"]),
    ("gemma3", {"architectures": ["Gemma3ForConditionalGeneration"]}, ["Gemma3ForConditionalGeneration"]),
    ("llama", {"hidden_act": "gelu"}, ["hidden_act", "gelu"]), ("gemma2", {"hidden_activation": "gelu"}, ["hidden_activation"]),
    ("gpt2", {"activation_function": "relu"}, ["activation_function", "relu"]), ("gpt2", {"add_cross_attention": True}, ["add_cross_attention"]),
    ("llama", {"quantization_config": {"bits": 4}}, ["quantization_config"]), ("qwen3", {"num_experts": 8}, ["num_experts"]),
    ("llama", rope("spiral"), ["rope_type", "spiral"]), ("llama", rope("longrope", **LONG), ["rope_type", "longrope"]),
    ("phi3", rope("linear", factor=2.0), ["rope_type", "linear"]), ("llama", {"partial_rotary_factor": 0.5}, ["partial_rotary_factor"]),
    ("llama", rope("default", mrope_section=[2, 2, 2]), ["mrope_section"]), ("mistral", {"attention_bias": True}, ["attention_bias"]),
    ("qwen2", {"layer_types": ["chunked_attention"] * 3}, ["layer_types", "chunked_attention"]),
    ("gemma2", {"use_bidirectional_attention": True}, ["use_bidirectional_attention"]),
    ("gemma3", {"attn_logit_softcapping": 50.0}, ["attn_logit_softcapping"]), ("qwen2", {"model_type": "qwen2_moe"}, ["model_type", "qwen2_moe"]),
    ("gemma3", rope("linear", factor=2.0), ["rope_parameters"]), ("llama", {"sliding_window": 64}, ["sliding_window"]),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_not_computed_is_refused_by_its_name(case, change, words, models, tool, tmp_path):
    shutil.copytree(models(case), tmp_path / "model")
    as_before(tmp_path / "model", lambda config: config.update(change))
    refusal = tool(open=tmp_path / "model")
    assert refusal["code"] == "unsupported" and "config.json" in refusal["where"] and refusal["hint"]
    for word in words:
        assert word in refusal["error"]


@pytest.mark.parametrize("case, change, word", [
    ("llama", {"tie_word_embeddings": "false"}, "tie_word_embeddings"), ("llama", {"rope_theta": "500000", "rope_parameters": None}, "rope_theta"),
    ("qwen2", {"use_sliding_window": 1}, "use_sliding_window"), ("gpt2", {"scale_attn_weights": "no"}, "scale_attn_weights"),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "factor"),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "mscale": "1", "mscale_all_dim": 1.0}}, "mscale"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_an_option_of_another_type_is_not_taken_for_a_missing_one(case, change, word, models, tool, tmp_path):
    shutil.copytree(models(case), tmp_path / "model")
    as_before(tmp_path / "model", lambda config: config.update(change))
    refusal = tool(open=tmp_path / "model")
    assert refusal["code"] == "invalid_argument" and "config.json" in refusal["where"] and word in refusal["error"] + refusal["where"]


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_an_adapter_of_what_is_outside_the_blocks_is_refused_by_the_module(module, models, tool, tmp_path):
    peft_adapter(judge(models("llama")), tmp_path, ["q_proj", module])
    refusal = tool(open=models("llama"), adapter=tmp_path)
    assert refusal["code"] == "unsupported" and module in refusal["error"]


@pytest.mark.parametrize("case, other, word", [("phi3", "llama", "modules"), ("llama", "llama, one key head", "k_proj"), ("gemma3", "gemma2", "layers.3")])
def test_an_adapter_of_another_base_is_refused_with_both_names(case, other, word, models, tool, tmp_path):
    peft_adapter(judge(models(case)), tmp_path, ["qkv_proj"] if case == "phi3" else "all-linear")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "owner/trained-here"}))
    refusal = tool(open=models(other), adapter=tmp_path)
    assert refusal["code"] == "invalid_argument" and "another base model" in refusal["error"]
    assert word in refusal["where"] and "owner/trained-here" in refusal["hint"] and "ForCausalLM" in refusal["hint"]
