# SPDX-License-Identifier: Apache-2.0
"""What `--sarif` writes, as pysarif's typed model of SARIF 2.1.0 reads it."""
import json
import pathlib
import sys

import pysarif
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402


@pytest.fixture
def redoubt(tmp_path):
    return Redoubt(tmp_path)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "m.M"}}')
    (folder / "run me.sh").write_text("#!/bin/sh\n")
    return folder


def read(text):
    """The log, once pysarif has read it; every name that it does not know is a mistake of ours."""
    log = json.loads(text)
    loaded = pysarif.load_from_json(text)
    assert loaded.version == "2.1.0" and len(loaded.runs) == 1
    assert_kept(log, pysarif.save_to_dict(loaded))
    for result in loaded.runs[0].results:
        rule = loaded.runs[0].tool.driver.rules[result.rule_index]
        assert rule.id == result.rule_id and result.message.text
        assert result.level in {"error", "warning", "note", "none"}
    return loaded.runs[0]


def assert_kept(ours, theirs, where=""):
    if isinstance(ours, dict) and not where.endswith("/properties"):
        for name, value in ours.items():
            assert name in theirs or name == "$schema", f"{where}/{name} is no name of SARIF"
            if name in theirs:
                assert_kept(value, theirs[name], f"{where}/{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for number, value in enumerate(ours):
            assert_kept(value, theirs[number], where)
    elif not isinstance(ours, dict):
        assert ours == theirs, where


def test_a_scan_is_a_log_that_others_read(redoubt, model):
    printed = redoubt("model", "scan", model, "--format", "sarif", expect=3).stdout
    run = read(printed)
    assert run.tool.driver.name == "redoubt" and run.tool.driver.version
    found = {result.locations[0].physical_location.artifact_location.uri for result in run.results}
    assert found == {"config.json", "run%20me.sh"}
    assert {result.level for result in run.results} == {"error"}
    assert redoubt("model", "scan", model, "--sarif", "-", expect=3).stdout == printed


def test_a_file_goes_with_every_form(redoubt, model, tmp_path):
    report = json.loads(redoubt("--json", "model", "scan", model, "--sarif", tmp_path / "scan.sarif", expect=3).stdout)
    run = read((tmp_path / "scan.sarif").read_text())
    assert len(run.results) == len(report["findings"]) == 2
    assert "SEVERITY" in redoubt("model", "scan", model, "--sarif", tmp_path / "scan.sarif", expect=3).stdout
    assert json.loads(redoubt("model", "scan", model, "--format", "json", expect=3).stdout) == report


def test_a_clean_model_has_a_log_without_results(redoubt, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert read(redoubt("model", "scan", tmp_path / "config.json", "--format", "sarif").stdout).results == []


@pytest.mark.parametrize("options", [("--json", "--format", "sarif"), ("--json", "--format", "table"), ("--json", "--sarif", "-"),
                                     ("--format", "json", "--sarif", "-"), ("--format", "xml")])
def test_two_forms_at_once_are_wrong_usage(redoubt, model, options):
    redoubt("model", "scan", model, *options, expect=2)


def test_a_log_that_cannot_be_written_is_an_error(redoubt, model, tmp_path):
    redoubt("model", "scan", model, "--sarif", tmp_path / "absent" / "scan.sarif", expect=1)
