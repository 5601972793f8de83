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
    # The first digits of a commit name it too.
    assert pathlib.Path(huggingface_hub.snapshot_download("acme/tiny", revision=sha[:7], endpoint=url, token=TOKEN, cache_dir=tmp_path, allow_patterns="*.txt")).name == sha
    with pytest.raises(RevisionNotFoundError):
        huggingface_hub.HfApi(endpoint=url, token=TOKEN).model_info("acme/tiny", revision=sha[:6])


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
    assert {info.last_commit.oid for info in api.get_paths_info("acme/tiny", ["config.json", "sub"], expand=True)} == {api.model_info("acme/tiny").sha}
    assert api.file_exists("acme/tiny", "config.json") and not api.file_exists("acme/tiny", "absent")
    assert api.repo_exists("acme/tiny") and api.revision_exists("acme/tiny", "main")
    assert api.list_repo_refs("acme/tiny", include_pull_requests=True).pull_requests == []
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


# --- tokens with scopes, gates, the scan, the search and the audit

REDOUBT = str(BUILD / "redoubt")


def hub(folder, *words, code=0):
    done = subprocess.run([REDOUBT, "--json", "hub", *map(str, words), "--root", folder / "root"], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(mirror):
    return mirror[1].parents[2]


def api_of(url, token):
    return huggingface_hub.HfApi(endpoint=url, token=token)


def test_a_scoped_token_sees_its_models_alone(mirror, folder, tmp_path):
    url, repository = mirror
    other = folder / "root" / "other" / "model"
    other.mkdir(parents=True, exist_ok=True)
    (other / "config.json").write_text("{}")
    made = hub(folder, "token", "create", "--name", "scoped", "--repo", "acme/*")
    api = api_of(url, made["token"])
    assert api.model_info("acme/tiny").id == "acme/tiny" and api.whoami()["auth"]["accessToken"]["role"] == "read"
    assert huggingface_hub.hf_hub_download("acme/tiny", "config.json", endpoint=url, token=made["token"], cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("other/model")
    assert [model.id for model in api.list_models()] == ["acme/tiny"]
    assert made["token"] not in (folder / "root/.hub/tokens.json").read_text()
    listed = {token["name"]: token for token in hub(folder, "token", "list")}
    assert listed["scoped"]["state"] == "valid" and "token" not in listed["scoped"]
    hub(folder, "token", "create", "--name", "scoped", code=1)
    hub(folder, "token", "revoke", "scoped")
    with pytest.raises(HfHubHTTPError) as error:
        api.model_info("acme/tiny")
    assert error.value.response.status_code == 401


def test_a_gated_model_is_known_and_not_given(mirror, folder, tmp_path):
    url, _ = mirror
    made = hub(folder, "token", "create", "--name", "guest")
    api = api_of(url, made["token"])
    download = lambda: huggingface_hub.hf_hub_download("acme/tiny", "config.json", endpoint=url, token=made["token"], cache_dir=tmp_path)
    hub(folder, "gate", "acme/tiny")
    assert api.model_info("acme/tiny").gated == "manual"
    with pytest.raises(huggingface_hub.errors.GatedRepoError):
        download()
    with pytest.raises(huggingface_hub.errors.GatedRepoError):
        api.auth_check("acme/tiny")
    assert [model.id for model in api.list_models(gated=True)] == ["acme/tiny"]
    hub(folder, "grant", "acme/tiny", "guest")
    api.auth_check("acme/tiny")
    assert download()
    hub(folder, "ungrant", "acme/tiny", "guest")
    hub(folder, "gate", "acme/tiny", "--off")
    assert download()


def test_what_the_scan_refuses_is_not_served(mirror, folder, tmp_path):
    import pickle
    url, _ = mirror
    bad = folder / "root" / "acme" / "bad"
    bad.mkdir()
    (bad / "config.json").write_text("{}")
    (bad / "pytorch_model.bin").write_bytes(pickle.dumps(print))
    api = api_of(url, TOKEN)
    with pytest.raises(huggingface_hub.errors.DisabledRepoError):
        api.model_info("acme/bad")
    with pytest.raises(huggingface_hub.errors.LocalEntryNotFoundError):  # as the client turns an error of the first question
        huggingface_hub.hf_hub_download("acme/bad", "config.json", endpoint=url, token=TOKEN, cache_dir=tmp_path)
    assert "acme/bad" not in [model.id for model in api.list_models()]
    (bad / "pytorch_model.bin").unlink()
    assert api.model_info("acme/bad").siblings[0].rfilename == "config.json"


def test_the_search_filters_and_pages(mirror, folder):
    url, _ = mirror
    for name in ("zeta", "alpha", "beta"):
        model = folder / "root" / "search" / name
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps({"n": name}))
    api = api_of(url, TOKEN)
    assert [model.id for model in api.list_models(author="search")] == ["search/alpha", "search/beta", "search/zeta"]
    assert [model.id for model in api.list_models(search="ETA")] == ["search/beta", "search/zeta"]
    assert [model.id for model in api.list_models(author="search", limit=2)] == ["search/alpha", "search/beta"]
    assert "acme/tiny" in [model.id for model in api.list_models(filter="safetensors")]
    assert [model.siblings[0].rfilename for model in api.list_models(author="search", full=True)] == ["config.json"] * 3
    session, headers = huggingface_hub.get_session(), {"Authorization": f"Bearer {TOKEN}"}
    page = session.get(f"{url}/api/models?author=search&limit=1", headers=headers)
    assert len(page.json()) == 1 and session.get(page.links["next"]["url"], headers=headers).json()[0]["id"] == "search/beta"
    entries = list(api.list_repo_tree("acme/tiny", recursive=True, expand=True))
    assert all(entry.last_commit.oid == api.model_info("acme/tiny").sha for entry in entries)
    tree = session.get(f"{url}/api/models/acme/tiny/tree/main?recursive=true&limit=2", headers=headers)
    paths = [entry["path"] for entry in tree.json()]
    while "next" in tree.links:
        tree = session.get(tree.links["next"]["url"], headers=headers)
        paths += [entry["path"] for entry in tree.json()]
    assert paths == [entry.path for entry in entries]


def test_the_audit_names_each_download_and_no_token(mirror, folder, tmp_path):
    url, repository = mirror
    made = hub(folder, "token", "create", "--name", "audited")
    huggingface_hub.snapshot_download("acme/tiny", endpoint=url, token=made["token"], cache_dir=tmp_path)
    text = (folder / "root/.hub/audit.jsonl").read_text()
    mine = [event for event in map(json.loads, text.splitlines()) if event["name"] == "audited"]
    assert {event["path"]: event["sha256"] for event in mine if event["event"] == "download"} == {path: digest for path, digest in files_of(repository).items() if path != "empty.txt"}  # of which the client asks for nothing
    assert sum(event["bytes"] for event in mine if event["event"] == "download") == sum(path.stat().st_size for path in repository.rglob("*") if path.is_file() and not path.name.startswith("."))
    assert made["token"] not in text and TOKEN not in text
    assert hub(folder, "audit")["ok"]


# --- writing, by huggingface_hub

@pytest.fixture
def writer(mirror, folder, monkeypatch):
    """Without the Xet protocol, which needs a service of its own: HF_HUB_DISABLE_XET=1."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    name = f"writer-{os.urandom(4).hex()}"
    made = hub(folder, "token", "create", "--name", name, "--scope", "write", "--repo", "uploads/*", "--repo", "acme/*")
    return api_of(mirror[0], made["token"])


def safetensors_of(count, seed=0):
    header = json.dumps({"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    return len(header).to_bytes(8, "little") + header + (bytes(range(256)) * (count // 256 + 1))[seed:seed + count]


def test_commits_are_made_and_served(mirror, writer, tmp_path):
    url, _ = mirror
    repository = f"uploads/m{os.urandom(4).hex()}"
    assert writer.create_repo(repository, private=True).repo_id == repository
    assert writer.create_repo(repository, exist_ok=True).repo_id == repository
    with pytest.raises(HfHubHTTPError):
        writer.create_repo(repository)
    first = writer.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repository, commit_message="first").oid
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors_of(40 << 20, 3))  # in three parts
    (folder / "small.safetensors").write_bytes(safetensors_of(12 << 20, 5))  # at once, by LFS
    (folder / "sub/notes.txt").write_text("notes")
    second = writer.upload_folder(folder_path=folder, repo_id=repository, commit_message="second", commit_description="what and why").oid
    local = huggingface_hub.snapshot_download(repository, endpoint=url, token=writer.token, cache_dir=tmp_path / "cache")
    assert files_of(pathlib.Path(local)) == {**files_of(folder), "config.json": hashlib.sha256(b"{}").hexdigest()}
    commits = writer.list_repo_commits(repository)
    assert [commit.commit_id for commit in commits][:2] == [second, first] and commits[0].title == "second" and commits[0].message == "what and why"
    assert writer.model_info(repository).sha == second and [s.rfilename for s in writer.model_info(repository, revision=first).siblings] == ["config.json"]
    writer.create_tag(repository, tag="v1", revision=first)
    assert [tag.name for tag in writer.list_repo_refs(repository).tags] == ["v1"]
    assert writer.model_info(repository, revision=first[:8]).sha == first
    assert pathlib.Path(huggingface_hub.hf_hub_download(repository, "config.json", revision="v1", endpoint=url, token=writer.token, cache_dir=tmp_path / "cache")).read_text() == "{}"
    writer.create_branch(repository, branch="dev")
    writer.upload_file(path_or_fileobj=b'{"dev": 1}', path_in_repo="config.json", repo_id=repository, revision="dev")
    assert writer.model_info(repository, revision="dev").sha != writer.model_info(repository).sha == second
    writer.delete_file("sub/notes.txt", repository)
    assert "sub/notes.txt" not in writer.list_repo_files(repository) and "sub/notes.txt" in writer.list_repo_files(repository, revision=second)
    writer.delete_tag(repository, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        writer.model_info(repository, revision="v1")
    with pytest.raises(HfHubHTTPError) as error:
        writer.create_commit(repository, [huggingface_hub.CommitOperationAdd("a.txt", b"a")], commit_message="stale", parent_commit=first)
    assert error.value.response.status_code == 412
    assert writer.create_repo(repository, exist_ok=True)


def test_a_repository_without_files_is_one(mirror, writer, tmp_path):
    repository = f"uploads/m{os.urandom(4).hex()}"
    writer.create_repo(repository)
    assert writer.list_repo_files(repository) == []
    assert list(pathlib.Path(writer.snapshot_download(repository, cache_dir=tmp_path / "cache")).glob("*")) == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    writer.upload_folder(repo_id=repository, folder_path=tmp_path / "model", delete_patterns="*")
    assert writer.list_repo_files(repository) == ["config.json"]
    writer.delete_file("config.json", repository)
    assert list(writer.list_repo_tree(repository)) == []
    with pytest.raises(EntryNotFoundError):
        list(writer.list_repo_tree(repository, "sub"))


def test_the_last_commit_of_a_file_is_the_one_that_changed_it(mirror, writer):
    repository = f"uploads/m{os.urandom(4).hex()}"
    writer.create_repo(repository)
    first = writer.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repository, commit_message="the first").oid
    second = writer.upload_file(path_or_fileobj=b"text", path_in_repo="sub/notes.txt", repo_id=repository, commit_message="the second").oid
    expected = {"config.json": (first, "the first"), "sub": (second, "the second"), "sub/notes.txt": (second, "the second")}
    entries = [*writer.list_repo_tree(repository, recursive=True, expand=True), *writer.get_paths_info(repository, list(expected), expand=True)]
    assert len(entries) == 6 and all((entry.last_commit.oid, entry.last_commit.title) == expected[entry.path] for entry in entries)
    [then] = writer.get_paths_info(repository, ["config.json"], revision=first, expand=True)
    assert then.last_commit.oid == first


def test_a_commit_that_the_scan_refuses_is_not_visible(mirror, writer):
    import pickle
    repository = f"uploads/m{os.urandom(4).hex()}"
    writer.create_repo(repository)
    good = writer.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repository).oid
    for path, data in (("pytorch_model.bin", pickle.dumps(print)), ("model.safetensors", b"junk" * 100), ("modeling.py", b"import os")):
        with pytest.raises(HfHubHTTPError) as error:
            writer.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repository)
        assert error.value.response.status_code == 403 and path in error.value.response.text
    assert writer.model_info(repository).sha == good and writer.list_repo_files(repository) == ["config.json"]


def test_a_folders_model_that_is_written_to_is_kept_from_then_on(mirror, writer, folder):
    model = folder / "root/acme/written"
    model.mkdir()
    (model / "config.json").write_text("{}")
    before = writer.model_info("acme/written").sha
    writer.upload_file(path_or_fileobj=b"notes", path_in_repo="notes.txt", repo_id="acme/written")
    assert writer.list_repo_files("acme/written") == ["config.json", "notes.txt"]
    assert writer.list_repo_files("acme/written", revision=before) == ["config.json"]


def test_who_may_not_write_changes_nothing(mirror, writer, folder):
    url, _ = mirror
    reader = api_of(url, hub(folder, "token", "create", "--name", f"r{os.urandom(4).hex()}")["token"])
    for change in (lambda api: api.create_repo("uploads/new"), lambda api: api.upload_file(path_or_fileobj=b"{}", path_in_repo="x.json", repo_id="acme/tiny"), lambda api: api.create_tag("acme/tiny", tag="v9")):
        with pytest.raises(HfHubHTTPError) as error:
            change(reader)
        assert error.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError):
        writer.create_repo("elsewhere/new")
    with pytest.raises(RepositoryNotFoundError):
        writer.upload_file(path_or_fileobj=b"{}", path_in_repo="x.json", repo_id="other/model")
    session = huggingface_hub.get_session()
    digest = hashlib.sha256(b"x").hexdigest()
    assert session.put(f"{url}/api/uploads/acme/tiny/{digest}/0?size=1&expires=99999999999&signature={'ab' * 32}", content=b"x").status_code == 401
    commit = lambda body: session.post(f"{url}/api/models/acme/tiny/commit/main", content=body, headers={"Authorization": f"Bearer {writer.token}"})
    header = json.dumps({"key": "header", "value": {"summary": "s"}}) + "\n"
    shard = next(path for path in files_of(mirror[1]) if path.endswith(".safetensors"))
    stolen = files_of(mirror[1])[shard]
    for body in ("", "{", "[]", header + header, header + '{"key": "file", "value": {"path": "../x", "content": ""}}', header + '{"key": "file", "value": {"path": ".env", "content": ""}}',
                 header + '{"key": "what", "value": {}}', header + '{"key": "file", "value": {"path": "a.txt", "content": "!", "encoding": "base64"}}',
                 header + json.dumps({"key": "lfsFile", "value": {"path": "a.safetensors", "algo": "sha256", "oid": digest, "size": 1}}),
                 header + '{"key": "file", "value": {"path": "config.json/x.json", "content": "{}"}}'):
        assert commit(body).status_code == 400, body
    writer.create_repo("uploads/thief", exist_ok=True)
    body = header + json.dumps({"key": "lfsFile", "value": {"path": "a.safetensors", "algo": "sha256", "oid": stolen}})
    assert session.post(f"{url}/api/models/uploads/thief/commit/main", content=body, headers={"Authorization": f"Bearer {writer.token}"}).status_code == 400


# --- another hub behind the mirror

def test_an_upstreams_models_are_fetched_scanned_and_kept(mirror, folder, tmp_path):
    import threading
    url, repository = mirror
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "token").write_text("hf_second_token")
    (tmp_path / "token").chmod(0o600)
    certificate, key = make_certificate(tmp_path)
    server = subprocess.Popen([BUILD / "redoubt", "hub", "serve", "--root", root, "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key, "--token-file", tmp_path / "token",
                               "--upstream", url, "--upstream-ca-file", folder / "ca.pem", "--upstream-token-file", folder / "token", "--upstream-minutes", "0"], stderr=subprocess.PIPE, text=True)
    try:
        second = f"https://localhost:{server.stderr.readline().rsplit(':', 1)[1].strip()}"
        session = httpx2.Client(verify=ssl.create_default_context(cafile=certificate), follow_redirects=True, timeout=60)
        headers = {"Authorization": "Bearer hf_second_token"}
        answers = []
        ask = lambda: answers.append(session.get(f"{second}/api/models/acme/tiny", headers=headers).json())
        threads = [threading.Thread(target=ask) for _ in range(6)]
        audit = folder / "root/.hub/audit.jsonl"
        before = len(audit.read_text().splitlines())
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        info = api_of(url, TOKEN).model_info("acme/tiny")
        assert [answer["sha"] for answer in answers] == [info.sha] * 6
        fetched = [event for event in map(json.loads, audit.read_text().splitlines()[before:]) if event["event"] == "download"]
        assert len(fetched) == len({event["sha256"] for event in fetched}) <= len(files_of(repository))  # once for all six
        for path, digest in files_of(repository).items():
            response = session.get(f"{second}/acme/tiny/resolve/{info.sha}/{path.replace('%', '%25').replace('+', '%2B')}", headers=headers)
            assert hashlib.sha256(response.content).hexdigest() == digest
        assert session.get(f"{second}/api/models/acme/absent", headers=headers).headers["X-Error-Code"] == "RepoNotFound"
        assert session.get(f"{second}/api/models/acme/tiny/revision/v77", headers=headers).headers["X-Error-Code"] == "RevisionNotFound"
        assert (root / ".hub/blobs").is_dir() and not list((root / ".hub/incoming").iterdir())
        blob = next(path for path in (root / ".hub/blobs").rglob("*") if path.is_file() and path.name == hashlib.sha256(b"odd name").hexdigest())
        blob.chmod(0o644)
        blob.write_text("evil name")
        changed = session.get(f"{second}/acme/tiny/resolve/main/config.json", headers=headers)
        assert changed.status_code in (404, 503)  # a kept file that changed: nothing of the commit is served
    finally:
        server.terminate()
        assert server.wait(30) == 0
