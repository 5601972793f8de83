# SPDX-License-Identifier: Apache-2.0
"""Token ids and decoded text against the `tokenizers` package, for the ways that GPT-2, SmolLM2, Llama 3 and Qwen cut text."""
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "text_tool")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(**options):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **options)


WAYS = {
    "gpt2": lambda: byte_level(),
    "gpt2_prefix": lambda: pre_tokenizers.ByteLevel(add_prefix_space=True),
    "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()]),
    "digits": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level()]),
    "llama3": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level(use_regex=False)]),
    "qwen": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"), byte_level(use_regex=False)]),
    "removed": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "removed"), byte_level()]),
    "previous": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split("a.", "merged_with_previous"), byte_level()]),
    "next": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{Lu}"), "merged_with_next"), byte_level()]),
    "contiguous": lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d"), "contiguous", invert=True), byte_level()]),
}


def sources():
    folder = pathlib.Path(json.__file__).parent
    return [path.read_text() for path in sorted(folder.glob("*.py"))]


@pytest.fixture(scope="module", params=WAYS)
def pair(request, tmp_path_factory):
    tokenizer = Tokenizer(models.BPE(ignore_merges=request.param == "llama3"))
    tokenizer.pre_tokenizer = WAYS[request.param]()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<|begin|>", "<|im_start|>", "<|im_end|>"], show_progress=False)
    tokenizer.train_from_iterator(sources() + ["héllo wörld 漢字かな 😀😀 1234567"] * 50, trainer)
    tokenizer.add_tokens([AddedToken("<tool>", lstrip=True, rstrip=True), AddedToken("<tool", normalized=True), "été"])
    if request.param == "llama3":
        tokenizer.post_processor = processors.Sequence(
            [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])])
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    tokenizer.save(str(path))
    return tokenizer, path


def ask(path, tasks):
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([TOOL, str(path)], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def check(pair, texts):
    tokenizer, path = pair
    for special in (True, False) if tokenizer.post_processor else (True,):
        ours = ask(path, [{"encode": text, "special": special} for text in texts])
        for text, ids in zip(texts, ours, strict=True):
            assert ids == tokenizer.encode(text, add_special_tokens=special).ids, repr(text)


def random_texts(count):
    rng = random.Random(20240601)
    print("seed 20240601")
    ranges = [(9, 13), (32, 126), (32, 126), (0, 0x24F), (0x300, 0x36F), (0x370, 0x6FF), (0x900, 0x97F), (0x1680, 0x180F),
              (0x2000, 0x206F), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0x1F300, 0x1FAFF), (0x10000, 0x10FFFF)]
    pieces = ["'s", "'LL", "'ſ", "<tool>", " <tool> ", "<tool", "<|im_end|>", "été", "\r\n", "   ", "\t\t", "123456", "a.", "\u180e", "\x85", "\x1c"]
    for _ in range(count):
        out = []
        for _ in range(rng.randrange(1, 24)):
            if rng.random() < 0.3:
                out.append(rng.choice(pieces))
            else:
                low, high = rng.choice(ranges)
                out.append(chr(rng.randint(low, high)))
        yield "".join(out)


def test_ids_are_equal_on_random_unicode(pair):
    check(pair, list(random_texts(10_000)))


def test_ids_are_equal_on_every_code_point(pair):
    points = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    texts = ["a" + "a1 ".join(points[i:i + 512]) for i in range(0, len(points), 512)]
    texts += ["".join(points[i:i + 512]) for i in range(0, len(points), 512)]
    check(pair, texts)


def test_ids_are_equal_on_source_code_and_odd_shapes(pair):
    check(pair, sources() + ["", " ", "\n", "  \n  x", "a" * 5000, " " * 5000, "ab" * 3000, "\n" * 3000, "<|im_start|>" * 300, "<" * 3000])


def test_decoded_text_is_equal(pair):
    tokenizer, path = pair
    rng = random.Random(7)
    rows = [[rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(0, 30))] for _ in range(3000)]
    for skip in (True, False):
        ours = ask(path, [{"decode": ids, "skip_special": skip} for ids in rows])
        for ids, text in zip(rows, ours, strict=True):
            assert text == tokenizer.decode(ids, skip_special_tokens=skip), ids


def test_a_surrogate_is_refused(pair):
    done = subprocess.run([TOOL, str(pair[1])], input='{"encode": "\\ud800"}\n', capture_output=True, text=True)
    assert done.returncode != 0 or json.loads(done.stdout)["error"] == "invalid_argument"
