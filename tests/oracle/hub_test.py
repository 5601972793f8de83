# SPDX-License-Identifier: Apache-2.0
"""The official huggingface_hub and transformers, unchanged, against the mirror: what they download is what lies in the folder."""
import hashlib
import json
import os
import pathlib
import ssl
import subprocess

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from conftest import make_certificate

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
TOKEN = "hf_oracle_token"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("mirror")
    repository = folder / "root" / "acme" / "tiny"
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
    LlamaForCausalLM(config).save_pretrained(repository, max_shard_size="40KB")
    assert (repository / "model.safetensors.index.json").exists()
    (repository / "sub").mkdir()
    (repository / "sub" / "a b+ü%.txt").write_text("odd name")
    (repository / "empty.txt").write_text("")
    (repository / "large.json").write_text(json.dumps("x" * (3 << 20)))
    (repository / ".hidden").write_text("never served")
    certificate, key = make_certificate(folder)
    certificate.rename(folder / "ca.pem")
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o600)
    server = subprocess.Popen([BUILD / "redoubt", "hub", "serve", "--root", folder / "root", "--listen", "127.0.0.1:0", "--tls-cert", folder / "ca.pem",
                               "--tls-key", key, "--token-file", folder / "token"], stderr=subprocess.PIPE, text=True)
    port = int(server.stderr.readline().rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    huggingface_hub.set_client_factory(lambda: httpx2.Client(verify=context, follow_redirects=True))
    yield f"https://localhost:{port}", repository
    server.terminate()
    assert server.wait(30) == 0


def files_of(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts)}


def test_snapshot_is_the_folder(mirror, tmp_path):
    url, repository = mirror
    local = huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=TOKEN, cache_dir=tmp_path)
    assert files_of(pathlib.Path(local)) == files_of(repository)
    sha = huggingface_hub.HfApi(endpoint=url, token=TOKEN).model_info("acme/tiny").sha
    assert pathlib.Path(local).name == sha and len(sha) == 40


def test_pinned_commit_and_single_file(mirror, tmp_path):
    url, repository = mirror
    sha = huggingface_hub.HfApi(endpoint=url, token=TOKEN).model_info("acme/tiny").sha
    for name in ["config.json", "sub/a b+ü%.txt", "empty.txt", "large.json"]:
        path = huggingface_hub.hf_hub_download("acme/tiny", name, revision=sha, endpoint=url, token=TOKEN, cache_dir=tmp_path)
        assert pathlib.Path(path).read_bytes() == (repository / name).read_bytes()


def test_broken_download_is_resumed_with_a_range(mirror, tmp_path):
    """huggingface_hub keeps NAME.incomplete and asks for the rest."""
    url, repository = mirror
    whole = (repository / "large.json").read_bytes()
    response = huggingface_hub.get_session().get(f"{url}/acme/tiny/resolve/main/large.json",
                                                 headers={"Authorization": f"Bearer {TOKEN}", "Range": "bytes=1000000-"})
    assert response.status_code == 206 and response.content == whole[1000000:]
    assert response.headers["Content-Range"] == f"bytes 1000000-{len(whole) - 1}/{len(whole)}"


def test_snapshot_goes_on_where_it_broke(mirror, tmp_path):
    """What a killed download left: half of the file as NAME.incomplete; the official client asks for the other half."""
    url, repository = mirror
    whole = (repository / "large.json").read_bytes()
    blobs = tmp_path / "models--acme--tiny" / "blobs"
    blobs.mkdir(parents=True)
    etag = huggingface_hub.get_hf_file_metadata(f"{url}/acme/tiny/resolve/main/large.json", token=TOKEN).etag
    (blobs / f"{etag}.incomplete").write_bytes(whole[:len(whole) // 2])
    local = huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=TOKEN, cache_dir=tmp_path, allow_patterns=["large.json"])
    assert files_of(pathlib.Path(local)) == {"large.json": hashlib.sha256(whole).hexdigest()}


def test_patterns_choose_and_a_second_download_asks_for_nothing_twice(mirror, tmp_path):
    url, repository = mirror
    download = lambda **more: pathlib.Path(huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=TOKEN, cache_dir=tmp_path, **more))
    local = download(allow_patterns=["*.json", "sub/*"], ignore_patterns=["large.json"])
    expected = {path: digest for path, digest in files_of(repository).items() if (path.endswith(".json") and path != "large.json") or path.startswith("sub/")}
    assert expected and files_of(local) == expected
    assert download(allow_patterns=["*.json", "sub/*"], ignore_patterns=["large.json"]) == local


def test_head_gives_what_get_gives(mirror):
    url, repository = mirror
    session, headers = huggingface_hub.get_session(), {"Authorization": f"Bearer {TOKEN}"}
    for name in ["config.json", "large.json", "empty.txt"]:
        head = session.head(f"{url}/acme/tiny/resolve/main/{name}", headers=headers)
        body = session.get(f"{url}/acme/tiny/resolve/main/{name}", headers=headers)
        assert head.status_code == body.status_code == 200 and head.content == b"" and body.content == (repository / name).read_bytes()
        for header in ("ETag", "X-Repo-Commit", "X-Linked-Size", "Content-Length"):
            assert head.headers[header] == body.headers[header]
        assert int(head.headers["Content-Length"]) == len(body.content)
        again = session.get(f"{url}/acme/tiny/resolve/main/{name}", headers={**headers, "If-None-Match": head.headers["ETag"]})
        assert again.status_code == 304 and again.content == b""


def test_a_wrong_token_downloads_nothing(mirror, tmp_path):
    url, _ = mirror
    for token in ("hf_wrong_token", False, TOKEN + "x"):
        with pytest.raises(Exception):
            huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=token, cache_dir=tmp_path)
    assert files_of(tmp_path) == {}


def test_a_changed_file_is_another_commit(mirror, tmp_path):
    url, repository = mirror
    before = huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=TOKEN, cache_dir=tmp_path, allow_patterns=["empty.txt"])
    (repository / "empty.txt").write_text("now with text")
    after = huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=TOKEN, cache_dir=tmp_path, allow_patterns=["empty.txt"])
    assert before != after and (pathlib.Path(after) / "empty.txt").read_text() == "now with text"
    with pytest.raises(RevisionNotFoundError):
        huggingface_hub.hf_hub_download("acme/tiny", "empty.txt", revision=pathlib.Path(before).name, endpoint=url, token=TOKEN, cache_dir=tmp_path / "new")
    (repository / "empty.txt").write_text("")


def test_tree_and_metadata_carry_digests(mirror):
    url, repository = mirror
    api = huggingface_hub.HfApi(endpoint=url, token=TOKEN)
    entries = {entry.path: entry for entry in api.list_repo_tree("acme/tiny", recursive=True, expand=True)}
    assert set(entries) == set(files_of(repository)) | {"sub"}
    shard = next(path for path in entries if path.endswith(".safetensors"))
    assert entries[shard].lfs.sha256 == files_of(repository)[shard]
    blob = subprocess.run(["git", "hash-object", repository / "config.json"], capture_output=True, text=True, check=True).stdout.strip()
    assert entries["config.json"].blob_id == blob
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{entries[shard].lfs.sha256}\nsize {entries[shard].size}\n"
    assert entries[shard].lfs.pointer_size == len(pointer)
    top = [entry.path for entry in api.list_repo_tree("acme/tiny")]
    assert "sub" in top and "sub/a b+ü%.txt" not in top
    assert [entry.path for entry in api.list_repo_tree("acme/tiny", "sub")] == ["sub/a b+ü%.txt"]
    assert [info.path for info in api.get_paths_info("acme/tiny", ["config.json", "absent", "sub"])] == ["config.json", "sub"]
    assert api.file_exists("acme/tiny", "config.json") and not api.file_exists("acme/tiny", "absent")
    assert api.repo_exists("acme/tiny") and api.revision_exists("acme/tiny", "main")
    assert api.list_repo_refs("acme/tiny").branches[0].target_commit == api.model_info("acme/tiny").sha
    assert api.list_repo_commits("acme/tiny")[0].commit_id == api.model_info("acme/tiny").sha
    assert api.whoami()["name"] == "mirror"
    metadata = huggingface_hub.get_hf_file_metadata(f"{url}/acme/tiny/resolve/main/{shard}", token=TOKEN)
    assert metadata.etag == files_of(repository)[shard] and metadata.size == (repository / shard).stat().st_size


def test_safetensors_headers_are_read_in_ranges(mirror):
    url, _ = mirror
    metadata = huggingface_hub.HfApi(endpoint=url, token=TOKEN).get_safetensors_metadata("acme/tiny")
    assert metadata.sharded and sum(metadata.parameter_count.values()) > 0


def test_transformers_loads_from_it(mirror, tmp_path, monkeypatch):
    """In a process of its own, with nothing but the environment that the documentation names."""
    url, repository = mirror
    program = ("import torch, transformers, sys\n"
               "m = transformers.AutoModelForCausalLM.from_pretrained('acme/tiny')\n"
               "o = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
               "assert all(torch.equal(a, b) for a, b in zip(m.parameters(), o.parameters()))\n")
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path), "SSL_CERT_FILE": str(repository.parents[2] / "ca.pem"),
                   "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run([os.environ.get("PYTHON", __import__("sys").executable), "-c", program, repository], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_errors_are_the_hubs(mirror, tmp_path):
    url, _ = mirror
    download = lambda *what, **more: huggingface_hub.hf_hub_download(*what, endpoint=url, cache_dir=tmp_path, **{"token": TOKEN, **more})
    with pytest.raises(RepositoryNotFoundError):
        download("acme/absent", "config.json")
    with pytest.raises(RevisionNotFoundError):
        download("acme/tiny", "config.json", revision="v2")
    with pytest.raises(EntryNotFoundError):
        download("acme/tiny", ".hidden")
    with pytest.raises(HfHubHTTPError) as error:
        huggingface_hub.HfApi(endpoint=url, token="hf_wrong_token").model_info("acme/tiny")
    assert error.value.response.status_code == 401 and not isinstance(error.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError) as error:
        huggingface_hub.HfApi(endpoint=url, token=False).model_info("acme/tiny")
    assert error.value.response.status_code == 401
