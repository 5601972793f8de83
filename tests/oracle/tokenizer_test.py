# SPDX-License-Identifier: Apache-2.0
"""Token ids and decoded text against the `tokenizers` package, for every kind of tokenizer.json that is read."""
import functools
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from tokenizers import Tokenizer
from tokenizer_kinds import KINDS, PROSE, made, sources, words_shown

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "text_tool")

# The same small program in ten languages.
LANGUAGES = [
    "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\nprint(f\"{fib(20)=}\")\n",
    "#include <vector>\ntemplate <class T>\nT sum(const std::vector<T>& v) {\n\tT s{};\n\tfor (auto&& x : v) s += x;\n\treturn s;\n}\n",
    "fn main() {\n    let xs: Vec<u64> = (1..=10).map(|x| x * x).collect();\n    println!(\"{:?} {}\", xs, xs.iter().sum::<u64>());\n}\n",
    "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tm := map[string]int{\"a\": 1}\n\tfor k, v := range m {\n\t\tfmt.Printf(\"%s=%d\\n\", k, v)\n\t}\n}\n",
    "const f = async (x) => { const {a = 1, ...rest} = await x; return `${a}${JSON.stringify(rest)}` ?? null; };\n",
    "public final class Main {\n    public static void main(String[] args) {\n        System.out.println(String.join(\",\", args));\n    }\n}\n",
    "SELECT u.name, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE u.age >= 18 GROUP BY 1 HAVING n > 3;\n",
    "main :: IO ()\nmain = mapM_ print $ takeWhile (< 100) $ iterate (*2) 1 -- λ\n",
    "#!/bin/sh\nset -eu\nfor f in *.txt; do\n  [ -f \"$f\" ] && wc -l < \"$f\" >> ./out.$$ || echo \"no $f\" >&2\ndone\n",
    "<!DOCTYPE html>\n<ul class='x'>\n  {% for i in items %}<li>{{ i|e }}</li>{% endfor %}\n</ul>\n",
]
ODD = ["", " ", "\n", "  \n  x", " lead", "trail ", "a" * 5000, " " * 5000, "ab" * 3000, "\n" * 3000, "<|im_start|>" * 300, "<" * 3000, "é" * 2000, "漢" * 3000,
       "😀" * 1000, "\u0301" * 300, "x" * 41, "y" * 40, "<0x41>", "▁▁a▁", "\0", "\0a\0", "a\u0301\u0316\u0301b", "\ufeffx", "ﬁ\u0301 ｱﾞ", "İstanbul ΑΣ", " \u00a0 cat"]


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    KINDS[request.param]().save(str(path))
    return Tokenizer.from_file(str(path)), path, request.param


def ask(path, tasks):
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([TOOL, str(path)], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def check(pair, texts, special=True):
    tokenizer, path, _ = pair
    ours = ask(path, [{"encode": text, "special": special} for text in texts])
    for text, ids, theirs in zip(texts, ours, tokenizer.encode_batch_fast(texts, add_special_tokens=special), strict=True):
        assert ids == theirs.ids, (text[:200], tokenizer.decode(ids if isinstance(ids, list) else []))


@functools.cache
def random_texts(count):
    rng = random.Random(20240601)
    print("seed 20240601")
    ranges = [(9, 13), (32, 126), (32, 126), (0, 0x24F), (0x300, 0x36F), (0x370, 0x6FF), (0x900, 0x97F), (0x1100, 0x11FF), (0x1680, 0x180F), (0x2000, 0x206F),
              (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0xFB00, 0xFFFF), (0x1F300, 0x1FAFF), (0x10000, 0x10FFFF)]
    pieces = ["'s", "'LL", "'ſ", "<tool>", " <tool> ", "<tool", "<|im_end|>", "été", "ÉTÉ", "\r\n", "   ", "\t\t", "123456", "a.", "\u180e", "\x85", "\x1c", "cat", " cat ",
              " gap ", "mask", "Mask", "[MASK]", "<s>", "▁", "##s", "don't", " .", "return self", "e\u0301", "\u200d", "<0x0A>", "½", "ﬃ", "the ", "İ"]
    texts = []
    for _ in range(count):
        out = []
        for _ in range(rng.randrange(1, 24)):
            if rng.random() < 0.4:
                out.append(rng.choice(pieces))
            else:
                low, high = rng.choice(ranges)
                out.append(chr(rng.choice([c for c in (rng.randint(low, high),) if not 0xD800 <= c < 0xE000] or [97])))
        texts.append("".join(out))
    return texts


@functools.cache
def code_points(*ranges, around=""):
    """The characters of some ranges, 2048 a text: one after the other, or each between others."""
    points = [chr(c) for part in ranges for c in part if not 0xD800 <= c < 0xE000]
    return [around.join(["", *points[i:i + 2048], ""]) for i in range(0, len(points), 2048)]


def test_ids_are_equal_on_random_unicode(pair):
    check(pair, random_texts(10_000))


def test_ids_are_equal_on_every_code_point(pair):
    check(pair, code_points(range(sys.maxunicode + 1)))


def test_words_are_cut_alike_around_every_character(pair):
    shown, path = words_shown(pair[0]), pair[1].with_name("shown.json")
    shown.save(str(path))
    # Of the planes where nothing is assigned, and of private use, a sample.
    texts = code_points(range(0x34000), range(0x34000, 0xE0000, 61), range(0xE0000, 0xE1000), range(0xE1000, sys.maxunicode + 1, 61), around="  a1")
    check((shown, path, pair[2]), texts)


def test_ids_are_equal_on_source_code_and_odd_shapes(pair):
    texts = LANGUAGES + sources() + PROSE + ODD
    check(pair, texts)
    if pair[0].post_processor:
        check(pair, texts, special=False)


@pytest.fixture(scope="module")
def demo_texts(tmp_path_factory):
    """The demo's questions and answers, as scripts/demo makes them of the package `eg`."""
    examples = pathlib.Path(importlib.util.find_spec("eg").origin).parent / "examples"
    path = tmp_path_factory.mktemp("demo") / "data.jsonl"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "demo_data.py"), str(examples), str(path)], check=True, capture_output=True)
    return [message["content"] for line in path.read_text().splitlines() for message in json.loads(line)["messages"]]


def test_ids_are_equal_on_the_demos_data(pair, demo_texts):
    assert len(demo_texts) > 1000
    check(pair, demo_texts)


def test_decoded_and_streamed_text_is_equal(pair):
    tokenizer, path, _ = pair
    rng = random.Random(7)
    rows = [[rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(0, 30))] for _ in range(1500)]
    rows += [one.ids for one in tokenizer.encode_batch_fast(random_texts(300) + LANGUAGES)]
    if tokenizer.get_vocab_size() > 259:  # bytes of a byte-fallback vocabulary stand together
        rows += [[rng.randrange(3, 259) for _ in range(rng.randrange(1, 8))] + [300] * rng.randrange(2) for _ in range(300)]
    for skip in (True, False):
        expected = [tokenizer.decode(ids, skip_special_tokens=skip) for ids in rows]
        assert ask(path, [{"decode": ids, "skip_special": skip} for ids in rows]) == expected
        assert ["".join(pieces) for pieces in ask(path, [{"stream": ids, "skip_special": skip} for ids in rows])] == expected


def test_a_surrogate_and_an_id_out_of_range_are_refused(pair):
    done = subprocess.run([TOOL, str(pair[1])], input='{"encode": "\\ud800"}\n', capture_output=True, text=True)
    assert done.returncode != 0 or json.loads(done.stdout)["error"] == "invalid_argument"
    for ids in ([pair[0].get_vocab_size()], [-1]):
        assert ask(pair[1], [{"decode": ids}])[0]["error"] == "invalid_argument"


FORBIDDEN = ["c080", "c1bf", "e08080", "e09fbf", "eda080", "edbfbf", "eda0bdedb880", "f0808080", "f08fbfbf", "f4908080", "f5808080", "f888808080", "fe", "ff", "80", "bf", "e28282e2", "f09f98"]


@functools.cache
def malformed_texts():
    """The forms that RFC 3629 forbids, each pair of bytes above ASCII, and good text with bytes changed, cut out and put in."""
    rng = random.Random(11)
    texts = [b"a " + bytes.fromhex(form) + b" b" for form in FORBIDDEN] + [bytes([first, second]) for first in range(0x80, 0x100) for second in range(0x70, 0xD0)]
    for text in random_texts(10_000)[:2000]:
        broken = text.encode()
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(broken) + 1)
            broken = broken[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(2))) + broken[at + rng.randrange(2):]
        texts.append(broken)
    return texts


def test_malformed_utf_8_is_refused_with_its_place_and_nothing_else_is(pair):
    """The package takes no bytes: Python's strict decoder stands before it."""
    texts, good = malformed_texts(), []
    for text, answer in zip(texts, ask(pair[1], [{"encode_hex": text.hex()} for text in texts]), strict=True):
        try:
            good.append((text.decode(), answer))
        except UnicodeDecodeError as error:
            assert answer["error"] == "invalid_argument" and answer["message"].endswith(f"at byte {error.start}"), (text, answer)
    assert 1000 < len(good) < len(texts) - 8000
    for (text, ids), theirs in zip(good, pair[0].encode_batch_fast([text for text, _ in good]), strict=True):
        assert ids == theirs.ids, text


def test_ids_are_equal_after_truncation_and_padding_are_set_in_the_file(tmp_path):
    tokenizer = KINDS["gpt2"]()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=12)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    check((tokenizer, tmp_path / "tokenizer.json", ""), LANGUAGES)


@pytest.mark.parametrize("part, value, word", [
    ("decoder", {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}, "CTC"),
    ("model", {"dropout": 0.1}, "dropout"),
    ("normalizer", {"type": "Unheard"}, "Unheard"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(?i)stra"}, "behavior": "Isolated", "invert": False}, "ignores case"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "\\X"}, "behavior": "Isolated", "invert": False}, "\\X"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "\\p{Greek_Extended}"}, "behavior": "Isolated", "invert": False}, "Greek_Extended"),
])
def test_what_is_not_computed_is_refused_by_name(tmp_path, part, value, word):
    raw = json.loads(made("bytes").to_str())
    raw[part] = {**(raw[part] or {}), **value}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(raw))
    done = subprocess.run([TOOL, str(path)], input="", capture_output=True, text=True)
    assert done.returncode == 1 and word in done.stderr
