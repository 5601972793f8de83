# SPDX-License-Identifier: Apache-2.0
"""What the guards add to each token of a streamed answer: goal p99 at most 50 us. Nobody else filters before sending, so there is no peer.

    bench/guards_on_stream.py [--build build] [--streams 200]

The text is that of PyPI's `eg` (examples of command lines, with options and paths), in pieces of at most six letters; into every 40th word goes an item of personal data or a secret, as vendors and standards publish them.
"""
import argparse
import importlib.resources
import json
import pathlib
import random
import re
import subprocess
import tempfile

ITEMS = ["jane.doe@example.com", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "078-05-1120", "+1 212 555 0123", "AKIAIOSFODNN7EXAMPLE", "192.168.0.1", "2001:db8::1",
         "ghp_" + "aB3" * 12, "https://user:pa55word@host.example.com/", "1HB5XMLmzFVj8ALj6mfBsbifRoD4miY36v", "in 2024", "1,234.50 EUR"]
GUARDS = {"all redacted": {"output": {"secrets": "redact", "personal": "redact", "hidden": "redact", "patterns": "redact"}, "canary": "refuse"},
          "personal data": {"output": {"personal": "redact"}}}


def text_of_eg():
    folder = pathlib.Path(str(importlib.resources.files("eg"))) / "examples"
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.md")))


def pieces_of(text):
    return [piece for word in re.findall(r"\s?\S+|\s", text) for piece in (re.findall(r".{1,6}", word, re.S) if len(word) > 6 else [word])]


def streams(count, draw):
    words = text_of_eg().split(" ")
    for _ in range(count):
        at = draw.randrange(len(words) - 900)
        chosen = list(words[at:at + 800])
        for place in range(20, len(chosen), 40):
            chosen[place] = draw.choice(ITEMS)
        yield pieces_of(" ".join(chosen))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--streams", type=int, default=200)
    options = parser.parse_args()
    lines = "".join(json.dumps(one) + "\n" for one in streams(options.streams, random.Random(7)))
    for name, guards in GUARDS.items():
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(guards))
            file.flush()
            done = subprocess.run([f"{options.build}/guard_tool", file.name], input=lines, capture_output=True, text=True)
        print(name, done.stdout.strip() or done.stderr)


if __name__ == "__main__":
    main()
