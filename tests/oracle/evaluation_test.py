# SPDX-License-Identifier: Apache-2.0
"""redoubt-engine's evaluation against lm-evaluation-harness, Transformers, sacrebleu and rouge-score, on the small random Llama of
engine_train_test: whole texts in rolling windows, multiple choice, generated answers, and which turns of a conversation count."""
import json
import math
import random
import shutil

import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer
from tokenizers import Tokenizer, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine_train_test import ROWS, make_model, run_engine, start_engine

MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = ["list", "files", "in", "home", "the", "root", "folder", "a", "very", "long", "path", "naïve", "漢字", "--all", "x1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "base"
    folder.mkdir()
    make_model(folder, {"rope_type": "default", "rope_theta": 10000.0})
    return folder


def texts():
    rng = random.Random(3)
    return ["a", "one line\n", "  indented and\n\n broken  \n"] + [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(5, 160))) for _ in range(12)]


@pytest.fixture(scope="module")
def harness(model):
    from lm_eval.models.huggingface import HFLM

    return lambda length: HFLM(pretrained=str(model), tokenizer=str(model), device="cpu", dtype="float32", max_length=length, batch_size=4)


def evaluated(root, model, rows, **parameters):
    run_engine("evaluate", root, model, {"dtype": "fp32", **parameters}, eval=rows)
    lines = [json.loads(line) for line in (root / "output/data/per_example.jsonl").read_text().splitlines()]
    return json.loads((root / "output/data/evaluation.json").read_text()), lines


@pytest.mark.parametrize("length", [32, 256])
def test_rolling_perplexity_of_texts_is_that_of_lm_evaluation_harness(model, harness, tmp_path, length):
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity

    requests = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts())]
    theirs = harness(length).loglikelihood_rolling(requests, disable_tqdm=True)
    result, lines = evaluated(tmp_path / "job", model, [{"text": text} for text in texts()], max_length=length)
    assert len(lines) == len(theirs) and result["truncated"] == 0
    for line, likelihood in zip(lines, theirs):
        assert line["log_likelihood"] == pytest.approx(likelihood, rel=1e-3)
        assert abs(line["log_likelihood"] - likelihood) < 1e-4 * line["tokens"]
    # The metrics of its task wikitext.
    import re
    words = [(likelihood, len(re.split(r"\s+", text))) for likelihood, text in zip(theirs, texts())]
    size = [(likelihood, len(text.encode())) for likelihood, text in zip(theirs, texts())]
    assert result["word_perplexity"] == pytest.approx(weighted_perplexity(words), rel=1e-3)
    assert result["byte_perplexity"] == pytest.approx(weighted_perplexity(size), rel=1e-3)
    assert result["bits_per_byte"] == pytest.approx(bits_per_byte(size), rel=1e-3)
    assert result["perplexity"] == pytest.approx(math.exp(-sum(theirs) / result["tokens"]), rel=1e-3)


@pytest.fixture(scope="module")
def beginning_model(model, tmp_path_factory):
    """Its tokenizer puts the beginning-of-sequence token before a text, as those of Llama, Mistral and Gemma do."""
    folder = tmp_path_factory.mktemp("beginning") / "base"
    shutil.copytree(model, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_text_that_begins_with_the_beginning_of_sequence_gets_no_second_one(beginning_model, tmp_path):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=str(beginning_model), tokenizer=str(beginning_model), device="cpu", dtype="float32", max_length=64)
    written = [*texts(), "<|im_start|>list files", "<|im_start|> in the root folder"]
    theirs = harness.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(written)], disable_tqdm=True)
    _, lines = evaluated(tmp_path / "rolling", beginning_model, [{"text": text} for text in written], max_length=64)
    assert [line["log_likelihood"] for line in lines] == pytest.approx(theirs, rel=1e-3)
    questions = ["<|im_start|>list files in", "list files in", "<|im_start|>"]
    rows = [{"question": question, "choices": ["home", "the root folder"], "answer": 0} for question in questions]
    theirs = [[harness.loglikelihood([Instance("loglikelihood", {}, (row["question"], " " + choice), 0)], disable_tqdm=True)[0][0] for choice in row["choices"]] for row in rows]
    _, lines = evaluated(tmp_path / "choices", beginning_model, rows, max_length=64)
    for line, likelihoods in zip(lines, theirs):
        assert line["choices"] == pytest.approx(likelihoods, rel=1e-3)


def choice_rows():
    rng = random.Random(5)
    rows = []
    for i in range(40):
        choices = [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 9))) for _ in range(rng.randrange(2, 5))]
        question = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 60 if i % 3 else 8))) + rng.choice(["", ":", " ", "\nAnswer:", "  \n"])
        rows.append({"question": question, "choices": choices, "answer": rng.randrange(len(choices))})
    return rows


def test_multiple_choice_is_that_of_lm_evaluation_harness(model, harness, tmp_path):
    import numpy
    from lm_eval.api.instance import Instance

    rows = choice_rows()
    pairs = [(row["question"], " " + choice) for row in rows for choice in row["choices"]]
    theirs = iter(harness(64).loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)], disable_tqdm=True))
    result, lines = evaluated(tmp_path / "job", model, rows, max_length=64)
    hits = {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    for row, line in zip(rows, lines, strict=True):
        likelihoods = numpy.array([next(theirs)[0] for _ in row["choices"]])
        assert line["choices"] == pytest.approx(likelihoods.tolist(), rel=1e-3)
        assert line["log_likelihood"] == line["choices"][row["answer"]]
        for name, length in (("acc", lambda _: 1.0), ("acc_norm", len), ("acc_bytes", lambda text: len(text.encode()))):
            hit = int(numpy.argmax(likelihoods / numpy.array([float(length(choice)) for choice in row["choices"]])) == row["answer"])
            assert line[name] == hit
            hits[name] += hit
    assert {name: result[name] for name in hits} == {name: pytest.approx(count / len(rows)) for name, count in hits.items()}
    assert len({result["acc"], result["acc_norm"]}) == 2, "the rows do not tell the two apart"


def test_generated_answers_are_transformers_and_their_metrics_the_packages(model, tmp_path):
    result, lines = evaluated(tmp_path / "job", model, ROWS + [{"text": "no question"}], generations=12, generation_tokens=24)
    made = [json.loads(line) for line in (tmp_path / "job/output/data/generations.jsonl").read_text().splitlines()]
    assert len(made) == 12 == result["generated"]
    tokenizer, judge = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for row, one in zip(ROWS, made):
        prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            answer = judge.generate(**ids, max_new_tokens=24, do_sample=False, eos_token_id=1, pad_token_id=1)[0, ids["input_ids"].shape[1]:]
        assert one["generated"] == tokenizer.decode(answer, skip_special_tokens=True)
        assert one["expected"].strip() == row["messages"][1]["content"]
    generated, expected = [one["generated"] for one in made], [one["expected"] for one in made]
    assert result["bleu"] == pytest.approx(sacrebleu.corpus_bleu(generated, [expected]).score, abs=1e-9)
    assert result["chrf"] == pytest.approx(sacrebleu.corpus_chrf(generated, [expected]).score, abs=1e-9)
    scorer = RougeScorer(["rougeL"])
    assert result["rouge_l"] == pytest.approx(sum(scorer.score(b, a)["rougeL"].fmeasure for a, b in zip(generated, expected)) / 12)
    assert result["exact_match"] == sum(a.strip() == b.strip() for a, b in zip(generated, expected)) / 12
    assert [line.get("rouge_l") is not None for line in lines] == [True] * 12 + [False] * 5


def conversation(count):
    rng = random.Random(count)
    messages = [{"role": "system", "content": "be brief"}]
    for _ in range(count):
        messages += [{"role": "user", "content": " ".join(rng.choice(WORDS) for _ in range(6))}, {"role": "assistant", "content": " ".join(rng.choice(WORDS) for _ in range(4))}]
    return {"messages": messages}


def test_marked_spans_are_transformers_assistant_mask(model, tmp_path):
    marked = tmp_path / "marked"
    marked.mkdir()
    for file in model.iterdir():
        (marked / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(marked)
    tokenizer.chat_template = MARKED
    tokenizer.save_pretrained(marked)
    rows = [conversation(count) for count in (1, 2, 4)]
    judge = AutoModelForCausalLM.from_pretrained(marked, dtype=torch.float32).eval()
    result, lines = evaluated(tmp_path / "job", marked, rows, loss_on="marked")
    for row, line in zip(rows, lines, strict=True):
        encoded = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = torch.tensor([encoded["input_ids"]]), torch.tensor(encoded["assistant_masks"]).bool()
        with torch.no_grad():
            scores = judge(ids).logits[0].log_softmax(-1)
        each = scores[:-1].gather(1, ids[0, 1:, None])[:, 0]
        assert line["tokens"] == mask.sum().item()
        assert line["log_likelihood"] == pytest.approx(each[mask[1:]].sum().item(), rel=1e-4)
    _, answers = evaluated(tmp_path / "answers", marked, rows, loss_on="answers")
    turns = [sum(message["role"] == "assistant" for message in row["messages"]) for row in rows]
    # The newline after each turn counts too, as the contract of answer tokens says.
    assert [line["tokens"] for line in answers] == [line["tokens"] + count for line, count in zip(lines, turns)]


def test_intervals_follow_from_the_seed_and_hold_the_value(model, tmp_path):
    first, _ = evaluated(tmp_path / "one", model, ROWS, bootstrap_seed=5)
    again, _ = evaluated(tmp_path / "two", model, ROWS, bootstrap_seed=5)
    other, _ = evaluated(tmp_path / "three", model, ROWS, bootstrap_seed=6)
    none, _ = evaluated(tmp_path / "four", model, ROWS, bootstrap_resamples=0)
    assert first["intervals"] == again["intervals"] != other["intervals"] and "intervals" not in none
    assert first["bootstrap"] == {"resamples": 1000, "confidence": 0.95, "seed": 5}
    for name, (low, high) in first["intervals"].items():
        assert low < first[name] < high, name


def test_training_learns_from_the_turns_that_count_alone(model, tmp_path):
    """The loss of the first step, from an adapter that changes nothing yet, is the evaluation's of the same turns."""
    rows = [conversation(count) for count in (1, 2, 3, 4)]
    losses = {}
    for loss_on in ("answer", "answers", "all"):
        result, _ = evaluated(tmp_path / loss_on, model, rows, loss_on=loss_on)
        events = run_engine("train", tmp_path / f"train-{loss_on}", model, {"dtype": "fp32", "epochs": 1, "batch_size": 4, "loss_on": loss_on}, train=rows)
        step = next(event for event in events if event["event"] == "step")
        losses[loss_on] = result["eval_loss"]
        assert step["loss"] == pytest.approx(result["eval_loss"], rel=1e-4)
    assert len({round(loss, 4) for loss in losses.values()}) == 3


def test_of_a_row_that_is_cut_off_the_words_and_bytes_that_are_left_count(model, tmp_path):
    answer = " ".join(f"ls --all /home/{i}" for i in range(60))
    rows = [{"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": answer}]}]
    result, (line,) = evaluated(tmp_path / "job", model, rows, max_length=100)
    assert result["truncated"] == 1
    tokenizer = AutoTokenizer.from_pretrained(model)
    whole = tokenizer(tokenizer.apply_chat_template(rows[0]["messages"], tokenize=False), add_special_tokens=False)["input_ids"]
    left = tokenizer.decode(whole[100 - line["tokens"] : 100])
    assert answer.startswith(left) and len(left) < len(answer) / 2
    assert result["byte_perplexity"] == pytest.approx(math.exp(-line["log_likelihood"] / len(left)), rel=1e-6)
    assert result["word_perplexity"] == pytest.approx(math.exp(-line["log_likelihood"] / len(left.split())), rel=1e-6)


def test_rows_that_are_too_long_are_dropped_or_refused_as_configured(model, tmp_path):
    longer = {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "ls -a /home " * 40}]}
    result, lines = evaluated(tmp_path / "drop", model, [longer, *ROWS], max_length=100, on_too_long="drop")
    assert result["dropped"] == 1 and result["truncated"] == 0 and len(lines) == len(ROWS) and lines[0]["line"] == 2
    refused = start_engine("evaluate", tmp_path / "refuse", model, {"dtype": "fp32", "max_length": 100, "on_too_long": "refuse"}, eval=[*ROWS[:2], longer])
    assert refused.returncode != 0 and "eval.jsonl: line 3" in refused.stderr and "max_length" in refused.stderr
