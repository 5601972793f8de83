# SPDX-License-Identifier: Apache-2.0
"""How long the advisories of five ecosystems take to be loaded, and 1,000 packages to be compared with them.

    bench/image_scan.py [--build build] [--records 300000] [--packages 1000]

The dumps are made here, in the form and of about the sizes that OSV's have (records of 1 to 6 KB; most of npm's about packages made to do
harm); reading their bytes with `cat` and unpacking them with `unzip -p` give the disk's and the decompressor's speed to compare with."""
import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time
import zipfile

SHARES = {"npm": 0.70, "Debian": 0.14, "PyPI": 0.08, "Go": 0.04, "Maven": 0.04}
TEXT = "A flaw in the handling of a request lets somebody who is not logged in read files. "


def record(order, ecosystem, number, names):
    version = lambda: f"{order.randrange(9)}.{order.randrange(30)}.{order.randrange(30)}"  # noqa: E731
    name = order.choice(names)
    malicious = ecosystem == "npm" and order.random() < 0.9
    package = {"ecosystem": "Debian:12" if ecosystem == "Debian" else ecosystem, "name": name, "purl": f"pkg:generic/{name}"}
    affected = {"package": package, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, *([] if malicious else [{"fixed": version()}])]}],
                "versions": [version() for _ in range(order.randrange(1, 40))], "database_specific": {"source": f"https://example.org/{number}.json"}}
    out = {"id": f"{'MAL' if malicious else 'GHSA'}-{ecosystem}-{number}", "modified": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "published": "2024-01-01T00:00:00Z", "schema_version": "1.7.0",
           "summary": TEXT, "details": TEXT * order.randrange(4, 30), "affected": [affected], "references": [{"type": "WEB", "url": f"https://example.org/advisory/{number}/{i}"} for i in range(5)]}
    if not malicious:
        out["aliases"] = [f"CVE-20{order.randrange(10, 27)}-{number}"]
        out["severity"] = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]
    return out


def make_dumps(folder, records):
    order = random.Random(7)
    dumps, names = {}, {}
    for ecosystem, share in SHARES.items():
        count = int(records * share)
        names[ecosystem] = [f"{ecosystem.lower()}-package-{i}" if ecosystem != "Maven" else f"org.acme:artifact-{i}" for i in range(max(count // 2, 10))]
        dumps[ecosystem] = folder / f"{ecosystem}.zip"
        with zipfile.ZipFile(dumps[ecosystem], "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for number in range(count):
                one = record(order, ecosystem, number, names[ecosystem])
                archive.writestr(one["id"] + ".json", json.dumps(one))
    return dumps, names


def make_root(root, names, packages):
    order = random.Random(8)
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    each = packages // 4
    status.write_text("".join(f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.{i}\n\n" for i, name in enumerate(order.sample(names["Debian"], each))))
    for name in order.sample(names["PyPI"], each):
        place = root / f"usr/lib/python3/dist-packages/{name}-5.0.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Name: {name}\nVersion: 5.0.0\n")
    for name in order.sample(names["npm"], packages - 2 * each):
        place = root / f"app/node_modules/{name}"
        place.mkdir(parents=True)
        (place / "package.json").write_text(json.dumps({"name": name, "version": "5.0.0"}))


def timed(*command, **more):
    begin = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    return time.monotonic() - begin, done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    redoubt = str(pathlib.Path(options.build).resolve() / "redoubt")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        dumps, names = make_dumps(folder, options.records)
        make_root(folder / "root", names, options.packages)
        environment = {**os.environ, "REDOUBT_WORKSPACE": str(folder / "workspace"), "HOME": str(folder)}
        timed(redoubt, "init", env=environment)
        size = sum(path.stat().st_size for path in dumps.values())
        plain = sum(int(subprocess.run(["unzip", "-l", path], capture_output=True, text=True, check=True).stdout.split()[-3]) for path in dumps.values())
        print(f"{options.records} records, {size / 1e6:.0f} MB packed, {plain / 1e6:.0f} MB plain")
        print(f"cat: {timed('sh', '-c', 'cat ' + ' '.join(map(str, dumps.values())) + ' > /dev/null')[0]:.2f} s")
        seconds, done = timed("/usr/bin/time", "-f", "%M %U %S", "sh", "-c", "; ".join(f"unzip -p {path} > /dev/null" for path in dumps.values()))
        _, user, system = map(float, done.stderr.split()[-3:])
        print(f"unzip -p, one after the other: {seconds:.2f} s ({user + system:.2f} s of processor)")
        loads = []
        for _ in range(options.runs):
            seconds, done = timed("/usr/bin/time", "-f", "%M %U %S", redoubt, "image", "db", "update", "--no-apt", *(f"--osv={path}" for path in dumps.values()), env=environment)
            assert done.returncode == 0, done.stderr
            loads.append((seconds, *map(float, done.stderr.split()[-3:])))
        print("import: " + ", ".join(f"{seconds:.2f} s ({plain / 1e6 / seconds:.0f} MB/s plain; {user + system:.2f} s of processor, {memory / 1024:.0f} MiB)" for seconds, memory, user, system in loads))
        scans = []
        for _ in range(options.runs):
            seconds, done = timed("/usr/bin/time", "-f", "%M %U %S", redoubt, "--json", "image", "scan", folder / "root", "--no-apt", env=environment)
            assert done.returncode in (0, 3), done.stderr
            scans.append((seconds, *map(float, done.stderr.split()[-3:])))
        told = json.loads(done.stdout)
        print(f"scan of {len(told['packages'])} packages, {len(told['findings'])} findings: " + ", ".join(f"{seconds:.2f} s ({user + system:.2f} s of processor, {memory / 1024:.0f} MiB)" for seconds, memory, user, system in scans))


if __name__ == "__main__":
    main()
