# SPDX-License-Identifier: Apache-2.0
"""The packages of images that tests make by the packages' own tools: rpm, go, objcopy, zip; layouts, archives and root folders alike; bills of
materials as CycloneDX's and SPDX's validators read them."""
import json
import os
import pathlib
import shutil
import subprocess
import zipfile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from image_files import (audited_program, build_rpm, install_rpms, jar, layer_of, make_docker_archive, make_layout, os_release, pom, python_package, write)

BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def redoubt(*arguments, expect=0, cwd=None):
    environment = {**os.environ, "REDOUBT_WORKSPACE": "/nonexistent/workspace"}
    done = subprocess.run([BUILD / "redoubt", *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=cwd)
    if expect is not None:
        assert done.returncode == expect, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


def purls(reference, *more, expect=0):
    told = json.loads(redoubt("image", "sbom", reference, *more, expect=expect).stdout)
    return {c["purl"] for c in told["components"] if "purl" in c}


def bare(all_purls):
    return {purl.split("?")[0] for purl in all_purls}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One root with a package of each kind."""
    folder = tmp_path_factory.mktemp("mixed")
    root = folder / "root"
    os_release(root)
    write(root, "var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\nMaintainer: GNU Libc Maintainers <x@example.org>\n"
                                       "Depends: libgcc-s1\nHomepage: https://www.gnu.org\n\nPackage: libgcc-s1\nStatus: install ok installed\nArchitecture: amd64\nSource: gcc-12\nVersion: 12.2.0-14\n")
    write(root, "usr/share/doc/libc6/copyright", "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: LGPL-2.1+\n")
    python_package(root, "Flask", "2.0.1")
    write(root, "app/node_modules/@scope/a/package.json", '{"name": "@scope/a", "version": "1.2.3", "license": "ISC", "dependencies": {"left": "1"}}')
    write(root, "app/node_modules/left/package.json", '{"name": "left", "version": "1.0.0", "license": "a licence of its own"}')
    inner = jar(pom("org.inner", "deep", "0.9"))
    write(root, "app/server.war", jar({**pom("com.acme", "server", "3.1"), "WEB-INF/lib/deep-0.9.jar": inner, "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"}))
    write(root, "app/commons-text-1.9.jar", jar({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\nImplementation-Vendor-Id: org.apache.commons\nImplementation-Version: 1.9\n"}))
    write(root, "usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.8.gemspec", 'Gem::Specification.new do |s|\n  s.name = "rack".freeze\n  s.version = "2.2.8"\nend\n')
    section = write(folder, "audit", audited_program([{"name": "app", "version": "0.1.0", "source": "local", "root": True, "dependencies": [1]}, {"name": "serde", "version": "1.0.1", "source": "crates.io"},
                                                      {"name": "cc", "version": "1.0.9", "source": "crates.io", "kind": "build"}]))
    program = root / "usr" / "bin" / "tool"
    program.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--add-section", f".dep-v0={section}", "/bin/true", program], check=True)
    program.chmod(0o755)
    return root


EXPECTED = {"pkg:deb/debian/libc6@2.36-9", "pkg:deb/debian/libgcc-s1@12.2.0-14", "pkg:pypi/flask@2.0.1", "pkg:npm/%40scope/a@1.2.3", "pkg:npm/left@1.0.0", "pkg:maven/com.acme/server@3.1",
            "pkg:maven/org.inner/deep@0.9", "pkg:maven/org.apache.commons/commons-text@1.9", "pkg:gem/rack@2.2.8", "pkg:cargo/app@0.1.0", "pkg:cargo/serde@1.0.1"}


def test_every_kind_is_found_in_folders_layouts_and_archives(mixed, tmp_path):
    assert bare(purls(mixed)) == EXPECTED
    for compression in ["gzip", "zstd", "none"]:
        assert bare(purls(make_layout(tmp_path / compression, [mixed], compression=compression))) == EXPECTED
    assert bare(purls(make_docker_archive(tmp_path / "saved.tar", [mixed]))) == EXPECTED
    layout = make_layout(tmp_path / "many", [mixed], tag="one")
    other = tmp_path / "other"
    python_package(other, "other", "1")
    make_layout(layout, [other], tag="two")
    assert bare(purls(f"{layout}:one")) == EXPECTED
    assert bare(purls(f"{layout}:two")) == {"pkg:pypi/other@1"}
    assert "several images" in redoubt("image", "sbom", layout, expect=1).stderr
    subprocess.run(["tar", "-C", layout, "-cf", tmp_path / "oci.tar", "."], check=True)
    assert bare(purls(f"{tmp_path / 'oci.tar'}:one")) == EXPECTED


def test_whiteouts_of_later_layers_count(tmp_path):
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for name in ["kept", "gone", "opaque"]:
        python_package(lower, name, "1", prefix=f"srv/{name}")
    python_package(upper, "new", "2", prefix="srv/opaque")
    layout = make_layout(tmp_path / "layout", [lower, layer_of(upper, ["srv/.wh.gone", "srv/opaque/.wh..wh..opq"])])
    assert bare(purls(layout)) == {"pkg:pypi/kept@1", "pkg:pypi/new@2"}


def test_packages_that_pnpm_links_to_its_store_are_found_wherever_the_store_lies(tmp_path):
    root = tmp_path / "root"
    store = write(root, "a-store/v10/files/3f/0a1b", '{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}')
    bundle = write(root, "a-store/v10/files/77/c2d3", jar(pom("org.example", "tool", "2.0")))
    linked = root / "app" / "node_modules" / ".pnpm" / "left-pad@1.3.0" / "node_modules" / "left-pad" / "package.json"
    linked.parent.mkdir(parents=True)
    linked.hardlink_to(store)
    (root / "app" / "lib").mkdir()
    (root / "app" / "lib" / "tool.jar").hardlink_to(bundle)
    expected = {"pkg:npm/left-pad@1.3.0", "pkg:maven/org.example/tool@2.0"}
    assert bare(purls(root)) == expected
    for order in [["a-store", "app"], ["app", "a-store"]]:
        layer = tmp_path / ("-".join(order) + ".tar")
        subprocess.run(["tar", "-C", root, "-cf", layer, *order], check=True)
        layout = make_layout(tmp_path / layer.stem, [layer.read_bytes()])
        assert bare(purls(layout)) == expected and "redoubt:problem" not in redoubt("image", "sbom", layout).stdout, order


def test_records_in_another_encoding_are_listed(tmp_path):
    root = tmp_path / "root"
    os_release(root)
    write(root, "var/lib/dpkg/status", "Package: libx\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\nMaintainer: J\xf6rg M\xfcller <j@example.org>\n".encode("latin-1"))
    write(root, "usr/lib/python3/dist-packages/old-1.0.egg-info", "Metadata-Version: 1.0\nName: old\nVersion: 1.0\nAuthor: Andr\xe9\n".encode("latin-1"))
    for form in ["cyclonedx", "spdx"]:
        for more in [[], ["--json"]]:
            text = redoubt("image", "sbom", root, "--format", form, *more).stdout
            assert "pkg:deb/debian/libx@1.0-1" in text and "pkg:pypi/old@1.0" in text and "J\ufffdrg" in text


def test_documents_are_valid(mixed):
    pytest.importorskip("spdx_tools")
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    text = redoubt("image", "sbom", mixed).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    sbom = json.loads(text)
    for component in sbom["components"]:
        if "purl" in component:
            assert PackageURL.from_string(component["purl"]).to_string() == component["purl"]
    assert {"type": "operating-system", "name": "debian"}.items() <= sbom["components"][0].items()
    needs = {each["ref"].split("?")[0]: {to.split("?")[0] for to in each["dependsOn"]} for each in sbom["dependencies"]}
    assert needs["pkg:deb/debian/libc6@2.36-9"] == {"pkg:deb/debian/libgcc-s1@12.2.0-14"}
    assert needs["pkg:npm/%40scope/a@1.2.3"] == {"pkg:npm/left@1.0.0"}
    document = mixed.parent / "spdx.json"
    document.write_text(redoubt("image", "sbom", mixed, "--format", "spdx").stdout)
    assert validate_full_spdx_document(parse_file(str(document))) == []
    spdx = json.loads(document.read_text())
    told = {ref["referenceLocator"] for package in spdx["packages"] for ref in package.get("externalRefs", [])}
    assert bare(told) == EXPECTED


def test_documents_stay_valid_for_names_in_two_writings_and_empty_licences(tmp_path):
    pytest.importorskip("spdx_tools")
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    root = tmp_path / "root"
    os_release(root)
    write(root, "var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2~rc1+dfsg-1\n")
    python_package(root, "PyYAML", "6.0")
    python_package(root, "pyyaml", "6.0", prefix="opt/venv/lib")
    write(root, "app/node_modules/x/package.json", '{"name": "x", "version": "1.0.0", "license": ""}')
    told = json.loads(redoubt("image", "sbom", root).stdout)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(told)) is None
    assert [c["purl"] for c in told["components"] if c["name"].lower() == "pyyaml"] == ["pkg:pypi/pyyaml@6.0"]
    document = tmp_path / "image.spdx.json"
    document.write_text(redoubt("image", "sbom", root, "--format", "spdx").stdout)
    assert validate_full_spdx_document(parse_file(str(document))) == []


def test_a_jar_that_starts_itself_is_read_as_java_reads_it(tmp_path):
    root = tmp_path / "root"
    os_release(root)
    write(root, "var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n")
    inner = jar(pom("org.inner", "deep", "0.9"))
    path = write(root, "app/server.jar", b"#!/bin/bash\nexec java -jar \"$0\" \"$@\"\n" + jar({**pom("com.acme", "server", "3.1"), "BOOT-INF/lib/deep-0.9.jar": inner}))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    told = json.loads(redoubt("image", "sbom", root).stdout)
    assert {"pkg:maven/com.acme/server@3.1", "pkg:maven/org.inner/deep@0.9"} < {c.get("purl") for c in told["components"]} and "properties" not in told


def test_a_jar_without_coordinates_is_named_by_its_file(tmp_path):
    """As Trivy and Syft read these names."""
    root = tmp_path / "root"
    names = {"commons-text-1.9": ("commons-text", "1.9"), "log4j-1.2-api-2.17.1": ("log4j-1.2-api", "2.17.1"), "hibernate-jpa-2.1-api-1.0.2.Final": ("hibernate-jpa-2.1-api", "1.0.2.Final"),
             "guava-31.1-jre": ("guava", "31.1-jre"), "postgresql-9.4-1201-jdbc41": ("postgresql", "9.4-1201-jdbc41"), "lib-1.0-beta-2": ("lib", "1.0-beta-2"), "plain": ("plain", ""), "x-2.0-SNAPSHOT": ("x", "2.0-SNAPSHOT")}
    for name in names:
        write(root, f"app/{name}.jar", jar({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"}))
    told = json.loads(redoubt("image", "sbom", root).stdout)
    found = {(c["name"].split(":")[1], c.get("version", "")) for c in told["components"] if c.get("purl", "").startswith("pkg:maven/")}
    assert found == set(names.values())


def test_go_programs_tell_of_their_modules(tmp_path):
    if not shutil.which("go"):
        pytest.skip("no go")
    source = tmp_path / "source"
    write(source, "go.mod", "module example.org/app\n\ngo 1.19\n")
    write(source, "main.go", 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("x") }\n')
    root = tmp_path / "root"
    environment = {**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false", "GOPROXY": "off", "CGO_ENABLED": "0", "GOCACHE": str(tmp_path / "cache")}
    subprocess.run(["go", "build", "-o", root / "app", "."], cwd=source, env=environment, check=True, capture_output=True)
    version = subprocess.run(["go", "version", root / "app"], capture_output=True, text=True, check=True).stdout.split()[-1].removeprefix("go")
    while version.count(".") < 2:
        version += ".0"
    assert bare(purls(root)) == {"pkg:golang/example.org/app", f"pkg:golang/stdlib@{version}"}
    whole = (root / "app").read_bytes()
    at = whole.index(b"\xff Go buildinf:")
    # A length that leaves the file: an error is told, never "no packages".
    (root / "app").write_bytes(whole[:at + 32] + b"\xff\xff\xff\xff\x7f" + whole[at + 37:])
    assert "damaged" in redoubt("image", "sbom", root, expect=1).stderr


@pytest.mark.parametrize("backend", ["sqlite", "ndb", "berkeley"])
def test_rpm_databases(tmp_path, backend):
    assert shutil.which("rpmbuild"), "scripts/setup --tests installs rpm"
    root = tmp_path / "root"
    os_release(root, 'ID="rocky"\nVERSION_ID="9.3"\n')
    rpms = [build_rpm(tmp_path, "alpha", "1.2", requires=["beta"]), build_rpm(tmp_path, "beta", "3.4~rc1", epoch=2)]
    database = install_rpms(root, rpms, backend)
    told = purls(root)
    assert {purl.split("?")[0] for purl in told} == {"pkg:rpm/rocky/alpha@1.2-1", "pkg:rpm/rocky/beta@3.4~rc1-1"}
    assert any("epoch=2" in purl for purl in told)
    if backend == "sqlite":
        queried = subprocess.run(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-qa", "--qf", "%{NAME}@%{VERSION}-%{RELEASE}\\n"], capture_output=True, text=True, check=True).stdout
        assert {purl.split("?")[0].rsplit("/", 1)[1] for purl in told} == set(queried.split())
    whole = database.read_bytes()
    for cut in [0, 10, len(whole) // 2, len(whole) - 100]:
        database.write_bytes(whole[:cut])
        assert "RPM's database can't be read" in redoubt("image", "sbom", root, expect=2).stderr, cut


def test_an_rpm_owns_the_python_packages_among_its_files_and_meets_needs_by_what_it_provides(tmp_path):
    root, site = tmp_path / "root", "/usr/lib/python3.9/site-packages"
    os_release(root, 'ID="rocky"\nVERSION_ID="9.3"\n')
    files = [f"{site}/urllib3-1.26.5.dist-info/METADATA", f"{site}/urllib3/__init__.py", f"{site}/six-1.15.0-py3.9.egg-info"]
    install_rpms(root, [build_rpm(tmp_path, "python3-urllib3", "1.26.5", release="5.el9", requires=["libneeded.so.1()(64bit)"], files=files), build_rpm(tmp_path, "needed", "1", provides=["libneeded.so.1()(64bit)"])])
    python_package(root, "urllib3", "1.26.5", prefix=site[1:])
    write(root, files[2][1:], "Metadata-Version: 1.2\nName: six\nVersion: 1.15.0\n")
    python_package(root, "requests", "2.0.0", prefix="usr/local/lib/python3.9/site-packages")
    told = json.loads(redoubt("image", "sbom", root).stdout)
    owners = {component["name"]: {each["name"]: each["value"] for each in component["properties"]}.get("redoubt:owner") for component in told["components"] if component.get("purl", "").startswith("pkg:pypi/")}
    assert owners == {"urllib3": "python3-urllib3", "six": "python3-urllib3", "requests": None}
    needs = {each["ref"]: each["dependsOn"] for each in told["dependencies"]}
    rpms = {purl.split("/")[2].split("@")[0]: purl for purl in needs if purl.startswith("pkg:rpm/")}
    assert needs[rpms["python3-urllib3"]] == [rpms["needed"]]


def test_what_cannot_be_read_is_never_no_packages(tmp_path):
    root = tmp_path / "root"
    os_release(root)
    assert "no packages in a database of dpkg" in redoubt("image", "sbom", root, expect=1).stderr
    write(root, "var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\n")
    redoubt("image", "sbom", root, expect=2)
    redoubt("image", "sbom", tmp_path / "nothing", expect=1)
    write(tmp_path, "text.tar", "no archive")
    redoubt("image", "sbom", tmp_path / "text.tar", expect=2)
    other = tmp_path / "other"
    python_package(other, "a", "1")
    layout = make_layout(tmp_path / "layout", [other])
    blobs = sorted((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    for blob in blobs:
        if b"rootfs" in blob.read_bytes():
            continue  # the configuration is not needed
        before = blob.read_bytes()
        for broken in [before[:-1], before[:-1] + bytes([before[-1] ^ 1])]:
            blob.write_bytes(broken)
            assert redoubt("image", "sbom", layout, expect=None).returncode in (1, 2, 4), blob
        blob.write_bytes(before)
    assert bare(purls(layout)) == {"pkg:pypi/a@1"}


def test_python_packages_of_debians_are_named_as_dpkg_names_them(tmp_path):
    """This machine's own, or else one that the test makes: `dpkg -S` says whose each file is."""
    root = tmp_path / "root"
    for place in [pathlib.Path("/etc/os-release"), pathlib.Path("/var/lib/dpkg/status"), *pathlib.Path("/var/lib/dpkg/info").glob("*.list")]:
        write(root, str(place).lstrip("/"), place.read_text())
    records = [path for pattern in ("*.dist-info/METADATA", "*.egg-info/PKG-INFO", "*.egg-info") for path in pathlib.Path("/usr/lib/python3/dist-packages").glob(pattern) if path.is_file()]
    if not records:
        pytest.skip("no Python package of Debian's is installed here")
    for record in records:
        write(root, str(record).lstrip("/"), record.read_text())
    python_package(root, "requests", "2.0.0", prefix="usr/local/lib/python3.11/dist-packages")
    expected = {"usr/local/lib/python3.11/dist-packages/requests-2.0.0.dist-info/METADATA": None}
    for record in records:
        owner = subprocess.run(["dpkg", "-S", record], capture_output=True, text=True)
        expected[str(record).lstrip("/")] = owner.stdout.split(":")[0] if owner.returncode == 0 else None
    told = {}
    for component in json.loads(redoubt("image", "sbom", root).stdout)["components"]:
        properties = [(each["name"], each["value"]) for each in component["properties"]]
        if ("redoubt:ecosystem", "PyPI") in properties:
            told |= {value: dict(properties).get("redoubt:owner") for name, value in properties if name == "redoubt:place"}
    assert told == expected and any(expected.values())


def test_the_bill_of_a_model_is_valid(tmp_path):
    model = tmp_path / "model"
    write(model, "model.safetensors", b"weights")
    write(model, "config.json", '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    write(model, "README.md", "---\nlicense: apache-2.0\nbase_model: acme/base\ndatasets: [acme/rows]\npipeline_tag: text-generation\nmodel-index:\n- name: m\n  results:\n  - dataset: {name: rows, type: rows}\n    metrics: [{type: loss, value: 1.5}]\n---\n")
    text = redoubt("model", "sbom", model).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    component = json.loads(text)["metadata"]["component"]
    assert component["type"] == "machine-learning-model" and component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] == "1.5"
    redoubt("model", "sbom", tmp_path, "--nothing", expect=2)
    redoubt("model", "sbom", tmp_path / "none", expect=1)
