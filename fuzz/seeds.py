#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Inputs that fuzz targets begin with: small files of each format, by Python's own writers, so that a target need not find a format's outline by chance.

usage: seeds.py FOLDER

Makes FOLDER/<target>/ for the targets that gain by it. Nothing here is hostile: that is the fuzzer's part.
"""
import bz2
import collections
import gzip
import io
import json
import lzma
import pathlib
import pickle
import struct
import sys
import tarfile
import zipfile

CHAT = {"messages": [{"role": "user", "content": "Write to a@example.com, ok?"}, {"role": "assistant", "content": "ls -l"}]}
DPKG = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.3-4+b1\nSource: b (2.3-4)\nDescription: text\n more\n\n"


def tar(*members, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                archive.addfile(info, io.BytesIO(value))
                continue
            info.linkname = value
            archive.addfile(info)
    return out.getvalue()


def tars():
    file, folder, link, hard = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
    yield tar(("etc", folder, ""), ("etc/passwd", file, b"root:x:0:0::/:/bin/sh\n"), ("etc/link", link, "passwd"), ("etc/hard", hard, "etc/passwd"))
    yield tar(("a/b", file, b"1"), ("a/.wh.b", file, b""), ("c/.wh..wh..opq", file, b""), ("up", link, "../../etc"), ("up/x", file, b"2"))
    yield tar(("n" * 120, file, b"long"), ("l", link, "t" * 130), format=tarfile.GNU_FORMAT)
    yield tar(("é" * 60 + "/x", file, b"pax"), ("dev", tarfile.CHRTYPE, ""), ("fifo", tarfile.FIFOTYPE, ""), format=tarfile.PAX_FORMAT)
    yield tar(("var/lib/dpkg/status", file, DPKG.encode()), ("usr/lib/python3/a-1.dist-info/METADATA", file, b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n"),
              ("etc/os-release", file, b"ID=debian\nVERSION_ID=12\n"), ("app/package-lock.json", file, json.dumps({"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0"}}}).encode()))


def elf():
    """A shared object with a dynamic section alone: who it needs, its own name, where to look (System V ABI, chapter 5)."""
    names = b"\0libc.so.6\0liba.so\0$ORIGIN/../lib\0"
    at = 64 + 2 * 56
    needed, own, path = (names.index(one) for one in (b"libc", b"liba", b"$ORI"))
    tags = [(1, needed), (14, own), (29, path), (5, at + 7 * 16), (10, len(names)), (30, 0), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *one) for one in tags)
    size = at + len(dynamic) + len(names)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    return header + load + struct.pack("<IIQQQQQQ", 2, 6, at, at, at, len(dynamic), len(dynamic), 8) + dynamic + names


def pickles():
    value = {"a": [1, 2.5, b"x", "text", None, True], "b": collections.OrderedDict(c=(1,) * 3)}
    for protocol in range(6):
        yield pickle.dumps(value, protocol)
    yield pickle.dumps(print) + b"after"


def zipped(members, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return out.getvalue()


def safetensors():
    head = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(16)


def gguf():
    text = lambda value: struct.pack("<Q", len(value)) + value
    pairs = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama") + text(b"llama.block_count") + struct.pack("<II", 4, 1)
    tensor = text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 2, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + pairs + tensor
    return head + bytes(-len(head) % 32) + bytes(32)


def seeds():
    archives = list(tars())
    yield "layer_unpack_fuzz", archives
    yield "image_tree_fuzz", [b"\0" + one for one in archives] + [b"\1" + gzip.compress(archives[0], mtime=0)]
    yield "image_layer_fuzz", [bytes([min(255, len(one) // 512)]) + one + archives[1] for one in archives]
    yield "job_archive_fuzz", [b"\1" + one for one in archives] + [b"\0" + gzip.compress(archives[0], mtime=0)]
    yield "elf_fuzz", [elf()]
    yield "pickle_walk_fuzz", list(pickles())
    whole = list(pickles())
    zips = [zipped({"archive/data.pkl": whole[2], "archive/version": b"3\n"}), zipped({"a.npy": b"\x93NUMPY\1\0"}, compression=zipfile.ZIP_DEFLATED)]
    yield "model_container_fuzz", [*zips, archives[0], gzip.compress(whole[2], mtime=0), bz2.compress(whole[2]), lzma.compress(whole[2])]
    yield "model_scan_fuzz", [*zips, *whole, safetensors(), gguf(), json.dumps({"model_type": "llama", "auto_map": {"AutoModel": "a.B"}}).encode()]
    yield "safetensors_fuzz", [safetensors()]
    yield "gguf_fuzz", [gguf()]
    rows = [CHAT, {"prompt": "a", "completion": "b"}, {"instruction": "a", "input": "", "output": "4111 1111 1111 1111"}, {"text": "DE89 3704 0044 0532 0130 00"},
            {"prompt": "a", "chosen": "b", "rejected": "c"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for target in ("data_rows_fuzz", "data_redact_fuzz"):
        yield target, [lines, json.dumps(CHAT).encode(), b'text,label\n"a, b",1\n"c ""d""",2\n', json.dumps([row["text"] for row in rows if "text" in row]).encode()]
    rpm = struct.pack(">IIII", 1000, 6, 0, 2) + b"a\0"
    records = [DPKG.encode(), b"Files: *\nLicense: MIT\n", b"P:a\nV:1.0-r0\nA:x86_64\nL:MIT\n\n", b"", b"", struct.pack(">II", 1, len(rpm) - 16) + rpm, b"Name: a\nVersion: 1\nLicense: MIT\n",
               b'{"name": "a", "version": "1.0.0"}', b'{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0"}}}', b'a@^1.0.0:\n  version "1.0.2"\n', b's.name = "a"\ns.version = "1"\n',
               elf(), zipped({"META-INF/MANIFEST.MF": b"Implementation-Title: a\nImplementation-Version: 1\n"}), b'ID="debian"\nVERSION_ID=12\n']
    yield "package_records_fuzz", [bytes([kind]) + one for kind, one in enumerate(records)]
    yield "worker_event_fuzz", [json.dumps(one).encode() for one in (
        {"type": "ready", "slots": 4, "context_length": 2048}, {"type": "pong", "id": "1"}, {"type": "started", "id": "1", "prompt_tokens": 3}, {"type": "token", "id": "1", "text": "a"},
        {"type": "done", "id": "1", "finish_reason": "stop", "completion_tokens": 1}, {"type": "error", "id": "1", "code": "too_long", "message": "a"})]
    yield "http_request_fuzz", [b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n",
                                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]


def main():
    for target, inputs in seeds():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / f"seed{number}").write_bytes(data)


main()
