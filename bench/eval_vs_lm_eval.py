#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluation by redoubt-engine and by lm-evaluation-harness (HFLM): the numbers, and how fast each has them.

usage: eval_vs_lm_eval.py MODEL_FOLDER FILE... [--max-length 512] [--dtype bf16] [--batch 16] [--threads 2] [--rounds 3] [--rows 128] [--lines 200]
                          [--engine build/redoubt-engine]

A file of text is one document, scored whole in rolling windows; then those of its first --lines lines that have 20 characters or more are questions
whose second half is to be chosen from its own and three other lines'. Of a file of JSON lines with `messages` the first --rows are
conversations whose last answers are scored. Each side runs in a process of its own, in turns. Prints one JSON object: for documents,
choices and each file of conversations the total and the largest relative difference of log-likelihoods, the accuracies of the choices,
the medians of the rounds' seconds without the time to load, and their ratio lm_eval : engine.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def rows_of(o):
    """The work by its name: the engine's rows."""
    texts = [pathlib.Path(file).read_text() for file in o.files if not file.endswith(".jsonl")]
    lines = [line.strip() for text in texts for line in text.splitlines()[: o.lines] if len(line.strip()) >= 20]
    choices = []
    for i, line in enumerate(lines):
        cut = line.rfind(" ", 0, len(line) // 2) if " " in line[: len(line) // 2] else len(line) // 2
        halves = [lines[(i + k * 7) % len(lines)][cut:].strip() or "x" for k in range(4)]
        choices.append({"question": line[:cut], "choices": halves[i % 4:] + halves[: i % 4], "answer": -i % 4})
    work = {"rolling": [{"text": text} for text in texts]} if texts else {}
    if choices:
        work["choices"] = choices
    for file in o.files:
        if file.endswith(".jsonl"):
            work[pathlib.Path(file).stem] = [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()[: o.rows]]
    return work


def run_engine(o, rows, folder):
    root = folder / "job"
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/eval").mkdir(parents=True)
    (root / "input/data/eval/eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "input/data/model").symlink_to(pathlib.Path(o.model).resolve())
    values = {"dtype": o.dtype, "max_length": o.max_length, "threads": o.threads, "bootstrap_resamples": 0}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(values))
    begin = None
    with subprocess.Popen([o.engine, "evaluate", "--root", root], stdout=subprocess.PIPE, text=True) as job:
        for line in job.stdout:
            begin = begin or (time.monotonic() if '"progress"' in line else None)
        end = time.monotonic()
    assert job.returncode == 0
    lines = [json.loads(line) for line in (root / "output/data/per_example.jsonl").read_text().splitlines()]
    return {"likelihoods": [line["log_likelihood"] for line in lines], "acc": json.loads((root / "output/data/evaluation.json").read_text()).get("acc"), "seconds": end - begin}


def run_peer(o, work):
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(o.threads)
    model = HFLM(pretrained=o.model, device="cpu", dtype={"bf16": "bfloat16", "fp32": "float32"}[o.dtype], max_length=o.max_length, batch_size=o.batch)

    def rolling(rows):
        return model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (row["text"],), i) for i, row in enumerate(rows)], disable_tqdm=True)

    def choices(rows):
        pairs = [(row["question"], " " + choice) for row in rows for choice in row["choices"]]
        return [score for score, _ in model.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)], disable_tqdm=True)]

    def conversations(rows):
        requests = []
        for row in rows:
            prompt = model.tokenizer.apply_chat_template(row["messages"][:-1], add_generation_prompt=True, tokenize=False)
            whole = model.tokenizer.apply_chat_template(row["messages"], tokenize=False)
            prompt, whole = (model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, whole))
            requests.append((("", ""), prompt, whole[len(prompt):]))
        return [score for score, _ in model._loglikelihood_tokens(requests, disable_tqdm=True)]

    results = {}
    for name, rows in work.items():
        begin = time.monotonic()
        scores = {"rolling": rolling, "choices": choices}.get(name, conversations)(rows)
        results[name] = {"likelihoods": scores, "seconds": time.monotonic() - begin}
        if name == "choices":
            each = iter(scores)
            of_rows = [[next(each) for _ in row["choices"]] for row in rows]
            results[name]["acc"] = sum(of.index(max(of)) == row["answer"] for of, row in zip(of_rows, rows)) / len(rows)
            results[name]["likelihoods"] = [of[row["answer"]] for of, row in zip(of_rows, rows)]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=200, help="of a text that choices are made of")
    parser.add_argument("--rows", type=int, default=128, help="conversations of a file")
    parser.add_argument("--engine", default="build/redoubt-engine")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    work = rows_of(o)
    if o.peer:
        print(json.dumps(run_peer(o, work)))
        return
    ours, theirs = [], []
    for _ in range(o.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours.append({name: run_engine(o, rows, pathlib.Path(folder) / name) for name, rows in work.items()})
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--peer"], capture_output=True, text=True, check=True)
        theirs.append(json.loads(done.stdout.splitlines()[-1]))
    out = {}
    for name in work:
        a, b = ours[-1][name], theirs[-1][name]
        seconds = [statistics.median(one[name]["seconds"] for one in side) for side in (ours, theirs)]
        out[name] = {"total_relative_difference": abs(sum(a["likelihoods"]) / sum(b["likelihoods"]) - 1),
                     "relative_difference_max": max(abs(x / y - 1) for x, y in zip(a["likelihoods"], b["likelihoods"], strict=True)),
                     "seconds": [round(one, 2) for one in seconds], "ratio": round(seconds[1] / seconds[0], 2)}
        if name == "choices":
            out[name]["acc"] = [a["acc"], b["acc"]]
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
