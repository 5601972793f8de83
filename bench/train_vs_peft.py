#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training with redoubt-engine against Transformers with PEFT, or TRL's packing: the same model, rows, order, batches, initial adapter, learning
rate, dtype and threads.

usage: train_vs_peft.py MODEL_FOLDER ROWS.jsonl [--peer peft|trl] [--dtype bf16] [--steps 12] [--batch 8] [--held-out 40] [--rounds 3] [--threads 2]
                        [--engine build/redoubt-engine]

Each side runs in a process of its own, in turns, so that a busy moment hits both. Two steps of each run warm up and count for no speed. Prints one
JSON object: real tokens a second (padding is none), peak resident MiB, seconds from the start to the end of the first step, the loss on rows held out
of what was trained (both adapters by one yardstick, Transformers in fp32) and as each side tells it itself, in its own precision, and the ratios
engine : peer. Rows come from training_rows.py.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 2
SEED = 7
RATE = 5e-4
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
MASK = (1 << 64) - 1


def shuffled(count, seed, epoch):
    """The engine's order of an epoch: a Fisher-Yates shuffle by C++'s std::mt19937_64 behind std::seed_seq (ISO C++ [rand.util.seedseq])."""
    seeds, words, size = [seed & 0xFFFFFFFF, seed >> 32, epoch], 312 * 2, 3
    out = [0x8B8B8B8B] * words
    t = 11 if words >= 623 else 7
    p, q = (words - t) // 2, (words - t) // 2 + t
    turn = lambda x: x ^ (x >> 27)
    for k in range(max(size + 1, words)):
        r1 = 1664525 * turn(out[k % words] ^ out[(k + p) % words] ^ out[(k - 1) % words]) & 0xFFFFFFFF
        r2 = (r1 + (size if k == 0 else k % words + seeds[k - 1] if k <= size else k % words)) & 0xFFFFFFFF
        out[(k + p) % words] = (out[(k + p) % words] + r1) & 0xFFFFFFFF
        out[(k + q) % words] = (out[(k + q) % words] + r2) & 0xFFFFFFFF
        out[k % words] = r2
    m = max(size + 1, words)
    for k in range(m, m + words):
        r3 = 1566083941 * turn((out[k % words] + out[(k + p) % words] + out[(k - 1) % words]) & 0xFFFFFFFF) & 0xFFFFFFFF
        r4 = (r3 - k % words) & 0xFFFFFFFF
        out[(k + p) % words] ^= r3
        out[(k + q) % words] ^= r4
        out[k % words] = r4
    state = [out[2 * i] | out[2 * i + 1] << 32 for i in range(312)]
    if state[0] >> 31 == 0 and not any(state[1:]):
        state[0] = 1 << 63
    index = 312

    def draw():
        nonlocal index
        if index == 312:
            for i in range(312):
                x = (state[i] & 0xFFFFFFFF80000000) | (state[(i + 1) % 312] & 0x7FFFFFFF)
                state[i] = state[(i + 156) % 312] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
            index = 0
        x = state[index]
        index += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000 & MASK
        x ^= (x << 37) & 0xFFF7EEE000000000 & MASK
        return x ^ (x >> 43)

    order = list(range(count))
    for i in range(count, 1, -1):
        j = draw() % i
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


def start_engine(o, folder, train, held_out, **more):
    (folder / "input/config").mkdir(parents=True)
    for channel, rows in (("train", train), ("eval", held_out)):
        if rows:
            (folder / f"input/data/{channel}").mkdir(parents=True)
            (folder / f"input/data/{channel}/{channel}.jsonl").write_text("".join(rows))
    (folder / "input/data/model").symlink_to(pathlib.Path(o.model).resolve())
    values = {"lora_r": 16, "lora_alpha": 32, "learning_rate": RATE, "lr_scheduler": "constant", "warmup_ratio": 0, "seed": SEED, "epochs": 1, "batch_size": o.batch,
              "threads": o.threads, "dtype": o.dtype, "max_length": 0, "checkpoint_steps": 0, **more}
    (folder / "input/config/hyperparameters.json").write_text(json.dumps(values))
    return subprocess.Popen([o.engine, "train", "--root", folder], stdout=subprocess.PIPE, text=True, env=environment(o))


def run_engine(o, train, held_out, folder):
    started, first = time.monotonic(), None
    process = start_engine(o, folder / "engine", train, held_out)
    steps, loss = [], None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "step":
            first = first or time.monotonic() - started
            steps.append(event)
        loss = event["eval_loss"] if event["event"] == "epoch" else loss
    if process.wait() != 0:
        sys.exit("the engine failed")
    shutil.copytree(folder / "engine/model", o.trained)
    return {"speeds": [step["tokens_per_second"] for step in steps], "first_step_s": first, "own_loss": loss}


def tokenised(tokenizer, rows):
    """(ids, where the answer begins) as the engine counts an answer: all that the template writes after the generation prompt."""
    for row in map(json.loads, rows):
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(tokenizer.apply_chat_template(row["messages"], tokenize=False), add_special_tokens=False)["input_ids"]
        yield ids, len(tokenizer(prompt, add_special_tokens=False)["input_ids"])


def batch_of(examples):
    import torch

    longest = max(len(ids) for ids, _ in examples)
    pad = lambda values, filler: values + [filler] * (longest - len(values))
    return {"input_ids": torch.tensor([pad(ids, 0) for ids, _ in examples]), "attention_mask": torch.tensor([pad([1] * len(ids), 0) for ids, _ in examples]),
            "labels": torch.tensor([pad([-100] * first + ids[first:], -100) for ids, first in examples])}


def held_out_loss(model, examples, batch):
    import torch

    nats = answers = 0
    model.eval()
    with torch.no_grad():
        for begin in range(0, len(examples), batch):
            part = examples[begin : begin + batch]
            count = sum(len(ids) - first for ids, first in part)
            nats += model(**batch_of(part)).loss.item() * count
            answers += count
    return nats / answers


def load_peer(o, dtype=None):
    """The peer's model with the adapter: the one that the engine would begin with, or one that was trained."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(o.threads)
    tokenizer = AutoTokenizer.from_pretrained(o.model)
    model = AutoModelForCausalLM.from_pretrained(o.model, dtype=getattr(torch, dtype or DTYPES[o.dtype]))
    return tokenizer, PeftModel.from_pretrained(model, o.adapter, is_trainable=True, autocast_adapter_dtype=True)


def run_peft(o, train, held_out, folder):
    """The usual loop: right-padded batches, loss on the answers alone, an fp32 adapter, AdamW."""
    started, first = time.monotonic(), None
    import torch

    tokenizer, model = load_peer(o)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0)
    examples = list(tokenised(tokenizer, train))
    order = shuffled(len(examples), SEED, 0)
    speeds = []
    for begin in range(0, len(examples), o.batch):
        start = time.monotonic()
        batch = [examples[i] for i in order[begin : begin + o.batch]]
        model(**batch_of(batch)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        speeds.append(sum(len(ids) for ids, _ in batch) / (time.monotonic() - start))
        first = first or time.monotonic() - started
    model.save_pretrained(o.trained)
    return {"speeds": speeds, "first_step_s": first, "own_loss": held_out_loss(model, list(tokenised(tokenizer, held_out)), 8) if held_out else None}


def run_score(o, train, held_out, folder):
    """What an adapter's loss is on the rows held out, in fp32 whoever trained it."""
    tokenizer, model = load_peer(o, "float32")
    return {"loss": held_out_loss(model, list(tokenised(tokenizer, held_out)), 8) if held_out else None}


def run_trl(o, train, held_out, folder):
    """TRL's trainer with packing to 512 tokens. Its batches are other ones, so only speed and memory compare."""
    started, first, times = time.monotonic(), None, []
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer, model = load_peer(o)

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            nonlocal first
            first = first or time.monotonic() - started
            times.append(time.monotonic())

    examples = list(tokenised(tokenizer, train))
    tokens = sum(len(ids) for ids, _ in examples)
    rows = Dataset.from_dict({"input_ids": [ids for ids, _ in examples],
                              "completion_mask": [[int(i >= first) for i in range(len(ids))] for ids, first in examples]})
    options = SFTConfig(output_dir=str(folder / "trl"), packing=True, max_length=512, per_device_train_batch_size=1, num_train_epochs=1, learning_rate=RATE,
                        lr_scheduler_type="constant", bf16=o.dtype == "bf16", use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
                        gradient_checkpointing=False, completion_only_loss=True)
    trainer = SFTTrainer(model=model, args=options, train_dataset=rows, processing_class=tokenizer, callbacks=[Clock()])
    trainer.train()
    per_step = tokens / len(times)
    return {"speeds": [per_step / (after - before) for before, after in zip(times, times[1:])], "first_step_s": first, "own_loss": None}


def environment(o):
    return {**os.environ, "OMP_NUM_THREADS": str(o.threads), "GOMP_SPINCOUNT": "5000"}  # as the engine's image has it


def one_run(side, arguments, o):
    """A fresh process; a child's peak is its own, or that of the engine it starts."""
    done = subprocess.run([sys.executable, __file__, *arguments, "--side", side], capture_output=True, text=True, env=environment(o))
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows")
    parser.add_argument("--peer", choices=["peft", "trl"], default="peft")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of the weights; without AVX-512 the peer's bf16 is of no use")
    for name, default in (("steps", 12), ("batch", 8), ("held-out", 40), ("rounds", 3), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--engine", default=str(pathlib.Path(__file__).parent.parent / "build/redoubt-engine"))
    parser.add_argument("--side", choices=["engine", "peft", "trl", "score"], help=argparse.SUPPRESS)
    parser.add_argument("--adapter", help=argparse.SUPPRESS)
    parser.add_argument("--trained", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    o = parse()
    rows = open(o.rows).read().splitlines(keepends=True)
    train, held_out = rows[: o.steps * o.batch], rows[o.steps * o.batch :][: o.held_out]
    if len(train) < (WARM_UP + 1) * o.batch:
        sys.exit(f"give at least {(WARM_UP + 1) * o.batch} rows")
    if o.side:
        with tempfile.TemporaryDirectory() as folder:
            answer = {"engine": run_engine, "peft": run_peft, "trl": run_trl, "score": run_score}[o.side](o, train, held_out, pathlib.Path(folder))
        who = resource.RUSAGE_CHILDREN if o.side == "engine" else resource.RUSAGE_SELF
        print(json.dumps({**answer, "peak_mib": resource.getrusage(who).ru_maxrss / 1024}))
        return
    runs = {"engine": [], o.peer: []}
    with tempfile.TemporaryDirectory() as folder:
        start_engine(o, pathlib.Path(folder) / "start", rows[:1], [], learning_rate=0).communicate()
        for number in range(o.rounds):
            for side in runs:
                trained = f"{folder}/{side}-{number}"
                runs[side].append(one_run(side, [*sys.argv[1:], "--adapter", f"{folder}/start/model", "--trained", trained], o))
        if o.peer == "peft":
            for side in runs:
                runs[side][0] |= {"loss": one_run("score", [*sys.argv[1:], "--adapter", f"{folder}/{side}-0"], o)["loss"]}
    out = {}
    for side, measured in runs.items():
        out[side] = {"tokens_per_second": round(statistics.median(speed for run in measured for speed in run["speeds"][WARM_UP:])),
                     "peak_mib": round(max(run["peak_mib"] for run in measured)),
                     "first_step_s": round(statistics.median(run["first_step_s"] for run in measured), 2), "held_out_loss": measured[0].get("loss"), "own_held_out_loss": measured[0]["own_loss"]}
    ratio = lambda key: round(out["engine"][key] / out[o.peer][key], 3) if out[o.peer][key] else None
    print(json.dumps({**out, "ratio": {key: ratio(key) for key in ("tokens_per_second", "peak_mib", "first_step_s", "held_out_loss", "own_held_out_loss")}}, indent=2))


main()
