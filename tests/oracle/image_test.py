# SPDX-License-Identifier: Apache-2.0
"""The built image and its bill of materials as other people's tools read them: CycloneDX's strict validator, package-url, dpkg,
skopeo, umoci, oci-image-tool."""
import json
import pathlib
import subprocess
import sys
import time

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("image"))
    redoubt("init")
    redoubt.image = redoubt.json("image", "build")
    redoubt.layout = pathlib.Path(redoubt.image["layout"])
    return redoubt


def run(*arguments):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_bill_of_materials_is_valid_cyclonedx(built):
    text = built("image", "sbom", built.image["tag"]).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    sbom = json.loads(text)
    assert {c["name"] for c in sbom["components"]} >= {"libc6", "torch", "redoubt-engine"}
    for component in sbom["components"]:
        purl = PackageURL.from_string(component["purl"])
        assert purl.to_string() == component["purl"]
        assert purl.version == component["version"] and purl.name == component["name"].lower().replace("_", "-")


def test_sources_are_those_that_dpkg_names(built):
    for component in built.json("image", "sbom", built.image["tag"])["components"]:
        properties = {p["name"]: p["value"] for p in component["properties"]}
        if properties["redoubt:ecosystem"].startswith("Debian"):
            told = run("dpkg-query", "-W", "-f", "${Version}|${source:Package}|${source:Version}", component["name"] + ":amd64")
            assert told == "|".join([component["version"], properties["redoubt:source"], properties["redoubt:source_version"]])


def test_the_layout_is_valid_and_other_tools_unpack_it(built, tmp_path):
    name, tag = built.image["tag"].split(":")
    run("oci-image-tool", "validate", "--type", "image", "--ref", f"name={built.image['tag']}", built.layout)
    run("skopeo", "copy", "--preserve-digests", f"oci:{built.layout}:{built.image['tag']}", f"oci:{tmp_path}/copy:{tag}")
    assert json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/copy:{tag}"))["Digest"] == built.image["digest"]
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/copy:{tag}", tmp_path / "bundle")
    engine = tmp_path / "bundle" / "rootfs" / "usr" / "bin" / "redoubt-engine"
    assert engine.read_bytes() == (pathlib.Path(built.command()[0]).parent / "redoubt-engine").read_bytes()
    assert not any((tmp_path / "bundle" / "rootfs" / "bin" / shell).exists() for shell in ["sh", "bash"])


def test_two_builds_in_two_workspaces_give_one_digest(built, tmp_path):
    other = Redoubt(tmp_path)
    other("init")
    assert other.json("image", "build")["digest"] == built.image["digest"]


def test_a_blob_that_was_taken_away_is_named_by_the_audit(built):
    blobs = built.layout / "blobs" / "sha256"
    assert built.json("audit", "verify")["ok"]
    for blob in sorted(blobs.iterdir()):
        before = blob.read_bytes()
        for change in [blob.unlink, lambda: blob.write_bytes(before[:-1])]:
            change()
            told = json.loads(built("--json", "audit", "verify", expect=4).stdout)
            assert any(blob.name in problem["object"] for problem in told["problems"]), told["problems"]
            blob.write_bytes(before)
    (blobs / ".incoming-0123456789abcdef").write_bytes(b"left by a writer that was killed")
    assert built.json("audit", "verify")["ok"]


RECORD = {"id": "T-1", "modified": "2026-11-20T00:00:00Z",
          "affected": [{"package": {"name": "glibc", "ecosystem": "Debian:12"},
                        "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99"}, {"introduced": "0"}]}]}]}


def test_a_scan_tells_what_is_wrong_and_never_that_all_is_well_when_it_could_not_look(built, tmp_path):
    tag = built.image["tag"]
    (tmp_path / "osv").mkdir()
    record = tmp_path / "osv" / "T-1.json"
    record.write_text(json.dumps(RECORD))
    told = json.loads(built("--json", "image", "scan", tag, "--osv", tmp_path / "osv", expect=3).stdout)
    assert told["blocked"] and {"libc6"} <= {f["package"] for f in told["findings"] if f["id"] == "T-1" and f["fixed"] == "99"}
    for text in ["", "{", "[]", "7", '{"id": 7}', '{"id": "A", "affected": ' + "[" * 200 + "]" * 200 + "}"]:
        record.write_text(text)
        assert built("image", "scan", tag, "--osv", tmp_path / "osv", expect=None).returncode in (1, 2), text
    record.unlink()
    for feed in [tmp_path / "osv", tmp_path / "none", record]:
        assert built("image", "scan", tag, "--osv", feed, expect=None).returncode in (1, 2)
    for name in ["", "../x", "sha256:" + "0" * 64, "nothing:here"]:
        assert built("image", "scan", name, expect=None).returncode in (1, 2)
        assert built("image", "sbom", name, expect=None).returncode in (1, 2)


def test_the_database_keeps_what_a_feed_said_and_its_age_counts(built, tmp_path):
    import hashlib
    import zipfile
    tag, empty = built.image["tag"], tmp_path / "empty"
    empty.mkdir()
    # Without a list and without a database nothing is known to be safe.
    assert built("image", "scan", tag, "--apt-lists", empty, expect=1).stdout == ""
    assert built("image", "db", "update", "--no-apt", expect=2).stdout == ""
    for broken in [tmp_path / "none.zip", empty]:
        built("image", "db", "update", "--no-apt", "--osv", broken, expect=1)
    feed = tmp_path / "all.zip"
    now = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    with zipfile.ZipFile(feed, "w") as archive:
        archive.writestr("T-2.json", json.dumps({**RECORD, "id": "T-2", "modified": now}))
    told = built.json("image", "db", "update", "--osv", feed)
    assert [f["name"] for f in told["feeds"]] == ["apt security suite", "OSV all.zip"]
    assert told["feeds"][1]["digest"] == "sha256:" + hashlib.sha256(feed.read_bytes()).hexdigest()
    assert told["feeds"][1]["records"] == 1 and told["feeds"][1]["age_days"] == 0
    feed.unlink()
    scan = json.loads(built("--json", "image", "scan", tag, "--apt-lists", empty, expect=3).stdout)
    assert {"T-2"} <= {f["id"] for f in scan["findings"]}
    assert {f["name"] for f in scan["feeds"]} == {"apt security suite", "OSV all.zip"} and all(f["age_days"] >= 0 for f in scan["feeds"])
    assert "days old" in built("image", "scan", tag, expect=3).stdout
    assert built.json("audit", "verify")["ok"]
    # One that is too old refuses, and one that was taken away is tampering.
    with zipfile.ZipFile(feed, "w") as archive:
        archive.writestr("T-3.json", json.dumps({**RECORD, "id": "T-3", "modified": "2020-01-01T00:00:00Z"}))
    old = built.json("image", "db", "update", "--no-apt", "--osv", feed)
    refused = json.loads(built("--json", "image", "scan", tag, expect=3).stdout)
    assert refused["error"]["code"] == "gate_refused" and "2020" in refused["error"]["message"]
    blob = built.workspace / "objects" / "blobs" / old["digest"].removeprefix("sha256:")
    sealed = blob.read_bytes()
    blob.unlink()
    built("image", "scan", tag, expect=4)
    blob.write_bytes(sealed[:-1])
    built("image", "scan", tag, expect=4)
    blob.write_bytes(sealed)
    built.json("image", "db", "update")
    assert built.json("image", "scan", tag)["blocked"] is False
