# SPDX-License-Identifier: Apache-2.0
"""redoubt eval's comparison and gate, data split and check, and a pipeline that must not be worse than the version in production."""
import json

import pytest
import yaml

from conftest import TOKEN, Redoubt, rows, run_approved, write_pipeline


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def model(tiny_hub):
    return tiny_hub.root / "test" / "tiny"


@pytest.fixture(scope="module")
def data(redoubt):
    path = redoubt.folder / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(40)))
    return path


@pytest.fixture(scope="module")
def base_lines(redoubt, model, data):
    path = redoubt.folder / "base.jsonl"
    result = redoubt.json("eval", "--model", model, "--data", data, "--per-example", path)
    assert result["gate"] is None and set(result["intervals"]) >= {"eval_loss", "perplexity", "accuracy"}
    return path


def thresholds(redoubt, **rule):
    path = redoubt.folder / "thresholds.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "perplexity_max": 1e6, "eval_loss_max": 20, "examples_min": 10, "not_worse_than": rule}))
    return path


def changed(redoubt, lines, by):
    """The evaluation of a model whose answers have log-likelihoods higher by `by` of each row's number."""
    path = redoubt.folder / "other.jsonl"
    made = [json.loads(line) for line in lines.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "log_likelihood": line["log_likelihood"] + by(line["index"])}) + "\n" for line in made))
    return path


def test_files_that_would_be_missed_after_the_work_are_found_out_before_it(redoubt, data):
    for options, status, said in ((("--compare", redoubt.folder / "no.jsonl"), 1, "no.jsonl"), (("--per-example", redoubt.folder / "no/lines.jsonl"), 1, redoubt.folder / "no"),
                                  (("--generate", 2, "--generated", redoubt.folder), 2, "a folder stands where"), (("--generated", redoubt.folder / "answers.jsonl"), 2, "--generate N")):
        refused = redoubt("eval", "--model", redoubt.folder / "none", "--data", data, *options, expect=status)
        assert str(said) in refused.stderr and "model folder" not in refused.stderr, refused.stderr
    assert not (redoubt.folder / "answers.jsonl").exists()


def test_a_model_is_not_worse_than_itself_worse_than_a_better_one_or_undecided(redoubt, model, data, base_lines):
    def gated(other, **rule):
        done = redoubt("--json", "eval", "--model", model, "--data", data, "--compare", other, "--threshold-file", thresholds(redoubt, **rule), expect=None)
        return done.returncode, json.loads(done.stdout)

    status, same = gated(base_lines)
    assert (status, same["gate"], same["comparison"]["standing"]) == (0, "pass", "not_worse")
    assert same["comparison"]["ties"] == 40 and same["comparison"]["p_value"] == 1 and same["comparison"]["interval"] == [0, 0]
    status, worse = gated(changed(redoubt, base_lines, lambda i: 2 + i % 3))
    assert (status, worse["gate"], worse["comparison"]["standing"]) == (3, "fail", "worse")
    assert worse["failures"][0]["metric"] == "eval_loss_worse_by" and worse["failures"][0]["value"] > 0 == worse["failures"][0]["limit"]
    status, within = gated(changed(redoubt, base_lines, lambda i: 2 + i % 3), margin=5)
    assert (status, within["gate"]) == (0, "pass")
    status, open_ = gated(changed(redoubt, base_lines, lambda i: (-1) ** i * 3))
    assert (status, open_["gate"], open_["comparison"]["standing"]) == (7, "undecided", "undecided")


def test_a_comparison_without_its_file_or_of_other_rows_is_refused(redoubt, model, data, base_lines):
    done = redoubt("eval", "--model", model, "--data", data, "--threshold-file", thresholds(redoubt), expect=2)
    assert "--compare" in done.stderr
    fewer = redoubt.folder / "fewer.jsonl"
    fewer.write_text("".join(line + "\n" for line in data.read_text().splitlines()[1:]))
    done = redoubt("eval", "--model", model, "--data", fewer, "--compare", base_lines, expect=2)
    assert "line 1" in done.stderr


def test_a_table_is_evaluated_as_the_same_rows_in_json(redoubt, model):
    pairs = [(f'list "{i}", please', f"ls {i}\nls -a {i}") for i in range(12)]
    lines, table = redoubt.folder / "pairs.jsonl", redoubt.folder / "pairs.csv"
    lines.write_text("".join(json.dumps({"prompt": a, "completion": b}) + "\n" for a, b in pairs))
    table.write_text("prompt,completion\n" + "".join('"' + a.replace('"', '""') + '","' + b + '"\n' for a, b in pairs))
    of_lines, of_table = (redoubt.json("eval", "--model", model, "--data", path) for path in (lines, table))
    assert of_table["eval_loss"] == of_lines["eval_loss"] and of_table["tokens"] == of_lines["tokens"] > 0
    (redoubt.folder / "pairs.parquet").write_bytes(b"PAR1" + bytes(8))
    refused = redoubt("eval", "--model", model, "--data", redoubt.folder / "pairs.parquet", expect=None)
    assert refused.returncode == 1 and "Parquet" in refused.stderr and "read_parquet" in refused.stderr


def test_no_question_stands_on_both_sides_of_a_split_and_a_leak_is_refused(redoubt):
    path = redoubt.folder / "questions.jsonl"
    made = []
    for i in range(120):
        made.append({"prompt": f"Question number {i}?", "completion": "a"})
        made.append({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": f"  QUESTION\tnumber {i}? "}, {"role": "assistant", "content": "b"}]})
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    for seed in (7, 7, 8):
        counts = redoubt.json("data", "split", path, "--eval", "0.2", "--seed", seed, "-o", redoubt.folder / f"sides-{seed}")
        assert counts["train"] + counts["eval"] == 240 and counts["eval"] % 2 == 0
    train, evaluation = redoubt.folder / "sides-7/train.jsonl", redoubt.folder / "sides-7/eval.jsonl"
    assert redoubt.json("data", "check", train, "--held-out", evaluation)["shared_questions"] == 0
    assert (redoubt.folder / "sides-8/eval.jsonl").read_text() != evaluation.read_text()
    leaked = json.loads(redoubt("--json", "data", "check", path, "--held-out", evaluation, expect=3).stdout)
    assert leaked["shared_questions"] == len(evaluation.read_text().splitlines()) // 2


def test_a_pipeline_compares_with_the_version_in_production_and_repeats_its_answer(tmp_path, tiny_hub):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    limits = {"version": 1, "perplexity_max": 1000, "eval_loss_max": 7, "examples_min": 10, "not_worse_than": {"margin": 0.01}}
    (tmp_path / "pipeline/thresholds.yaml").write_text(yaml.safe_dump(limits))

    def evaluation():
        found = redoubt.json("runs", "list", "--step", "evaluate")
        return redoubt.json("runs", "show", (found["runs"] if isinstance(found, dict) else found)[0]["id"])

    try:
        run_approved(redoubt, pipeline, "tiny/0.1.0")
        assert "production" not in evaluation()["parameters"]
        training = yaml.safe_load((tmp_path / "pipeline/training_config.yaml").read_text())
        # One epoch at a hundredth of the rate learns less than what is in production.
        (tmp_path / "pipeline/training_config.yaml").write_text(yaml.safe_dump({**training, "epochs": 1, "learning_rate": 0.00005}))
        refused = redoubt("run", pipeline, expect=3)
        assert "worse" in refused.stderr + refused.stdout
        (tmp_path / "pipeline/training_config.yaml").write_text(yaml.safe_dump({**training, "epochs": 3}))
        redoubt("run", pipeline, expect=6)
        compared = evaluation()
        assert compared["parameters"]["production"] == "0.1.0"
        run_approved(redoubt, pipeline, "tiny/0.3.0")
        again = redoubt.json("run", pipeline)
        assert all(step["reused"] for step in again["steps"] if step["step"] == "evaluate")
    finally:
        redoubt("endpoint", "stop", "--environment", "dev", expect=None)
