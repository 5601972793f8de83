# SPDX-License-Identifier: Apache-2.0
"""`redoubt image build` from Dockerfiles and declarations: skopeo, umoci and oci-image-tool read what comes out, buildah builds the same
recipe to the same files and configuration, and the same files give the same digest whatever the machine's habits are."""
import hashlib
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tarfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from conftest import Redoubt  # noqa: E402
from image_files import make_layout  # noqa: E402


def run(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def redoubt(tmp_path):
    made = Redoubt(tmp_path)
    made.layout = tmp_path / "layout"
    return made


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "app" / "deep").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("print('hello')\n")
    (folder / "app" / "deep" / "data.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "app" / "run").write_text("#!/bin/sh\n")
    (folder / "app" / "run").chmod(0o755)
    (folder / "app" / "link").symlink_to("main.py")
    (folder / "app" / "empty").mkdir()
    (folder / "one.txt").write_text("1")
    (folder / "two.txt").write_text("2")
    return folder


def build(redoubt, context, text, *more, expect=0, name="Dockerfile"):
    (context / name).write_text(text)
    return redoubt("--json", "image", "build", context, "-f", context / name, "-o", redoubt.layout, *more, expect=expect)


def built(redoubt, context, text, *more, **options):
    told = json.loads(build(redoubt, context, text, *more, **options).stdout)
    told["config"] = json.loads(run("skopeo", "inspect", "--config", f"oci:{redoubt.layout}:{told['tag']}"))
    return told


def files_of(layout, tag, folder):
    """What umoci unpacks: path -> (kind, mode, owner, contents)."""
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
    return tree(bundle / "rootfs")


def tree(root):
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(info.st_mode):
            found[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(info.st_mode):
            found[name] = ("folder", oct(info.st_mode & 0o7777), info.st_uid, info.st_gid)
        else:
            found[name] = ("file", oct(info.st_mode & 0o7777), info.st_uid, info.st_gid, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


RECIPE = """# escape=\\
ARG BASE=scratch
FROM ${BASE} AS first
ARG VERSION=1.0
ENV APP_HOME=/srv/app \\
    # a comment within
    VERSION=$VERSION
LABEL org.opencontainers.image.version="${VERSION}" "a b"='c d'
WORKDIR $APP_HOME
COPY app .
COPY --chown=1000:2000 --chmod=640 one.txt t*.txt files/
COPY ["one.txt", "/with space/"]
FROM first
COPY --from=first /srv/app/main.py /copied.py
EXPOSE 8080 53/udp
STOPSIGNAL SIGINT
USER 1000:2000
ENTRYPOINT ["/srv/app/run", "--x"]
CMD ["serve"]
"""


def test_the_configuration_says_what_the_recipe_says(redoubt, context):
    told = built(redoubt, context, RECIPE, "--build-arg", "VERSION=2.5", "-t", "team/app:1")
    assert told["tag"] == "team/app:1"
    config = told["config"]["config"]
    assert config["User"] == "1000:2000" and config["WorkingDir"] == "/srv/app" and config["StopSignal"] == "SIGINT"
    assert config["Env"] == ["APP_HOME=/srv/app", "VERSION=2.5"]
    assert config["Entrypoint"] == ["/srv/app/run", "--x"] and config["Cmd"] == ["serve"]
    assert config["Labels"] == {"org.opencontainers.image.version": "2.5", "a b": "c d"}
    assert set(config["ExposedPorts"]) == {"8080/tcp", "53/udp"}
    assert told["config"]["created"] == "1970-01-01T00:00:00Z"
    assert len([h for h in told["config"]["history"] if not h.get("empty_layer")]) == len(told["layers"])


def test_other_tools_validate_and_unpack_it(redoubt, context, tmp_path):
    told = built(redoubt, context, RECIPE, "-t", "app:1")
    run("oci-image-tool", "validate", "--type", "image", "--ref", "name=app:1", redoubt.layout)
    files = files_of_copy(redoubt, told, tmp_path)
    assert files["srv/app/run"][:4] == ("file", "0o755", 0, 0)
    assert files["srv/app/files/one.txt"][:4] == ("file", "0o640", 1000, 2000)
    assert files["srv/app/files"] == ("folder", "0o755", 1000, 2000)
    assert files["srv/app/link"] == ("link", "main.py")
    assert files["srv/app/empty"][0] == "folder"
    assert files["with space/one.txt"][1] == "0o644"
    assert files["copied.py"][4] == hashlib.sha256(b"print('hello')\n").hexdigest()
    raw = run("skopeo", "inspect", "--raw", f"oci:{redoubt.layout}:app:1")
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == told["digest"]


def files_of_copy(redoubt, told, folder):
    shutil.rmtree(folder / "copy", ignore_errors=True)
    run("skopeo", "copy", "--preserve-digests", f"oci:{redoubt.layout}:{told['tag']}", f"oci:{folder}/copy:x")
    return files_of(folder / "copy", "x", folder)


def test_buildah_makes_the_same_files_and_the_same_configuration(redoubt, context, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("buildah with vfs needs root")
    (context / ".dockerignore").write_text("# not these\n**/*.bin\n!app/deep/keep.bin\napp/empty\n")
    (context / "app" / "deep" / "keep.bin").write_bytes(b"kept")
    told = built(redoubt, context, RECIPE, "-t", "app:1")
    ours = files_of_copy(redoubt, told, tmp_path)
    store = ["--storage-driver", "vfs", "--root", tmp_path / "root", "--runroot", tmp_path / "runroot"]
    run("buildah", *store, "bud", "--isolation", "chroot", "--timestamp", "0", "-t", "peer", "-f", context / "Dockerfile", context)
    run("buildah", *store, "push", "peer", f"oci:{tmp_path}/peer:x")
    theirs = files_of(tmp_path / "peer", "x", tmp_path)
    assert {name: entry[0] for name, entry in ours.items()} == {name: entry[0] for name, entry in theirs.items()}
    for name, entry in ours.items():
        # The folders on the way to a copied file belong to its owner (BuildKit) or to root (buildah).
        assert entry == theirs[name] or name == "srv/app/files", name
    peer = json.loads(run("skopeo", "inspect", "--config", f"oci:{tmp_path}/peer:x"))["config"]
    config = told["config"]["config"]
    for key in ["User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "StopSignal"]:
        assert config[key] == peer[key], key
    assert set(config["Env"]) <= set(peer["Env"])
    assert config["Labels"].items() <= peer["Labels"].items()


def test_what_an_image_without_a_path_has_for_one_is_dockers(redoubt, context, tmp_path):
    text = "FROM scratch\nCOPY . /x/\nENV PATH=/opt/bin:$PATH\n"
    (context / ".dockerignore").write_text("../one.txt\ntwo.txt\n")
    told = built(redoubt, context, text, "-t", "app:1")
    assert told["config"]["config"]["Env"] == ["PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    files = files_of_copy(redoubt, told, tmp_path)
    assert "x/one.txt" in files and "x/two.txt" not in files
    if os.geteuid() == 0:
        store = ["--storage-driver", "vfs", "--root", tmp_path / "root", "--runroot", tmp_path / "runroot"]
        run("buildah", *store, "bud", "--isolation", "chroot", "--timestamp", "0", "-t", "peer", "-f", context / "Dockerfile", context)
        run("buildah", *store, "push", "peer", f"oci:{tmp_path}/peer:x")
        assert json.loads(run("skopeo", "inspect", "--config", f"oci:{tmp_path}/peer:x"))["config"]["Env"] == told["config"]["config"]["Env"]
        assert {name for name in files_of(tmp_path / "peer", "x", tmp_path) if name.startswith("x/")} == {name for name in files if name.startswith("x/")}


def test_names_of_any_bytes_are_copied(redoubt, context, tmp_path):
    names = [b"system-systemd\\x2dcryptsetup.slice", b"\xff\xfe", b"two\nlines", b'"quoted"', "\u65e5\u672c".encode()]
    for name in names:
        pathlib.Path(os.fsdecode(os.fsencode(context / "app") + b"/" + name)).write_bytes(name)
    told = built(redoubt, context, "FROM scratch\nCOPY app /x/\n", "-t", "app:1")
    run("umoci", "unpack", "--image", f"{redoubt.layout}:{told['tag']}", tmp_path / "names")
    root = os.fsencode(tmp_path / "names" / "rootfs" / "x")
    assert set(names) <= set(os.listdir(root)) and all(open(root + b"/" + name, "rb").read() == name for name in names)


def test_the_digest_is_the_same_whatever_the_machine_is_used_to(redoubt, context, tmp_path):
    first = built(redoubt, context, RECIPE, "-t", "app:1")
    other = Redoubt(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.layout = tmp_path / "other" / "layout"
    moved = tmp_path / "elsewhere" / "context"
    moved.mkdir(parents=True)
    # Another order of creation, other times, another umask, an extended attribute, a hard link instead of a second file.
    for path in sorted(context.rglob("*"), reverse=True):
        target = moved / path.relative_to(context)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(os.readlink(path))
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, target)
            target.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
            os.utime(target, (1_000_000_000, 1_000_000_000))
    other.environment.update(LC_ALL="C.UTF-8", TZ="Asia/Tokyo", LANG="de_DE.UTF-8")
    old = os.umask(0o077)
    try:
        second = built(other, moved, RECIPE, "-t", "another:name")
    finally:
        os.umask(old)
    assert second["digest"] == first["digest"]
    other.environment["SOURCE_DATE_EPOCH"] = "1700000000"
    third = built(other, moved, RECIPE, "-t", "dated:1")
    assert third["digest"] != first["digest"] and third["config"]["created"] == "2023-11-14T22:13:20Z"
    other.environment["SOURCE_DATE_EPOCH"] = "yesterday"
    build(other, moved, RECIPE, "-t", "dated:2", expect=2)


def test_compressed_layers_are_the_same_layers(redoubt, context):
    plain = built(redoubt, context, RECIPE, "-t", "a:1")
    packed = built(redoubt, context, RECIPE, "-t", "b:1", "--compress", "gzip")
    assert [layer["diff_id"] for layer in plain["layers"]] == [layer["diff_id"] for layer in packed["layers"]]
    assert built(redoubt, context, RECIPE, "-t", "c:1", "--compress", "gzip")["digest"] == packed["digest"]
    run("oci-image-tool", "validate", "--type", "image", "--ref", "name=b:1", redoubt.layout)


def test_layers_are_shared_and_a_base_is_checked(redoubt, context, tmp_path):
    base = built(redoubt, context, "FROM scratch\nCOPY app /app\nENV A=1\nUSER 7\nCMD [\"/x\"]\n", "-t", "base:1", name="Base")
    for name in ["base:1", f"oci:{redoubt.layout}:base:1", base["digest"]]:
        child = built(redoubt, context, f"FROM {name}\nCOPY one.txt /app/\nENTRYPOINT [\"/app/run\"]\n", "-t", f"child:{hashlib.sha256(name.encode()).hexdigest()[:8]}")
        assert child["layers"][0] == base["layers"][0] and len(child["layers"]) == 2
        assert child["config"]["config"]["User"] == "7" and "A=1" in child["config"]["config"]["Env"]
        assert "Cmd" not in child["config"]["config"]
        assert child["bases"] == {name: base["digest"]}
    with tarfile.open(redoubt.layout / "blobs" / "sha256" / child["layers"][1]["digest"].removeprefix("sha256:")) as layer:
        assert layer.getnames() == ["app/one.txt"]  # what the base has is not written again
    # One changed byte anywhere below the base is found before anything is built on it.
    skopeo_made = tmp_path / "foreign"
    run("skopeo", "copy", "--dest-compress", f"oci:{redoubt.layout}:base:1", f"oci:{skopeo_made}:v1")
    child = built(redoubt, context, f"FROM oci:{skopeo_made}:v1\nCOPY two.txt /\n", "-t", "foreign:1")
    assert child["layers"][0]["diff_id"] == base["layers"][0]["diff_id"]
    for blob in sorted((skopeo_made / "blobs" / "sha256").iterdir()):
        before = blob.read_bytes()
        blob.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        told = json.loads(build(redoubt, context, f"FROM oci:{skopeo_made}:v1\nCOPY two.txt /\n", "-t", "changed:1", expect=4).stdout)
        assert told["error"]["code"] == "tampered"
        blob.write_bytes(before)


def test_a_base_with_links_is_built_on_as_it_runs(redoubt, context, tmp_path):
    """A merged /usr and a name out of /etc/passwd, in an image that tar and umoci made."""
    root = tmp_path / "root"
    for folder in ["usr/bin", "etc", "home/app"]:
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/x\napp:x:1234:4321::/home/app:/x\n")
    (root / "etc" / "group").write_text("app:x:4321:\nstaff:x:50:\n")
    run("umoci", "init", "--layout", tmp_path / "made")
    run("umoci", "new", "--image", f"{tmp_path}/made:base")
    run("umoci", "insert", "--image", f"{tmp_path}/made:base", root, "/")
    told = built(redoubt, context, f"FROM oci:{tmp_path}/made:base\nCOPY --chown=app:staff app/run /bin/\nCOPY --chown=app one.txt /home/app/one\nUSER app\nWORKDIR /home/app/work\n", "-t", "x:1")
    files = files_of_copy(redoubt, told, tmp_path)
    assert files["bin"] == ("link", "usr/bin") and files["usr/bin/run"][2:4] == (1234, 50)
    assert files["home/app/one"][2:4] == (1234, 4321) and files["home/app/work"][2:4] == (1234, 4321)
    # BuildKit: a group alone leaves root's user, and nothing behind the colon the user's own group.
    told = built(redoubt, context, f"FROM oci:{tmp_path}/made:base\nCOPY --chown=:staff one.txt /a\nCOPY --chown=app: one.txt /b\nCOPY --chown=:7 one.txt /c\n", "-t", "x:3")
    files = files_of_copy(redoubt, told, tmp_path)
    assert [files[name][2:4] for name in "abc"] == [(0, 50), (1234, 4321), (0, 7)]
    # A layer that names a file through the link: umoci unpacks it to where that leads.
    (tmp_path / "tool").write_text("a tool")
    run("tar", "-C", tmp_path, "--transform", "s,^,bin/,", "-cf", tmp_path / "layer.tar", "tool")
    run("umoci", "raw", "add-layer", "--image", f"{tmp_path}/made:base", "--tag", "more", tmp_path / "layer.tar")
    assert files_of(tmp_path / "made", "more", tmp_path)["usr/bin/tool"][0] == "file"
    told = built(redoubt, context, f"FROM scratch\nCOPY --from=oci:{tmp_path}/made:more /bin/tool /usr/bin/tool /both/\nCOPY --from=oci:{tmp_path}/made:more /usr/bin /all\n", "-t", "x:2")
    assert {"both/tool", "all/tool", "all/run"} & set(files_of_copy(redoubt, told, tmp_path)) == {"both/tool", "all/tool"}
    refused = json.loads(build(redoubt, context, f"FROM oci:{tmp_path}/made:base\nCOPY --chown=nobody one.txt /x\n", expect=1).stdout)
    assert "nobody" in refused["error"]["message"] and refused["error"]["where"].endswith("Dockerfile:2")


def test_what_a_base_has_for_those_who_build_on_it(redoubt, context, tmp_path):
    """Its shell runs their commands; instructions that it keeps for them are no silent part of the recipe."""
    layout = make_layout(tmp_path / "made", [context], config={"Shell": ["/bin/bash", "-o", "pipefail", "-c"]})
    told = built(redoubt, context, f"FROM oci:{layout}:v1\nENTRYPOINT exec run\nCMD serve $PORT\n", "-t", "x:1")["config"]["config"]
    assert told["Entrypoint"] == ["/bin/bash", "-o", "pipefail", "-c", "exec run"] and told["Cmd"] == ["/bin/bash", "-o", "pipefail", "-c", "serve $PORT"]
    layout = make_layout(tmp_path / "triggers", [context], config={"OnBuild": ["COPY . /app"]})
    refused = json.loads(build(redoubt, context, f"FROM oci:{layout}:v1\nUSER 1\n", expect=1).stdout)["error"]
    assert refused["code"] == "unsupported" and "ONBUILD" in refused["message"] and refused["where"].endswith("Dockerfile:1")
    built(redoubt, context, f"FROM scratch\nCOPY --from=oci:{layout}:v1 /one.txt /\n", "-t", "x:2")  # only who builds on it


def test_the_built_image_runs(redoubt, context, tmp_path):
    """A static program in an image from scratch, started from what umoci unpacked."""
    (tmp_path / "main.c").write_text('#include <unistd.h>\nint main() { return write(1, "from scratch\\n", 13) != 13; }\n')
    run("gcc", "-static", "-O1", "-o", context / "hello", tmp_path / "main.c")
    told = built(redoubt, context, 'FROM scratch\nCOPY hello /bin/\nUSER 65532\nENTRYPOINT ["/bin/hello"]\n', "-t", "hello:1")
    files_of_copy(redoubt, told, tmp_path)
    entry = told["config"]["config"]["Entrypoint"]
    assert run("bwrap", "--unshare-all", "--ro-bind", tmp_path / "bundle" / "rootfs", "/", *entry) == "from scratch\n"


WITNESS = r"""
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
  char folder[256];
  int written = open("/srv/written", O_CREAT | O_WRONLY, 0600);
  printf("uid %d gid %d groups %d in %s, %s, %s\n", getuid(), getgid(), getgroups(0, 0), getcwd(folder, sizeof folder), getenv("GREETING"),
         written < 0 && errno == EROFS ? "read-only" : "written");
  for (int i = 0; i < count; ++i) puts(words[i]);
  return 7;
}
"""


def test_crun_runs_the_image_as_its_user_on_a_read_only_root(redoubt, context, tmp_path):
    """The bundle as umoci unpacks it; what it is started as, where, and with what is the image's own word."""
    (tmp_path / "main.c").write_text(WITNESS)
    run("gcc", "-static", "-O1", "-o", context / "witness", tmp_path / "main.c")
    told = built(redoubt, context, "FROM scratch\nCOPY witness /bin/\nENV GREETING='from scratch'\nWORKDIR /srv\nUSER 65532:65533\n"
                                   'ENTRYPOINT ["/bin/witness", "an argument"]\nCMD ["of=CMD"]\n', "-t", "witness:1")
    files_of_copy(redoubt, told, tmp_path)
    file = tmp_path / "bundle" / "config.json"
    config = json.loads(file.read_text())
    assert config["process"]["user"] == {"uid": 65532, "gid": 65533}
    config["process"]["terminal"], config["root"]["readonly"] = False, True
    file.write_text(json.dumps(config))
    # crun refuses a machine whose cgroups are of both versions; it needs none here, and is shown those of the second alone.
    command = 'mount -t cgroup2 none /sys/fs/cgroup && exec crun --cgroup-manager=disabled --root "$0" run --bundle "$1" witness'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command, tmp_path / "state", tmp_path / "bundle"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stdout + done.stderr
    assert done.stdout == "uid 65532 gid 65533 groups 0 in /srv, from scratch, read-only\n/bin/witness\nan argument\nof=CMD\n"


@pytest.mark.parametrize("text,place", [
    ("FROM scratch\nRUN true\n", 2), ("FROM scratch\n\nADD one.txt /\n", 3), ("FROM scratch\nCOPY ../x /\n", 2), ("FROM scratch\nCOPY missing /\n", 2),
    ("FROM scratch\nCOPY one.txt two.txt /x\n", 2), ("FROM scratch\nCOPY --chmod=u+x one.txt /\n", 2), ("FROM scratch\nEXPOSE 99999\n", 2), ("FROM scratch\nSTOPSIGNAL NOPE\n", 2),
    ("FROM scratch\nUSER\n", 2), ("FROM scratch\nUSER 4294967296\n", 2), ("FROM scratch\nUSER 1:2:3\n", 2), ("FROM scratch\nCOPY <<EOF /x\na\nEOF\n", 2), ("FROM no-such-image\n", 1), ("FROM docker.io/library/debian:12\n", 1), ("FROM scratch AS a\nFROM scratch AS A\n", 2),
    ("USER 1\nFROM scratch\n", 1), ("FROM scratch\nENV A\n", 2), ("FROM scratch\nCOPY --from=later one.txt /\n", 2), ("FROM scratch\nCOPY 'one.txt /x\n", 2), ("FROM scratch\nWORKDIR ../..\n", 2),
    ("FROM scratch\nCOPY app /x\nCOPY one.txt /x/main.py/y\n", 3), ("FROM ${NONE}\n", 1), ("FROM scratch\nSHELL [\"/bin/sh\"]\n", 2), ("# syntax=evil/frontend\nFROM scratch\n", 1)])
def test_what_is_not_taken_is_refused_with_its_line(redoubt, context, text, place):
    told = json.loads(build(redoubt, context, text, expect=None).stdout)
    assert told["error"]["where"].endswith(f"Dockerfile:{place}"), told
    assert not (redoubt.layout / "index.json").exists() or json.loads((redoubt.layout / "index.json").read_text())["manifests"] == []


def test_nothing_outside_of_the_folder_gets_in(redoubt, context, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("out of bounds")
    (context / "out").symlink_to(secret / "key")
    (context / "folder").symlink_to(secret)
    (context / "app" / "climbs").symlink_to("../../secret/key")
    for source in ["out", "folder", "folder/key", "/etc/passwd", "app/../../secret/key", "./../secret/key"]:
        assert build(redoubt, context, f"FROM scratch\nCOPY {source} /x\n", expect=None).returncode in (1, 2, 3), source
    # A link in a copied folder is copied as a link, never as what it leads to.
    told = built(redoubt, context, "FROM scratch\nCOPY app /app\n", "-t", "l:1")
    assert files_of_copy(redoubt, told, tmp_path)["app/climbs"] == ("link", "../../secret/key")
    (context / "app" / "climbs").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(context)  # a socket's path may be 107 bytes long
        listener.bind("app/s")
        assert "socket" in build(redoubt, context, "FROM scratch\nCOPY app /app\n", expect=2).stdout
        (context / ".dockerignore").write_text("app/s\n")
        build(redoubt, context, "FROM scratch\nCOPY app /app\n", "-t", "ignored:1")


def test_a_declaration_gives_what_the_dockerfile_gives(redoubt, context, tmp_path):
    dockerfile = built(redoubt, context, 'FROM scratch\nENV A="1 2"\nWORKDIR /srv\nCOPY app .\nCOPY --chown=5:6 --chmod=600 one.txt two.txt /data/\nLABEL l=v\nEXPOSE 80\nUSER 5\nENTRYPOINT ["/srv/run"]\nCMD ["x"]\n', "-t", "d:1")
    declaration = built(redoubt, context, """version: 1
name: declared:1
from: scratch
environment: {A: "1 2"}
workdir: /srv
files:
  - {copy: [app], to: .}
  - copy: [one.txt, two.txt]
    to: /data/
    owner: "5:6"
    mode: "600"
labels: {l: v}
expose: ["80"]
user: "5"
entrypoint: [/srv/run]
command: [x]
""", name="image.yaml")
    assert declaration["tag"] == "declared:1" and declaration["config"]["config"] == dockerfile["config"]["config"]
    assert [l["digest"] for l in declaration["layers"]] == [l["digest"] for l in dockerfile["layers"]]
    text = built(redoubt, context, "version: 1\nfrom: scratch\nfiles:\n  - {text: \"a: b\\n\", to: /etc/app.conf, owner: \"1:1\"}\n", "-t", "t:1", name="image.yaml")
    assert files_of_copy(redoubt, text, tmp_path)["etc/app.conf"][4] == hashlib.sha256(b"a: b\n").hexdigest()
    for bad, line in [("version: 1\nfrom: scratch\nfile: []\n", 3), ("version: 1\nfrom: scratch\nfiles:\n  - {to: /x}\n", 4), ("version: 1\nfrom: scratch\nfiles:\n  - {copy: [../x], to: /x}\n", 4),
                      ("version: 1\nfrom: scratch\nexpose: [\"x\"]\n", 3), ("version: 1\nfrom: nowhere\n", 2), ("version: 1\nfrom: scratch\nenvironment: {A: 1}\n", 3)]:
        told = json.loads(build(redoubt, context, bad, expect=None, name="image.yaml").stdout)
        assert told["error"]["where"].endswith(f"image.yaml:{line}"), (bad, told)


def test_arguments(redoubt, context):
    text = "ARG BASE=scratch\nARG V=1\nFROM $BASE\nARG V\nARG W=${V}x\nENV V=$V W=$W N=${NOT_SET:-none} P=$TARGETARCH\n"
    assert built(redoubt, context, text, "-t", "a:1")["config"]["config"]["Env"] == ["V=1", "W=1x", "N=none", "P="]
    assert built(redoubt, context, text, "-t", "a:2", "--build-arg", "V=7")["config"]["config"]["Env"][:2] == ["V=7", "W=7x"]
    assert "UNKNOWN" in build(redoubt, context, text, "--build-arg", "UNKNOWN=1", expect=2).stdout
    target = "FROM scratch AS a\nENV A=1\nFROM scratch AS b\nENV B=1\n"
    assert built(redoubt, context, target, "--target", "a", "-t", "s:1")["config"]["config"]["Env"] == ["A=1"]
    build(redoubt, context, target, "--target", "c", expect=1)


def test_what_the_policy_marks_stops_the_build(redoubt, context):
    key = "AKIA" + "QWERTYUIOPASDFGH"
    (context / "leak.txt").write_text("key = " + key)
    for text, rule in [("FROM scratch\nENV DB_PASSWORD=hunter22\n", "RD1001"), ("FROM scratch\nCOPY leak.txt /\n", "RD1002"), ("FROM scratch\nCOPY --chmod=4755 app/run /run\n", "RD1003"),
                       ("FROM scratch\nCOPY --chmod=666 one.txt /one\n", "RD1004")]:
        told = build(redoubt, context, text, "-t", "x:1", expect=3)
        assert rule in json.loads(told.stdout)["error"]["message"] and key not in told.stdout + told.stderr
        assert json.loads((redoubt.layout / "index.json").read_text())["manifests"] == []
    policy = context / "policy.yaml"
    policy.write_text("version: 1\nrules: {RD1005: error, RD1004: \"off\"}\n")
    build(redoubt, context, "FROM scratch\nCOPY one.txt /one\n", "-t", "root:1", "--lint-policy", policy, expect=3)
    build(redoubt, context, "FROM scratch\nCOPY --chmod=666 one.txt /one\nUSER 1\n", "-t", "user:1", "--lint-policy", policy)
    policy.write_text("version: 1\nrules: {RD9: error}\n")
    build(redoubt, context, "FROM scratch\n", "--lint-policy", policy, expect=2)


def test_in_a_workspace_the_build_is_on_record_and_tags_do_not_move(redoubt, context):
    redoubt("init")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY one.txt /\nUSER 1\n")
    told = redoubt.json("image", "build", context, "-t", "rec:1")
    assert redoubt.json("image", "build", context, "-t", "rec:1")["digest"] == told["digest"]
    (context / "one.txt").write_text("changed")
    assert json.loads(redoubt("--json", "image", "build", context, "-t", "rec:1", expect=1).stdout)["error"]["code"] == "already_exists"
    named = redoubt.json("image", "build", context)
    assert named["tag"] == "context:" + named["digest"][7:19]
    assert {"rec:1", named["tag"]} <= {image["tag"] for image in redoubt.json("image", "list")}
    assert "image-build" in redoubt("audit", "query").stdout and redoubt.json("audit", "verify")["ok"]
