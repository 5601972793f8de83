# SPDX-License-Identifier: Apache-2.0
"""A pipeline whose data are a version of the vault: resolved, in the lineage by digest, in the access log, kept for the release, and a hold is told."""
import hashlib
import json

import pytest
import yaml

from conftest import TOKEN, Redoubt, rows, write_pipeline


def lines(count, seed=1):
    return "".join(json.dumps(row) + "\n" for row in rows(count, seed))


def name_data(pipeline, text):
    config = yaml.safe_load(pipeline.read_text())
    config["data"]["file"] = text
    pipeline.write_text(yaml.safe_dump(config))


def recorded(redoubt, step):
    return [entry["result"] for entry in redoubt.json("audit", "query", "--step", step, "--limit", "20")]


@pytest.fixture(scope="module")
def setting(tiny_hub, tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("vaultdata"))
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.hub = tiny_hub
    redoubt.pipeline = write_pipeline(redoubt.folder / "pipeline", tiny_hub)
    (redoubt.folder / "pipeline" / "data.jsonl").unlink()
    (redoubt.folder / "one.jsonl").write_text(lines(300))
    (redoubt.folder / "two.jsonl").write_text(lines(40, seed=2))
    folder = redoubt.folder / "several"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines(50, seed=3))
    (folder / "notes.txt").write_text("x")
    redoubt.first = redoubt.json("vault", "put", "support/rows", redoubt.folder / "one.jsonl")
    redoubt.second = redoubt.json("vault", "put", "support/rows", redoubt.folder / "two.jsonl")
    redoubt("vault", "put", "several", folder)
    return redoubt


@pytest.mark.parametrize("named,expect,says", [
    ("vault:", 2, "not a name"), ("vault:../x", 2, "not a name"), ("vault:sha256:" + "0" * 64, 2, "not a name"), ("vault:nobody", 1, "no such name"), ("vault:support/rows@9", 1, "no such version"),
    ("vault:several", 2, "several files: "), ("vault:several#absent.jsonl", 1, "no such file"),
])
def test_names_that_are_none_are_told_before_anything_runs(setting, named, expect, says):
    name_data(setting.pipeline, named)
    done = setting("run", setting.pipeline, expect=expect)
    assert says in done.stderr and "data.file" in done.stderr and "[1/8]" not in done.stderr


def test_a_version_is_trained_on_and_known_by_its_digest(setting):
    redoubt = setting
    redoubt("vault", "hold", "place", "support/rows@1", "--reason", "case 7", identity="reviewer")
    name_data(redoubt.pipeline, "vault:support/rows@1")
    done = redoubt("run", redoubt.pipeline, expect=6)
    assert "support/rows@1 are under a hold" in done.stderr and "case 7" in done.stderr
    sha256 = "sha256:" + hashlib.sha256((redoubt.folder / "one.jsonl").read_bytes()).hexdigest()
    [data] = recorded(redoubt, "data")
    origin = data["origin"]
    assert (origin["name"], origin["version"], origin["artifact"], origin["sha256"]) == ("support/rows", 1, redoubt.first["digest"], sha256) and "case 7" in origin["held"]
    assert data["rows"] == 300

    step = next(step for step in redoubt.json("registry", "lineage", "tiny/0.1.0") if step["step"] == "data")
    assert step["inputs"] == {"file": sha256, "vault": redoubt.first["digest"]}
    assert redoubt.json("registry", "card", "tiny/0.1.0")["lineage"]["data.vault"] == redoubt.first["digest"]
    reads = redoubt.json("vault", "access-log", "--object", "support/rows@1")
    assert any("data" in read["command"] and read["object"] == "blobs/" + sha256[7:] for read in reads), reads

    # The same version again is nothing new; the newest is another.
    redoubt("run", redoubt.pipeline, expect=6)
    assert len(recorded(redoubt, "data")) == 1
    uses = redoubt.json("vault", "show", "support/rows@1")["versions"][0]["used_by"]
    assert len(uses) == 1 and uses[0]["step"] == "data"
    assert redoubt.json("vault", "show", "support/rows@2")["versions"][0]["used_by"] == []
    held = redoubt.json("vault", "hold", "place", "support/rows", "--reason", "case 8", identity="reviewer")
    assert [use["version"] for use in held["used_by"]] == ["support/rows@1"]


def test_a_version_that_a_release_stands_on_is_kept(setting):
    redoubt = setting
    for hold in redoubt.json("vault", "hold", "list"):
        redoubt("vault", "hold", "release", hold["hold"], "--reason", "closed", identity="reviewer")
    refused = redoubt("vault", "delete", "support/rows@1", "--reason", "old", expect=3)
    assert "tiny/0.1.0" in refused.stderr
    assert redoubt.json("audit", "verify")["ok"]


def test_train_and_eval_take_versions_too(setting):
    redoubt, model = setting, setting.hub.root / "test" / "tiny"
    trained = redoubt.json("train", "--config", redoubt.folder / "pipeline" / "training_config.yaml", "--model", model, "--data", "vault:several#train.jsonl", "--eval-data", "vault:support/rows",
                           "-o", redoubt.folder / "adapter")
    assert trained["vault"]["train"]["name"] == "several" and trained["vault"]["eval"]["version"] == 2
    evaluated = redoubt.json("eval", "--model", model, "--adapter", redoubt.folder / "adapter", "--data", "vault:support/rows@2")
    plain = redoubt.json("eval", "--model", model, "--adapter", redoubt.folder / "adapter", "--data", redoubt.folder / "two.jsonl")
    assert evaluated["vault"]["eval"]["artifact"] == redoubt.second["digest"]
    assert (evaluated["eval_loss"], evaluated["data_digest"]) == (plain["eval_loss"], plain["data_digest"])
    commands = {read["command"] for read in redoubt.json("vault", "access-log", "--object", "support/rows@2")}
    assert {"train", "eval"} <= commands


def test_what_a_pipeline_made_of_erasable_rows_is_in_the_certificate(setting):
    redoubt = setting
    (redoubt.folder / "people.jsonl").write_text(lines(300, seed=9))
    redoubt("vault", "put", "people", redoubt.folder / "people.jsonl", "--own-key")
    name_data(redoubt.pipeline, "vault:people")
    redoubt("run", redoubt.pipeline, expect=6)
    request = redoubt.json("vault", "erase", "people", "--reason", "asked for", expect=6)["request"]
    done = redoubt.json("vault", "approve", request, identity="reviewer")
    assert any("rows that the step 'data' made of it" in line for line in done["remains"])
    name_data(redoubt.pipeline, "vault:people@1")
    assert "erased" in redoubt("run", redoubt.pipeline, expect=1).stderr
    assert redoubt.json("audit", "verify")["ok"]
