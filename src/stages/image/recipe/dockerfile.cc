// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/dockerfile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "rows/lines.h"
#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

constexpr std::size_t kDockerfileBytesMax = 1 << 20, kInstructionsMax = 10'000, kHeredocsMax = 16;
constexpr std::string_view kBlank = " \t";

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '-'); });
}

struct Directive {
  std::string name;
  std::string_view value;
};

// "# name = value"; nothing for any other comment.
std::optional<Directive> parse_directive(std::string_view line) {
  line = trimmed(line);
  if (!line.starts_with('#')) return std::nullopt;
  line = trimmed(line.substr(1));
  const auto equals = line.find('=');
  if (equals == line.npos) return std::nullopt;
  std::string name = upper(trimmed(line.substr(0, equals)));
  const auto value = trimmed(line.substr(equals + 1));
  if (!is_word(name) || value.empty()) return std::nullopt;
  return Directive{std::move(name), value};
}

// "ignore=DL3006,DL3007" of "# hadolint ignore=..." or "# redoubt ignore=...".
std::string_view ignored_rules(std::string_view comment) {
  comment = trimmed(comment.substr(1));
  for (std::string_view who : {"hadolint ", "redoubt "}) {
    if (!comment.starts_with(who)) continue;
    const auto rest = trimmed(comment.substr(who.size()));
    if (!rest.starts_with("ignore")) return {};
    const auto equals = rest.find('=');
    return equals == rest.npos ? std::string_view() : trimmed(rest.substr(equals + 1));
  }
  return {};
}

// The words "<<EOF", "<<-'EOF'", "3<<EOF" of an instruction's text. A here-string ("<<<"), a shift and what stands in quotes are none.
struct HeredocStart {
  std::string name;
  bool strips_tabs = false;
};
std::vector<HeredocStart> heredoc_starts(std::string_view text, char escape) {
  std::vector<HeredocStart> found;
  for (const auto& each : Words(escape, {}).split(text)) {
    std::string_view word = each;
    word.remove_prefix(std::min(word.find_first_not_of("0123456789"), word.size()));
    if (!word.starts_with("<<") || found.size() == kHeredocsMax) continue;
    HeredocStart start;
    word.remove_prefix(2);
    start.strips_tabs = word.starts_with('-');
    if (start.strips_tabs) word.remove_prefix(1);
    for (const char c : word.substr(0, word.find_first_of(">|&;()"))) {
      if (c != '"' && c != '\'') start.name += c;
    }
    const auto first = static_cast<unsigned char>(start.name.empty() ? ' ' : start.name[0]);
    if (std::isalpha(first) != 0 || first == '_') found.push_back(std::move(start));
  }
  return found;
}

class Parser {
 public:
  Parser(std::string_view text, std::string file) : rest_(text) { out_.file = std::move(file); }

  Result<Dockerfile> run() {
    TRY(check_text());
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
    TRY(read_directives());
    while (!rest_.empty()) TRY(read_instruction());
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> bad(int line, std::string message, std::string hint = {}) const { return fail(ErrorCode::invalid_argument, std::move(message), out_.locate(line), std::move(hint)); }

  Status check_text() {
    if (rest_.size() > kDockerfileBytesMax) return fail(ErrorCode::limit_exceeded, "a Dockerfile of more than 1 MiB", out_.file);
    const auto invalid = std::min(rows::first_invalid_utf8(rest_), rest_.find('\0'));
    if (invalid < rest_.size()) return bad(1 + static_cast<int>(std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(invalid), '\n')), "a byte that no Dockerfile holds: it is UTF-8 without NUL");
    return {};
  }

  // The next physical line without its end.
  std::string_view take_line() {
    ++line_;
    const auto end = std::min(rest_.find('\n'), rest_.size());
    auto line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  // Directives stand before everything else; the first line that is none ends them.
  Status read_directives() {
    std::vector<std::string> seen;
    while (!rest_.empty()) {
      const auto directive = parse_directive(rest_.substr(0, rest_.find('\n')));
      if (!directive || (directive->name != "ESCAPE" && directive->name != "SYNTAX" && directive->name != "CHECK")) return {};
      take_line();
      if (std::find(seen.begin(), seen.end(), directive->name) != seen.end()) return bad(line_, "a parser directive that stands twice: " + directive->name);
      seen.push_back(directive->name);
      if (directive->name == "ESCAPE") {
        if (directive->value != "\\" && directive->value != "`") return bad(line_, "the escape character is \\ or `");
        out_.escape = directive->value[0];
      }
      if (directive->name == "SYNTAX" && !directive->value.starts_with("docker/dockerfile")) {
        return bad(line_, "another language than Dockerfile: " + std::string(directive->value.substr(0, 100)), "remove the syntax line; no frontend is run here");
      }
    }
    return {};
  }

  // Cuts the escape character at a line's end; whether there was one. After another one it stands for itself.
  bool cut_continuation(std::string_view& line) const {
    const auto last = line.find_last_not_of(kBlank);
    if (last == line.npos || line[last] != out_.escape || (last > 0 && line[last - 1] == out_.escape)) return false;
    line = line.substr(0, last);
    return true;
  }

  Status read_instruction() {
    std::string_view line = take_line();
    const auto start = trimmed(line);
    if (start.empty()) return {};
    if (start.starts_with('#')) {
      if (const auto rules = ignored_rules(start); !rules.empty()) out_.comments_ignoring.push_back(fmt::format("{}:{}", line_, rules));
      return {};
    }
    Instruction instruction;
    instruction.line = line_;
    std::string text;
    bool goes_on = cut_continuation(line);
    text += line;
    while (goes_on && !rest_.empty()) {
      std::string_view next = take_line();
      const auto bare = trimmed(next);
      if (bare.empty() || bare.starts_with('#')) continue;  // comments and blank lines do not end it
      goes_on = cut_continuation(next);
      instruction.continued.push_back(line_);
      text += next;
    }
    TRY(split(text, instruction));
    if (out_.instructions.size() == kInstructionsMax) return bad(instruction.line, "a Dockerfile of more than 10,000 instructions");
    out_.instructions.push_back(std::move(instruction));
    return {};
  }

  Status split(std::string_view text, Instruction& into) {
    text = trimmed(text);
    const auto end = std::min(text.find_first_of(kBlank), text.size());
    into.keyword = upper(text.substr(0, end));
    if (!is_word(into.keyword)) return bad(into.line, "not an instruction: " + std::string(text.substr(0, std::min<std::size_t>(end, 60))), "an instruction is a word: FROM, COPY, ENV, ...");
    text = trimmed(text.substr(end));
    while (text.starts_with("--") && takes_flags(into.keyword)) {
      const auto flag_end = std::min(text.find_first_of(kBlank), text.size());
      const auto flag = text.substr(2, flag_end - 2);
      text = trimmed(text.substr(flag_end));
      if (flag.empty()) break;  // "--" ends the flags
      const auto equals = flag.find('=');
      into.flags.push_back({std::string(flag.substr(0, equals)), equals == flag.npos ? "" : std::string(flag.substr(equals + 1)), equals != flag.npos});
    }
    into.text = text;
    if (into.keyword == "RUN" || into.keyword == "COPY" || into.keyword == "ADD") TRY(read_heredocs(into));
    return {};
  }

  static bool takes_flags(std::string_view keyword) {
    for (auto known : {"FROM", "COPY", "ADD", "RUN", "HEALTHCHECK"}) {
      if (keyword == known) return true;
    }
    return false;
  }

  Status read_heredocs(Instruction& into) {
    for (auto& start : heredoc_starts(into.text, out_.escape)) {
      Heredoc heredoc{start.name, {}, line_ + 1};
      bool ended = false;
      while (!rest_.empty() && !ended) {
        auto line = take_line();
        if (start.strips_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        ended = line == start.name;
        if (!ended) heredoc.body.append(line).push_back('\n');
      }
      if (!ended) return bad(into.line, "a here-document without an end: " + start.name, "end it with a line of " + start.name);
      into.heredocs.push_back(std::move(heredoc));
    }
    return {};
  }

  Dockerfile out_;
  std::string_view rest_;
  int line_ = 0;
};

}  // namespace

std::optional<std::vector<std::string>> Instruction::json() const {
  if (!text.starts_with('[')) return std::nullopt;
  const auto parsed = parse_json(text, keyword, {.bytes_max = kDockerfileBytesMax, .depth_max = 2});
  if (!parsed || !parsed->is_array()) return std::nullopt;
  std::vector<std::string> words;
  for (const auto& word : *parsed) {
    if (!word.is_string()) return std::nullopt;
    words.push_back(word.get<std::string>());
  }
  return words;
}

Result<Dockerfile> parse_dockerfile(std::string_view text, std::string file) { return Parser(text, std::move(file)).run(); }

}  // namespace redoubt::stages::image::recipe
