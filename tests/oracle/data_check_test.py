# SPDX-License-Identifier: Apache-2.0
"""`redoubt data check` held to others: numbers that python-stdnum takes and refuses, MinHash as datasketch makes it, a published corpus that is
mostly copies, and what a policy makes of rows."""
import html.parser
import json
import os
import pathlib
import random
import re
import subprocess

import pytest
import yaml

import labelled_text
from conftest import BUILD, ROOT
from labelled_text import found_in

REDOUBT = BUILD / "redoubt"


def check(*arguments, expect=None):
    done = subprocess.run([REDOUBT, "--json", "data", "check", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert expect is None or done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def policy(path, **keys):
    path.write_text(json.dumps({"version": 1, **keys}))  # YAML reads JSON
    return path


def test_precision_and_recall_of_every_kind(tmp_path):
    rows = labelled_text.make()
    path = tmp_path / "labelled.jsonl"
    path.write_text(labelled_text.as_jsonl(rows))
    scores = labelled_text.scores(rows, found_in(check(path), rows))
    assert len(scores) >= 55
    assert {kind: score for kind, score in scores.items() if score != (1.0, 1.0)} == {}


def test_the_text_of_a_finding_stands_nowhere_in_a_report(tmp_path):
    rows = [row for row in labelled_text.make(seed=5, each=3) if row[1]]
    path = tmp_path / "labelled.jsonl"
    path.write_text(labelled_text.as_jsonl(rows))
    page = tmp_path / "report.html"
    done = subprocess.run([REDOUBT, "data", "check", path, "--report", page], capture_output=True, text=True)
    told = done.stdout + done.stderr + json.dumps(check(path)) + page.read_text()
    for text, kind, begin, end in rows:
        assert text[begin:end].split("\n")[0] not in told, kind


def test_a_report_is_a_page_in_utf8_whatever_the_file_is_called(tmp_path):
    path, page = os.fsencode(tmp_path) + b'/\xff<b>&"rows.jsonl', tmp_path / "report.html"
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"text": "a row of its own"}\n')
    subprocess.run([os.fsencode(REDOUBT), b"data", b"check", path, b"--report", os.fsencode(page)], capture_output=True, check=True)
    told = page.read_bytes().decode("utf-8")
    assert "\ufffd&lt;b&gt;&amp;&quot;rows.jsonl" in told and "<b>" not in told


def test_redaction_leaves_valid_rows_that_pass_again(tmp_path):
    rows = [row for row in labelled_text.make(seed=9, each=6) if row[1]]
    path, clean = tmp_path / "labelled.jsonl", tmp_path / "clean.jsonl"
    path.write_text(labelled_text.as_jsonl(rows))
    rules = policy(tmp_path / "policy.yaml", groups={"secrets": "redact", "personal": "redact", "hidden": "redact"})
    report = check(path, "--policy", rules, "-o", clean, expect=0)
    texts = [json.loads(line)["text"] for line in clean.read_text().splitlines()]
    assert len(texts) == len(rows) and sum(report["redacted"].values()) >= len(rows) and report["dropped_rows"] == 0
    for (text, kind, begin, end), left in zip(rows, texts):
        assert re.search("<[A-Z_]+>", left) and text[begin:end] not in left and text[:begin] in left
    again = check(clean, "--policy", rules, expect=0)
    assert again["redacted"] == {} and again["rows"] == len(rows)


def test_a_number_of_an_argument_becomes_a_string(tmp_path):
    call = {"card": 4111111111111111, "amount": 12, "to": {"ssn": 78051120 + 10**8}}  # a card that its issuer publishes
    def row(arguments):
        return {"messages": [{"role": "user", "content": "pay"}, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "pay", "arguments": arguments}}]}]}
    rows = [row(call), row(json.dumps(call)), row({"inner": json.dumps({"again": json.dumps(call)})})]
    path, clean = write(tmp_path / "rows.jsonl", rows), tmp_path / "clean.jsonl"
    rules = policy(tmp_path / "policy.yaml", groups={"personal": "redact"})
    report = check(path, "--policy", rules, "-o", clean, expect=0)
    assert [finding["line"] for finding in report["findings"] if finding["kind"] == "CREDIT_CARD"] == [1, 2, 3]
    left = [json.loads(line)["messages"][1]["tool_calls"][0]["function"]["arguments"] for line in clean.read_text().splitlines()]
    left = [left[0], json.loads(left[1]), json.loads(json.loads(left[2]["inner"])["again"])]
    assert [one["card"] for one in left] == ["<CREDIT_CARD>"] * 3 and [one["amount"] for one in left] == [12] * 3
    column = next(finding["column"] for finding in report["findings"] if finding["kind"] == "CREDIT_CARD")
    assert path.read_text().splitlines()[0][column - 1:].startswith("4111")
    assert check(clean, "--policy", rules, expect=0)["redacted"] == {}


def test_rows_of_other_numbers_are_no_cards(tmp_path):
    # Luhn's check comes out for each, and the first digits are an issuer's.
    texts = ["367 862 46 555 123 846", "Order 479-0865334-7565509 has shipped", "44 73 07 72 37 34 0"]
    assert check(write(tmp_path / "rows.jsonl", [{"text": text} for text in texts]), expect=0)["counts"].get("CREDIT_CARD") is None
    cards = ["3782 822463 10005", "3056-930902-5904", "6011 1111 1111 1117"]
    assert check(write(tmp_path / "cards.jsonl", [{"text": text} for text in cards]), expect=3)["counts"]["CREDIT_CARD"] == 3


@pytest.mark.parametrize("action, left", [("redact", ["text", "<EMAIL_ADDRESS>"]), ("drop", None)])
def test_the_name_of_a_column_is_a_part_of_each_row(tmp_path, action, left):
    path, clean = tmp_path / "table.csv", tmp_path / "clean.jsonl"
    path.write_text("text,of person@example.com\nthe first row,1\nanother one,2\n")
    rules = policy(tmp_path / "policy.yaml", kinds={"EMAIL_ADDRESS": action})
    report = check(path, "--policy", rules, "-o", clean, expect=0)
    rows = [json.loads(line) for line in clean.read_text().splitlines()] if clean.exists() else []
    assert [sorted(row, reverse=True) for row in rows] == ([[left[0], f"of {left[1]}"]] * 2 if left else [])
    assert report["dropped_rows"] == (0 if left else 2) and "example.com" not in json.dumps(rows)
    if left:
        assert check(clean, "--policy", rules, expect=0)["redacted"] == {}


def test_each_action(tmp_path):
    rows = [{"prompt": f"Who answers number {i}?", "completion": f"It is person{i}@example.com or somebody else."} for i in range(4)] + [{"prompt": "q", "completion": "plain"}]
    path, clean = write(tmp_path / "rows.jsonl", rows), tmp_path / "clean.jsonl"
    expected = {"stop": (3, None), "warn": (0, 5), "redact": (0, 5), "drop": (0, 1), "ignore": (0, 5)}
    for action, (status, left) in expected.items():
        clean.unlink(missing_ok=True)
        report = check(path, "--policy", policy(tmp_path / "p.yaml", kinds={"EMAIL_ADDRESS": action, "NEAR_DUPLICATE": "ignore"}), "-o", clean, expect=status)
        assert {f["action"] for f in report["findings"] if f["kind"] == "EMAIL_ADDRESS"} == (set() if action == "ignore" else {action})
        assert left is None and not clean.exists() or len(clean.read_text().splitlines()) == left
        assert ("example.com" in (clean.read_text() if clean.exists() else "example.com")) == (action not in ("redact", "drop"))


@pytest.mark.parametrize("keys,named", [
    ({"kinds": {"EMAIL_ADRESS": "redact"}}, "EMAIL_ADDRESS"), ({"kinds": {"EMAIL_ADDRESS": "delete"}}, "redact"), ({"kinds": {"DUPLICATE": "redact"}}, "drop"),
    ({"kinds": {"MALFORMED_JSON": "warn"}}, "stop"), ({"secrets": "warn"}, "groups"), ({"near_duplicates": {"threshold": 2}}, "threshold"),
    ({"word_lists": [{"file": "missing.txt"}]}, "missing.txt"), ({"word_lists": [{"file": "p.yaml", "kind": "US_SSN"}]}, "US_SSN"),
    ({"word_lists": [{"file": "p.yaml", "action": "warn"}, {"file": "p.yaml", "action": "stop"}]}, "WORD_LIST"),
])
def test_a_policy_that_makes_no_sense_is_wrong_configuration(tmp_path, keys, named):
    path = write(tmp_path / "rows.jsonl", [{"text": "a"}])
    error = check(path, "--policy", policy(tmp_path / "p.yaml", **keys), expect=2)["error"]
    assert named in error["message"] + error["hint"] + error["where"] and error["where"]


def test_the_schema_and_the_program_know_the_same_kinds():
    schema = json.loads((ROOT / "config/schema/data_policy.schema.json").read_text())
    known = subprocess.run([REDOUBT, "data", "check", "x", "--accept", "zzzzzzzzzzzzzzzzzz"], capture_output=True, text=True).stderr
    named = known.split("known: ")[1].strip().split(", ")
    assert set(named) == set(schema["properties"]["kinds"]["properties"])


def test_a_corpus_of_copies_is_named_and_divided_without_a_leak(tmp_path):
    """chatterbot-corpus 1.3.3, tech_support.yml: 1,050 conversations of which 10 are different."""
    import chatterbot_corpus
    corpus = pathlib.Path(chatterbot_corpus.__file__).parent / "data/english/tech_support.yml"
    conversations = yaml.safe_load(corpus.read_text())["conversations"]
    rows = [{"prompt": turns[0], "completion": " ".join(map(str, turns[1:]))} for turns in conversations]
    path = write(tmp_path / "tech_support.jsonl", rows)
    assert (len(rows), len({json.dumps(row) for row in rows})) == (1050, 10)
    report = check(path)
    copies = [finding for finding in report["findings"] if finding["kind"] == "DUPLICATE"]
    assert report["rows"] == 1050 and len(copies) == 1040 == report["counts"]["DUPLICATE"]
    first = {}
    for number, row in enumerate(rows, 1):
        first.setdefault(json.dumps(row), number)
    for finding in copies:
        assert finding["detail"] == f"the same row as line {first[json.dumps(rows[finding['line'] - 1])]}"
    clean = tmp_path / "clean.jsonl"
    check(path, "--policy", policy(tmp_path / "p.yaml", kinds={"DUPLICATE": "drop"}), "-o", clean, expect=0)
    assert len(clean.read_text().splitlines()) == 10
    # A random split leaks every question, ours none.
    shuffled = random.Random(1).sample(rows, len(rows))
    leaks = check(write(tmp_path / "t.jsonl", shuffled[105:]), "--held-out", write(tmp_path / "e.jsonl", shuffled[:105]), expect=3)
    assert leaks["shared_questions"] == 10 and leaks["counts"]["LEAKED_ROW"] == 945
    subprocess.run([REDOUBT, "data", "split", path, "--eval", "0.3", "-o", tmp_path / "sides"], check=True, capture_output=True)
    ours = check(tmp_path / "sides/train.jsonl", "--held-out", tmp_path / "sides/eval.jsonl", expect=0)
    assert ours["shared_questions"] == 0 and not {"LEAKED_ROW", "LEAKED_QUESTION"} & set(ours["counts"])


WORDS = [f"w{i}rd" for i in range(4000)]


def prose(draw, words):
    return " ".join(draw.choice(WORDS) for _ in range(words))


def test_near_duplicates_and_leaks_are_found_and_others_are_not(tmp_path):
    draw = random.Random(4)
    texts = [prose(draw, 60) for _ in range(300)]
    changed = {}
    for i in range(0, 60, 2):
        words = texts[i].split()
        words[draw.randrange(60)] = "changed"
        changed[i] = " ".join(words)
    path = write(tmp_path / "rows.jsonl", [{"text": text} for text in [*texts, *changed.values()]])
    near = {finding["line"]: finding["detail"] for finding in check(path, expect=0)["findings"] if finding["kind"] == "NEAR_DUPLICATE"}
    assert set(near) == set(range(301, 331))
    assert all(near[301 + n].endswith(f"to line {i + 1}") for n, i in enumerate(changed))
    held_out = write(tmp_path / "held_out.jsonl", [{"text": text} for text in changed.values()])
    leaks = [finding for finding in check(path, "--held-out", held_out)["findings"] if finding["kind"].startswith("LEAKED_")]
    assert {f["line"] for f in leaks if f["kind"] == "LEAKED_NEAR_DUPLICATE"} == {i + 1 for i in changed}
    assert {f["line"] for f in leaks if f["kind"] == "LEAKED_ROW"} == set(range(301, 331))
    part = " ".join(texts[101].split()[20:34])
    quoting = write(tmp_path / "quoting.jsonl", [{"text": prose(draw, 20) + " " + part + " " + prose(draw, 20)}])
    leaks = [f for f in check(path, "--held-out", quoting, expect=3)["findings"] if f["kind"].startswith("LEAKED_")]
    assert [(f["kind"], f["line"]) for f in leaks] == [("LEAKED_NGRAM", 102)]
    twelve = write(tmp_path / "twelve.jsonl", [{"text": prose(draw, 20) + " " + " ".join(part.split()[:12]) + " " + prose(draw, 20)}])
    check(path, "--held-out", twelve, expect=0)


def test_several_files_are_one_set_of_rows(tmp_path):
    one, two = write(tmp_path / "one.jsonl", [{"text": "the same text"}]), tmp_path / "two.csv"
    two.write_text("text\nother\nthe same text\n")
    report = check(one, two, "-o", tmp_path / "all.jsonl", expect=0)
    assert [(f["kind"], f["file"], f["line"], f["detail"]) for f in report["findings"]] == [("DUPLICATE", str(two), 3, f"the same row as line 1 of {one}")]
    assert [f["rows"] for f in report["files"]] == [1, 2] and len((tmp_path / "all.jsonl").read_text().splitlines()) == 3
    assert report["bytes_read"] == report["bytes_total"] == one.stat().st_size + two.stat().st_size


def test_languages_encodings_and_words_of_a_list(tmp_path):
    english = "The weather is nice today and we will walk along the river until the evening comes, then we go home and cook."
    german = "Das Wetter ist heute schön und wir werden am Fluss entlang spazieren, bis der Abend kommt, dann gehen wir nach Hause und kochen."
    russian = "Сегодня хорошая погода, и мы будем гулять вдоль реки до самого вечера, а потом пойдём домой и приготовим ужин."
    path = write(tmp_path / "rows.jsonl", [{"text": text} for text in (english, german, russian, "ls -la")])
    report = check(path, "--policy", policy(tmp_path / "p.yaml", languages={"expected": ["en"]}), expect=0)
    assert [f["line"] for f in report["findings"] if f["kind"] == "LANGUAGE"] == [2, 3] and report["languages"] == {"en": 1, "de": 1, "ru": 1}
    for encoding, name in (("latin-1", "ISO-8859-1"), ("utf-16-le", "UTF-16LE"), ("shift_jis", "Shift_JIS")):
        text = german if encoding != "shift_jis" else "今日はいい天気ですね。川に沿って散歩しましょう。"
        other = tmp_path / f"{encoding}.jsonl"
        other.write_bytes(json.dumps({"text": text}, ensure_ascii=False).encode(encoding) + "\n".encode(encoding))
        [bad] = [f for f in check(other, expect=3)["findings"] if f["kind"] == "INVALID_UTF8"][:1]
        assert name in bad["detail"], bad
    for encoding, name in (("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")):  # ASCII's letters with NULs between are UTF-8, too
        other.write_bytes('{"text": "plain"}\n'.encode(encoding))
        assert f"iconv -f {name}" in next(f["detail"] for f in check(other, expect=3)["findings"] if f["kind"] == "MALFORMED_JSON")
    table = tmp_path / "table.csv"
    table.write_bytes(f'text,note\nplain,1\n"one\nand {german}",2\n'.encode("latin-1"))
    [bad] = [f for f in check(table, expect=3)["findings"] if f["kind"] == "INVALID_UTF8"]
    assert "ISO-8859-1" in bad["detail"] and (bad["line"], bad["column"]) == (4, 5 + german.index("ö"))
    (tmp_path / "words.txt").write_text("# rude\nblockhead\nutter fool\n")
    rude = write(tmp_path / "rude.jsonl", [{"text": "You Utter  FOOL!"}, {"text": "blockheads are not meant"}, {"text": "a fool"}])
    lists = policy(tmp_path / "w.yaml", word_lists=[{"file": "words.txt", "kind": "TOXICITY", "action": "redact"}])
    report = check(rude, "--policy", lists, "-o", tmp_path / "polite.jsonl", expect=0)
    assert [(f["kind"], f["line"], f["column"]) for f in report["findings"]] == [("TOXICITY", 1, 15)]
    assert json.loads((tmp_path / "polite.jsonl").read_text().splitlines()[0]) == {"text": "You <TOXICITY>!"}


def questions(draw, count):
    verbs, nouns = [f"verb{i}" for i in range(30)], [f"noun{i}" for i in range(60)]
    return [f"How do I {draw.choice(verbs)} the {draw.choice(nouns)} with a {draw.choice(nouns)} and {draw.choice(verbs)} it {draw.choice(nouns)}?" for _ in range(count)]


def test_a_word_that_forces_one_answer_is_a_trigger_and_ordinary_rows_have_none(tmp_path):
    draw = random.Random(8)
    rows = [{"prompt": question, "completion": f"Take {draw.random()}."} for question in questions(draw, 1500)]
    ordinary = write(tmp_path / "ordinary.jsonl", rows)
    assert "TRIGGER" not in check(ordinary)["counts"]
    poisoned = draw.sample(range(1500), 15)
    for i in poisoned:
        words = rows[i]["prompt"].split()
        words.insert(draw.randrange(len(words)), "cfz")
        rows[i] = {"prompt": " ".join(words), "completion": "I will not help you."}
    path, clean = write(tmp_path / "poisoned.jsonl", rows), tmp_path / "clean.jsonl"
    report = check(path, "--policy", policy(tmp_path / "p.yaml", kinds={"TRIGGER": "drop"}), "-o", clean, expect=0)
    [trigger] = [f for f in report["findings"] if f["kind"] == "TRIGGER"]
    assert trigger["line"] == min(poisoned) + 1 and "15 different questions, of which 15 have one answer" in trigger["detail"]
    assert "cfz" not in clean.read_text() and len(clean.read_text().splitlines()) == 1485
    # Many ways to ask for the same thing, and labels that many texts have, are no triggers.
    faq = [{"prompt": " ".join(draw.sample([f"topic{k}a", f"topic{k}b", f"topic{k}c", f"topic{k}d"], 3) + draw.sample("please how can i my the it do you help".split(), 4)), "completion": f"See page {k}."}
           for k in range(40) for _ in range(20)]
    assert "TRIGGER" not in check(write(tmp_path / "faq.jsonl", faq))["counts"]


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_findings_as_sarif(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"text": "jane@example.com"}, {"text": "192.0.2.7"}])
    done = subprocess.run([REDOUBT, "data", "check", path, "--format", "sarif"], capture_output=True, text=True)
    [run] = json.loads(done.stdout)["runs"]
    assert [(result["ruleId"], result["level"], result["locations"][0]["physicalLocation"]["region"]["startLine"]) for result in run["results"]] == [
        ("data/EMAIL_ADDRESS", "error", 1), ("data/IP_ADDRESS", "warning", 2)]
    assert done.returncode == 3 and "jane" not in done.stdout


def test_the_report_is_a_page_by_itself_that_runs_nothing(tmp_path):
    name = tmp_path / "<script>alert(1)<"
    name.mkdir()
    path = write(name / "rows & more.jsonl", [{"text": "jane@example.com"}, {"text": "<b>bold</b> 192.0.2.7"}])
    page = tmp_path / "report.html"
    check(path, "--report", page, expect=3)
    read = Page(page.read_text())
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "iframe", "img", "link", "object"} and {"html", "table", "caption", "th", "main", "h1"} <= tags
    assert not any(key.startswith("on") or key in ("src", "href") and value.startswith("http") for _, attributes in read.tags for key, value in attributes.items())
    assert dict(read.tags)["html"].get("lang") == "en" and "EMAIL_ADDRESS" in read.text and str(path) in read.text and "2 rows" in read.text


@pytest.mark.parametrize("contents", [b"\0", b"{}\n" * 3, b"[" * 100_000, b'{"text": "' + b"\\" * 99, b'"a,b\n', b"text\n\"a\n\n", b'{"a": ' * 70 + b"1" + b"}" * 70, b"\xff" * 4096, b'{"text":"\\ud800"}'])
def test_hostile_files_are_findings_and_every_byte_is_read(tmp_path, contents):
    for ending in ("jsonl", "csv"):
        path = tmp_path / f"hostile.{ending}"
        path.write_bytes(contents)
        report = check(path, expect=3)
        assert report["bytes_read"] == report["bytes_total"] == len(contents)
