#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding by our tokenizer and by the `tokenizers` package (Rust), in turn, one thread each, on one text.

usage: tokenizer_vs_tokenizers.py BUILD_FOLDER [TOKENIZER_JSON [TEXT_FILE]]

Without a tokenizer.json one is trained on Python's own library; the text is that library, and prose made of its docstrings. The
ratio is theirs over ours: above 1 ours is faster.
"""
import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import ast
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
ROUNDS = 5


def library():
    folder = pathlib.Path(json.__file__).parent.parent
    return [path.read_text(errors="ignore") for path in sorted(folder.glob("*.py"))]


def docstrings(texts):
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and (doc := ast.get_docstring(node)):
                yield doc


def trained(path, texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=32000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(path)


def measure(name, tool, theirs, texts):
    mebibytes = sum(len(text.encode()) for text in texts) / 2**20
    ratios, ours_best, theirs_best = [], 0.0, 0.0
    for _ in range(ROUNDS):
        tool.stdin.write(json.dumps({"time": texts}) + "\n")
        tool.stdin.flush()
        ours = json.loads(tool.stdout.readline())
        begin = time.perf_counter()
        count = sum(len(theirs.encode(text).ids) for text in texts)
        seconds = time.perf_counter() - begin
        assert count == ours["tokens"], (count, ours)
        ratios.append(seconds / ours["seconds"])
        ours_best, theirs_best = max(ours_best, mebibytes / ours["seconds"]), max(theirs_best, mebibytes / seconds)
    print(f"{name}: {mebibytes:.1f} MiB, ours {ours_best:.1f} MiB/s, tokenizers {theirs_best:.1f} MiB/s, ratio {statistics.median(ratios):.2f}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    texts = [pathlib.Path(sys.argv[3]).read_text()] if len(sys.argv) > 3 else library()
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[2] if len(sys.argv) > 2 else folder + "/tokenizer.json"
        if len(sys.argv) <= 2:
            trained(path, texts)
        theirs = Tokenizer.from_file(path)
        tool = subprocess.Popen([sys.argv[1] + "/text_tool", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        measure("whole texts", tool, theirs, texts)
        if len(sys.argv) <= 3:
            measure("short prose", tool, theirs, list(docstrings(texts)))
        tool.stdin.close()
        tool.wait()


main()
