// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/words.h"

#include <cctype>

namespace redoubt::stages::image::recipe {
namespace {

constexpr int kVariableDepthMax = 16;
constexpr std::size_t kExpandedBytesMax = 1 << 20;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

tl::unexpected<Error> bad(std::string message, std::string_view text) { return fail(ErrorCode::invalid_argument, std::move(message), std::string(text.substr(0, 80))); }

// A walk over one text that collects words.
class Walk {
 public:
  Walk(std::string_view text, char escape, const Variables& variables, bool splits, int depth)
      : text_(text), escape_(escape), variables_(variables), splits_(splits), depth_(depth) {}

  // To the text's end, or to a '}' where one is awaited.
  Status run(bool to_brace) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (to_brace && c == '}') return {};
      if (c == '\'') TRY(single_quotes());
      else if (c == '"') TRY(double_quotes());
      else if (c == '$') TRY(add_text(TRY(variable())));
      else if (c == escape_) TRY(escaped());
      else {
        TRY(add(c, !to_brace));
        ++at_;
      }
    }
    if (to_brace) return bad("a '${' without its '}'", text_);
    return {};
  }

  std::vector<std::string> words() {
    end_word();
    return std::move(words_);
  }
  std::string word() { return std::move(word_); }
  std::size_t at() const { return at_; }

 private:
  Status add(char c, bool may_split) {
    if (splits_ && may_split && is_blank(c)) {
      end_word();
      return {};
    }
    in_word_ = true;
    word_ += c;
    return check_size();
  }
  // Variables that hold each other would grow without end.
  Status check_size() const {
    if (word_.size() > kExpandedBytesMax) return fail(ErrorCode::limit_exceeded, "a word of more than 1 MiB", std::string(text_.substr(0, 80)));
    return {};
  }
  Status add_text(const std::string& text) {
    for (const char c : text) TRY(add(c, true));
    return {};
  }
  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  Status single_quotes() {
    const auto end = text_.find('\'', at_ + 1);
    if (end == text_.npos) return bad("a quote without its end", text_);
    in_word_ = true;
    word_ += text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return {};
  }

  Status double_quotes() {
    in_word_ = true;
    for (++at_; at_ < text_.size(); ) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return {};
      }
      if (c == '$') {
        word_ += TRY(variable());
        TRY(check_size());
        continue;
      }
      if (c == escape_ && at_ + 1 < text_.size()) {
        const char next = text_[at_ + 1];
        if (next != '"' && next != '$' && next != escape_) word_ += c;
        word_ += next;
        at_ += 2;
        continue;
      }
      word_ += c;
      ++at_;
    }
    return bad("a quote without its end", text_);
  }

  Status escaped() {
    in_word_ = true;
    if (at_ + 1 == text_.size()) {
      ++at_;
      return {};  // an escape at the end stands for nothing
    }
    word_ += text_[at_ + 1];
    at_ += 2;
    return {};
  }

  std::string take_name() {
    const std::size_t from = at_;
    if (at_ < text_.size() && is_letter(text_[at_])) {
      while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    } else if (at_ < text_.size() && is_digit(text_[at_])) {
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    } else if (at_ < text_.size() && std::string_view("@*#?-$!").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
    return std::string(text_.substr(from, at_ - from));
  }

  Result<std::string> variable() {
    ++at_;
    if (at_ < text_.size() && text_[at_] == '{') return braces();
    const std::string name = take_name();
    return name.empty() ? "$" : variables_(name).value_or("");
  }

  // "${NAME}", "${NAME:-word}", "${NAME:+word}", "${NAME:?word}", and each without the colon.
  Result<std::string> braces() {
    ++at_;
    const std::string name = take_name();
    if (name.empty()) return bad("a '${' without a name", text_);
    if (at_ == text_.size()) return bad("a '${' without its '}'", text_);
    const auto value = variables_(name);
    if (text_[at_] == '}') {
      ++at_;
      return value.value_or("");
    }
    const bool colon = text_[at_] == ':';
    if (colon) ++at_;
    const char modifier = at_ < text_.size() ? text_[at_] : '\0';
    if (modifier != '-' && modifier != '+' && modifier != '?') {
      return fail(ErrorCode::unsupported, "a modifier that is not taken in ${" + name + "...}", std::string(text_.substr(0, 80)), "use ${NAME}, ${NAME:-word} or ${NAME:+word}");
    }
    ++at_;
    const std::string word = TRY(inner_word());
    const bool is_set = value && !(colon && value->empty());
    if (modifier == '-') return is_set ? *value : word;
    if (modifier == '+') return is_set ? word : std::string();
    if (!is_set) return bad(name + ": " + (word.empty() ? "is not set" : word), text_);
    return *value;
  }

  Result<std::string> inner_word() {
    if (depth_ == kVariableDepthMax) return fail(ErrorCode::limit_exceeded, "variables nested too deep", std::string(text_.substr(0, 80)));
    Walk inner(text_.substr(at_), escape_, variables_, false, depth_ + 1);
    TRY(inner.run(true));
    at_ += inner.at() + 1;
    return inner.word();
  }

  std::string_view text_;
  char escape_;
  const Variables& variables_;
  bool splits_;
  int depth_;
  std::size_t at_ = 0;
  std::string word_;
  bool in_word_ = false;
  std::vector<std::string> words_;
};

}  // namespace

Result<std::string> Words::expand(std::string_view word) const {
  Walk walk(word, escape_, variables_, false, 0);
  TRY(walk.run(false));
  return walk.word();
}

Result<std::vector<std::string>> Words::expand_and_split(std::string_view text) const {
  Walk walk(text, escape_, variables_, true, 0);
  TRY(walk.run(false));
  return walk.words();
}

std::vector<std::string> Words::split(std::string_view text) const {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\0' && is_blank(c)) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
      continue;
    }
    word += c;
    if (c == escape_ && quote != '\'' && i + 1 < text.size()) word += text[++i];
    else if (quote == '\0' && (c == '"' || c == '\'')) quote = c;
    else if (c == quote) quote = '\0';
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

Result<std::vector<std::pair<std::string, std::string>>> Words::pairs(std::string_view text) const {
  std::vector<std::pair<std::string, std::string>> pairs;
  const auto words = split(text);
  if (words.empty()) return bad("a name and a value are missing", text);
  if (words[0].find('=') == words[0].npos) {
    const auto after = text.find_first_not_of(" \t", text.find(words[0]) + words[0].size());
    if (after == text.npos) return bad("a name without a value", text);
    auto value = TRY(expand(text.substr(after)));
    pairs.emplace_back(words[0], std::move(value));
    return pairs;
  }
  for (const auto& word : words) {
    const auto equals = word.find('=');
    if (equals == word.npos || equals == 0) return bad("not NAME=VALUE: " + word.substr(0, 60), text);
    auto name = TRY(expand(std::string_view(word).substr(0, equals)));
    auto value = TRY(expand(std::string_view(word).substr(equals + 1)));
    pairs.emplace_back(std::move(name), std::move(value));
  }
  return pairs;
}

std::vector<std::string> fields(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    while (at < text.size() && is_blank(text[at])) ++at;
    const std::size_t from = at;
    while (at < text.size() && !is_blank(text[at])) ++at;
    if (at > from) out.emplace_back(text.substr(from, at - from));
  }
  return out;
}

std::string_view trimmed(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r");
  if (first == line.npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (auto& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

}  // namespace redoubt::stages::image::recipe
