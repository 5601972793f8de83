# SPDX-License-Identifier: Apache-2.0
"""The scan of images on the disk: findings as packaging evaluates the same records, feeds over HTTPS, VEX, ECR's form as botocore reads it."""
import http.server
import json
import os
import pathlib
import random
import ssl
import sys
import threading
import time
import zipfile

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from image_files import os_release, python_package, write

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt, make_certificate  # noqa: E402

NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
CRITICAL = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}


def record(name, package, events=None, versions=(), ecosystem="PyPI", **more):
    affected = {"package": {"name": package, "ecosystem": ecosystem}, "versions": list(versions)}
    if events:
        affected["ranges"] = [{"type": "ECOSYSTEM", "events": events}]
    return {"id": name, "modified": NOW, "affected": [affected], **more}


def write_zip(path, records):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in records:
            archive.writestr(one["id"] + ".json", json.dumps(one))
    return path


@pytest.fixture
def workspace(tmp_path_factory):
    redoubt = Redoubt(tmp_path_factory.mktemp("scan"))
    redoubt("init")
    return redoubt


def scan(redoubt, reference, *more, expect=None):
    done = redoubt("--json", "image", "scan", reference, "--no-apt", *more, expect=expect)
    return json.loads(done.stdout)


def test_findings_are_those_that_packaging_gives_for_the_same_records(workspace, tmp_path):
    order = random.Random(int(os.environ.get("REDOUBT_SEED", "5")))
    pool = sorted({f"{a}.{b}{c}" for a in range(4) for b in range(6) for c in ["", ".1", "rc1", ".post1", ".dev2", "b2"]}, key=Version)
    packages = {f"package-{i}": order.choice(pool) for i in range(60)}
    records, expected = [], set()
    for number in range(400):
        name = order.choice(list(packages))
        ends = sorted(order.sample(range(len(pool)), order.choice([2, 4])))
        events, spans = [], []
        for first, last in zip(ends[::2], ends[1::2]):
            kind = order.choice(["fixed", "fixed", "last_affected"])
            start = "0" if first == ends[0] and order.random() < 0.5 else pool[first]
            events += [{"introduced": start}, {kind: pool[last]}]
            spans.append((start, kind, pool[last]))
        if order.random() < 0.2:
            events.pop()
            spans[-1] = (spans[-1][0], None, None)
        order.shuffle(events)
        listed = order.sample(pool, 2)
        written = order.choice([name, name.upper(), name.replace("-", "_"), name.replace("-", ".")])
        records.append(record(f"T-{number}", written, events, listed))
        installed = Version(packages[name])

        def within(span):
            start, kind, end = span
            if start != "0" and installed < Version(start):
                return False
            return kind is None or (installed < Version(end) if kind == "fixed" else installed <= Version(end))
        if any(within(span) for span in spans) or installed in map(Version, listed):
            expected.add((f"T-{number}", name))
        # For a release, pip-audit's specifiers say the same.
        if not installed.is_prerelease and not installed.is_postrelease:
            texts = [",".join(([f">={s}"] if s != "0" else []) + ([f"<{e}" if k == "fixed" else f"<={e}"] if k else [])) for s, k, e in spans]
            assert any(SpecifierSet(text).contains(installed) for text in texts) == any(within(span) for span in spans)
    root = tmp_path / "root"
    for name, version in packages.items():
        python_package(root, name, version)
    told = scan(workspace, root, "--osv", write_zip(tmp_path / "all.zip", records), expect=3)
    assert {(f["id"], f["package"]) for f in told["findings"]} == expected and len(expected) > 50


class Mirror:
    """An HTTPS server of dumps that counts what it sends."""

    def __init__(self, folder):
        self.folder, self.sent, self.not_modified = folder, 0, 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = mirror.folder / self.path.lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                data = path.read_bytes()
                etag = f'"{hash(data)}"'
                if self.headers.get("If-None-Match") == etag:
                    mirror.not_modified += 1
                    self.send_response(304)
                    self.end_headers()
                    return
                mirror.sent += 1
                self.send_response(200)
                self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate, key = make_certificate(folder)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self.server.server_address[1]}"


def test_feeds_come_over_https_and_only_when_they_changed(workspace, tmp_path):
    mirror = Mirror(tmp_path)
    try:
        (tmp_path / "PyPI").mkdir()
        dump = write_zip(tmp_path / "PyPI/all.zip", [record("T-1", "flask", [{"introduced": "0"}], severity=[CRITICAL])])
        update = ["image", "db", "update", "--no-apt", "--url", mirror.url, "--ecosystem", "PyPI"]
        assert workspace(*update, expect=None).returncode != 0  # nobody vouches for the certificate
        told = workspace.json(*update, "--ca", mirror.certificate)
        assert told["feeds"][0]["name"] == "OSV PyPI" and told["feeds"][0]["source"] == f"{mirror.url}/PyPI/all.zip"
        root = tmp_path / "root"
        python_package(root, "Flask", "2.0.1")
        assert [f["id"] for f in scan(workspace, root, expect=3)["findings"]] == ["T-1"]
        workspace.json(*update, "--ca", mirror.certificate)
        assert (mirror.sent, mirror.not_modified) == (1, 1)
        assert [f["id"] for f in scan(workspace, root, expect=3)["findings"]] == ["T-1"]
        # Older than the last time, cut off, gone, plain: each an error, and the database stays.
        write_zip(dump, [{**record("T-1", "flask", [{"introduced": "0"}]), "modified": "2020-01-01T00:00:00Z"}])
        assert "older" in workspace(*update, "--ca", mirror.certificate, expect=3).stderr
        dump.write_bytes(dump.read_bytes()[:100])
        assert workspace(*update, "--ca", mirror.certificate, expect=None).returncode in (1, 2)
        dump.unlink()
        workspace(*update, "--ca", mirror.certificate, expect=1)
        assert "HTTPS" in workspace("image", "db", "update", "--no-apt", "--url", mirror.url.replace("https", "http"), "--ecosystem", "PyPI", expect=3).stderr
        assert [f["id"] for f in scan(workspace, root, expect=3)["findings"]] == ["T-1"]
        assert workspace.json("audit", "verify")["ok"]
    finally:
        mirror.server.shutdown()


def test_a_vex_document_accepts_with_a_reason_until_a_day(workspace, tmp_path):
    root = tmp_path / "root"
    python_package(root, "Flask", "2.0.1")
    feed = write_zip(tmp_path / "all.zip", [record("GHSA-1", "flask", [{"introduced": "0"}], severity=[CRITICAL], aliases=["CVE-2026-1"])])

    def open_vex(**statement):
        base = {"vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": "pkg:pypi/flask@2.0.1"}], "status": "not_affected"}
        path = write(tmp_path, "vex.json", json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://x/1", "author": "a", "timestamp": NOW, "version": 1, "statements": [{**base, **statement}]}))
        return ["--osv", feed, "--vex", path]
    good = {"justification": "vulnerable_code_not_in_execute_path", "expires": "2999-12-31"}
    told = scan(workspace, root, *open_vex(**good), expect=0)
    assert not told["blocked"] and told["findings"][0]["accepted"] and told["findings"][0]["accepted_reason"] == good["justification"]
    assert scan(workspace, root, *open_vex(**{**good, "expires": "2020-01-01"}), expect=3)["blocked"]
    for broken in [{"expires": "2999-12-31"}, {"justification": "x"}, {**good, "expires": "later"}]:
        assert workspace("image", "scan", root, "--no-apt", *open_vex(**broken), expect=2).stdout == ""
    scan(workspace, root, *open_vex(justification="x"), "--vex-until", "2999-01-01", expect=0)
    assert scan(workspace, root, *open_vex(**good, products=[{"@id": "pkg:pypi/django@1"}]), expect=3)["blocked"]
    assert scan(workspace, root, *open_vex(**{**good, "status": "affected"}), expect=3)["blocked"]


def test_ecr_reads_its_own_form(workspace, tmp_path):
    import botocore.parsers
    import botocore.session

    root = tmp_path / "root"
    python_package(root, "Flask", "2.0.1")
    feed = write_zip(tmp_path / "all.zip", [record("GHSA-1", "flask", [{"introduced": "0"}, {"fixed": "2.1"}], severity=[CRITICAL], aliases=["CVE-2026-1"])])
    text = workspace("image", "scan", root, "--no-apt", "--osv", feed, "--ecr", expect=3).stdout
    shape = botocore.session.get_session().get_service_model("ecr").operation_model("DescribeImageScanFindings").output_shape
    parsed = botocore.parsers.create_parser("json").parse({"body": text.encode(), "headers": {}, "status_code": 200}, shape)
    [finding] = parsed["imageScanFindings"]["findings"]
    assert finding["name"] == "CVE-2026-1" and finding["severity"] == "CRITICAL" and parsed["imageScanFindings"]["findingSeverityCounts"] == {"CRITICAL": 1}
    assert {a["key"]: a["value"] for a in finding["attributes"]}["CVSS3_SCORE"] == "9.8"
    assert parsed["imageScanStatus"]["status"] in shape.members["imageScanStatus"].members["status"].enum
    assert set(json.loads(text)) <= set(shape.members) and set(finding) <= set(shape.members["imageScanFindings"].members["findings"].member.members)


def test_what_no_feed_knows_is_no_all_clear(workspace, tmp_path):
    root, empty = tmp_path / "root", tmp_path / "empty"
    python_package(root, "Flask", "2.0.1")
    write(root, "app/node_modules/a/package.json", '{"name": "a", "version": "1.0.0"}')
    empty.mkdir()
    feed = write_zip(tmp_path / "all.zip", [record("T-1", "other", [{"introduced": "0"}])])
    told = scan(workspace, root, "--osv", feed, expect=3)
    assert told["uncovered"] == ["npm"] and told["blocked"] and not told["findings"]
    assert not scan(workspace, root, "--osv", feed, "--allow-uncovered", expect=0)["blocked"]
    assert scan(workspace, empty, "--osv", feed, expect=3)["problems"]
    workspace("image", "scan", empty / "none", "--no-apt", "--osv", feed, expect=1)
    other = Redoubt(tmp_path)
    os_release(root)
    assert other("image", "scan", root, "--no-apt", expect=None).returncode == 1  # no workspace, no feed
    npm = tmp_path / "npm"
    write(npm, "app/node_modules/a/package.json", '{"name": "a", "version": "1.0.0"}')
    assert "no feed knows" in other("image", "scan", npm, "--no-apt", "--osv", feed, expect=1).stderr
