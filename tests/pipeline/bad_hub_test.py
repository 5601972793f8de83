# SPDX-License-Identifier: Apache-2.0
"""A hub that lies, breaks off or leads astray: each time a clear error with its exit status, and nothing lost. The hub is told
for each test what to answer; the program is the built one."""
import io
import json
import pathlib
import pickle
import struct
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from conftest import TOKEN, Redoubt
from hostile_hub import HostileHub, git_blob, reply, safetensors

PART = 32 << 20
CHUNK = 64 << 10  # as the vault seals


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    hub = HostileHub(folder)
    redoubt = Redoubt(folder)
    redoubt("init")
    redoubt("secret", "put", "hub", stdin=TOKEN)
    redoubt("secret", "put", "wrong", stdin="hf_wrong" + "x" * 30)
    yield redoubt, hub
    assert redoubt.json("audit", "verify")["ok"]
    hub.server.shutdown()


@pytest.fixture
def pull(setting):
    """Pulls and, at the end, shows that nothing was lost: the honest hub's model is taken. After the last one the workspace verifies."""
    redoubt, hub = setting
    hub.reset()

    def run(expect, *says, repository="test/tiny", secret="hub", options=()):
        done = redoubt("--json", "model", "pull", repository, "--endpoint", hub.url, "--ca-file", hub.certificate, "--token-secret", secret, *options,
                       expect=expect)
        answer = json.loads(done.stdout)
        if expect:
            error = answer["error"]
            for text in says:
                assert text in f"{error['message']}|{error['where']}|{error['hint']}", error
            assert TOKEN not in done.stdout + done.stderr
        return answer

    run.hub, run.redoubt = hub, redoubt
    yield run
    hub.reset()
    run(0)


def test_wrong_tokens_are_not_permitted(pull):
    pull(5, "HTTP 401", "token", secret="wrong")
    pull.hub.answer = lambda request: reply(request, 403, b"{}")
    pull(5, "HTTP 403", "token")


def test_a_secret_that_is_not_there_is_named(pull):
    pull(1, "absent", "redoubt secret", secret="absent")


def test_unknown_models_and_revisions_are_named(pull):
    pull(1, "test/unknown", repository="test/unknown")
    pull(1, "test/tiny", "v9", repository="test/tiny@v9")
    pull(1, "test/tiny", "f" * 40, repository="test/tiny@" + "f" * 40)


@pytest.mark.parametrize("repository", ["", "test/tiny@", "a/b/c", "../tiny", "test/..", "test/ti ny", "test/tiny?x", "/tiny", "test/", "test/tiny@a b", "test/tiny@../x"])
def test_names_that_are_none_are_wrong_usage(pull, repository):
    pull(2, repository=repository)
    assert not pull.hub.requests


def test_a_revision_with_a_slash_is_one_segment(pull):
    def answer(request):
        return request.path == "/api/models/test/tiny/revision/refs%2Fpr%2F1" and reply(request, 200, json.dumps({"sha": pull.hub.commit}).encode())
    pull.hub.answer = answer
    assert pull(0, repository="test/tiny@refs/pr/1")["commit"] == pull.hub.commit


def test_plain_http_is_wrong_usage(pull):
    done = pull.redoubt("model", "pull", "test/tiny", "--endpoint", pull.hub.url.replace("https", "http"), expect=2)
    assert "https://" in done.stderr


def test_an_untrusted_certificate_is_refused(pull):
    done = pull.redoubt("model", "pull", "test/tiny", "--endpoint", pull.hub.url, "--token-secret", "hub", expect=5)
    assert "certificate" in done.stderr and not pull.hub.requests


@pytest.mark.parametrize("path,claim,says", [
    ("model.safetensors", {"lfs": {"oid": "ab" * 32}}, "digest"),
    ("config.json", {"oid": "ab" * 20}, "digest"),
    ("model.safetensors", {"size": 10, "lfs": {"size": 10}}, "10 bytes"),
    ("model.safetensors", {"size": 10_000, "lfs": {"size": 10_000}}, "10000"),
    ("config.json", {"size": 3}, "3 bytes"),
    ("config.json", {"size": 3000}, "3000"),
    ("config.json", {"size": 0}, "0 bytes"),
])
def test_what_is_not_what_the_hub_says_is_tampered(pull, path, claim, says):
    pull.hub.files["model.safetensors"] = safetensors(310 + pull.hub.resets, seed=2)  # not in the vault yet
    pull.hub.claims[path] = claim
    pull(4, path, says)


@pytest.mark.parametrize("size", [PART // 2, PART + 5, 3 * PART])
def test_a_large_file_of_another_size_is_tampered(pull, size):
    pull.hub.files["model.safetensors"] = safetensors(PART + 1000, seed=3)
    claimed = size if size != PART // 2 else 2 * PART
    if size == PART // 2:
        pull.hub.files["model.safetensors"] = safetensors(size)
    pull.hub.claims["model.safetensors"] = {"size": claimed, "lfs": {"size": claimed}}
    pull(4, "model.safetensors", str(claimed))
    assert not leftovers(pull.redoubt)


def objects(redoubt):
    return {path.name: path.stat().st_size for path in (redoubt.workspace / "objects").rglob("*") if path.is_file()}


def leftovers(redoubt):
    return [path.name for path in (redoubt.workspace / "spool").iterdir()]


def test_a_large_file_that_breaks_off_is_resumed(pull):
    data = pull.hub.files["model.safetensors"] = safetensors(2 * PART + 1000, seed=4)
    breaks = {"on": True}

    def answer(request):
        if request.path.endswith("/model.safetensors") and breaks["on"]:
            pull.hub.send_file(request, data, break_after=0 if request.headers.get("Range") else PART)
            return True
    pull.hub.answer = answer
    pull(1, "model.safetensors")
    assert len(leftovers(pull.redoubt)) == 1
    breaks["on"] = False
    pull.hub.requests.clear()
    before = objects(pull.redoubt)
    pull(0)
    ranges = [headers["Range"] for path, headers in pull.hub.requests if path.endswith("/model.safetensors")]
    assert len(ranges) == 1 and PART - 2 * CHUNK <= int(ranges[0].removeprefix("bytes=").split("-")[0]) <= PART
    assert not leftovers(pull.redoubt)
    assert sum(objects(pull.redoubt).values()) < sum(before.values()) + len(data) + PART / 2


def test_a_killed_download_goes_on_where_it_was(pull):
    data = pull.hub.files["model.safetensors"] = safetensors(2 * PART + 1001, seed=12)
    sent, go_on = threading.Event(), threading.Event()

    def answer(request):
        if request.path.endswith("/model.safetensors") and not sent.is_set():
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.send_header("ETag", '"x"')
            request.end_headers()
            request.wfile.write(data[:PART])
            request.wfile.flush()
            sent.set()
            go_on.wait(30)
            request.close_connection = True
            return True
    pull.hub.answer = answer
    process = subprocess.Popen(pull.redoubt.command("model", "pull", "test/tiny", "--endpoint", pull.hub.url, "--ca-file", pull.hub.certificate, "--token-secret", "hub"),
                               env=pull.redoubt.environment, cwd=pull.redoubt.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert sent.wait(60)
    time.sleep(1)
    process.kill()
    process.wait()
    go_on.set()
    assert len(leftovers(pull.redoubt)) == 1 and data[1000:1064] not in (pull.redoubt.workspace / "spool" / leftovers(pull.redoubt)[0]).read_bytes()
    pull.hub.requests.clear()
    pull(0)
    ranges = [headers.get("Range") for path, headers in pull.hub.requests if path.endswith("/model.safetensors")]
    assert len(ranges) == 1 and int(ranges[0].removeprefix("bytes=").split("-")[0]) > PART // 2
    assert not leftovers(pull.redoubt) and pull.redoubt.json("audit", "verify")["ok"]


def test_a_hub_that_changes_its_mind_after_a_break_is_found_out(pull):
    data = pull.hub.files["model.safetensors"] = safetensors(PART + 1002, seed=13)
    pull.hub.answer = lambda request: request.path.endswith("/model.safetensors") and (pull.hub.send_file(request, data, break_after=0 if request.headers.get("Range") else PART // 2) or True)
    pull(1, "model.safetensors")
    pull.hub.answer = lambda request: request.path.endswith("/model.safetensors") and (pull.hub.send_file(request, bytes(len(data))) or True)
    pull(4, "model.safetensors", "SHA-256")
    assert not leftovers(pull.redoubt)
    pull.hub.answer = lambda request: None
    pull(0)


def test_a_small_file_that_breaks_off_goes_on_within_the_run(pull):
    pull.hub.files["model.safetensors"] = safetensors(100_000, seed=5)
    breaks = {"left": 1}

    def answer(request):
        if request.path.endswith("/model.safetensors") and breaks["left"]:
            breaks["left"] -= 1
            pull.hub.send_file(request, pull.hub.files["model.safetensors"], break_after=40_000)
            return True
    pull.hub.answer = answer
    pull(0)
    ranges = [headers.get("Range") for path, headers in pull.hub.requests if path.endswith("/model.safetensors")]
    assert ranges[0] is None and ranges[1].startswith("bytes=40")


def test_files_of_equal_contents_are_fetched_once(pull):
    data = safetensors(100_001, seed=14)
    pull.hub.files["model.safetensors"] = pull.hub.files["sub/copy.safetensors"] = data
    pull(0)
    assert len([path for path, _ in pull.hub.requests if path.endswith(".safetensors")]) == 1


HEADERS = {
    "overlap": {"a": {"dtype": "U8", "shape": [200], "data_offsets": [0, 200]}, "b": {"dtype": "U8", "shape": [200], "data_offsets": [100, 300]}},
    "outside": {"a": {"dtype": "U8", "shape": [301], "data_offsets": [0, 301]}},
    "gap": {"a": {"dtype": "U8", "shape": [100], "data_offsets": [200, 300]}},
    "overflow": {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 300]}},
    "backwards": {"a": {"dtype": "U8", "shape": [100], "data_offsets": [300, 200]}},
}


@pytest.mark.parametrize("name,data", [
    *((name, safetensors(300, header)) for name, header in HEADERS.items()),
    ("truncated", safetensors(300)[:-100]),
    ("header cut", safetensors(300)[:20]),
    ("empty", b""),
    ("header larger than the file", struct.pack("<Q", 5000) + safetensors(300)[8:]),
    ("header of 2**63", struct.pack("<Q", 2**63) + safetensors(300)[8:]),
])
def test_broken_safetensors_are_refused(pull, name, data):
    pull.hub.files["model.safetensors"] = data
    pull(3, "model.safetensors", "malformed")


class Runs:
    def __reduce__(self):
        return (print, ("ran",))


def zip_of(name, data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("path,data", [
    ("pytorch_model.bin", pickle.dumps(Runs())),
    ("pytorch_model.bin", safetensors(300)),
    *((name, pickle.dumps(Runs(), protocol)) for protocol in range(6) for name in ("weights.json", "vocab.txt", "x.safetensors", "notes.md")),
    ("sub/weights.json", zip_of("data.pkl", pickle.dumps(Runs()))),
    ("modeling_tiny.py", b"import os\n"),
    ("run.sh", b"#!/bin/sh\n"),
    ("notes.txt", b"#!/bin/sh\n"),
    ("tool", b"\x7fELF"),
    ("config.json", b'{"auto_map": {"AutoModel": "modeling.Model"}}'),
    ("tokenizer_config.json", b'{"auto_map": {"AutoTokenizer": ["tokenization.T", null]}}'),
    ("config.json", b'{"text_config": {"deeper": [{"auto_map": {"AutoModel": "modeling.Model"}}]}}'),
    ("config.json", b"{"),
    ("vocab.txt", b"caf\xe9\n"),
    ("tokenizer.model", b"not a SentencePiece model"),
])
def test_what_could_run_or_cannot_be_read_is_refused(pull, path, data):
    pull.hub.files[path] = data
    pull(3, path)


@pytest.mark.parametrize("path", ["../x.json", "a/../../x.json", "/etc/x.json", "a//x.json", "./x.json", "a\\x.json", "a\nx.json", "a\x00.json", ""])
def test_unsafe_paths_are_refused(pull, path):
    pull.hub.extra = [{"type": "file", "path": path, "size": 2, "oid": git_blob(b"{}")}]
    pull(3)


def test_a_path_that_stands_twice_is_refused(pull):
    pull.hub.extra = [pull.hub.entry("config.json")]
    pull(3, "config.json", "twice")


def test_a_file_that_is_also_a_folder_is_refused(pull):
    pull.hub.extra = [{"type": "file", "path": "config.json/x.json", "size": 2, "oid": git_blob(b"{}")}]
    pull(3, "config.json")


@pytest.mark.parametrize("kind", ["symlink", "submodule", None, 7])
def test_entries_that_are_neither_file_nor_folder_are_refused(pull, kind):
    pull.hub.extra = [{"type": kind, "path": "link.json", "size": 2, "oid": git_blob(b"{}")}]
    pull(3, "link.json")


@pytest.mark.parametrize("size", [-1, 2**63, 2**64 - 1, "10", 1.5, None])
def test_impossible_sizes_end_in_an_error(pull, size):
    pull.hub.claims["config.json"] = {"size": size}
    done = pull.redoubt("--json", "model", "pull", "test/tiny", "--endpoint", pull.hub.url, "--ca-file", pull.hub.certificate, "--token-secret", "hub", expect=None)
    assert done.returncode in (1, 3) and json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("listing", [b"", b"{", b"{}", b"[1]", b'[{"type":"file"}]', b"[" * 100_000, b'"x"', b"\xff\xfe"])
def test_listings_that_are_none_end_in_an_error(pull, listing):
    pull.hub.answer = lambda request: "/tree/" in request.path and reply(request, 200, listing)
    done = pull.redoubt("--json", "model", "pull", "test/tiny", "--endpoint", pull.hub.url, "--ca-file", pull.hub.certificate, "--token-secret", "hub", expect=None)
    assert done.returncode in (1, 3) and json.loads(done.stdout)["error"]["message"]


def test_an_empty_listing_is_no_model(pull):
    pull.hub.files = {}
    pull(1, "test/tiny", "no file")


def test_more_bytes_than_allowed_are_refused_before_the_first(pull):
    pull.hub.claims["model.safetensors"] = {"size": 5 << 40, "lfs": {"size": 5 << 40}}
    pull(3, "model.safetensors")
    pull.hub.claims["model.safetensors"] = {"size": 3 << 30, "lfs": {"size": 3 << 30}}
    pull(3, "test/tiny", "size_gib_max", options=("--size-gib-max", 2))
    assert not [path for path, _ in pull.hub.requests if "/resolve/" in path]


def redirect(to):
    return lambda request: "/resolve/" in request.path and request.path.endswith(".safetensors") and reply(request, 302, b"", {"Location": to})


@pytest.mark.parametrize("to,status,says", [
    ("http://localhost:1/x", 3, "plain HTTP"),
    ("https://127.0.0.1:1/x", 3, "127.0.0.1"),
    ("https://evil.example/x", 3, "evil.example"),
    ("file:///etc/passwd", 3, "model.safetensors"),
    ("https://user:pw@localhost/x", 3, "model.safetensors"),
])
def test_redirects_that_lead_astray_are_refused(pull, to, status, says):
    pull.hub.files["model.safetensors"] = safetensors(302, seed=7)
    pull.hub.answer = redirect(to)
    pull(status, says)


def test_a_redirect_loop_ends(pull):
    pull.hub.files["model.safetensors"] = safetensors(303, seed=8)
    pull.hub.answer = lambda request: redirect(request.path)(request)
    pull(1, "redirects")


def test_a_redirect_to_an_allowed_host_is_followed_without_the_token(pull):
    data = pull.hub.files["model.safetensors"] = safetensors(304, seed=9)

    def answer(request):
        if request.path == "/store":
            assert "Authorization" not in request.headers
            return pull.hub.send_file(request, data) or True
        return redirect(f"https://127.0.0.1:{pull.hub.port}/store")(request)
    pull.hub.answer = answer
    pull(3, "127.0.0.1", "--allow-host")
    pull(0, options=("--allow-host", "127.0.0.1"))
    assert [path for path, _ in pull.hub.requests].count("/store") == 1


def test_a_list_that_goes_on_elsewhere_is_refused(pull):
    pull.hub.answer = lambda request: "/tree/" in request.path and reply(request, 200, b"[]", {"Link": '<https://evil.example/next>; rel="next"'})
    pull(3, "evil.example")


def test_a_hub_that_fails_is_tried_again_later(pull):
    pull.hub.answer = lambda request: reply(request, 503, b"")
    pull(1, "HTTP 503", "later")


# --- whose signature a model has to carry

def signed(pull, folder, key="key.pem", drop=(), change=None):
    """The honest model with a model.sig by OpenSSF's tool; then the hub may leave files out or change one."""
    model = folder / "signed"
    model.mkdir(exist_ok=True)
    for path, data in pull.hub.files.items():
        (model / path).write_bytes(data)
    tool = str(pathlib.Path(sys.executable).parent / "model_signing")
    subprocess.run([tool, "sign", "key", "--private_key", folder / key, "--signature", model / "model.sig", model], check=True, capture_output=True)
    pull.hub.files["model.sig"] = (model / "model.sig").read_bytes()
    for path in drop:
        del pull.hub.files[path]
    pull.hub.files.update(change or {})


@pytest.fixture
def policy(tmp_path):
    for name in ("key", "other"):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / f"{name}.pem"], check=True, capture_output=True)
    subprocess.run(["openssl", "ec", "-in", tmp_path / "key.pem", "-pubout", "-out", tmp_path / "key.pub"], check=True, capture_output=True)
    (tmp_path / "signers.yaml").write_text("version: 1\nrules:\n  - models: [test/*]\n    signers: [{name: acme, public_key: key.pub}]\n")
    return tmp_path


def test_a_model_signed_by_an_accepted_signer_is_taken_and_that_is_recorded(pull, policy):
    signed(pull, policy)
    answer = pull(0, options=("--policy", policy / "signers.yaml"))
    assert answer["signature"]["signer"] == "acme" and answer["signature"]["signed"]


def test_a_model_without_an_accepted_signature_is_refused_before_its_weights(pull, policy):
    pull(3, "not signed", options=("--policy", policy / "signers.yaml"))
    signed(pull, policy, key="other.pem")
    pull.hub.requests.clear()
    pull(3, "acme", options=("--policy", policy / "signers.yaml"))
    assert not [path for path, _ in pull.hub.requests if path.endswith(".safetensors")]
    (policy / "signers.yaml").write_text("version: 1\nrules:\n  - models: [other/*]\n    signers: [{name: acme, public_key: key.pub}]\n")
    pull(3, "no rule", options=("--policy", policy / "signers.yaml"))


@pytest.mark.parametrize("bend", [{"change": {"config.json": b'{"model_type": "other"}'}}, {"drop": ["README.md"]}, {"change": {"extra.json": b"{}"}}])
def test_a_model_that_is_not_what_was_signed_is_tampered(pull, policy, bend):
    signed(pull, policy, **bend)
    pull(4, "acme", options=("--policy", policy / "signers.yaml"))
