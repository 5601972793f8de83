#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluation by redoubt-engine and by lm-evaluation-harness (HFLM): the numbers, and how fast each has them.

usage: eval_vs_lm_eval.py MODEL_FOLDER TEXT_FILE... [--max-length 512] [--dtype bf16] [--batch 16] [--threads 2] [--rounds 2]
                          [--engine build/redoubt-engine]

Each text file is one document, scored whole in rolling windows; then each of its first 200 lines of 20 characters or more is a question
whose second half is to be chosen from its own and three other lines'. Each side runs in a process of its own, in turns. Prints one JSON
object: perplexities by word and byte, the largest relative difference of a document's log-likelihood, accuracies, seconds without the
time to load, and their ratio.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def rows_of(files):
    texts = [pathlib.Path(file).read_text() for file in files]
    lines = [line.strip() for text in texts for line in text.splitlines()[:200] if len(line.strip()) >= 20]
    choices = []
    for i, line in enumerate(lines):
        cut = line.rfind(" ", 0, len(line) // 2) if " " in line[: len(line) // 2] else len(line) // 2
        halves = [lines[(i + k * 7) % len(lines)][cut:].strip() or "x" for k in range(4)]
        choices.append({"question": line[:cut], "choices": halves[i % 4:] + halves[: i % 4], "answer": -i % 4})
    return [{"text": text} for text in texts], choices


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
    return {"result": json.loads((root / "output/data/evaluation.json").read_text()), "likelihoods": [line["log_likelihood"] for line in lines], "seconds": end - begin}


def run_peer(o, texts, choices):
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(o.threads)
    model = HFLM(pretrained=o.model, device="cpu", dtype={"bf16": "bfloat16", "fp32": "float32"}[o.dtype], max_length=o.max_length, batch_size=o.batch)
    begin = time.monotonic()
    rolling = model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (row["text"],), i) for i, row in enumerate(texts)], disable_tqdm=True)
    middle = time.monotonic()
    pairs = [(row["question"], " " + choice) for row in choices for choice in row["choices"]]
    scores = iter([score for score, _ in model.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)], disable_tqdm=True)])
    end = time.monotonic()
    hits = 0
    for row in choices:
        of_row = [next(scores) for _ in row["choices"]]
        hits += of_row.index(max(of_row)) == row["answer"]
    return {"likelihoods": rolling, "acc": hits / len(choices), "rolling_seconds": middle - begin, "choices_seconds": end - middle}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="build/redoubt-engine")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    texts, choices = rows_of(o.files)
    if o.peer:
        print(json.dumps(run_peer(o, texts, choices)))
        return
    ours, theirs = [], []
    for _ in range(o.rounds):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            ours.append((run_engine(o, texts, pathlib.Path(one)), run_engine(o, choices, pathlib.Path(two))))
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--peer"], capture_output=True, text=True, check=True)
        theirs.append(json.loads(done.stdout.splitlines()[-1]))
    rolling, chosen = ours[-1]
    words = sum(len(row["text"].split()) for row in texts)
    print(json.dumps({
        "word_perplexity": rolling["result"]["word_perplexity"], "byte_perplexity": rolling["result"]["byte_perplexity"], "words": words,
        "relative_difference_max": max(abs(a / b - 1) for a, b in zip(rolling["likelihoods"], theirs[-1]["likelihoods"])),
        "total_relative_difference": abs(sum(rolling["likelihoods"]) / sum(theirs[-1]["likelihoods"]) - 1),
        "acc": [chosen["result"]["acc"], theirs[-1]["acc"]],
        "seconds": {"rolling": [statistics.median(a["seconds"] for a, _ in ours), statistics.median(t["rolling_seconds"] for t in theirs)],
                    "choices": [statistics.median(b["seconds"] for _, b in ours), statistics.median(t["choices_seconds"] for t in theirs)]}}, indent=1))


if __name__ == "__main__":
    main()
