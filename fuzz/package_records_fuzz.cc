// SPDX-License-Identifier: Apache-2.0
//
// Records of packages in every form; the first byte chooses. Whatever they hold, nothing crashes, and each package that comes out has a name.
#include "base/check.h"
#include "fuzz_input.h"
#include "packages/records.h"
#include "packages/rpm_header.h"

using namespace redoubt;
using namespace redoubt::packages;

namespace {

void check(const Result<Packages>& packages) {
  if (!packages) return;
  for (const auto& package : *packages) CHECK(!package.name.empty() && !purl_of(package).empty());
}
void check(Result<Package> package) {
  if (package) check(Result<Packages>(Packages{std::move(*package)}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Distribution distribution{"debian", "12", "bookworm", ""};
  const ByteView bytes(data + 1, size - 1);
  const std::string_view text = text_of(bytes);
  switch (data[0] % 14) {
    case 0: check(read_dpkg_status(text, "status", distribution)); break;
    case 1: (void)read_debian_licences(text); break;
    case 2: check(read_apk_installed(text, "installed", distribution)); break;
    case 3: check(read_rpm_ndb(bytes, "Packages.db", distribution)); break;
    case 4: check(read_rpm_berkeley(bytes, "Packages", distribution)); break;
    case 5: (void)read_rpm_header(bytes, "header", distribution); break;
    case 6: check(read_python_metadata(text, "METADATA")); break;
    case 7: check(read_npm_package(text, "package.json")); break;
    case 8: check(read_npm_lock(text, "package-lock.json")); break;
    case 9: check(read_yarn_lock(text, "yarn.lock")); break;
    case 10: check(read_gemspec(text, "a.gemspec")); break;
    case 11: check(read_program(bytes, "program")); break;
    case 12: check(read_java_archive(bytes, "a.jar")); break;
    default: (void)parse_os_release(text, "os-release"); break;
  }
  return 0;
}
