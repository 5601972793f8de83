#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows for the training and evaluation benchmarks, made from a file of chat rows (scripts/demo_data.py writes one).

usage: training_rows.py chat|system|long|text IN.jsonl OUT.jsonl

chat    the rows as they are: about 60 tokens each
system  the same behind one system prompt of about 220 tokens
long    arithmetic told as a story with a worked answer of about 150 tokens, as in GSM8K, drawn from a fixed seed
text    {"text"} rows of about 3,000 characters, the chat rows' words joined
"""
import json
import random
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
NAMES = ("Mara", "Tomas", "Ines", "Jonas", "Amira", "Felix", "Noor", "Oskar")
THINGS = (("crates", "apples"), ("boxes", "pencils"), ("shelves", "books"), ("trays", "cups"), ("bags", "marbles"))


def story(draw):
    name, (many, thing) = draw.choice(NAMES), draw.choice(THINGS)
    groups, each, price, gone, friends = draw.randint(3, 19), draw.randint(4, 30), draw.randint(2, 9), draw.randint(1, 11), draw.randint(2, 6)
    total, left = groups * each, groups * each - gone
    share, rest = divmod(left, friends)
    question = (
        f"{name} has {groups} {many} with {each} {thing} in each of them. {gone} of the {thing} are broken and are thrown away. The others are shared out "
        f"evenly among {friends} friends, who sell theirs for {price} dollars a piece, and {name} keeps what can not be shared. How much money does each friend get?"
    )
    answer = (
        f"First count all the {thing}: {groups} {many} with {each} in each are {groups} * {each} = {total} {thing}.\n"
        f"{gone} of them are broken, so {total} - {gone} = {left} {thing} are left to share.\n"
        f"Sharing {left} {thing} among {friends} friends gives each of them {left} / {friends} = {share}, and {rest} can not be shared, which {name} keeps.\n"
        f"Each friend sells {share} {thing} for {price} dollars a piece, which makes {share} * {price} = {share * price} dollars.\n"
        f"The answer: each of the {friends} friends gets {share * price} dollars, and {name} keeps {rest} of the {thing}.\n#### {share * price}"
    )
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def texts(rows):
    words = " ".join(message["content"] for row in rows for message in row["messages"])
    return [{"text": words[begin : begin + 3000]} for begin in range(0, len(words) - 3000, 3000)]


def main():
    kind, source, target = sys.argv[1:]
    rows = [json.loads(line) for line in open(source)]
    draw = random.Random(7)
    made = {
        "chat": lambda: rows,
        "system": lambda: [{"messages": [{"role": "system", "content": SYSTEM}, *row["messages"]]} for row in rows],
        "long": lambda: [story(draw) for _ in rows],
        "text": lambda: texts(rows),
    }[kind]()
    with open(target, "w") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in made)


main()
