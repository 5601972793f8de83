# SPDX-License-Identifier: Apache-2.0
"""What stands behind the interfaces is chosen by a file, kept by the workspace and told of in the ledger."""
import pytest

from conftest import Redoubt


@pytest.fixture
def providers(tmp_path):
    def write(text, name="providers.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name
    return write


def test_the_choice_is_remembered_and_an_older_one_put_back_is_named(tmp_path, providers):
    redoubt = Redoubt(tmp_path)
    redoubt("init", "--providers", providers("version: 1\nproviders: {objects: {local: {}}}\n"))
    assert redoubt.json("audit", "verify")["ok"]
    note = redoubt.workspace / "state" / "providers"
    older = note.read_bytes()
    note.unlink()
    report = redoubt.json("audit", "verify", expect=4)
    assert [problem["object"] for problem in report["problems"]] == ["state/providers"]
    note.write_bytes(older)
    assert redoubt.json("audit", "verify")["ok"]


@pytest.mark.parametrize("text, line, says", [
    ("version: 1\nproviders:\n  objects: {}\n", 3, "names no providers"),
    ("version: 1\nproviders:\n  objects:\n    local: {}\n    s3: {bucket: abc, kms_key: k}\n", 3, "names several providers"),
    ("version: 1\nproviders:\n  object: {local: {}}\n", 3, "unknown key"),
    ("version: 1\nproviders:\n  objects:\n    s3: {bucket: abc}\n", 4, "kms_key"),
    ("version: 1\nproviders:\n  aws: {region: nowhere}\n", 3, "region"),
    ("version: 2\nproviders: {}\n", 1, "version"),
])
def test_a_mistake_is_named_with_its_line_and_nothing_is_made(tmp_path, providers, text, line, says):
    redoubt = Redoubt(tmp_path)
    error = redoubt.json("init", "--providers", providers(text), expect=2)["error"]
    assert error["where"].endswith(f"providers.yaml:{line}") and says in error["message"]
    redoubt("init")  # nothing stands in the way
