# SPDX-License-Identifier: Apache-2.0
"""One large object and many small ones up and down, by Redoubt's S3 store and by `aws s3 cp`, in one run against one server over HTTPS, both
with SSE-KMS asked for. Rounds alternate; the medians' ratios are what counts.

    REDOUBT_BUILD=build ~/.cache/redoubt/venv/bin/python bench/s3_vs_awscli.py [--bytes N] [--objects N] [--rounds N]

Redoubt sends and compares SHA-256, the AWS command its default checksum. The large object counts from a started program, as it takes a
part of a second to start the AWS command: the time of `aws --version` is taken off its times."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from conftest import make_certificate  # noqa: E402

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", ROOT / "build"))
AWS = pathlib.Path(sys.executable).parent / "aws"
AT_ONCE = 10  # as many as the AWS command's max_concurrent_requests


def both(number, ours, theirs):
    """The times of the two, each first in every other round."""
    times = {}
    for side, what in sorted(enumerate((ours, theirs)), reverse=number % 2 == 1):
        times[side] = clocked(what)
    return times[0], times[1]


def clocked(what):
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.certificate, key = make_certificate(folder)
        self.server = subprocess.Popen([sys.executable, ROOT / "bench" / "s3_server.py", self.certificate, key], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00",
                            "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-anyone", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
                            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{self.server.stdout.readline().strip()}", "AWS_CA_BUNDLE": str(self.certificate)}
        self.tool = subprocess.Popen([BUILD / "storage_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)

    def ours(self, what, **order):
        self.tool.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.tool.stdin.flush()
        answer = json.loads(self.tool.stdout.readline())
        assert "error" not in answer and not answer.get("failed"), answer
        return answer

    def use(self, prefix):
        self.ours("s3", bucket="bench", prefix=prefix, kms_key="alias/bench")

    def theirs(self, *arguments):
        subprocess.run([AWS, "s3", "cp", "--only-show-errors", *map(str, arguments)], env=self.environment, check=True)

    def stop(self):
        self.tool.stdin.close()
        self.tool.wait(20)
        self.server.stdin.close()
        self.server.wait(20)


SEALED = ("--sse", "aws:kms", "--sse-kms-key-id", "alias/bench")


def large(bench, size, number):
    path, back = bench.folder / "large", bench.folder / "back"
    bench.use("ours/")
    start = clocked(lambda: subprocess.run([AWS, "--version"], env=bench.environment, check=True, stdout=subprocess.DEVNULL))
    times = {"up": both(number, lambda: bench.ours("put", key="large", file=str(path), replace=True),
                        lambda: bench.theirs(path, "s3://bench/theirs/large", *SEALED)),
             "down": both(number, lambda: bench.ours("get", key="large", file=str(back)),
                          lambda: bench.theirs("s3://bench/theirs/large", bench.folder / "back2"))}
    times = {way: (ours, theirs - start) for way, (ours, theirs) in times.items()}
    if number == 0:
        assert subprocess.run(["cmp", path, back]).returncode == 0 and subprocess.run(["cmp", path, bench.folder / "back2"]).returncode == 0
    return times


def small(bench, count, number):
    ours, theirs = bench.folder / f"ours-{number}", bench.folder / f"theirs-{number}"
    bench.use(f"ours-{number}/")
    ours.mkdir()
    times = {"up": both(number, lambda: bench.ours("put_folder", folder=str(bench.folder / "small"), at_once=AT_ONCE),
                        lambda: bench.theirs("--recursive", bench.folder / "small", f"s3://bench/theirs-{number}/", *SEALED)),
             "down": both(number, lambda: bench.ours("get_folder", folder=str(ours), at_once=AT_ONCE),
                          lambda: bench.theirs("--recursive", f"s3://bench/theirs-{number}/", theirs))}
    assert len(list(ours.iterdir())) == len(list(theirs.iterdir())) == count
    shutil.rmtree(ours)
    shutil.rmtree(theirs)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(pathlib.Path(name))
        with open(bench.folder / "large", "wb") as file:
            for _ in range(max(1, options.bytes >> 20)):
                file.write(os.urandom(1 << 20))
        os.sync()  # so that nobody's file is still on its way to the disk
        (bench.folder / "small").mkdir()
        for number in range(options.objects):
            (bench.folder / "small" / f"{number:06}").write_bytes(os.urandom(4096))
        for what, run, size in (("one object", large, options.bytes), ("small objects", small, options.objects)):
            rounds = [run(bench, size, number) for number in range(options.rounds)]
            for way in ("up", "down"):
                ours, theirs = (statistics.median(times[way][side] for times in rounds) for side in (0, 1))
                print(json.dumps({"what": what, "way": way, "size": size, "rounds": options.rounds, "redoubt_s": round(ours, 2),
                                  "aws_s": round(theirs, 2), "ratio": round(theirs / ours, 2)}), flush=True)
        bench.stop()


if __name__ == "__main__":
    main()
