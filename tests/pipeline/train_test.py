# SPDX-License-Identifier: Apache-2.0
"""`redoubt train` over a user's own folders: what comes out, and what is found out before the work."""
import json

import pytest

from conftest import Redoubt, make_tiny_model, rows


def lines_of(folder, name, values):
    (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    return folder / name


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("train") / "tiny", [message["content"] for row in rows(300) for message in row["messages"]])


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("home"))


def train(redoubt, base, folder, config, data, *options, **more):
    (folder / "training.yaml").write_text("version: 1\nepochs: 1\n" + config)
    return redoubt("--json", "train", "--config", folder / "training.yaml", "--model", base, "--data", data, *options, **more)


def test_a_whole_model_is_called_one(redoubt, base, tmp_path):
    told = json.loads(train(redoubt, base, tmp_path, "method: full\n", lines_of(tmp_path, "rows.jsonl", rows(8)), "-o", tmp_path / "tuned").stdout)
    assert told["model"] == str(tmp_path / "tuned") and "adapter" not in told and (tmp_path / "tuned/model.safetensors").exists()


def test_an_output_that_cannot_be_is_found_out_before_the_training(redoubt, base, tmp_path):
    data = lines_of(tmp_path, "rows.jsonl", rows(8))
    refused = train(redoubt, base, tmp_path, "", data, "-o", data / "adapter", expect=1)
    assert str(data / "adapter") in refused.stderr and "step" not in refused.stderr
