# SPDX-License-Identifier: Apache-2.0
"""The engine's sampling against Transformers' logits processors, on random logits."""
import json
import random
import subprocess

import numpy
import pytest
import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, SequenceBiasLogitsProcessor, TemperatureLogitsWarper,
                          TopKLogitsWarper, TopPLogitsWarper)

from conftest import BUILD

VOCABULARY = 500


class AnswerPenalties:
    """OpenAI's presence and frequency penalty, which Transformers lacks: mu[j] - c[j] * frequency - (c[j] > 0) * presence."""

    def __init__(self, answer, presence, frequency):
        self.counts = torch.bincount(torch.tensor(answer, dtype=torch.long), minlength=VOCABULARY).float()
        self.presence, self.frequency = presence, frequency

    def __call__(self, input_ids, scores):
        return scores - self.counts * self.frequency - (self.counts > 0) * self.presence


def judged(task):
    options = task["options"]
    bias = {(int(token),): value for token, value in options.get("logit_bias", {}).items()}
    steps = LogitsProcessorList([
        *([SequenceBiasLogitsProcessor(bias)] if bias else []),
        RepetitionPenaltyLogitsProcessor(float(options.get("repetition_penalty", 1.0))),
        AnswerPenalties(task["answer"], options.get("presence_penalty", 0), options.get("frequency_penalty", 0)),
        TemperatureLogitsWarper(float(options.get("temperature", 1.0))),
        *([TopKLogitsWarper(options["top_k"])] if "top_k" in options else []),
        *([TopPLogitsWarper(options["top_p"])] if "top_p" in options else []),
        *([MinPLogitsWarper(options["min_p"])] if "min_p" in options else [])])
    scores = steps(torch.tensor([task["prompt"] + task["answer"]]), torch.tensor([task["logits"]], dtype=torch.float32))
    return scores[0].softmax(-1)


def ours(tasks):
    done = subprocess.run([BUILD / "generate_tool"], input="".join(json.dumps(task) + "\n" for task in tasks), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


VALUES = {"temperature": [0.3, 0.7, 1.5], "top_k": [1, 5, 100, 600], "top_p": [0.05, 0.5, 0.95], "min_p": [0.001, 0.1, 1.0],
          "repetition_penalty": [0.7, 1.3, 2.0], "presence_penalty": [-1.5, 2.0], "frequency_penalty": [-0.5, 1.25]}


def tasks(names, count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        options = {name: rng.choice(VALUES[name]) for name in names if name in VALUES}
        if "logit_bias" in names:
            options["logit_bias"] = {str(token): rng.uniform(-100, 100) for token in rng.sample(range(VOCABULARY), 20)}
        numbers = numpy.random.default_rng(rng.randrange(2**32)).normal(0, 3, VOCABULARY).astype(numpy.float32)
        yield {"logits": numbers.tolist(), "options": options, "prompt": [rng.randrange(VOCABULARY) for _ in range(30)],
               "answer": [rng.randrange(VOCABULARY) for _ in range(25)]}


@pytest.mark.parametrize("names", [[name] for name in [*VALUES, "logit_bias"]] + [
    ["temperature", "top_k", "top_p", "min_p"], ["repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias"],
    [*VALUES, "logit_bias"]], ids="+".join)
def test_the_distribution_is_that_of_transformers_processors(names):
    seed = 20261128
    print("seed", seed)
    all_tasks = list(tasks(names, 40, seed))
    for task, answer in zip(all_tasks, ours(all_tasks), strict=True):
        expected = judged(task)
        # What fp32's softmax rounds to nothing we keep, with as good as no probability.
        assert set(torch.nonzero(expected).flatten().tolist()) <= set(answer["ids"])
        assert all(probability < 1e-30 for token, probability in zip(answer["ids"], answer["probabilities"]) if expected[token] == 0)
        numpy.testing.assert_allclose(answer["probabilities"], expected[answer["ids"]].numpy(), rtol=2e-4, atol=1e-7)
