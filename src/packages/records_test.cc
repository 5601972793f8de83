// SPDX-License-Identifier: Apache-2.0
//
// Records of packages, whole and damaged. What rpm, syft and others say about the same images is asked in tests/oracle/image_packages_test.py.
#include "packages/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace redoubt::packages {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

const Distribution kDebian{"debian", "12", "bookworm", "Debian 12"};
const Distribution kAlpine{"alpine", "3.18.4", "", "Alpine 3.18"};

TEST(OsRelease, names_the_ecosystem_that_osv_has) {
  const auto ecosystem = [](const std::string& text) { return parse_os_release(text, "os-release")->ecosystem(); };
  EXPECT_EQ(ecosystem("ID=debian\nVERSION_ID=\"12\"\n"), "Debian:12");
  EXPECT_EQ(ecosystem("ID=debian\nVERSION_CODENAME=trixie\n"), "Debian:13");
  EXPECT_EQ(ecosystem("ID=ubuntu\nVERSION_ID=\"22.04\"\n"), "Ubuntu:22.04:LTS");
  EXPECT_EQ(ecosystem("ID=ubuntu\nVERSION_ID=\"23.10\"\n"), "Ubuntu:23.10");
  EXPECT_EQ(ecosystem("ID=alpine\nVERSION_ID=3.18.4\n"), "Alpine:v3.18");
  EXPECT_EQ(ecosystem("ID=azurelinux\nVERSION_ID=\"3.0\"\n"), "Azure Linux:3");
  EXPECT_EQ(ecosystem("ID='rocky'\nVERSION_ID='9.3'\n"), "Rocky Linux:9");
  EXPECT_EQ(ecosystem("ID=\"opensuse-leap\"\nVERSION_ID=\"15.5\"\n"), "openSUSE:Leap 15.5");
  EXPECT_EQ(ecosystem("ID=sles\nVERSION_ID=\"15.5\"\n"), "SUSE:Linux Enterprise Server 15 SP5");
  EXPECT_EQ(ecosystem("ID=fedora\nVERSION_ID=41\n"), "fedora:41");
  EXPECT_FALSE(parse_os_release("NAME=x\n", "os-release"));
}

TEST(Purl, is_escaped_as_the_specification_says) {
  EXPECT_EQ(make_purl("deb", "debian", "libstdc++6", "12.2.0-14+deb12u1", {{"distro", "debian-12"}, {"arch", "amd64"}}), "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12");
  EXPECT_EQ(make_purl("npm", "@angular", "core", "1.0.0"), "pkg:npm/%40angular/core@1.0.0");
  EXPECT_EQ(make_purl("golang", "github.com/a", "b", "v1.0.0"), "pkg:golang/github.com/a/b@v1.0.0");
}

TEST(Dpkg, what_is_installed_is_listed_with_its_source) {
  const auto packages = read_dpkg_status("Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\nDepends: libgcc-s1, libcrypt1 (>= 1) | other\n\n"
                                         "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
                                         "Package: cpp\nStatus: install ok unpacked\nSource: gcc-defaults (1.203)\nVersion: 4:12.2.0-3\nDescription: x\n continued: line\n", "status", kDebian);
  ASSERT_TRUE(packages);
  ASSERT_EQ(packages->size(), 2u);
  EXPECT_EQ((*packages)[0].source, "glibc");
  EXPECT_THAT((*packages)[0].needs, ElementsAre("libgcc-s1", "libcrypt1"));
  EXPECT_EQ((*packages)[1].source_version, "1.203");
  EXPECT_EQ((*packages)[0].purl, "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc");
}

TEST(Dpkg, a_database_that_is_cut_off_is_an_error) {
  for (const char* text : {"Package: libc6\nStatus: install ok installed\n", "Version: 1\nStatus: install ok installed\n", "Package: a\nVersion: 1\nStatus: install ok installed\n\nPackage: b\nStat"}) {
    EXPECT_EQ(read_dpkg_status(text, "status", kDebian).error().code, ErrorCode::invalid_argument) << text;
  }
}

TEST(DebianLicences, come_out_of_the_machine_readable_form_alone) {
  EXPECT_THAT(read_debian_licences("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\nLicense: MIT\n"), ElementsAre("GPL-2+", "MIT"));
  EXPECT_TRUE(read_debian_licences("This is free software. License: yes\n").empty());
}

TEST(Apk, origins_and_what_provides_a_need) {
  const auto packages = read_apk_installed("C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\np:so:libc.musl-x86_64.so.1=1\n\nP:busybox-binsh\nV:1.36.1-r5\no:busybox\nD:so:libc.musl-x86_64.so.1 busybox=1.36.1-r5\nF:bin\nR:sh\n", "installed", kAlpine);
  ASSERT_TRUE(packages);
  EXPECT_EQ((*packages)[1].source, "busybox");
  EXPECT_THAT((*packages)[1].needs, ElementsAre("musl"));
  EXPECT_EQ((*packages)[0].purl, "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4");
  const auto python = *read_apk_installed("P:py3-requests\nV:2.31.0-r1\nF:usr/lib/python3.11/site-packages/requests-2.31.0.dist-info\nR:METADATA\nR:RECORD\nF:usr/bin\nR:x\n", "installed", kAlpine);
  EXPECT_EQ(python[0].python_records, std::vector<std::string>{"usr/lib/python3.11/site-packages/requests-2.31.0.dist-info/METADATA"});
  for (const char* text : {"P:musl\n", "P:musl\nV:1\n\nV:2\n", "P:musl\nV:1\nnonsense\n", "P:a\nV:1\n\nP:b"}) EXPECT_FALSE(read_apk_installed(text, "installed", kAlpine)) << text;
}

TEST(Python, metadata_ends_with_its_headers) {
  const auto package = read_python_metadata("Metadata-Version: 2.1\nName: Flask\nVersion: 2.0.1\nLicense-Expression: BSD-3-Clause\nRequires-Dist: Werkzeug (>=2.0)\nRequires-Dist: python-dotenv ; extra == 'dotenv'\n\nVersion: 9\n", "METADATA");
  ASSERT_TRUE(package);
  EXPECT_EQ(package->version, "2.0.1");
  EXPECT_THAT(package->needs, ElementsAre("werkzeug"));
  EXPECT_THAT(package->licences, ElementsAre("BSD-3-Clause"));
  EXPECT_FALSE(read_python_metadata("Name: x\n\nVersion: 1\n", "METADATA"));
  EXPECT_FALSE(read_python_metadata("", "METADATA"));
}

TEST(Npm, packages_and_lock_files) {
  const auto package = read_npm_package(R"({"name":"@scope/a","version":"1.2.3","license":{"type":"MIT"},"dependencies":{"b":"^1"}})", "package.json");
  ASSERT_TRUE(package);
  EXPECT_EQ(package->purl, "pkg:npm/%40scope/a@1.2.3");
  EXPECT_EQ(read_npm_package(R"({"type":"module"})", "p").error().code, ErrorCode::not_found);
  EXPECT_EQ(read_npm_package("{", "p").error().code, ErrorCode::invalid_argument);
  const auto lock = read_npm_lock(R"({"lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0"},"node_modules/a":{"version":"2.0.0","integrity":"sha512-AAAA"},"node_modules/a/node_modules/@s/b":{"version":"3.0.0"},"packages/x":{"version":"1.0.0"},"node_modules/x":{"link":true}}})", "l");
  ASSERT_TRUE(lock);
  ASSERT_EQ(lock->size(), 2u);
  EXPECT_EQ((*lock)[1].name, "@s/b");
  const auto old = read_npm_lock(R"({"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}},"g":{"version":"git+https://x/y"}}})", "l");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->size(), 2u);
  const auto yarn = read_yarn_lock("# yarn lockfile v1\n\n\"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.1.0\"\n  resolved \"https://x\"\n\nb@^2:\n  version \"2.0.0\"\n", "y");
  ASSERT_TRUE(yarn);
  EXPECT_EQ((*yarn)[0].name, "@s/a");
  EXPECT_EQ((*yarn)[1].version, "2.0.0");
}

TEST(Npm, what_is_installed_under_another_name_is_named_as_it_is) {
  const auto old = read_npm_lock(R"({"dependencies":{"al":{"version":"npm:real@2.0.0"},"other":{"version":"npm:@s/b@1.0.0"}}})", "l");
  ASSERT_TRUE(old);
  ASSERT_EQ(old->size(), 2u);
  EXPECT_EQ((*old)[0].purl, "pkg:npm/real@2.0.0");
  EXPECT_EQ((*old)[1].purl, "pkg:npm/%40s/b@1.0.0");
  const auto first = read_yarn_lock("\"al@npm:real@^2.0.0\":\n  version \"2.0.1\"\n\n\"c@npm:@s/b@1\":\n  version \"1.0.0\"\n", "y");
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 2u);
  EXPECT_EQ((*first)[0].name, "real");
  EXPECT_EQ((*first)[1].name, "@s/b");
  const auto later = read_yarn_lock("__metadata:\n  version: 6\n\n\"left-pad@npm:^1.3.0, left-pad@npm:1.3.0\":\n  version: 1.3.0\n\n\"al@npm:real@^2.0.0\":\n  version: 2.0.1\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n", "y");
  ASSERT_TRUE(later);
  ASSERT_EQ(later->size(), 2u);
  EXPECT_EQ((*later)[0].purl, "pkg:npm/left-pad@1.3.0");
  EXPECT_EQ((*later)[1].purl, "pkg:npm/real@2.0.1");
}

TEST(Gemspec, name_and_version_are_assigned) {
  const auto gem = read_gemspec("# stub\nGem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"2.2.8\"\n  s.licenses = [\"MIT\".freeze]\nend\n", "g");
  ASSERT_TRUE(gem);
  EXPECT_EQ(gem->purl, "pkg:gem/rack@2.2.8");
  EXPECT_FALSE(read_gemspec("s.name = 1\n", "g"));
}

TEST(Rpm, what_is_no_database_is_an_error) {
  const Distribution rocky{"rocky", "9.3", "", ""};
  for (const std::string& text : {std::string(), std::string("nonsense"), std::string(10'000, '\0'), std::string("SQLite format 3\0", 16) + std::string(84, 'x')}) {
    EXPECT_FALSE(read_rpm_sqlite(view_of(text), {}, "rpmdb.sqlite", rocky));
    EXPECT_FALSE(read_rpm_ndb(view_of(text), "Packages.db", rocky));
    EXPECT_FALSE(read_rpm_berkeley(view_of(text), "Packages", rocky));
  }
}

TEST(Program, other_files_have_no_packages_and_damaged_ones_are_errors) {
  const Bytes whole = *read_file("/bin/true", 1 << 20);
  EXPECT_TRUE(read_program(whole, "true")->empty());
  EXPECT_TRUE(read_program(view_of("#!/bin/sh\n"), "sh")->empty());
  EXPECT_FALSE(read_program(ByteView(whole).first(100), "cut"));
  EXPECT_FALSE(read_program(ByteView(whole).first(whole.size() - 100), "cut"));
}

TEST(Tidy, a_package_is_one_however_its_name_is_written) {
  Inventory inventory{{{"PyPI", "PyYAML", "6.0", "", ""}, {"PyPI", "pyyaml", "6.0", "", ""}, {"PyPI", "pyyaml", "6.1", "", ""}}, {}};
  inventory.packages[0].places = {"a"};
  inventory.packages[0].licences = {""};
  inventory.packages[1].places = {"b"};
  inventory.packages[1].licences = {"MIT"};
  tidy(inventory);
  ASSERT_EQ(inventory.packages.size(), 2u);
  EXPECT_EQ(inventory.packages[0].places, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(inventory.packages[0].licences, std::vector<std::string>{"MIT"});
  // A crate of the registry is looked up, whatever else has its name.
  Inventory crates{{{"", "app", "1.0.0", "", ""}, {"crates.io", "app", "1.0.0", "", ""}}, {}};
  for (auto& crate : crates.packages) crate.purl = "pkg:cargo/app@1.0.0";
  tidy(crates);
  ASSERT_EQ(crates.packages.size(), 1u);
  EXPECT_EQ(crates.packages[0].ecosystem, "crates.io");
}

TEST(Java, what_is_no_zip_is_an_error) {
  EXPECT_FALSE(read_java_archive(view_of("PK nothing"), "a.jar"));
  EXPECT_FALSE(read_java_archive(view_of(""), "a.jar"));
}

}  // namespace
}  // namespace redoubt::packages
