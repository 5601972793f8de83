# SPDX-License-Identifier: Apache-2.0
"""Experiments: two trainings of the tiny model listed, shown, compared and drawn from what the ledger and the vault hold."""
import os
import pathlib
import pty
import subprocess
import termios
import xml.etree.ElementTree as xml

import pytest

from conftest import TOKEN, Redoubt, write_pipeline


@pytest.fixture(scope="module")
def twice(tiny_hub, tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("runs"))
    redoubt("init")
    assert redoubt.json("runs", "list") == []
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    pipeline = write_pipeline(redoubt.folder / "pipeline", tiny_hub)
    redoubt("run", pipeline, expect=6)
    training = pipeline.parent / "training_config.yaml"
    training.write_text(training.read_text().replace("0.005", "0.02"))
    redoubt("run", pipeline, expect=6)
    return redoubt


def test_list_is_newest_first_and_sorts_by_a_metric(twice):
    runs = twice.json("runs", "list")
    assert [run["step"] for run in runs] == ["evaluate", "train", "evaluate", "train"]
    losses = [run["metrics"]["eval_loss"] for run in twice.json("runs", "list", "--sort", "eval_loss")]
    assert losses == sorted(losses) and len(losses) == 4
    highest = twice.json("runs", "list", "--sort", "eval_loss", "--descending", "--limit", "1", "--step", "train")
    assert len(highest) == 1 and highest[0]["step"] == "train"
    assert "no run has" in twice("runs", "list", "--sort", "lost", expect=2).stderr


def test_show_has_the_ledgers_numbers_and_a_curve(twice):
    train = twice.json("audit", "query", "--step", "train")[0]
    shown = twice.json("runs", "show", train["statement"][7:19])
    assert shown["id"] == train["statement"] and shown["metrics"]["eval_loss"] == train["result"]["eval_loss"]
    assert shown["parameters"]["learning_rate"] == 0.02 and {"model", "data", "image"} <= set(shown["inputs"])
    assert len(shown["curves"]["loss"]) == train["result"]["steps"] and shown["tokens_per_second"] > 0
    assert min(point["value"] for point in shown["curves"]["eval_loss"]) == pytest.approx(train["result"]["eval_loss"])
    twice.environment["LC_ALL"] = "C.UTF-8"
    assert any("\u2801" <= c <= "\u28ff" for c in twice("runs", "show", train["statement"]).stdout)
    twice.environment["LC_ALL"] = "C"
    assert twice("runs", "show", train["statement"]).stdout.isascii()


def test_a_curve_fits_a_narrow_terminal(twice):
    train = twice.json("runs", "list", "--step", "train")[0]["id"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    subprocess.run(twice.command("runs", "plot", train), env=twice.environment, stdout=theirs, check=True, cwd=twice.folder)
    os.close(theirs)
    lines = os.read(ours, 1 << 16).decode().splitlines()
    assert max(len(line) for line in lines if "|" in line) == 40, lines


def test_what_the_job_used_is_in_its_statement(twice):
    for run in twice.json("runs", "list"):
        used = {name: run["metrics"]["system." + name] for name in ("wall_seconds", "processor_seconds", "resident_bytes_peak")}
        assert 0 < used["wall_seconds"] <= run["seconds"] and used["processor_seconds"] > 0
        assert 20e6 < used["resident_bytes_peak"] < 12e9, used  # libtorch alone is larger than the least


def test_diff_tells_what_differs_alone(twice):
    new, old = [run["id"] for run in twice.json("runs", "list", "--step", "train")]
    diff = twice.json("runs", "diff", old, new)
    assert diff["parameters"] == {"learning_rate": {"a": 0.005, "b": 0.02, "delta": pytest.approx(0.015)}}
    loss = diff["metrics"]["eval_loss"]
    assert loss["delta"] == pytest.approx(loss["b"] - loss["a"]) and diff["inputs"] == {} and "adapter" in diff["outputs"]
    assert "do not differ" in twice("runs", "diff", old, old).stdout


def test_plot_writes_an_svg_that_stands_alone(twice, tmp_path):
    ids = [run["id"] for run in twice.json("runs", "list", "--step", "train")]
    twice("runs", "plot", *ids, "--output", tmp_path / "loss.svg")
    root = xml.fromstring(pathlib.Path(tmp_path / "loss.svg").read_text())
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == name + "svg" and not root.findall(f".//{name}script")
    titles = [title.text for title in root.findall(f".//{name}polyline/{name}title")]
    assert titles == [f"{run[7:19]} {curve}" for run in ids for curve in ("loss", "eval_loss")]
    texts = [text.text for text in root.findall(f".//{name}text")]
    assert "step" in texts and "loss (nats per answer token)" in texts
    twice("runs", "plot", ids[0], "--output", tmp_path / "missing" / "loss.svg", expect=1)


def test_wrong_ids_are_told_apart(twice):
    assert "no such run" in twice("runs", "show", "0" * 64, expect=1).stderr
    assert "start of a run's id" in twice("runs", "show", "tiny/0.1.0", expect=2).stderr
    evaluation = twice.json("runs", "list", "--step", "evaluate")[0]["id"]
    assert "no metrics by step" in twice("runs", "plot", evaluation, expect=2).stderr
    assert twice.json("runs", "show", evaluation)["curves"]["loss"] == []
    twice("runs", "diff", evaluation, expect=2)
