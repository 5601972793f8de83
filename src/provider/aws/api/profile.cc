// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/profile.h"

#include "base/file.h"
#include "base/lower_case.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr std::size_t kSectionsMax = 10'000;

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  const auto first = text.find_first_not_of(kBlank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// "profile   dev" is "profile dev", and quotes around the name are none of it.
std::string section_name(std::string_view text) {
  text = stripped(text);
  const auto blank = text.find_first_of(" \t");
  if (blank == text.npos) return std::string(text);
  auto name = stripped(text.substr(blank));
  if (name.size() >= 2 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front()) name = name.substr(1, name.size() - 2);
  return std::string(text.substr(0, blank)) + " " + std::string(name);
}

// Reads one file, line by line.
class IniReader {
 public:
  explicit IniReader(const std::string& file) : file_(file) {}

  Status read(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      ++line_;
      TRY(read_line(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
  }

  std::map<std::string, Section> sections;

 private:
  std::string here() const { return file_ + ":" + std::to_string(line_); }

  Status read_line(std::string_view line) {
    const auto content = stripped(line);
    if (content.find('\0') != content.npos) return fail(ErrorCode::invalid_argument, "the line holds a NUL byte", here());
    if (content.empty() || content.front() == '#' || content.front() == ';') return {};
    if (content.front() == '[') return begin_section(content);
    if (current_ == nullptr) return fail(ErrorCode::invalid_argument, "a setting stands before the first [section]", here(), "begin with [default]");
    const bool indented = line.front() == ' ' || line.front() == '\t';
    if (indented && !key_.empty()) return continue_value(content);
    const auto [name, value] = TRY(split(content));
    key_ = name;
    put(key_, value);
    return {};
  }

  Status begin_section(std::string_view content) {
    const auto end = content.find(']');
    if (end == content.npos) return fail(ErrorCode::invalid_argument, "a section's name has no ']'", here());
    if (sections.size() >= kSectionsMax) return fail(ErrorCode::limit_exceeded, "the file has too many sections", here());
    current_ = &sections[section_name(content.substr(1, end - 1))];
    key_.clear();
    return {};
  }

  Result<std::pair<std::string, std::string>> split(std::string_view content) const {
    const auto equals = content.find('=');
    const auto name = equals == content.npos ? std::string_view() : stripped(content.substr(0, equals));
    if (name.empty()) return fail(ErrorCode::invalid_argument, "the line is neither 'key = value' nor '[section]'", here(), "put it right, or begin it with '#'");
    return std::pair(lower_case(name), std::string(stripped(content.substr(equals + 1))));
  }

  // An indented line is a nested setting where the value above is empty, else more of that value.
  Status continue_value(std::string_view content) {
    if (!current_->values[key_].empty()) {
      current_->values[key_].append("\n").append(content);
      return {};
    }
    const auto [name, value] = TRY(split(content));
    put(key_ + "." + name, value);
    return {};
  }

  void put(const std::string& key, const std::string& value) {
    current_->values[key] = value;
    current_->where[key] = here();
  }

  const std::string& file_;
  int line_ = 0;
  Section* current_ = nullptr;
  std::string key_;
};

Result<std::map<std::string, Section>> read_sections(const std::filesystem::path& path) {
  if (!is_there(path)) return std::map<std::string, Section>();
  return parse_ini(TRY(read_text_file(path, kFileBytesMax)), path.string());
}

void merge(Section& into, const Section& from) {
  for (const auto& [key, value] : from.values) into.values[key] = value;
  for (const auto& [key, value] : from.where) into.where[key] = value;
}

const Section* find_in(const std::map<std::string, Section>& sections, const std::string& name) {
  const auto found = sections.find(name);
  return found == sections.end() ? nullptr : &found->second;
}

}  // namespace

const std::string* Section::find(const std::string& key) const {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

std::string Section::text(const std::string& key) const {
  const auto* found = find(key);
  return found != nullptr ? *found : "";
}

Result<std::map<std::string, Section>> parse_ini(std::string_view text, const std::string& file) {
  if (text.size() > kFileBytesMax) return fail(ErrorCode::limit_exceeded, "the file is longer than 1 MiB", file);
  IniReader reader(file);
  TRY(reader.read(text));
  return std::move(reader.sections);
}

Result<Profiles> Profiles::load(const Environment& environment) {
  const auto config = environment.path(environment.variable("AWS_CONFIG_FILE").value_or("~/.aws/config"));
  const auto credentials = environment.path(environment.variable("AWS_SHARED_CREDENTIALS_FILE").value_or("~/.aws/credentials"));
  Profiles out;
  out.credentials_file_ = credentials.string();
  out.files_ = config.string() + " and " + credentials.string();
  for (const auto& [name, section] : TRY(read_sections(config))) {
    const auto blank = name.find(' ');
    const auto kind = name.substr(0, blank), rest = blank == name.npos ? "" : name.substr(blank + 1);
    if (kind == "profile" && !rest.empty()) merge(out.profiles_[rest], section);
    if (name == "default") merge(out.profiles_["default"], section);
    if (kind == "sso-session") merge(out.sso_sessions_[rest], section);
    if (kind == "services") merge(out.services_[rest], section);
  }
  for (const auto& [name, section] : TRY(read_sections(credentials))) merge(out.profiles_[name], section);
  return out;
}

bool Profiles::is_of_credentials_file(const Section& profile, const std::string& key) const {
  const auto found = profile.where.find(key);
  return found != profile.where.end() && found->second.starts_with(credentials_file_ + ":");
}

const Section* Profiles::profile(const std::string& name) const { return find_in(profiles_, name); }
const Section* Profiles::sso_session(const std::string& name) const { return find_in(sso_sessions_, name); }
const Section* Profiles::services(const std::string& name) const { return find_in(services_, name); }

}  // namespace redoubt::provider::aws
