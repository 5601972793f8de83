// SPDX-License-Identifier: Apache-2.0
#include "stages/image/packages.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::stages::image {
namespace fs = std::filesystem;
namespace {

struct DebianPackage {
  std::string name, version, source, source_version;
};

// The fields of one paragraph of a deb822 file.
std::map<std::string, std::string> parse_paragraph(std::string_view text) {
  std::map<std::string, std::string> fields;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (line.empty() || line[0] == ' ' || colon == line.npos) continue;
    fields[line.substr(0, colon)] = line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
  }
  return fields;
}

// "Source: glibc" or "Source: gcc-defaults (1.203)" (Debian policy, 5.6.1): left out where name and version are the binary's.
DebianPackage parse_package(std::map<std::string, std::string>& fields) {
  DebianPackage package{fields["Package"], fields["Version"], fields["Package"], fields["Version"]};
  const std::string& source = fields["Source"];
  if (source.empty()) return package;
  package.source = source.substr(0, source.find(' '));
  const auto open = source.find('('), close = source.find(')');
  if (open != source.npos && close != source.npos && close > open) package.source_version = source.substr(open + 1, close - open - 1);
  return package;
}

// dpkg's database, asked by path.
class Dpkg {
 public:
  static Result<Dpkg> open(const fs::path& folder) {
    Dpkg dpkg(folder);
    const std::string status = TRY(read_text_file(folder / "status", 256 << 20));
    for (std::size_t from = 0; from < status.size();) {
      const auto end = std::min(status.find("\n\n", from), status.size());
      auto fields = parse_paragraph(std::string_view(status).substr(from, end - from));
      DebianPackage package = parse_package(fields);
      dpkg.packages_[fields["Package"] + ":" + fields["Architecture"]] = package;
      dpkg.packages_[fields["Package"]] = std::move(package);
      from = end + 2;
    }
    for (const auto& name : TRY(list_folder(folder / "info"))) {
      if (name.ends_with(".list")) TRY(dpkg.read_list(name));
    }
    return dpkg;
  }

  // The package that owns a file, whichever of /lib and /usr/lib it was installed under; null when none does.
  const DebianPackage* owner(const fs::path& file) const {
    std::error_code error;
    for (const auto& path : {file, fs::canonical(file, error)}) {
      std::string text = path.string();
      for (int merged = 0; merged < 2; ++merged) {
        if (const auto found = files_.find(text); found != files_.end()) {
          const auto package = packages_.find(found->second);
          return package == packages_.end() ? nullptr : &package->second;
        }
        text = text.starts_with("/usr/") ? text.substr(4) : "/usr" + text;
      }
    }
    return nullptr;
  }

 private:
  explicit Dpkg(fs::path folder) : folder_(std::move(folder)) {}
  Status read_list(const std::string& name) {
    std::istringstream lines(TRY(read_text_file(folder_ / "info" / name, 64 << 20)));
    const std::string package = name.substr(0, name.size() - 5);
    for (std::string line; std::getline(lines, line);) {
      if (line.find(".so") != line.npos) files_[line] = package;
    }
    return {};
  }
  fs::path folder_;
  std::map<std::string, DebianPackage> packages_;
  std::map<std::string, std::string> files_;
};

// The Python distribution below whose site-packages a file lies: "torch", "2.13.0+cpu".
Result<std::optional<std::pair<std::string, std::string>>> python_owner(const fs::path& file) {
  using Found = std::optional<std::pair<std::string, std::string>>;
  std::error_code error;
  const fs::path real = fs::canonical(file, error);
  for (fs::path folder = real.parent_path(); folder != folder.root_path(); folder = folder.parent_path()) {
    if (folder.filename() != "site-packages" && folder.filename() != "dist-packages") continue;
    const std::string relative = real.lexically_relative(folder).string();
    for (const auto& name : TRY(list_folder(folder))) {
      if (!name.ends_with(".dist-info") || !fs::exists(folder / name / "RECORD", error)) continue;
      const std::string record = TRY(read_text_file(folder / name / "RECORD", 64 << 20));
      if (!record.starts_with(relative + ",") && record.find("\n" + relative + ",") == record.npos) continue;
      const std::string bare = name.substr(0, name.size() - 10);
      const auto dash = bare.find('-');
      return Found({bare.substr(0, dash), dash == bare.npos ? "" : bare.substr(dash + 1)});
    }
  }
  return Found();
}

Result<std::string> debian_ecosystem(const fs::path& os_release) {
  std::istringstream lines(TRY(read_text_file(os_release, 64 << 10)));
  std::string id, version;
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), '"'), line.end());
    if (line.starts_with("ID=")) id = line.substr(3);
    if (line.starts_with("VERSION_ID=")) version = line.substr(11);
  }
  if (id != "debian" || version.empty()) return fail(ErrorCode::unsupported, "the machine that the image is built on is no Debian", os_release.string());
  return "Debian:" + version;
}

}  // namespace

Result<std::vector<Package>> find_packages(const BuildOptions& options, const ImageContents& contents, const PackageFolders& folders) {
  const auto dpkg = TRY(Dpkg::open(folders.dpkg));
  const std::string debian = TRY(debian_ecosystem(folders.os_release));
  std::map<std::pair<std::string, std::string>, Package> packages;
  std::vector<std::pair<std::string, fs::path>> files(contents.files.libraries.begin(), contents.files.libraries.end());
  files.emplace_back(contents.files.interpreter, contents.files.interpreter_file);
  const auto add = [&](Package package, const std::string& name, const fs::path& path) -> Status {
    auto reader = TRY(FileReader::open(path));
    auto& known = packages.try_emplace({package.ecosystem, package.name}, package).first->second;
    known.files.emplace_back(name, TRY(crypto::sha256_of(*reader)));
    return {};
  };
  for (const auto& [name, path] : files) {
    if (const auto* owner = dpkg.owner(path)) {
      TRY(add({debian, owner->name, owner->version, owner->source, owner->source_version}, name, path));
    } else if (const auto python = TRY(python_owner(path))) {
      TRY(add({"PyPI", python->first, python->second, "", ""}, name, path));
    } else {
      return fail(ErrorCode::not_found, "no package owns this library, so nobody can tell whether it is vulnerable", path.string(), "use a library that a Debian or Python package installs");
    }
  }
  TRY(add({"", options.name, options.version, "", ""}, kEnginePath, options.program));
  std::vector<Package> sorted;
  for (auto& [key, package] : packages) sorted.push_back(std::move(package));
  return sorted;
}

}  // namespace redoubt::stages::image
