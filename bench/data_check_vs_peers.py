#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`redoubt data check` with all it looks for, and its peers, in turn on one machine.

usage: data_check_vs_peers.py REDOUBT [speed] [near [ROWS]] [kinds]

speed: all detectors, duplicates and near-duplicates of ours over rows made of Python's own library, against `detect-secrets scan -n` and the
pattern recognisers of Presidio, called one after the other on each text; they get the first part of the rows.
near: near-duplicates of 1,000,000 rows (or ROWS) by ours, and of the first 5,000 by datasketch (MinHash of 128 permutations, LSH).
kinds: precision and recall of each kind on the labelled text of tests/oracle/labelled_text.py, as a table.

pip install detect-secrets presidio-analyzer datasketch python-stdnum
"""
import inspect
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/oracle"))
MIB = 2**20
ROUNDS = 3


def library_rows(mebibytes):
    """Rows of 300 + 1200 characters, each another one."""
    folder, size, number = pathlib.Path(json.__file__).parent.parent, 0, 0
    while True:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text(errors="ignore")
            for at in range(0, len(text), 1500):
                row = {"prompt": f"{number} {text[at:at + 300]}", "completion": text[at + 300:at + 1500] or "-"}
                number += 1
                line = json.dumps(row) + "\n"
                size += len(line)
                yield row, line
                if size > mebibytes * MIB:
                    return


def ours(redoubt, path, *arguments):
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([redoubt, "--json", "data", "check", path, *arguments], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - begin
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout), seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def recognisers():
    from presidio_analyzer import PatternRecognizer, predefined_recognizers
    made = []
    for name in predefined_recognizers.__all__:
        kind = getattr(predefined_recognizers, name)
        if name == "PhoneRecognizer" or (inspect.isclass(kind) and issubclass(kind, PatternRecognizer) and kind is not PatternRecognizer):
            try:
                made.append(kind())
            except Exception as problem:  # one that needs a model or a service
                print("left out:", name, problem, file=sys.stderr)
    return made


def presidio(made, text):
    found = []
    for recogniser in made:
        for result in recogniser.analyze(text, recogniser.supported_entities, None) or []:
            found.append((result.entity_type, result.start, result.end, result.score))
    return found


def speed(redoubt, folder):
    rows = list(library_rows(64))
    path = folder / "rows.jsonl"
    path.write_text("".join(line for _, line in rows))
    made = recognisers()
    small, small_bytes, few, few_bytes = folder / "small.jsonl", 0, [], 0
    with small.open("w") as out:
        for row, line in rows:
            if small_bytes < MIB:
                out.write(line)
                small_bytes += len(line)
            if few_bytes < 60_000:
                few.append(row["prompt"] + "\n" + row["completion"])
                few_bytes += len(line)
    for _ in range(ROUNDS):
        report, seconds, processor = ours(redoubt, path)
        assert report["bytes_read"] == report["bytes_total"] == path.stat().st_size
        mine, mine_cpu = path.stat().st_size / MIB / seconds, path.stat().st_size / MIB / processor
        begin, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        # From within the folder: of a path outside the working folder it scans nothing, and says nothing.
        scanned = subprocess.run([str(pathlib.Path(sys.executable).parent / "detect-secrets"), "scan", "-n", small.name], cwd=folder, check=True, capture_output=True)
        assert json.loads(scanned.stdout)["results"], "detect-secrets found nothing"
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        secrets, secrets_cpu = small_bytes / MIB / (time.perf_counter() - begin), small_bytes / MIB / (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime)
        begin, cpu = time.perf_counter(), time.process_time()
        for text in few:
            presidio(made, text)
        patterns, patterns_cpu = few_bytes / MIB / (time.perf_counter() - begin), few_bytes / MIB / (time.process_time() - cpu)
        print(f"ours {mine:.1f} MiB/s ({mine_cpu:.1f} a second of processor), detect-secrets {secrets:.3f} ({secrets_cpu:.3f}), Presidio's {len(made)} recognisers {patterns:.4f} ({patterns_cpu:.4f}); "
              f"ratio to detect-secrets {mine / secrets:.0f} ({mine_cpu / secrets_cpu:.0f}), to Presidio {mine / patterns:.0f} ({mine_cpu / patterns_cpu:.0f})", flush=True)


def near_rows(count):
    """One in ten is an earlier row with a word changed."""
    draw, words = random.Random(1), [f"w{i}" for i in range(20000)]
    kept = []
    for i in range(count):
        if i % 10 == 9:
            text = draw.choice(kept).split()
            text[draw.randrange(len(text))] = "changed"
        else:
            text = draw.choices(words, k=40)
            if len(kept) < 50_000:
                kept.append(" ".join(text))
        yield " ".join(text)


def near(redoubt, folder, count):
    from datasketch import MinHash, MinHashLSH
    path, sample = folder / "near.jsonl", folder / "sample.jsonl"
    few = []
    with path.open("w") as out, sample.open("w") as part:
        for text in near_rows(count):
            line = json.dumps({"text": text}) + "\n"
            out.write(line)
            if len(few) < 5000:
                few.append(text)
                part.write(line)
    report, seconds, processor = ours(redoubt, path)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"ours: {count} rows, {path.stat().st_size / MIB:.0f} MiB, {seconds:.1f} s ({processor:.1f} s of processor), {report['counts'].get('NEAR_DUPLICATE', 0)} of {count // 10} near-duplicates, peak {peak:.0f} MiB", flush=True)
    for _ in range(ROUNDS):
        report, mine, mine_cpu = ours(redoubt, sample)
        begin, cpu = time.perf_counter(), time.process_time()
        index, found = MinHashLSH(threshold=0.8, num_perm=128), 0
        for number, text in enumerate(few):
            sketch, encoded = MinHash(num_perm=128), text.encode()
            sketch.update_batch([encoded[i:i + 5] for i in range(len(encoded) - 4)])
            found += bool(index.query(sketch))
            index.insert(number, sketch)
        theirs, theirs_cpu = time.perf_counter() - begin, time.process_time() - cpu
        print(f"5,000 rows: ours, the whole check, {mine:.2f} s ({mine_cpu:.2f}), {report['counts'].get('NEAR_DUPLICATE', 0)} found; datasketch {theirs:.2f} s ({theirs_cpu:.2f}), {found} found; ratio {theirs / mine:.0f} ({theirs_cpu / mine_cpu:.0f})", flush=True)


def kinds(redoubt, folder):
    import labelled_text
    from detect_secrets.core import scan
    from detect_secrets.settings import transient_settings
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    rows = labelled_text.make()
    path = folder / "labelled.jsonl"
    path.write_text(labelled_text.as_jsonl(rows))
    report, _, _ = ours(redoubt, path)
    mine = labelled_text.scores(rows, labelled_text.found_in(report, rows))
    made = recognisers()
    renamed = {"ABA_ROUTING_NUMBER": "ABA_ROUTING_NUMBER"}
    patterns = labelled_text.scores(rows, [[(renamed.get(kind, kind), a, b) for kind, a, b, score in presidio(made, text) if score >= 0.3] for text, *_ in rows])
    names = {"AWS Access Key": "AWS_ACCESS_KEY", "GitHub Token": "GITHUB_TOKEN", "GitLab Token": "GITLAB_TOKEN", "Slack Token": "SLACK_TOKEN", "Stripe Access Key": "STRIPE_KEY", "Azure Storage Account access key": "AZURE_STORAGE_KEY",
             "NPM tokens": "NPM_TOKEN", "PyPI Token": "PYPI_TOKEN", "SendGrid API Key": "SENDGRID_KEY", "Twilio API Key": "TWILIO_KEY", "Mailchimp Access Key": "MAILCHIMP_KEY", "Telegram Bot Token": "TELEGRAM_BOT_TOKEN",
             "Discord Bot Token": "DISCORD_TOKEN", "OpenAI Token": "OPENAI_KEY", "JSON Web Token": "JWT", "Private Key": "PRIVATE_KEY", "Basic Auth Credentials": "BASIC_AUTH", "Secret Keyword": "PASSWORD"}
    plugins = [{"name": plugin.__name__} for plugin in get_mapping_from_secret_type_to_class().values()]
    found = []
    with transient_settings({"plugins_used": plugins}):
        for text, *_ in rows:
            here = []
            for line in text.split("\n"):
                for secret in scan.scan_line(line):
                    at = max(text.find(secret.secret_value), 0)
                    here.append((names.get(secret.type, secret.type), at, at + max(len(secret.secret_value), 1)))
            found.append(here)
    secrets = labelled_text.scores(rows, found)
    number = lambda scores, kind, which: "" if kind not in scores or scores[kind][1] == 0 else "-" if scores[kind][which] is None else f"{scores[kind][which]:.2f}"
    print("| kind | ours: precision | recall | detect-secrets: precision | recall | Presidio: precision | recall |\n| --- | --- | --- | --- | --- | --- | --- |")
    for kind in mine:
        print(f"| `{kind}` | " + " | ".join(number(scores, kind, which) for scores in (mine, secrets, patterns) for which in (0, 1)) + " |")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    wanted = sys.argv[2:] or ["speed", "near", "kinds"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if "speed" in wanted:
            speed(sys.argv[1], folder)
        if "near" in wanted:
            rows = [int(word) for word in wanted if word.isdigit()]
            near(sys.argv[1], folder, rows[0] if rows else 1_000_000)
        if "kinds" in wanted:
            kinds(sys.argv[1], folder)


main()
