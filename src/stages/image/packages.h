// SPDX-License-Identifier: Apache-2.0
//
// Which packages the files of an image come from: Debian's by dpkg's lists, Python's by the RECORD of their dist-info.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "stages/image/build.h"

namespace redoubt::stages::image {

struct Package {
  std::string ecosystem;  // "Debian:12" or "PyPI", as OSV names them; "" for a file that no package owns
  std::string name, version;
  std::string source, source_version;  // Debian's source package, whose version need not be the binary's; "" for others
  std::vector<std::pair<std::string, Digest>> files;  // name in the image, SHA-256
};

struct PackageFolders {
  std::filesystem::path dpkg = "/var/lib/dpkg";
  std::filesystem::path os_release = "/etc/os-release";
};

// The packages of everything in the image, sorted; the engine itself is one without an ecosystem.
Result<std::vector<Package>> find_packages(const BuildOptions& options, const ImageContents& contents, const PackageFolders& folders = {});

// The package URL (https://github.com/package-url/purl-spec): "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12".
std::string purl_of(const Package& package);

// CycloneDX 1.6 (ECMA-424): one component a package with its files as subcomponents. Deterministic: the serial number is made of
// the image's digest.
Json make_sbom(const std::vector<Package>& packages, const Digest& image, const std::string& version);
// The packages that make_sbom wrote, without their files: what a later scan needs.
Result<std::vector<Package>> packages_of_sbom(const Json& sbom);

}  // namespace redoubt::stages::image
