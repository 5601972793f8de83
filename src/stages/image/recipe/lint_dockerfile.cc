// SPDX-License-Identifier: Apache-2.0
//
// The rules that a Dockerfile is held to by itself. Where hadolint has the rule, its verdict and its line are ours
// (tests/oracle/image_lint_test.py compares them).
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "stages/image/recipe/build.h"
#include "stages/image/recipe/lint.h"
#include "stages/image/recipe/secrets.h"
#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string unquoted(std::string text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front()) return text.substr(1, text.size() - 2);
  return text;
}

bool is_root(const std::string& user) {
  const std::string name = user.substr(0, user.find(':'));
  return name == "root" || name == "0";
}

bool is_number(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

bool is_url(const std::string& text) { return text.starts_with("http://") || text.starts_with("https://") || text.starts_with("ftp://") || text.starts_with("git@") || text.starts_with("git://"); }

bool is_archive(const std::string& text) {
  for (auto ending : {".tar", ".Z", ".bz2", ".gz", ".lz", ".lzma", ".tZ", ".tb2", ".tbz", ".tbz2", ".tgz", ".tlz", ".tpz", ".txz", ".xz"}) {
    if (text.ends_with(ending)) return true;
  }
  return false;
}

// The tag of an image's name; nothing where it has none. "host:5000/name" has none.
std::optional<std::string> tag_of(const std::string& name) {
  const auto bare = name.substr(0, name.find('@'));
  const auto slash = bare.rfind('/');
  const auto colon = bare.find(':', slash == bare.npos ? 0 : slash + 1);
  return colon == bare.npos ? std::nullopt : std::optional(bare.substr(colon + 1));
}

class Linter {
 public:
  explicit Linter(const Dockerfile& dockerfile) : dockerfile_(dockerfile), words_(dockerfile.escape, [](const std::string&) { return std::nullopt; }) {
    for (const auto& rule : lint_rules()) rules_[rule.id] = &rule;
  }

  std::vector<LintFinding> run() {
    for (const auto& instruction : dockerfile_.instructions) {
      here_ = &instruction;
      check(instruction);
    }
    finish_stage();
    finish();
    return std::move(findings_);
  }

 private:
  struct StageState {
    std::string name;
    bool from_scratch_or_image = true;
    int commands = 0, entrypoints = 0, health_checks = 0;
    bool has_working_folder = false;
    int root_line = 0;     // of the last USER, where it is root's
    bool has_user = false;
    std::set<std::string> variables;
  };

  void add(const char* rule, int line, std::string detail = {}) {
    const auto& known = *rules_.at(rule);
    findings_.push_back({rule, known.severity, dockerfile_.file, line, std::string(known.summary) + (detail.empty() ? "" : ": " + detail), known.cure});
  }
  void add(const char* rule, std::string detail = {}) {
    if (!ignored(rule)) add(rule, here_->line, std::move(detail));
  }

  // "# hadolint ignore=RULE" on the line before an instruction speaks for that one; our own rules are not silenced by who writes the recipe.
  bool ignored(const std::string& rule) const {
    if (!rule.starts_with("DL")) return false;
    for (const auto& comment : dockerfile_.comments_ignoring) {
      if (std::atoi(comment.c_str()) + 1 != here_->line) continue;
      const std::string rules = "," + comment.substr(comment.find(':') + 1) + ",";
      std::string packed;
      for (const char c : rules) {
        if (c != ' ' && c != '\t') packed += c;
      }
      if (packed.find("," + rule + ",") != packed.npos) return true;
    }
    return false;
  }

  StageState* stage() { return stages_.empty() ? nullptr : &stages_.back(); }
  const StageState* stage_named(const std::string& name) const {
    const auto found = std::find_if(stages_.begin(), stages_.end(), [&](const StageState& stage) { return !stage.name.empty() && stage.name == name; });
    return found == stages_.end() ? nullptr : &*found;
  }

  void check(const Instruction& instruction) {
    const std::string& keyword = instruction.keyword;
    if (stages_.empty() && keyword != "FROM" && keyword != "ARG") add("DL3061");
    if (keyword == "FROM") from(instruction);
    else if (keyword == "ARG") argument(instruction);
    else if (keyword == "ENV") environment(instruction);
    else if (keyword == "LABEL") label(instruction);
    else if (keyword == "USER") user(instruction);
    else if (keyword == "COPY") copy(instruction);
    else if (keyword == "ADD") add_files(instruction);
    else if (keyword == "WORKDIR") working_folder(instruction);
    else if (keyword == "EXPOSE") expose(instruction);
    else if (keyword == "CMD" || keyword == "ENTRYPOINT") command(instruction);
    else if (keyword == "HEALTHCHECK") health_check(instruction);
    else if (keyword == "MAINTAINER") add("DL4000");
    else if (keyword == "ONBUILD") on_build(instruction);
    else if (keyword == "VOLUME") add("RD1009");
    else if (keyword != "RUN" && keyword != "STOPSIGNAL" && keyword != "SHELL") add("DL1000", "no such instruction: " + keyword.substr(0, 40));
    if (keyword == "RUN" || keyword == "CMD" || keyword == "ENTRYPOINT") secrets(instruction);
  }

  void from(const Instruction& instruction) {
    finish_stage();
    const auto parts = fields(instruction.text);
    StageState next;
    if (parts.empty() || (parts.size() != 1 && !(parts.size() == 3 && lower(parts[1]) == "as"))) {
      add("DL1000", "FROM is IMAGE [AS NAME]");
      stages_.push_back(next);
      return;
    }
    for (const auto& flag : instruction.flags) {
      const bool variable = flag.value.find("BUILDPLATFORM") != flag.value.npos || flag.value.find("TARGETPLATFORM") != flag.value.npos;
      if (flag.name == "platform" && !variable) add("DL3029");
    }
    const std::string image = unquoted(parts[0]);
    const auto* base = stage_named(image);
    if (base != nullptr) {
      next.has_working_folder = base->has_working_folder;
      next.has_user = base->has_user;
      next.variables = base->variables;
    } else {
      image_name(image);
    }
    if (parts.size() == 3) {
      next.name = parts[2];
      if (stage_named(next.name) != nullptr) add("DL3024", next.name);
    }
    stages_.push_back(std::move(next));
  }

  void image_name(const std::string& image) {
    if (image == "scratch" || image.starts_with("$")) return;
    if (image.starts_with("oci:")) {
      if (!tag_of(image.substr(4))) add("DL3006", image);
      return;
    }
    const auto tag = tag_of(image);
    if (image.find('@') != image.npos) return;
    if (!tag) add("DL3006", image);
    else if (*tag == "latest") add("DL3007", image);
  }

  // ARG NAME=DEFAULT: what a build gives and what a recipe writes both stay in the image's history.
  void argument(const Instruction& instruction) {
    for (const auto& word : words_.split(instruction.text)) {
      const auto equals = word.find('=');
      const std::string name = word.substr(0, equals), value = equals == word.npos ? "" : unquoted(word.substr(equals + 1));
      if (auto* now = stage()) now->variables.insert(name);
      if (is_secret_name(name)) is_secret_value(value) ? add("RD1001", "ARG " + name) : add("RD1013", "ARG " + name);
      else value_of("ARG " + name, value);
    }
  }

  void value_of(const std::string& name, const std::string& value) {
    for (const auto& secret : secrets_in(value)) add("RD1001", name + " holds a " + secret.kind);
  }

  void environment(const Instruction& instruction) {
    const auto pairs = raw_pairs(instruction.text);
    auto* now = stage();
    std::set<std::string> set_here;
    for (const auto& [name, value] : pairs) set_here.insert(name);
    bool told = false;
    for (const auto& [name, value] : pairs) {
      if (is_secret_name(name) && is_secret_value(unquoted(value))) add("RD1001", "ENV " + name);
      else value_of("ENV " + name, unquoted(value));
      for (const auto& other : set_here) {
        const bool known = now != nullptr && now->variables.contains(other);
        if (!told && !known && other != name && uses(value, other)) {
          add("DL3044", other);
          told = true;
        }
      }
    }
    if (now != nullptr) now->variables.insert(set_here.begin(), set_here.end());
  }

  static bool uses(const std::string& value, const std::string& name) {
    for (const std::string& form : {"$" + name, "${" + name}) {
      const auto at = value.find(form);
      if (at == value.npos) continue;
      const char next = at + form.size() < value.size() ? value[at + form.size()] : '\0';
      if (std::isalnum(static_cast<unsigned char>(next)) == 0 && next != '_') return true;
    }
    return false;
  }

  // Names and values as they are written, quotes and variables in place.
  std::vector<std::pair<std::string, std::string>> raw_pairs(const std::string& text) const {
    std::vector<std::pair<std::string, std::string>> pairs;
    const auto words = words_.split(text);
    if (words.empty()) return pairs;
    if (words[0].find('=') == std::string::npos) {
      const auto after = text.find_first_not_of(" \t", words[0].size());
      pairs.emplace_back(words[0], after == text.npos ? "" : text.substr(after));
      return pairs;
    }
    for (const auto& word : words) {
      const auto equals = word.find('=');
      if (equals != word.npos) pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
    return pairs;
  }

  void label(const Instruction& instruction) {
    for (const auto& [name, value] : raw_pairs(instruction.text)) {
      if (is_secret_name(unquoted(name)) && is_secret_value(unquoted(value))) add("RD1001", "LABEL " + name);
      else value_of("LABEL " + name, unquoted(value));
    }
  }

  void user(const Instruction& instruction) {
    const std::string value = unquoted(instruction.text);
    const std::string name = value.substr(0, value.find(':'));
    if (!is_number(name)) add("DL3066", value.substr(0, 60));
    auto* now = stage();
    if (now == nullptr) return;
    now->has_user = is_root(value) || !is_number_of_root(name);  // of "00" hadolint tells nothing
    now->root_line = is_root(value) && !ignored("DL3002") ? instruction.line : 0;
  }

  void copy(const Instruction& instruction) {
    const auto parts = instruction.json().value_or(fields(instruction.text));
    if (parts.size() < 2 && instruction.heredocs.empty()) return add("DL1000", "COPY needs a source and a destination");
    if (parts.empty()) return;
    const std::string target = unquoted(parts.back());
    if (parts.size() > 2 && !target.ends_with('/')) add("DL3021");
    const bool relative = !target.starts_with('/') && !target.starts_with('$') && !(target.size() > 1 && target[1] == ':');
    if (relative && stage() != nullptr && !stage()->has_working_folder) add("DL3045");
    bool has_from = false;
    for (const auto& flag : instruction.flags) {
      if (flag.name == "from") {
        has_from = true;
        check_from(flag.value);
      }
      if (flag.name == "chmod") check_mode(flag.value);
    }
    for (std::size_t i = 0; i + 1 < parts.size() && !has_from; ++i) {
      if (const auto what = credential_file(unquoted(parts[i]))) add("RD1007", parts[i]);
    }
  }

  void check_from(const std::string& from) {
    const auto* now = stage();
    if (now == nullptr) return;
    if (!now->name.empty() && now->name == from) return add("DL3023", from);
    const bool earlier_number = is_number(from) && from.size() < 4 && std::stoul(from) + 1 < stages_.size();
    if (stage_named(from) == nullptr && !earlier_number && from.find(':') == from.npos && !from.starts_with('$')) add("DL3022", from);
  }

  void check_mode(const std::string& mode) {
    if (mode.empty() || mode.size() > 4 || mode.find_first_not_of("01234567") != mode.npos) return;  // a build says that it is none
    const auto value = std::stoul(mode, nullptr, 8);
    if ((value & 06000) != 0) add("RD1003", "--chmod=" + mode);
    if ((value & 0002) != 0 && (value & 01000) == 0) add("RD1004", "--chmod=" + mode);
  }

  void add_files(const Instruction& instruction) {
    const auto parts = instruction.json().value_or(fields(instruction.text));
    if (parts.size() < 2) return add("DL1000", "ADD needs a source and a destination");
    bool fetches = false, plain = false;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::string source = unquoted(parts[i]);
      fetches = fetches || is_url(source);
      plain = plain || (!is_url(source) && !is_archive(source));
      if (const auto what = credential_file(source)) add("RD1007", parts[i]);
    }
    if (fetches) add("RD1008");
    if (plain) add("DL3020");
  }

  void working_folder(const Instruction& instruction) {
    const std::string folder = unquoted(instruction.text);
    if (auto* now = stage()) now->has_working_folder = true;
    const bool drive = folder.size() > 1 && folder[1] == ':' && std::isalpha(static_cast<unsigned char>(folder[0])) != 0;
    if (!folder.starts_with('/') && !folder.starts_with('$') && !drive) add("DL3000", folder.substr(0, 80));
  }

  void expose(const Instruction& instruction) {
    for (const auto& word : fields(instruction.text)) {
      const std::string range = unquoted(word).substr(0, unquoted(word).find('/'));
      bool outside = false;
      for (const auto& number : {range.substr(0, range.find('-')), range.find('-') == range.npos ? std::string() : range.substr(range.find('-') + 1)}) {
        outside = outside || (is_number(number) && (number.size() > 5 || std::stoul(number) > 65535));
      }
      if (outside) return add("DL3011", word);
    }
  }

  void command(const Instruction& instruction) {
    auto* now = stage();
    if (!instruction.json()) add("DL3025");
    if (!instruction.json() && instruction.keyword == "ENTRYPOINT") add("RD1011");
    if (now == nullptr) return;
    if (instruction.keyword == "CMD" && ++now->commands > 1) add("DL4003");
    if (instruction.keyword == "ENTRYPOINT" && ++now->entrypoints > 1) add("DL4004");
  }

  void health_check(const Instruction& instruction) {
    auto* now = stage();
    if (now != nullptr && ++now->health_checks > 1) add("DL3012");
    const auto text = instruction.text;
    if (!text.starts_with("CMD")) return;
    if (text.find_first_not_of(" \t", 3) != text.npos && text[text.find_first_not_of(" \t", 3)] != '[') add("DL3025");
  }

  void on_build(const Instruction& instruction) {
    const std::string inner = lower(instruction.text.substr(0, instruction.text.find_first_of(" \t")));
    if (inner == "from" || inner == "onbuild" || inner == "maintainer") add("DL3043");
  }

  void secrets(const Instruction& instruction) {
    value_of(instruction.keyword, instruction.text);
    for (const auto& heredoc : instruction.heredocs) value_of(instruction.keyword, heredoc.body);
  }

  void finish_stage() {
    if (!stages_.empty() && stages_.back().root_line > 0) add("DL3002", stages_.back().root_line);
  }

  void finish() {
    if (stages_.empty()) return add("DL1000", 1, "there is no FROM");
    int last_from = 1;
    for (const auto& instruction : dockerfile_.instructions) {
      if (instruction.keyword == "FROM") last_from = instruction.line;
    }
    if (!stages_.back().has_user) add("RD1005", last_from);
    if (stages_.back().health_checks == 0) add("DL3057", last_from);
  }

  const Dockerfile& dockerfile_;
  Words words_;
  std::map<std::string, const LintRule*> rules_;
  std::vector<StageState> stages_;
  std::vector<LintFinding> findings_;
  const Instruction* here_ = nullptr;
};

}  // namespace

std::vector<LintFinding> lint_dockerfile(const Dockerfile& dockerfile) { return Linter(dockerfile).run(); }

}  // namespace redoubt::stages::image::recipe
