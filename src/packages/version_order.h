// SPDX-License-Identifier: Apache-2.0
//
// How ecosystems order versions: negative, zero or positive as `a` is older than, equal to or newer than `b`. Every text has a place:
// what is no version of PyPI or of semantic versioning sorts before all that are; the other orders know no such text.
#pragma once

#include <string_view>

namespace redoubt::packages {

// Debian Policy section 5.6.12: epoch, upstream version, revision; '~' sorts before the end.
int compare_debian_versions(std::string_view a, std::string_view b);
// PEP 440.
int compare_python_versions(std::string_view a, std::string_view b);
// Semantic Versioning 2.0.0, section 11, as npm, Go and Cargo use it: a "v" before it and what follows '+' count nothing, missing numbers
// are zero.
int compare_semantic_versions(std::string_view a, std::string_view b);
// RPM's epoch, version and release by rpmvercmp; '~' sorts before the end and '^' after it.
int compare_rpm_versions(std::string_view a, std::string_view b);
// Alpine's: numbers, a letter, suffixes (_alpha, _beta, _pre, _rc before the release; _cvs, _svn, _git, _hg, _p after it), -r of the build.
int compare_alpine_versions(std::string_view a, std::string_view b);
// Maven's ComparableVersion (https://maven.apache.org/pom.html, "Version Order Specification").
int compare_maven_versions(std::string_view a, std::string_view b);
// RubyGems' Gem::Version.
int compare_ruby_versions(std::string_view a, std::string_view b);

// By the rules of an OSV ecosystem ("PyPI", "Debian:12", "Rocky Linux:9"); dpkg's for one that is not known.
int compare_versions(std::string_view ecosystem, std::string_view a, std::string_view b);

}  // namespace redoubt::packages
