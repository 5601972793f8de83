# SPDX-License-Identifier: Apache-2.0
"""`redoubt model merge`: the weights are those of PEFT's merge_and_unload, the answers those of base and adapter, and nothing is left where it fails."""
import hashlib
import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from conftest import Redoubt, make_tiny_model, rows


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("merge") / "tiny", [message["content"] for row in rows(300) for message in row["messages"]])


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    torch.manual_seed(5)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16),
                           LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("home"))


def test_the_merged_model_is_pefts_and_answers_as_base_and_adapter(redoubt, base, adapter, tmp_path):
    told = redoubt.json("model", "merge", base, adapter, "-o", tmp_path / "merged")
    assert told["weights"] == 6 and told["folder"] == str(tmp_path / "merged")
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).merge_and_unload().state_dict()
    merged, before = load_file(tmp_path / "merged/model.safetensors"), load_file(base / "model.safetensors")
    assert merged.keys() == before.keys() and all(merged[name].dtype == torch.bfloat16 for name in merged)
    changed = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert len(changed) == 6
    for name in merged:
        assert torch.equal(merged[name], expected[name].to(torch.bfloat16)), name

    def answer(*options):
        # Of weights that are rounded once more, a prompt's first tokens are the same.
        return redoubt.json("generate", "--prompt", "How do I list a1?", "--greedy", "--max-tokens", "6", "--dtype", "fp32", "--logprobs", "1", *options)["logprobs"]

    of_merged, of_adapter = answer("--model", tmp_path / "merged"), answer("--model", base, "--adapter", adapter)
    assert of_merged[0]["logprob"] == pytest.approx(of_adapter[0]["logprob"], abs=0.05) and of_merged[0]["id"] == of_adapter[0]["id"]
    assert redoubt.json("model", "scan", tmp_path / "merged")["findings"] == []


def test_what_it_was_made_of_stands_in_the_folder_by_the_digests_of_an_evaluation(redoubt, base, adapter, tmp_path):
    told = redoubt.json("model", "merge", base, adapter, "-o", tmp_path / "merged")
    lineage = json.loads((tmp_path / "merged/lineage.json").read_text())
    assert lineage == {"version": 1, "merged": {"model": told["model"], "adapter": told["adapter"]}}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(4)))
    evaluation = redoubt.json("eval", "--model", base, "--adapter", adapter, "--data", tmp_path / "rows.jsonl")
    assert (evaluation["model_digest"], evaluation["adapter_digest"]) == (told["model"], told["adapter"])
    assert (tmp_path / "merged/tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    first = hashlib.sha256((tmp_path / "merged/model.safetensors").read_bytes()).digest()
    assert redoubt.json("model", "merge", base, adapter, "-o", tmp_path / "again")["digest"] == told["digest"]
    assert hashlib.sha256((tmp_path / "again/model.safetensors").read_bytes()).digest() == first


def of_another_base(adapter, folder):
    shutil.copytree(adapter, folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: torch.zeros(tensor.shape[0] * 2, tensor.shape[1]) if "lora_B" in name else tensor for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def test_what_cannot_be_merged_is_told_and_leaves_nothing(redoubt, base, adapter, tmp_path):
    output = tmp_path / "out" / "merged"
    other = redoubt("model", "merge", base, of_another_base(adapter, tmp_path / "other"), "-o", output, expect=2)
    assert "another base model" in other.stderr and "lora_B" in other.stderr
    assert "no such folder" in redoubt("model", "merge", base, tmp_path / "missing", "-o", output, expect=1).stderr
    shutil.copytree(adapter, tmp_path / "unsafe")
    (tmp_path / "unsafe/adapter_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")  # a pickle that calls os.system
    assert "unsafe" in redoubt("model", "merge", base, tmp_path / "unsafe", "-o", output, expect=3).stderr
    assert not output.exists() and list(tmp_path.glob("out/.*")) == []
    output.mkdir(parents=True)
    (output / "mine").write_text("kept")
    assert "not empty" in redoubt("model", "merge", base, adapter, "-o", output, expect=None).stderr
    assert [path.name for path in output.iterdir()] == ["mine"]
