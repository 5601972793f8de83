// SPDX-License-Identifier: Apache-2.0
//
// The rules that a finished image is held to.
#include <fmt/format.h>

#include <charconv>

#include "stages/image/recipe/build.h"
#include "stages/image/recipe/lint.h"
#include "stages/image/recipe/secrets.h"

namespace redoubt::stages::image::recipe {
namespace {

constexpr std::size_t kFindingsMax = 10'000, kWritableTold = 20;
constexpr unsigned kSetId = 06000, kSticky = 01000, kWorldWrites = 0002;

class ImageLinter {
 public:
  std::vector<LintFinding> take() { return std::move(findings_); }

  Status entry(int layer, const oci::LayerEntry& entry, Source& contents) {
    const std::string path = "/" + entry.path;
    if (entry.kind == oci::EntryKind::special) add("RD1012", path);
    if (entry.kind == oci::EntryKind::file && (entry.mode & kSetId) != 0) add("RD1003", path, fmt::format("mode {:04o}", entry.mode));
    const bool holds = entry.kind == oci::EntryKind::file || entry.kind == oci::EntryKind::folder;
    if (holds && (entry.mode & kWorldWrites) != 0 && (entry.mode & kSticky) == 0) add("RD1004", path, fmt::format("mode {:04o}", entry.mode));
    if (entry.kind != oci::EntryKind::file) return {};
    if (const auto what = credential_file(entry.path); what && *what != ".git") add("RD1007", path);
    else if (what && entry.path.ends_with(".git/HEAD")) add("RD1007", path.substr(0, path.size() - 5));
    for (const auto& secret : TRY(secrets_in(contents))) add("RD1002", path, fmt::format("a {} at byte {} in layer {}", secret.kind, secret.offset, layer + 1));
    return {};
  }

  void configuration(const Json& document) {
    const Json config = json_or(document, "config", Json::object());
    const std::string user = json_or(config, "User", "");
    const std::string name = user.substr(0, user.find(':'));
    if (user.empty() || name == "root" || is_number_of_root(name)) add("RD1005", "configuration", user.empty() ? "" : "USER " + user.substr(0, 60));
    else if (name.find_first_not_of("0123456789") != name.npos) add("DL3066", "configuration", user.substr(0, 60));
    for (const auto& variable : json_or(config, "Env", Json::array())) {
      if (!variable.is_string()) continue;
      const auto& text = variable.get_ref<const std::string&>();
      const auto equals = text.find('=');
      pair("Env", text.substr(0, equals), equals == text.npos ? "" : text.substr(equals + 1));
    }
    const Json labels = json_or(config, "Labels", Json::object());
    for (const auto& [label, value] : labels.items()) {
      if (value.is_string()) pair("Labels", label, value.get<std::string>());
    }
    if (!json_or(config, "Volumes", Json::object()).empty()) add("RD1009", "configuration");
    if (!config.contains("Healthcheck")) add("DL3057", "configuration");
    const Json entry_point = json_or(config, "Entrypoint", Json::array());
    if (entry_point.size() == 3 && entry_point[0] == "/bin/sh" && entry_point[1] == "-c") add("RD1011", "configuration");
    history(json_or(document, "history", Json::array()));
  }

  // What the image's user may write: with a read-only root it fails, and without one the program can change itself.
  void writable(const oci::ImageTree& tree, const Json& document) {
    const Json config = json_or(document, "config", Json::object());
    const std::string user = json_or(config, "User", "");
    unsigned uid = 0;
    const auto parsed = std::from_chars(user.data(), user.data() + user.size(), uid);
    if (user.empty() || parsed.ec != std::errc{} || uid == 0) return;
    const Json volumes = json_or(config, "Volumes", Json::object());
    std::size_t told = 0;
    for (const auto& [path, node] : tree.nodes()) {
      if (node.uid != uid || (node.mode & 0200) == 0 || node.kind == oci::EntryKind::symbolic_link) continue;
      if (path == "tmp" || path.starts_with("tmp/") || path.starts_with("run/") || path == "run" || path.starts_with("var/tmp") || volumes.contains("/" + path)) continue;
      if (++told <= kWritableTold) add("RD1010", "/" + path);
    }
    if (told > kWritableTold) add("RD1010", "configuration", fmt::format("{} more files and folders", told - kWritableTold));
  }

 private:
  void add(const char* rule, std::string path, std::string detail = {}) {
    if (findings_.size() >= kFindingsMax) return;
    for (const auto& known : lint_rules()) {
      if (std::string_view(known.id) == rule) findings_.push_back({rule, known.severity, std::move(path), 0, std::string(known.summary) + (detail.empty() ? "" : ": " + detail), known.cure});
    }
  }

  void pair(const char* where, const std::string& name, const std::string& value) {
    if (is_secret_name(name) && is_secret_value(value)) return add("RD1001", "configuration", fmt::format("{} {}", where, name.substr(0, 80)));
    for (const auto& secret : secrets_in(value)) add("RD1001", "configuration", fmt::format("{} {} holds a {}", where, name.substr(0, 80), secret.kind));
  }

  // Build arguments and command lines stay here.
  void history(const Json& steps) {
    std::size_t number = 0;
    for (const auto& step : steps) {
      ++number;
      const std::string text = json_or(step, "created_by", "");
      for (const auto& secret : secrets_in(text)) add("RD1001", "history", fmt::format("step {} holds a {}", number, secret.kind));
    }
  }

  std::vector<LintFinding> findings_;
};

}  // namespace

Result<std::vector<LintFinding>> lint_image(provider::ImageStore& images, const provider::ImageDescriptor& image, const oci::Platform& platform, Progress& progress) {
  ImageLinter linter;
  const auto read = TRY(oci::read_image(images, image, platform, progress, [&](int layer, const oci::LayerEntry& entry, Source& contents) { return linter.entry(layer, entry, contents); }));
  linter.configuration(read.config);
  linter.writable(read.tree, read.config);
  return linter.take();
}

}  // namespace redoubt::stages::image::recipe
