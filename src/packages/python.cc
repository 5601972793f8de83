// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "packages/records.h"
#include "packages/trimmed.h"

namespace redoubt::packages {
namespace {

bool is_field(std::string_view name, std::string_view wanted) {
  return std::equal(name.begin(), name.end(), wanted.begin(), wanted.end(), [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b)); });
}

void read_field(std::string_view name, std::string_view value, Package& package) {
  constexpr std::string_view kClassifier = "License ::";
  if (is_field(name, "Name") && package.name.empty()) package.name = value;
  if (is_field(name, "Version") && package.version.empty()) package.version = value;
  if (is_field(name, "Home-page") && value != "UNKNOWN") package.homepage = value;
  if (is_field(name, "Author") && value != "UNKNOWN") package.supplier = value;
  if (is_field(name, "License-Expression")) package.licences = {std::string(value)};
  // A field of one line; some put the whole text here.
  if (is_field(name, "License") && package.licences.empty() && !value.empty() && value != "UNKNOWN" && value.size() < 100) package.licences = {std::string(value)};
  if (is_field(name, "Classifier") && value.starts_with(kClassifier) && package.licences.empty()) package.licences = {std::string(value.substr(value.rfind("::") + 2 + (value.ends_with("::") ? 0 : 1)))};
  if (is_field(name, "Requires-Dist") && value.find("extra ==") == value.npos) {
    package.needs.push_back(python_name(value.substr(0, value.find_first_of(" ;([<>=!~"))));
  }
}

}  // namespace

Result<Package> read_python_metadata(std::string_view text, const std::string& place) {
  Package package{"PyPI", "", "", "", ""};
  // Headers end at the first empty line; a line that starts with a space goes on with the one before.
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trimmed(line).empty()) break;
    const auto colon = line.find(':');
    if (line[0] == ' ' || line[0] == '\t' || colon == line.npos) continue;
    read_field(line.substr(0, colon), trimmed(line.substr(colon + 1)), package);
  }
  if (package.name.empty() || package.version.empty()) return fail(ErrorCode::invalid_argument, "the metadata of a Python package names no name or no version", place);
  package.places = {place};
  return package;
}

}  // namespace redoubt::packages
