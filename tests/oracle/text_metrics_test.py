# SPDX-License-Identifier: Apache-2.0
"""Exact match, ROUGE-L, BLEU and chrF against the packages rouge-score and sacrebleu."""
import json
import random
import subprocess

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from conftest import BUILD

PAIRS = [
    ("ls -la /tmp", "ls -la /tmp"), (" ls -la /tmp\n", "ls -la /tmp"), ("", "a b c"), ("a b c", ""), ("", ""), ("word", "word"), ("x", "y"),
    ("The cat sat on the mat.", "The cat is on the mat."), ("It costs $1,000.50, or 3-4 more...", "It costs $1,000.5; 3 - 4 more."),
    ("He said \"no\" & left <b>now</b>", "He said &quot;no&quot; &amp; left &lt;b&gt;now&lt;/b&gt;"), ("a<skipped>b -\nc\nd", "ab cd"),
    ("naïve café 漢字 かな 😀", "naive cafe 漢字 かな 😀"), ("Straße İstanbul 3 K", "strasse istanbul 3 k"), ("don't can-not 5-6 5.6 5,6 .5 5.", "don't cannot 5-6"),
    ("tab\tnew\vform\x1funit\x85nel\xa0nbsp\u3000wide", "tab new form unit nel nbsp wide"), ("\u200b\u2060zero", "zero"), ("....,,,,", "., .,"),
    ("the the the the", "the cat"), ("{a}[b]`c`~d|e\\f^g_h@i:j?k!l", "{a} [b] c d e f g h"), ("e\u0301 é", "é e\u0301"),
]


def random_text(rng):
    alphabet = ["a", "b", "the", "cat", "5", "10", " ", "  ", ".", ",", "-", "\n", "'", "&", "&lt;", "é", "漢", "😀", "K", "\u3000", "(", ")", "/"]
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 25)))


def corpora():
    rng = random.Random(7)
    yield PAIRS
    for _ in range(60):
        yield [(random_text(rng), random_text(rng)) for _ in range(rng.randrange(1, 9))]
    for _ in range(20):
        pairs = []
        for _ in range(5):
            words = [random_text(rng) for _ in range(6)]
            pairs.append((" ".join(words), " ".join(words[:4] + [random_text(rng)])))
        yield pairs


@pytest.fixture(scope="module")
def scored():
    tasks = [{"generated": [a for a, _ in pairs], "expected": [b for _, b in pairs]} for pairs in corpora()]
    done = subprocess.run([BUILD / "metrics_tool"], input="".join(json.dumps(task) + "\n" for task in tasks), capture_output=True, text=True, check=True)
    return list(zip(corpora(), map(json.loads, done.stdout.splitlines()), strict=True))


def test_bleu_is_sacrebleus(scored):
    for pairs, ours in scored:
        theirs = sacrebleu.BLEU().corpus_score([a for a, _ in pairs], [[b for _, b in pairs]])
        assert ours["bleu"] == pytest.approx(theirs.score, abs=1e-9), pairs
        for (a, b), score in zip(pairs, ours["bleu_pairs"]):
            assert score == pytest.approx(sacrebleu.BLEU().corpus_score([a], [[b]]).score, abs=1e-9), (a, b)


def test_chrf_is_sacrebleus(scored):
    for pairs, ours in scored:
        theirs = sacrebleu.CHRF().corpus_score([a for a, _ in pairs], [[b for _, b in pairs]])
        assert ours["chrf"] == pytest.approx(theirs.score, abs=1e-9), pairs
        for (a, b), score in zip(pairs, ours["chrf_pairs"]):
            assert score == pytest.approx(sacrebleu.CHRF().corpus_score([a], [[b]]).score, abs=1e-9), (a, b)


def test_rouge_l_is_that_of_rouge_score(scored):
    scorer = RougeScorer(["rougeL"])
    for pairs, ours in scored:
        for (a, b), score in zip(pairs, ours["rouge_l"]):
            assert score == pytest.approx(scorer.score(b, a)["rougeL"].fmeasure, abs=1e-12), (a, b)


def test_exact_match_is_equality_of_the_stripped_texts(scored):
    for pairs, ours in scored:
        assert ours["exact_match"] == [a.strip() == b.strip() for a, b in pairs]
