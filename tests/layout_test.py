# SPDX-License-Identifier: Apache-2.0
"""The layout of the source as a failing test: what a folder may include, how long a file may be, what every file starts with."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
LINES_MAX = 800


def folders():
    text = (SOURCE / "CMakeLists.txt").read_text()
    return re.search(r"set\(folders\n(.*?)\)", text, re.S).group(1).split()


def sources():
    return sorted(p for p in SOURCE.rglob("*") if p.suffix in {".h", ".cc"})


def folder_of(path, order):
    relative = path.relative_to(SOURCE).as_posix()
    return max((f for f in order if relative.startswith(f + "/")), key=len, default=None)


def test_a_folder_includes_only_folders_named_before_it():
    order = folders()
    wrong = []
    for path in sources():
        own = folder_of(path, order)
        if own is None or path.name.endswith("_test.cc"):
            continue
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
            other = folder_of(SOURCE / included, order)
            if other and other != own and order.index(other) > order.index(own):
                wrong.append(f"{path.relative_to(ROOT)} includes {included}")
    assert not wrong, "\n".join(wrong)


def test_stages_do_not_include_each_other():
    wrong = []
    for path in sorted((SOURCE / "stages").rglob("*.[hc]*")):
        stage = path.relative_to(SOURCE).parts[1]
        for other in re.findall(r'^#include "stages/([^/"]+)/', path.read_text(), re.M):
            if other != stage:
                wrong.append(f"{path.relative_to(ROOT)} includes stages/{other}")
    assert not wrong, "\n".join(wrong)


def test_only_crypto_includes_openssl_and_only_the_engine_libtorch():
    wrong = []
    for path in sources():
        relative, text = path.relative_to(SOURCE).as_posix(), path.read_text()
        if re.search(r"#include <openssl/", text) and not relative.startswith("crypto/"):
            wrong.append(relative)
        if re.search(r"#include <(ATen|torch|c10)/", text) and not relative.startswith("engine/"):
            wrong.append(relative)
    assert not wrong, wrong


def test_every_file_has_its_licence_line_and_is_not_too_long():
    wrong = []
    for path in sources():
        lines = path.read_text().splitlines()
        if not lines or "SPDX-License-Identifier: Apache-2.0" not in "\n".join(lines[:2]):
            wrong.append(f"{path.relative_to(ROOT)}: no SPDX line")
        if len(lines) > LINES_MAX:
            wrong.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
        if any(re.search(r"\b(TODO|FIXME|XXX)\b", line) for line in lines):
            wrong.append(f"{path.relative_to(ROOT)}: an unfinished remark")
    assert not wrong, "\n".join(wrong)
