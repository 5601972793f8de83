# SPDX-License-Identifier: Apache-2.0
"""Images that tests make out of folders: OCI layouts and archives of `docker save`; and the records that installed packages leave."""
import gzip
import hashlib
import io
import json
import pathlib
import sqlite3
import struct
import subprocess
import tarfile
import zipfile
import zlib


def layer_of(folder, whiteouts=()):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
        for name in whiteouts:
            archive.addfile(tarfile.TarInfo(name))
    return raw.getvalue()


def put(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def make_layout(layout, layers, tag="v1", compression="gzip", platform=("linux", "amd64"), config=None):
    """`layers` are folders, or bytes of a tar."""
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    described, diff_ids = [], []
    for layer in layers:
        raw = layer if isinstance(layer, bytes) else layer_of(layer)
        diff_ids.append("sha256:" + hashlib.sha256(raw).hexdigest())
        kind = "application/vnd.oci.image.layer.v1.tar"
        if compression == "gzip":
            raw, kind = gzip.compress(raw, 1, mtime=0), kind + "+gzip"
        if compression == "zstd":
            raw, kind = subprocess.run(["zstd", "-q", "-1", "-c"], input=raw, capture_output=True, check=True).stdout, kind + "+zstd"
        described.append({"mediaType": kind, **put(layout, raw)})
    configuration = {"os": platform[0], "architecture": platform[1], "config": config or {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": described,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **put(layout, json.dumps(configuration).encode())}}
    entry = {"mediaType": manifest["mediaType"], **put(layout, json.dumps(manifest).encode()), "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = layout / "index.json"
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": known + [entry]}))
    return layout


def make_docker_archive(path, layers, tag="image:v1"):
    with tarfile.open(path, "w") as archive:
        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        names = []
        for number, folder in enumerate(layers):
            names.append(f"layer{number}/layer.tar")
            add(names[-1], layer_of(folder))
        add("config.json", b"{}")
        add("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]).encode())
    return path


def write(root, name, contents):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents) if isinstance(contents, bytes) else path.write_text(contents)
    return path


def os_release(root, text='ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'):
    write(root, "etc/os-release", text)


def python_package(root, name, version, prefix="usr/lib/python3/dist-packages"):
    write(root, f"{prefix}/{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n")


def jar(entries):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return raw.getvalue()


def pom(group, artifact, version):
    return {f"META-INF/maven/{group}/{artifact}/pom.properties": f"#made\ngroupId={group}\nartifactId={artifact}\nversion={version}\n"}


def build_rpm(folder, name, version, release="1", requires=(), epoch=None, provides=(), files=()):
    spec = folder / f"{name}.spec"
    spec.write_text(f"Name: {name}\nVersion: {version}\nRelease: {release}\n" + (f"Epoch: {epoch}\n" if epoch else "") +
                    "Summary: a test\nLicense: MIT\nBuildArch: noarch\n" + "".join(f"Requires: {each}\n" for each in requires) + "".join(f"Provides: {each}\n" for each in provides) + "%description\ntext\n" +
                    "%install\n" + "".join(f"mkdir -p %{{buildroot}}{pathlib.PurePath(each).parent}; touch %{{buildroot}}{each}\n" for each in files) + "%files\n" + "\n".join(files) + "\n")
    subprocess.run(["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}/rpmbuild", "--define", "_build_id_links none", spec], check=True, capture_output=True)
    return next((folder / "rpmbuild" / "RPMS").rglob(f"{name}-{version}-*.rpm"))


def install_rpms(root, rpms, backend="sqlite"):
    """Debian's rpm writes SQLite alone. The headers of the other forms are those, put where rpm's ndb and Berkeley DB's own tool put them."""
    database = root / "var/lib/rpm"
    subprocess.run(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite", "-i", "--justdb", "--nodeps", "--noscripts", *rpms], check=True, capture_output=True)
    if backend == "sqlite":
        return database / "rpmdb.sqlite"
    with sqlite3.connect(database / "rpmdb.sqlite") as connection:
        headers = [bytes(blob) for blob, in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]
    connection.close()
    for name in list(database.iterdir()):
        name.unlink()
    return ndb(database / "Packages.db", headers) if backend == "ndb" else berkeley(database / "Packages", headers)


def ndb(path, headers):
    """rpm's lib/backend/ndb/rpmpkg.c: one page of slots, then blobs in blocks of 16 bytes."""
    slots, blobs, block = b"", b"", 4096 // 16
    for number, header in enumerate(headers, 1):
        blob = struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header
        blob += b"\0" * (-(len(blob) + 12) % 16)
        blob += struct.pack("<II4s", zlib.adler32(blob), len(header), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, block, len(blob) // 16)
        blobs += blob
        block += len(blob) // 16
    free = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    head = struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, len(headers) + 1)
    path.write_bytes(head + slots + free * ((4096 - 32 - len(slots)) // 16) + blobs)
    return path


def berkeley(path, headers):
    text = "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n 00000000\n 00000000\n"
    for number, header in enumerate(headers, 1):
        text += f" {struct.pack('<I', number).hex()}\n {header.hex()}\n"
    subprocess.run(["db5.3_load", path], input=text + "DATA=END\n", text=True, check=True)
    return path


def audited_program(packages):
    """An ELF file with the section that `cargo auditable` adds, made by the linker's own tool."""
    return zlib.compress(json.dumps({"packages": packages}).encode())
