#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training speed and memory of redoubt-engine against Transformers and PEFT: same model, rows, batches, LoRA, dtype and threads.

usage: train_vs_peft.py MODEL_FOLDER DATA.jsonl [--rows 80] [--batch 8] [--threads 2] [--rounds 3] [--engine build/redoubt-engine]

Each side runs in a process of its own, in turns, so that a busy moment hits both; the first two steps of a run count for neither.
Prints one JSON object: tokens a second (the median over all steps), peak resident MiB, and the ratios engine : peer.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 2
LORA = {"lora_r": 16, "lora_alpha": 32, "learning_rate": 5e-4, "lr_scheduler": "constant"}


def run_engine(o, rows, folder):
    root = folder / "engine"
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/train").mkdir(parents=True)
    (root / "input/data/train/train.jsonl").write_text("".join(rows))
    (root / "input/data/model").symlink_to(pathlib.Path(o.model).resolve())
    values = {**LORA, "epochs": 1, "batch_size": o.batch, "threads": o.threads, "dtype": "bf16"}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(values))
    done = subprocess.run([o.engine, "train", "--root", root], capture_output=True, text=True, check=True, env=environment(o))
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    return [step["tokens_per_second"] for step in steps if step["event"] == "step"]


def run_peer(o, rows, folder):
    """The usual loop: right-padded batches, loss on the answers alone, bf16 weights, an fp32 adapter, AdamW."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(o.threads)
    tokenizer = AutoTokenizer.from_pretrained(o.model)
    model = AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.bfloat16)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, weight_decay=0)
    examples = []
    for row in map(json.loads, rows):
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(tokenizer.apply_chat_template(row["messages"], tokenize=False), add_special_tokens=False)["input_ids"]
        examples.append((ids, len(tokenizer(prompt, add_special_tokens=False)["input_ids"])))
    speeds = []
    for begin in range(0, len(examples), o.batch):
        start = time.monotonic()
        batch = examples[begin : begin + o.batch]
        longest = max(len(ids) for ids, _ in batch)
        inputs = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in batch])
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in batch])
        labels = torch.tensor([[-100] * first + ids[first:] + [-100] * (longest - len(ids)) for ids, first in batch])
        model(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        speeds.append(sum(len(ids) for ids, _ in batch) / (time.monotonic() - start))
    return speeds


def environment(o):
    import os
    return {**os.environ, "OMP_NUM_THREADS": str(o.threads), "GOMP_SPINCOUNT": "1000"}  # as the engine's image has it


def one_run(side, arguments, o):
    """(speeds, peak MiB) of a fresh process; a child's peak is its own, or that of the engine it starts."""
    done = subprocess.run([sys.executable, __file__, *arguments, "--side", side], capture_output=True, text=True, env=environment(o))
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["speeds"][WARM_UP:], answer["peak_mib"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    for name, default in (("rows", 80), ("batch", 8), ("threads", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--engine", default=str(pathlib.Path(__file__).parent.parent / "build/redoubt-engine"))
    parser.add_argument("--side", choices=["engine", "peer"], help=argparse.SUPPRESS)
    o = parser.parse_args()
    rows = open(o.data).read().splitlines(keepends=True)[: o.rows]
    if o.side:
        with tempfile.TemporaryDirectory() as folder:
            speeds = (run_engine if o.side == "engine" else run_peer)(o, rows, pathlib.Path(folder))
        who = resource.RUSAGE_CHILDREN if o.side == "engine" else resource.RUSAGE_SELF
        print(json.dumps({"speeds": speeds, "peak_mib": resource.getrusage(who).ru_maxrss / 1024}))
        return
    if len(rows) < (WARM_UP + 1) * o.batch:
        sys.exit(f"give at least {(WARM_UP + 1) * o.batch} rows")
    speeds, peaks = {"engine": [], "peer": []}, {"engine": [], "peer": []}
    for _ in range(o.rounds):
        for side in speeds:
            measured, peak = one_run(side, sys.argv[1:], o)
            speeds[side] += measured
            peaks[side].append(peak)
    out = {side: {"tokens_per_second": round(statistics.median(speeds[side])), "peak_mib": round(max(peaks[side]))} for side in speeds}
    out["speed_ratio"] = round(statistics.median(speeds["engine"]) / statistics.median(speeds["peer"]), 2)
    out["memory_ratio"] = round(max(peaks["engine"]) / max(peaks["peer"]), 2)
    print(json.dumps(out, indent=2))


main()
