#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows for the training and evaluation benchmarks, made from a file of chat rows (scripts/demo_data.py writes one).

usage: training_rows.py chat|system|long|text IN.jsonl OUT.jsonl

chat    the rows as they are: about 60 tokens each
system  the same behind one system prompt of about 220 tokens
long    questions of GSM8K with worked answers, of 70 to 400 tokens together; needs the package reasoning-gym
text    {"text"} rows of about 3,000 characters, the chat rows' words joined
"""
import json
import sys

SYSTEM = (
    "You answer questions about commands of a Unix shell for engineers who operate servers. Answer with the command alone: no prompt sign, no "
    "explanation, no Markdown. Prefer tools that every distribution has, and options that POSIX names; where only GNU has what was asked for, use "
    "the long option, so that a reader understands it a year later. Never propose a command that removes or overwrites files unless the question "
    "asks for exactly that, and then name the files. Where a name is missing, write a plain one, such as file.txt, host or user. Put several "
    "commands on lines of their own, in the order in which they are to be run, at most three of them. Quote what a shell would expand. A command "
    "that needs the rights of the administrator begins with sudo. If several programs could do it, use the one that the question names. Do not "
    "invent options: when you are not sure that an option exists, choose another way that you are sure of. Numbers are decimal, sizes are in "
    "bytes unless the question says otherwise, and times are in seconds. Keep the answer short."
)
def worked_answers(count):
    """GSM-Symbolic (arXiv 2410.05229): the problems of GSM8K with other names and numbers, drawn from a fixed seed."""
    from reasoning_gym.arithmetic.gsm_symbolic import GSMSymbolicDataset, GSMSymbolicDatasetConfig  # pip install reasoning-gym

    asked_too = " Give the result as your final answer. Do not include units."
    for row in GSMSymbolicDataset(GSMSymbolicDatasetConfig(seed=7, size=count)):
        question = row["question"].removesuffix(asked_too).strip()
        yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": row["metadata"]["answer_cot"]}]}


def texts(rows):
    words = " ".join(message["content"] for row in rows for message in row["messages"])
    return [{"text": words[begin : begin + 3000]} for begin in range(0, len(words) - 3000, 3000)]


def main():
    kind, source, target = sys.argv[1:]
    rows = [json.loads(line) for line in open(source)]
    made = {
        "chat": lambda: rows,
        "system": lambda: [{"messages": [{"role": "system", "content": SYSTEM}, *row["messages"]]} for row in rows],
        "long": lambda: list(worked_answers(len(rows))),
        "text": lambda: texts(rows),
    }[kind]()
    with open(target, "w") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in made)


main()
