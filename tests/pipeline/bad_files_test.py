# SPDX-License-Identifier: Apache-2.0
"""Models and data files that are broken, hostile or no files at all, given to the commands that take them: each time the right exit
status and a message that says which file, what, and where."""
import json
import os
import pickle
import signal
import struct
import subprocess
import time

import pytest

from conftest import Redoubt, rows
from bad_hub_test import HEADERS, Runs, safetensors, zip_of


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    made = Redoubt(tmp_path_factory.mktemp("files"))
    made("init")
    yield made
    assert made.json("audit", "verify")["ok"]


def lines(*texts):
    return b"".join(text + b"\n" for text in texts)


GOOD = b'{"prompt": "How?", "completion": "So."}'


@pytest.mark.parametrize("contents,kind,line", [
    (b"", "EMPTY_FILE", 0),
    (b"\n \n", "EMPTY_FILE", 2),
    (lines(GOOD, b'{"prompt": "How?"'), "MALFORMED_JSON", 2),
    (lines(GOOD, GOOD, b"not json"), "MALFORMED_JSON", 3),
    (lines(GOOD, b'{"prompt": "caf\xe9", "completion": "x"}'), "INVALID_UTF8", 2),
    (lines(GOOD, b'{"prompt": "How?"}'), "SCHEMA", 2),
    (lines(GOOD, b"[" * 1000), "MALFORMED_JSON", 2),
    (lines(GOOD, b'{"text": "a", "text": "b"}'), "MALFORMED_JSON", 2),
    (lines(GOOD, b'{"text": "' + b"x" * (2 << 20) + b'"}'), "LONG_ROW", 2),
    (lines(GOOD, b'{"text": "' + b"x" * (70 << 20) + b'"}', b"broken"), "LONG_ROW", 2),
    (b"\xef\xbb\xbf" + lines(GOOD), "MALFORMED_JSON", 1),
    (lines(GOOD).decode().encode("utf-16"), "INVALID_UTF8", 1),
])
def test_a_bad_row_is_named_by_its_line(redoubt, tmp_path, contents, kind, line):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(contents)
    report = redoubt.json("data", "check", file, expect=3)
    first = next(finding for finding in report["findings"] if finding["severity"] == "error")
    assert (first["kind"], first["line"], first["file"]) == (kind, line, str(file))
    assert report["bytes_read"] == report["bytes_total"] == len(contents)
    assert f"{file}:{line}" in redoubt("data", "check", file, expect=3).stderr
    if kind != "LONG_ROW":
        error = redoubt.json("data", "split", file, "-o", tmp_path / "out", expect=3)["error"]
        assert error["where"] == (f"{file}:{line}" if kind != "EMPTY_FILE" else str(file)) and error["hint"]
        assert not (tmp_path / "out").exists()


def test_no_question_stands_on_both_sides(redoubt, tmp_path):
    file = tmp_path / "rows.jsonl"
    spellings = ["How do I list {}?", "how do i LIST {}?", "  How do I  list {}? ", "Ｈow do I list {}?"]
    file.write_text("".join(json.dumps({"prompt": spellings[n % 4].format(n // 4), "completion": f"{n}"}, ensure_ascii=False) + "\n" for n in range(200)))
    redoubt("data", "split", file, "--eval", "0.3", "-o", tmp_path / "out")
    numbers = [{json.loads(line)["completion"] for line in open(tmp_path / "out" / name)} for name in ("train.jsonl", "eval.jsonl")]
    assert len(numbers[0] | numbers[1]) == 200 and not {int(n) // 4 for n in numbers[0]} & {int(n) // 4 for n in numbers[1]}


@pytest.mark.parametrize("options", [("--eval", "0"), ("--eval", "1"), ("--eval", "nan"), ("--eval", "-0.1"), ("--eval", "x"), ("--seed", "-1"), ("--seed", "x")])
def test_options_of_a_split_that_make_no_sense_are_wrong_usage(redoubt, tmp_path, options):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(50)))
    done = redoubt("data", "split", file, *options, "-o", tmp_path / "out", expect=2)
    assert options[0] in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("data", "check"), ("data", "split"), ("model", "scan"), ("model", "import"), ("model", "sign"), ("model", "verify"), ("model", "pull")])
def test_a_missing_argument_is_wrong_usage(redoubt, command):
    assert "required" in redoubt(*command, expect=2).stderr


@pytest.mark.parametrize("line,says,cure", [
    (("runn", "redoubt.yaml"), "'runn'", "'run'"),
    (("registry", "aprove", "m/1", "--reason", "x"), "'registry aprove'", "'approve'"),
    (("vault", "hold", "plce"), "'vault hold plce'", "'place'"),
    (("nothing-like-it",), "'nothing-like-it'", "redoubt --help"),
    (("data", "kinds"), "'data kinds'", "redoubt data --help"),
])
def test_a_misspelt_command_is_named_with_the_nearest_one(redoubt, line, says, cure):
    error = redoubt.json(*line, expect=2)["error"]
    assert says in error["message"] and cure in error["hint"]


@pytest.mark.parametrize("command,options", [(("data", "check"), ()), (("data", "split"), ("-o", "out")), (("model", "import"), ("-o", "out"))])
def test_what_is_no_file_is_not_opened(redoubt, tmp_path, command, options):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    assert "no such file" in redoubt(*command, tmp_path / "absent", *options, expect=1).stderr.lower()
    assert "no such file" in redoubt(*command, tmp_path / "link", *options, expect=1).stderr.lower()
    assert "folder" in redoubt(*command, tmp_path, *options, expect=2).stderr
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
        assert "not a regular file" in redoubt(*command, path, *options, expect=2, timeout=30).stderr


def model_folder(folder, **files):
    folder.mkdir(parents=True)
    for name, data in {"config.json": b"{}", "model.safetensors": safetensors(300), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_sound_model_is_safe(redoubt, tmp_path):
    report = redoubt.json("model", "scan", model_folder(tmp_path / "m"))
    assert report["safe"] is True and report["findings"] == [] and report["files"] == 2
    assert redoubt.json("model", "scan", tmp_path / "m" / "model.safetensors")["safe"] is True


@pytest.mark.parametrize("name,data,kind", [
    *(("model.safetensors", safetensors(300, header), "malformed") for header in HEADERS.values()),
    ("model.safetensors", safetensors(300)[:-1], "malformed"),
    ("model.safetensors", struct.pack("<Q", 1 << 40) + b"{}", "malformed"),
    ("model.safetensors", b"", "malformed"),
    ("model.gguf", b"GGUF" + struct.pack("<I", 99) + bytes(32), "malformed"),
    ("pytorch_model.bin", b"x", "pickle"),
    *((name, pickle.dumps(value, protocol), "pickle") for protocol in range(6) for name in ("config.json", "notes.txt", "x.safetensors", "LICENSE")
      for value in (Runs(), {"w": [1.5, (2, "x")], "n": None})),
    ("a.json", zip_of("data.pkl", b"x"), "archive"),
    ("notes.txt", b"A text.\n" + zip_of("data.pkl", b"x"), "archive"),
    ("modeling.py", b"", "code"),
    ("config.json", b'{"a": {"auto_map": {"AutoModel": "m.M"}}}', "remote-code"),
    ("README.md", b"caf\xe9", "malformed"),
])
def test_unsafe_files_are_found(redoubt, tmp_path, name, data, kind):
    report = redoubt.json("model", "scan", model_folder(tmp_path / "m", **{name: data}), expect=3)
    assert report["safe"] is False and [(finding["path"], finding["kind"]) for finding in report["findings"]] == [(name, kind)]
    assert set(report["findings"][0]) == {"path", "kind", "severity", "detail", "offset", "rule", "member", "opcode"}
    assert name in redoubt("model", "scan", tmp_path / "m" / name, expect=3).stdout


def test_links_and_pipes_are_found_and_not_followed(redoubt, tmp_path):
    model = model_folder(tmp_path / "m")
    (model / "link.json").symlink_to("/etc/passwd")
    (model / "loop").symlink_to(model)
    os.mkfifo(model / "pipe.json")
    report = redoubt.json("model", "scan", model, expect=3, timeout=30)
    assert {(finding["path"], finding["kind"]) for finding in report["findings"]} == {("link.json", "symlink"), ("loop", "symlink"), ("pipe.json", "special-file")}
    assert redoubt.json("model", "scan", "/dev/zero", expect=3, timeout=30)["findings"][0]["kind"] == "special-file"
    (tmp_path / "empty").mkdir()
    redoubt("model", "scan", tmp_path / "empty", expect=1)
    redoubt("model", "scan", tmp_path / "absent", expect=1)


def test_a_signed_folder_is_verified_and_every_change_named(redoubt, tmp_path):
    model = model_folder(tmp_path / "m", **{"sub/a.txt": b"a"})
    signed = redoubt.json("model", "sign", str(model) + "/")
    assert signed["public_key"] == str(model) + ".pub"
    for spelling in (model, str(model) + "/", str(model) + "/."):
        assert redoubt.json("model", "verify", spelling)["ok"] is True
    assert redoubt.json("model", "scan", model)["safe"] is True

    def problems(expect=4):
        return [(problem["kind"], problem["object"]) for problem in redoubt.json("model", "verify", model, expect=expect)["problems"]]
    (model / "extra.txt").write_text("x")
    assert problems() == [("extra", "extra.txt")]
    (model / "extra.txt").unlink()
    (model / "config.json").write_bytes(b"[]")
    assert problems() == [("changed", "config.json")]
    (model / "config.json").write_bytes(b"{}")
    (model / "sub/a.txt").rename(tmp_path / "kept")
    assert problems() == [("missing", "sub/a.txt")]
    (tmp_path / "kept").rename(model / "sub/a.txt")
    assert problems(expect=0) == []

    other = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], capture_output=True, check=True).stdout
    (tmp_path / "other.pub").write_bytes(subprocess.run(["openssl", "ec", "-pubout"], input=other, capture_output=True, check=True).stdout)
    assert "error" in redoubt.json("model", "verify", model, "--public-key", tmp_path / "other.pub", expect=4)
    assert "--public-key" in redoubt("model", "verify", model, "--public-key", tmp_path / "absent", expect=1).stderr
    assert "--public-key" in redoubt("model", "verify", model, "--public-key", tmp_path, expect=2).stderr
    signature = (model / "model.sig").read_bytes()
    for broken in (b"", b"{}", signature[:-40], signature.replace(b'"sig"', b'"sug"', 1)):
        (model / "model.sig").write_bytes(broken)
        redoubt("model", "verify", model, expect=4)
    (model / "model.sig").unlink()
    assert "model sign" in redoubt("model", "verify", model, expect=1).stderr


def test_what_cannot_be_signed_is_said(redoubt, tmp_path):
    (tmp_path / "empty").mkdir()
    redoubt("model", "sign", tmp_path / "empty", expect=2)
    redoubt("model", "sign", tmp_path / "absent", expect=1)
    (tmp_path / "file").write_text("x")
    redoubt("model", "sign", tmp_path / "file", expect=2)
    model = model_folder(tmp_path / "m")
    (model / "link").symlink_to("config.json")
    assert "link" in redoubt("model", "sign", model, expect=2).stderr


def string(text):
    return struct.pack("<Q", len(text)) + text


def pair(key, value):
    if isinstance(value, bytes):
        return string(key) + struct.pack("<I", 8) + string(value)
    if isinstance(value, float):
        return string(key) + struct.pack("<If", 6, value)
    if isinstance(value, list) and isinstance(value[0], bytes):
        return string(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(string(text) for text in value)
    if isinstance(value, list):
        return string(key) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return string(key) + struct.pack("<II", 4, value)


def gguf(hidden=64, layers=1, version=3, magic=b"GGUF", changes=None, **metadata):
    """A Llama in F32 with six tokens; `changes` maps a tensor to what stands in its (sizes, type, offset)."""
    facts = {"general.architecture": b"llama", "llama.block_count": layers, "llama.context_length": 64, "llama.embedding_length": hidden,
             "llama.feed_forward_length": hidden, "llama.attention.head_count": 1, "llama.attention.layer_norm_rms_epsilon": 1e-5,
             "tokenizer.ggml.model": b"gpt2", "tokenizer.ggml.pre": b"smollm", "tokenizer.ggml.tokens": [b"<|end|>", b"a", b"b", b"ab", b"\xc4\xa0", b"<user>"],
             "tokenizer.ggml.merges": [b"a b"], "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 4], "tokenizer.ggml.eos_token_id": 0, **metadata}
    tensors = {"token_embd.weight": [hidden, 6], "output_norm.weight": [hidden]}
    for layer in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = [hidden]
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            tensors[f"blk.{layer}.{name}.weight"] = [hidden, hidden]
    head = magic + struct.pack("<IQQ", version, len(tensors), len(facts)) + b"".join(pair(key.encode(), value) for key, value in facts.items())
    offset = 0
    for name, sizes in tensors.items():
        sizes, kind, at = (changes or {}).get(name, lambda *as_is: as_is)(sizes, 0, offset)
        head += string(name.encode()) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes) + struct.pack("<IQ", kind, at)
        count = 1
        for size in tensors[name]:
            count *= size
        offset += (count * 4 + 31) // 32 * 32
    return head + bytes(-len(head) % 32) + bytes(offset)


@pytest.mark.parametrize("data,says", [
    (b"", "GGUF"), (b"GGUF", "ends"), (gguf(magic=b"GGML"), "GGUF"), (gguf(version=99), "99"), (gguf(version=1), "1"),
    (gguf()[:-1], "tensor"), (gguf()[:300], "beyond the file"), (gguf() + bytes(64), "after"),
    (gguf(**{"general.architecture": b"mamba"}), "mamba"), (gguf(**{"tokenizer.ggml.model": b"bert"}), "bert"),
    (gguf(**{"llama.block_count": 1 << 24}), "layers"), (gguf(**{"llama.embedding_length": 0}), "llama.embedding_length"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: (sizes, kind, 0)}), "overlap"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: (sizes, kind, 1 << 63)}), "tensor"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: (sizes, kind, at + 32)}), "output_norm.weight"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: ([1 << 40, 1 << 40], kind, at)}), "overflow"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: (sizes, 250, at)}), "250"),
    (gguf(changes={"output_norm.weight": lambda sizes, kind, at: ([8], kind, at)}), "gap"),
])
def test_a_bad_gguf_file_is_named_and_leaves_nothing(redoubt, tmp_path, data, says):
    (tmp_path / "m.gguf").write_bytes(data)
    error = redoubt.json("model", "import", tmp_path / "m.gguf", "-o", tmp_path / "out", expect=None)["error"]
    assert error["code"] in ("invalid_argument", "unsupported") and error["where"].startswith(str(tmp_path / "m.gguf"))
    assert says in f"{error['message']}|{error['where']}"
    assert os.listdir(tmp_path) == ["m.gguf"]


def test_a_good_gguf_file_is_taken(redoubt, tmp_path):
    (tmp_path / "m.gguf").write_bytes(gguf())
    redoubt("model", "import", tmp_path / "m.gguf", "-o", tmp_path / "out")
    assert redoubt.json("model", "scan", tmp_path / "out")["safe"] is True
    assert "not empty" in redoubt("model", "import", tmp_path / "m.gguf", "-o", tmp_path / "out", expect=1).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_import_leaves_no_plain_weights(redoubt, tmp_path, number):
    (tmp_path / "m.gguf").write_bytes(gguf(hidden=2048, layers=3))
    process = subprocess.Popen(redoubt.command("model", "import", tmp_path / "m.gguf", "-o", tmp_path / "out"), env=redoubt.environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not [name for name in os.listdir(tmp_path) if name.startswith(".out.import-")]:
        time.sleep(0.001)
    process.send_signal(number)
    assert process.wait(60) in (-number, 0)
    left = [name for name in os.listdir(tmp_path) if name.startswith(".out.import-")]
    if number != signal.SIGKILL:
        assert not left
    if process.returncode:
        assert not (tmp_path / "out").exists()
        redoubt("model", "import", tmp_path / "m.gguf", "-o", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["m.gguf", "out"]
