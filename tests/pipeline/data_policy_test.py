# SPDX-License-Identifier: Apache-2.0
"""`data.policy` in a pipeline, to its end: what is redacted, dropped or stops the run, what the training step gets, and rows of one side that are nearly those of
another."""
import json

import pytest
import yaml

from conftest import TOKEN, Redoubt, rows, write_pipeline

MAIL = "jane.roe@corp-mail.test"
KEY = "AKIA" + "Q7WJ5ZL3T4XM2RPV"


def talk(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def setting(tiny_hub, tmp_path):
    redoubt = Redoubt(tmp_path)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.pipeline = write_pipeline(tmp_path / "pipeline", tiny_hub)
    redoubt.files = tmp_path / "pipeline"
    return redoubt


def configure(redoubt, data, policy, **more):
    (redoubt.files / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    (redoubt.files / "data_policy.yaml").write_text(yaml.safe_dump({"version": 1, **policy}))
    config = yaml.safe_load(redoubt.pipeline.read_text())
    config["data"] = {"file": "data.jsonl", "seed": 3, "policy": "data_policy.yaml", **more}
    redoubt.pipeline.write_text(yaml.safe_dump(config))


def statement(redoubt, step):
    return redoubt.json("audit", "query", "--step", step, "--limit", "1")[0]


def sides(redoubt, number=[0]):
    """The rows that each side holds, out of the vault."""
    out = {}
    for output, digest in statement(redoubt, "data")["outputs"].items():
        number[0] += 1
        folder = redoubt.folder / f"side-{number[0]}"
        redoubt("vault", "get", digest, "-o", folder)
        for path in folder.glob("*.jsonl"):
            out[path.stem] = [json.loads(line) for line in path.read_text().splitlines()]
    return out


def text_of(row):
    return " ".join(message["content"] for message in row["messages"])


def test_what_is_redacted_and_dropped_is_not_trained_on(setting):
    redoubt = setting
    plain = rows(240)
    mails = [talk(f"Who answers for machine {n}?", f"ask {MAIL} about it") for n in range(30)]
    keys = [talk(f"What is the key of machine {n}?", f"export AWS_ACCESS_KEY_ID={KEY}") for n in range(20)]
    rude = [talk(f"How is machine {n}?", "a perfect blockhead of a machine") for n in range(10)]
    (redoubt.files / "rude.txt").write_text("blockhead\n")
    policy = {"groups": {"personal": "redact", "secrets": "drop"}, "word_lists": [{"file": "rude.txt", "kind": "TOXICITY", "action": "drop"}]}
    configure(redoubt, plain + mails + keys + rude, policy)
    done = json.loads(redoubt("--json", "run", redoubt.pipeline, expect=6).stdout)
    assert done["error"]["code"] == "waiting"

    result = statement(redoubt, "data")["result"]
    assert result["rows"] == 300 and result["dropped_rows"] == 30 and result["redacted"] == {"EMAIL_ADDRESS": 30}
    assert result["dropped"]["TOXICITY"] == 10 and sum(count for kind, count in result["dropped"].items() if kind != "TOXICITY") >= 20
    kept = sides(redoubt)
    assert {name: len(side) for name, side in kept.items()} == {name: result[name] for name in ("train", "validation", "eval")}
    everything = [row for side in kept.values() for row in side]
    assert len(everything) == 270
    text = json.dumps(everything)
    assert MAIL not in text and KEY not in text and "blockhead" not in text
    assert sum("<EMAIL_ADDRESS>" in text_of(row) for row in kept["train"]) > 10
    expected = sorted(text_of(row) for row in plain) + sorted(text_of(row).replace(MAIL, "<EMAIL_ADDRESS>") for row in mails)
    assert sorted(text_of(row) for row in everything) == sorted(expected)

    # What was trained on and what was evaluated are those rows and no others.
    steps = {step["step"]: step for step in redoubt.json("registry", "lineage", "tiny/0.1.0")}
    assert steps["train"]["inputs"]["data"] == steps["data"]["outputs"]["train"]
    assert steps["evaluate"]["inputs"]["data"] == steps["data"]["outputs"]["eval"]
    assert redoubt.json("audit", "verify")["ok"]


def test_what_stops_is_named_and_nothing_is_trained(setting):
    redoubt = setting
    data = rows(250)
    data.insert(41, talk("Who answers for the press?", f"ask {MAIL}"))
    configure(redoubt, data, {"kinds": {"EMAIL_ADDRESS": "stop"}})
    told = redoubt("run", redoubt.pipeline, expect=3).stderr
    assert "EMAIL_ADDRESS" in told and "data.jsonl:42:" in told and MAIL not in told
    assert redoubt.json("audit", "query", "--step", "data", "--limit", "5") == [] and redoubt.json("audit", "query", "--step", "train", "--limit", "5") == []
    # The same by its default, until it is accepted by name.
    configure(redoubt, data, {})
    redoubt("run", redoubt.pipeline, expect=3)
    configure(redoubt, data, {}, accept=["EMAIL_ADDRESS"])
    redoubt("run", redoubt.pipeline, expect=6)
    assert any(MAIL in text_of(row) for side in sides(redoubt).values() for row in side)


def shingles(row):
    text = " ".join(text_of(row).lower().split())
    return {text[i:i + 5] for i in range(len(text) - 4)}


def nearly_the_same(some, others, threshold):
    theirs = [shingles(row) for row in others]
    return [row for row in some if any(len(shingles(row) & each) / len(shingles(row) | each) >= threshold for each in theirs)]


def test_rows_of_one_side_that_are_nearly_those_of_another(setting):
    redoubt = setting
    topics = ["the pump of the second circuit has to be vented by hand before it is started again", "invoices are kept for ten years and letters for six, in the drawers of the cellar",
              "a visitor signs the book at the gate and gets a badge that is returned in the evening", "the roof is cleared of snow as soon as more than a hand's breadth lies on it"]
    alike = [talk(f"Is it true that {topic}, as rule {number} of the house has it?", "yes, every word") for topic in topics for number in range(100, 115)]
    data = rows(200) + alike
    configure(redoubt, data, {})
    redoubt("run", redoubt.pipeline, expect=6)
    told, kept = statement(redoubt, "data")["result"], sides(redoubt)
    held_out = kept["eval"] + kept["validation"]
    assert told["leaks"]["dropped_rows"] == 0 and len(kept["train"]) + len(held_out) == 260
    assert told["leaks"]["LEAKED_NEAR_DUPLICATE"]["train"] >= len(nearly_the_same(kept["train"], held_out, 0.9)) > 20

    configure(redoubt, data, {"kinds": {"LEAKED_NEAR_DUPLICATE": "drop"}})
    redoubt("run", redoubt.pipeline, expect=6)
    told, after = statement(redoubt, "data")["result"], sides(redoubt)
    assert told["leaks"]["dropped_rows"] == sum(told["leaks"]["LEAKED_NEAR_DUPLICATE"].values()) > 20
    assert after["eval"] == kept["eval"] and len(after["train"]) < len(kept["train"])
    assert not nearly_the_same(after["train"], after["eval"] + after["validation"], 0.9) and not nearly_the_same(after["validation"], after["eval"], 0.9)
    # No more than has to go.
    assert not nearly_the_same([row for row in kept["train"] if row not in after["train"]], [], 0.9)
    gone = [row for row in kept["train"] if row not in after["train"]]
    assert len(nearly_the_same(gone, kept["eval"] + kept["validation"], 0.7)) == len(gone)

    configure(redoubt, data, {"groups": {"leakage": "stop"}})
    refused = redoubt("run", redoubt.pipeline, expect=3).stderr
    assert "the sides of the data are not apart" in refused and "data.jsonl:" in refused
