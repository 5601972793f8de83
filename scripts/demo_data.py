#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's training data from the PyPI package `eg` (MIT): pairs of a question and the commands that answer it.

usage: demo_data.py EXAMPLES_FOLDER OUT.jsonl

Each example of the package is a paragraph, a blank line and an indented block. The answer is the block's commands: where a shell's
prompt marks them, neither the prompt nor what they print. A pair is kept when its description is under 200 characters and its
commands are at most three lines that name the program; a question that stands twice is kept once.
"""
import json
import pathlib
import re
import sys


def commands(lines):
    """The commands among a block's lines; without a prompt, all lines are."""
    if not any(line.startswith("$ ") for line in lines):
        return "\n".join(lines).strip()
    kept, goes_on = [], False
    for line in lines:
        if goes_on or line.startswith("$ "):
            kept.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(kept)


def examples(text):
    """(description, block) for each paragraph that an indented block follows."""
    blocks = re.split(r"\n\s*\n", text)
    for paragraph, block in zip(blocks, blocks[1:]):
        lines = block.strip("\n").split("\n")
        if paragraph.startswith(("    ", "#")) or not all(line.startswith("    ") for line in lines):
            continue
        yield " ".join(paragraph.split()).rstrip(":.").strip(), commands([line[4:] for line in lines])


def pairs(folder):
    seen = set()
    for path in sorted(pathlib.Path(folder).glob("*.md")):
        for description, block in examples(path.read_text(encoding="utf-8")):
            question = f"How do I use {path.stem} to {description[:1].lower() + description[1:]}?"
            if not description or len(description) >= 200 or block.count("\n") > 2 or path.stem not in block or question in seen:
                continue
            seen.add(question)
            yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": block}]}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows = [json.dumps(row, ensure_ascii=False) for row in pairs(sys.argv[1])]
    pathlib.Path(sys.argv[2]).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows)} pairs in {sys.argv[2]}", file=sys.stderr)


main()
