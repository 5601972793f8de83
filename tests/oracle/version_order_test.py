# SPDX-License-Identifier: Apache-2.0
"""Version orders against those who made them: dpkg, packaging, node's semver, rpm; and CVSS scores against the cvss library. Random pairs
out of each ecosystem's alphabet, and real ones of this machine."""
import importlib.metadata
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest
from packaging.version import InvalidVersion, Version

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
SEED = int(os.environ.get("REDOUBT_SEED", "20261128"))


def asked(lines):
    done = subprocess.run([BUILD / "order_tool"], input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=True)
    return done.stdout.split()


def order_of(ecosystem, pairs):
    return [int(word) for word in asked(f"{ecosystem}\t{a}\t{b}" for a, b in pairs)]


def assert_equal(ecosystem, pairs, told):
    assert len(pairs) == len(told)
    wrong = [(a, b, ours, theirs) for (a, b), ours, theirs in zip(pairs, order_of(ecosystem, pairs), told) if ours != theirs]
    assert not wrong, f"seed {SEED}: {len(wrong)} of {len(pairs)}, first {wrong[:5]}"


def sign(number):
    return (number > 0) - (number < 0)


def pairs_of(order, versions, count):
    """Random pairs, and each version against a near copy of itself."""
    out = []
    for _ in range(count):
        a = order.choice(versions)
        b = order.choice(versions)
        if order.random() < 0.5:
            at = order.randrange(len(a) + 1)
            b = a[:at] + order.choice(["", ".", "0", "1", "a", "-1", "~", "+"]) + a[at + order.randrange(2):]
        out.append((a, b))
    return out


def test_debian(tmp_path):
    order = random.Random(SEED)
    real = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\\n"], capture_output=True, text=True, check=True).stdout.split()
    made = ["".join([order.choice(["", "", "1:", "0:"]), order.choice("0123456789"), "".join(order.choice("0019a.+~-bz") for _ in range(order.randrange(8)))]) for _ in range(500)]

    def valid(text):
        return text and text[0].isdigit() and text[-1] not in "-:" and (":" not in text or text.split(":")[0].isdigit() and text.split(":", 1)[1][0].isdigit())

    pairs = [(a, b) for a, b in pairs_of(order, real + made, 3000) if valid(a) and valid(b)]
    script = tmp_path / "compare.sh"
    # One shell asks dpkg three times a pair.
    script.write_text('while IFS="\t" read -r a b; do if dpkg --compare-versions "$a" lt "$b" 2>/dev/null; then echo -1; elif dpkg --compare-versions "$a" eq "$b" 2>/dev/null; '
                      "then echo 0; else echo 1; fi; done\n")
    told = subprocess.run(["sh", script], input="".join(f"{a}\t{b}\n" for a, b in pairs), capture_output=True, text=True, check=True).stdout.split()
    assert_equal("Debian:12", pairs, [int(word) for word in told])


def test_pep_440():
    order = random.Random(SEED)
    real = [each.version for each in importlib.metadata.distributions()]
    made = []
    for _ in range(3000):
        text = order.choice(["", "", "1!", "v"]) + ".".join(str(order.choice([0, 0, 1, 2, 10, 2026])) for _ in range(order.randrange(1, 5)))
        text += order.choice(["", "", "a1", ".b2", "-rc.1", "c3", "alpha", "_beta_2", "preview3", "RC1"])
        text += order.choice(["", "", "", ".post1", "-1", "-r4", ".rev2", "post"])
        text += order.choice(["", "", "", ".dev0", "dev3", "-dev"])
        text += order.choice(["", "", "", "+cpu", "+1.a", "+ubuntu-1", "+01"])
        made.append(order.choice(["", "", " "]) + text)
    pairs = pairs_of(order, real + made, 6000) + [(text, "!" + text) for text in made[:50]]  # an epoch without its number is no version

    def parse(text):
        try:
            return Version(text)
        except InvalidVersion:
            return None

    told = []
    for a, b in pairs:
        left, right = parse(a), parse(b)
        # What is no version sorts before all that are.
        told.append(sign((left > right) - (left < right)) if left and right else 1 if left else -1 if right else sign((a > b) - (a < b)))
    assert sum(1 for a, b in pairs if parse(a) and parse(b)) > 3000
    assert_equal("PyPI", pairs, told)


@pytest.mark.parametrize("ecosystem", ["npm", "Go", "crates.io"])
def test_semantic_versions(ecosystem):
    order = random.Random(SEED + len(ecosystem))
    identifiers = ["0", "1", "10", "alpha", "beta", "rc", "x-y", "-", "a1", "1a", "0a", "2026"]
    made = []
    for _ in range(2000):
        text = ".".join(str(order.choice([0, 0, 1, 2, 9, 10, 11, 100])) for _ in range(3))
        if order.random() < 0.6:
            text += "-" + ".".join(order.choice(identifiers) for _ in range(order.randrange(1, 4)))
        if order.random() < 0.2:
            text += "+" + order.choice(["build", "1.2", "incompatible"])
        made.append(order.choice(["", "", "v"]) + text)
    pairs = [(order.choice(made), order.choice(made)) for _ in range(5000)]
    pairs += [(a, a.split("-")[0]) for a in made[:500]]
    program = ("const semver = require(process.argv[1]); const pairs = JSON.parse(require('fs').readFileSync(0)); "
               "console.log(JSON.stringify(pairs.map(([a, b]) => semver.compare(a, b))));")
    # Debian's node-semver, else npm's own.
    root = pathlib.Path("/usr")
    places = [*root.glob("lib/node_modules/npm/node_modules/semver"), *root.glob("local/lib/node_modules/npm/node_modules/semver"), root / "share/nodejs/semver"]
    place = next(each for each in places if (each / "package.json").exists())
    environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
    done = subprocess.run(["node", "-e", program, place], env=environment, input=json.dumps(pairs), capture_output=True, text=True, check=True)
    assert_equal(ecosystem, pairs, json.loads(done.stdout))


def test_rpm(tmp_path):
    order = random.Random(SEED)
    made = ["".join([order.choice(["", "", "1:", "0:", "12:"]), "".join(order.choice("0012a.b~^_+") for _ in range(order.randrange(1, 9))), order.choice(["", "", "-1", "-2.el9", "-0.1~rc"])])
            for _ in range(2000)]
    made = [each for each in made if each[0] not in "-:" and not each.endswith(":")]
    pairs = pairs_of(order, made, 5000)
    pairs = [(a, b) for a, b in pairs if a and b and a.count("-") < 2 and b.count("-") < 2 and "" not in (a.split(":")[-1].split("-")[0], b.split(":")[-1].split("-")[0])
             and a[-1] != "-" and b[-1] != "-"]
    script = tmp_path / "compare.lua"
    script.write_text("".join(f'print(rpm.vercmp("{a}", "{b}") .. " ")\n' for a, b in pairs))
    assert shutil.which("rpm"), "scripts/setup --tests installs it"
    done = subprocess.run(["rpm", "--eval", "%{lua: dofile('" + str(script) + "')}"], capture_output=True, text=True, check=True)
    assert_equal("Rocky Linux:9", pairs, [int(word) for word in done.stdout.split()])


def test_cvss_scores():
    import cvss

    order = random.Random(SEED)
    three = {"AV": "NALP", "AC": "LH", "PR": "NLH", "UI": "NR", "S": "UC", "C": "HLN", "I": "HLN", "A": "HLN"}
    four = {"AV": "NALP", "AC": "LH", "AT": "NP", "PR": "NLH", "UI": "NPA", "VC": "HLN", "VI": "HLN", "VA": "HLN", "SC": "HLN", "SI": "HLN", "SA": "HLN"}
    extra = {"E": "XAPU", "CR": "XHML", "IR": "XHML", "AR": "XHML", "MAV": "XNALP", "MAC": "XLH", "MAT": "XNP", "MPR": "XNLH", "MUI": "XNPA", "MVC": "XHLN",
             "MVI": "XHLN", "MVA": "XHLN", "MSC": "XHLN", "MSI": "XSHLN", "MSA": "XSHLN"}

    def vector(version, metrics, more):
        chosen = [f"{name}:{order.choice(values)}" for name, values in metrics.items()]
        chosen += [f"{name}:{order.choice(values)}" for name, values in more.items() if order.random() < 0.3]
        return f"CVSS:{version}/" + "/".join(chosen)

    vectors = [vector(version, three, {}) for version in ("3.0", "3.1") for _ in range(2000)]
    vectors += [vector("4.0", four, {}) for _ in range(3000)] + [vector("4.0", four, extra) for _ in range(5000)]
    told = [f"{float(cvss.CVSS4(v).base_score if v.startswith('CVSS:4') else cvss.CVSS3(v).base_score):.1f}" for v in vectors]
    wrong = [(v, ours, theirs) for v, ours, theirs in zip(vectors, asked(vectors), told) if ours != theirs]
    assert not wrong, f"seed {SEED}: {len(wrong)} of {len(vectors)}, first {wrong[:5]}"
    broken = ["CVSS:4.0/" + v.split("/", 2)[2] for v in vectors[-50:]] + ["CVSS:5.0/AV:N", "text", "", "CVSS:3.1/", vectors[0] + "/", vectors[0] + "/AV:N"]
    assert set(asked(broken[:-2])) <= {"none"}, "a vector without its first metric, or of no version"
