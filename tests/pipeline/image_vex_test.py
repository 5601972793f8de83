# SPDX-License-Identifier: Apache-2.0
"""VEX documents, exploited vulnerabilities and the image's signature in the pipeline: the image's gate, admission and the daily scan honour what
a document accepts, until its day, and the ledger says which documents counted."""
import datetime
import hashlib
import json
import subprocess

import pytest
import yaml

from conftest import TOKEN, Redoubt, write_pipeline
from vault_rules_test import later
from watch_test import Feed

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"
LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"


def moment(**later_by):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**later_by)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_record(feed, name, package, vector, aliases=()):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    (feed.folder / f"{name}.json").write_text(json.dumps({
        "id": name, "modified": now, "published": now, "aliases": list(aliases), "severity": [{"type": "CVSS_V3", "score": vector}],
        "affected": [{"package": {"ecosystem": "Debian:12", "name": package}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}))


def write_exploits(folder, *cves):
    """The two feeds as FIRST and CISA publish them."""
    now = datetime.datetime.now(datetime.timezone.utc)
    (folder / "kev.json").write_text(json.dumps({
        "title": "CISA Catalog of Known Exploited Vulnerabilities", "catalogVersion": "1", "dateReleased": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "count": len(cves),
        "vulnerabilities": [{"cveID": cve, "dateAdded": "2026-01-02", "knownRansomwareCampaignUse": "Unknown"} for cve in cves or ["CVE-1999-0001"]]}))
    (folder / "epss.csv").write_text(f"#model_version:v2025.03.14,score_date:{now.strftime('%Y-%m-%dT%H:%M:%S')}+0000\ncve,epss,percentile\nCVE-2026-70001,0.61,0.98\n")


def openvex(*statements):
    return json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex/1", "author": "security", "timestamp": "2026-01-01T00:00:00Z", "version": 1,
                       "statements": list(statements)})


def accepts(vulnerability, until, product="pkg:oci/redoubt-engine"):
    return {"vulnerability": {"name": vulnerability}, "products": [{"@id": product}], "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path", "expires": until}


@pytest.fixture(scope="module")
def setting(tiny_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vex")
    redoubt = Redoubt(folder)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    redoubt.feed = Feed(folder / "advisories")
    redoubt.pipeline = write_pipeline(folder / "pipeline", tiny_hub)
    redoubt.files = folder / "pipeline"
    write_exploits(redoubt.files)
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "build.key"], check=True)
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "other.key"], check=True)
    subprocess.run(["openssl", "ec", "-in", folder / "build.key", "-pubout", "-out", redoubt.files / "build.pub"], check=True, capture_output=True)
    for name in ("build.key", "other.key"):
        (folder / name).chmod(0o600)
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev", expect=None)


def configure(redoubt, policy=None, **image):
    config = yaml.safe_load(redoubt.pipeline.read_text())
    config["image"] = {"osv": [str(redoubt.feed.folder)], "kev": ["kev.json"], "epss": ["epss.csv"], **image}
    redoubt.pipeline.write_text(yaml.safe_dump(config))
    (redoubt.files / "policy.yaml").write_text(yaml.safe_dump({"version": 1, **(policy or {})}))


def recorded(redoubt, step):
    return [entry["result"] for entry in redoubt.json("audit", "query", "--step", step, "--limit", "20")]


def refused(redoubt, expect=3):
    return json.loads(redoubt("--json", "run", redoubt.pipeline, expect=expect).stdout)["error"]


@pytest.mark.parametrize("image,policy,says", [
    ({"vex": ["absent.json"]}, {}, "absent.json"),
    ({"vex": ["bad.json"]}, {}, "no end date"),
    ({"vex": ["bad.json"], "vex_until": "someday"}, {}, "vex_until"),
    ({}, {"images": {"signed_by": [{"name": "build", "key": "absent.pub"}]}}, "absent.pub"),
    ({}, {"images": {"signed_by": [{"name": "build", "key": "policy.yaml"}]}}, "public key"),
    ({}, {"images": {"signed_by": [{"name": "build", "key": "build.pub"}], "signatures_min": 2}}, "signatures_min"),
    ({}, {"vulnerabilities": {"epss_block": 2}}, "epss_block"),
])
def test_what_is_wrong_is_said_before_anything_runs(setting, image, policy, says):
    endless = accepts("TEST-0001", "x")
    del endless["expires"]
    (setting.files / "bad.json").write_text(openvex(endless))
    configure(setting, policy, **image)
    told = setting("run", setting.pipeline, expect=2).stderr
    assert says in told and "[1/8]" not in told


def test_the_way_of_an_accepted_finding(setting):
    """One test, since each step stands on the one before."""
    redoubt = setting
    policy = {"images": {"signed_by": [{"name": "build", "key": "build.pub"}]}}
    until = moment(hours=10)
    write_record(redoubt.feed, "TEST-0001", "glibc", CRITICAL)
    configure(redoubt, policy)
    assert "image.vex" in refused(redoubt)["hint"]
    # For another image, or until a day that is over, it accepts nothing.
    for statement in (accepts("TEST-0001", until, "pkg:oci/another"), accepts("TEST-0001", moment(days=-2)[:10]), {**accepts("TEST-0001", until), "status": "under_investigation"}):
        (redoubt.files / "vex.json").write_text(openvex(statement))
        configure(redoubt, policy, vex=["vex.json"])
        assert "TEST-0001" in refused(redoubt)["message"]

    # A low finding that is exploited, or likely to be, is refused by the same gate.
    (redoubt.files / "vex.json").write_text(openvex(accepts("TEST-0001", until)))
    write_record(redoubt.feed, "TEST-0002", "gcc-12", LOW, ["CVE-2026-70001"])
    write_exploits(redoubt.files, "CVE-2026-70001")
    error = refused(redoubt)
    assert "exploited since 2026-01-02" in error["message"] and "(low" in error["message"]
    write_exploits(redoubt.files)
    configure(redoubt, {**policy, "vulnerabilities": {"epss_block": 0.5}}, vex=["vex.json"])
    assert "EPSS 0.610" in refused(redoubt)["message"]

    # Accepted: the image's statement says by which document.
    configure(redoubt, policy, vex=["vex.json"])
    redoubt("run", redoubt.pipeline, expect=6)
    digest = "sha256:" + hashlib.sha256((redoubt.files / "vex.json").read_bytes()).hexdigest()
    [image] = recorded(redoubt, "image")
    assert image["vex"] == [{"name": "vex.json", "digest": digest}] and image["vulnerabilities"]["critical"] == 0
    assert image["accepted"] and all(one["id"] == "TEST-0001" and one["by"] == f"vex.json ({digest})" and one["until"][:19] == until[:19] for one in image["accepted"])

    # Admission: nobody has signed the image, then somebody else has, then who should.
    redoubt("registry", "approve", "tiny/0.1.0", "--reason", "read the card", identity="reviewer")
    assert "0 of 1 signatures of those whom the policy names (build)" in refused(redoubt)["message"]
    redoubt("image", "sign", image["tag"], "--key-file", redoubt.folder / "other.key")
    assert "0 of 1 signatures" in refused(redoubt)["message"]
    redoubt("image", "sign", image["tag"], "--key-file", redoubt.folder / "build.key")
    # After the statement's end the finding is back, and the version is not deployed.
    late = later(redoubt, 1, "--json", "run", redoubt.pipeline, expect=3)
    assert "open critical" in json.loads(late.stdout)["error"]["message"]
    redoubt("run", redoubt.pipeline)
    [deployed] = recorded(redoubt, "deploy")
    assert deployed["image_signed_by"] == ["build"] and deployed["scan"]["vex"] == image["vex"] and deployed["scan"]["accepted"] == image["accepted"]
    redoubt("endpoint", "stop", "--environment", "dev")

    # The daily scan: what the file says today is not what was reviewed.
    (redoubt.files / "vex.json").write_text("{}")
    monitor = ["--json", "monitor", "run", "--environment", "dev", "--image-only", "--scan-now"]
    assert json.loads(redoubt(*monitor).stdout)["image"]["grave"] == 0
    scans = recorded(redoubt, "scan")
    assert any(one["vex"] == image["vex"] and one["accepted"] == image["accepted"] for one in scans)
    write_exploits(redoubt.files, "CVE-2026-70001")
    found = json.loads(redoubt(*monitor, expect=3).stdout)["image"]
    assert found["grave"] > 0 and all("CVE-2026-70001" in name or "TEST-0002" in name for name in found["new"])
    write_exploits(redoubt.files)
    assert json.loads(redoubt(*monitor).stdout)["image"]["grave"] == 0
    assert redoubt.json("audit", "verify")["ok"]
    late = json.loads(later(redoubt, 1, *monitor, expect=3).stdout)["image"]
    assert any("TEST-0001 in libc6" in name for name in late["new"])


def test_a_document_that_was_taken_away_is_tampering(setting):
    [image] = recorded(setting, "image")
    [blob] = [path for path in setting.workspace.rglob(image["vex"][0]["digest"].removeprefix("sha256:") + "*") if path.is_file()]
    kept = blob.read_bytes()
    blob.unlink()
    try:
        assert not setting.json("audit", "verify", expect=4)["ok"]
        setting("monitor", "run", "--environment", "dev", "--image-only", "--scan-now", expect=4)
    finally:
        blob.write_bytes(kept)
