// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/utf8.h"

namespace redoubt::engine::chat_template {
namespace {

constexpr std::size_t kTokensMax = 200'000;
constexpr std::array<std::string_view, 6> kLongSymbols = {"==", "!=", "<=", ">=", "//", "**"};
constexpr std::string_view kShortSymbols = "+-*/%~<>=.,:|()[]{}";

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Jinja reads every line end as one "\n" and drops one at the template's end.
std::string normal_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string source, const std::string& where) : source_(std::move(source)), where_(where) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) TRY(next_part());
    add(Token::end, "");
    if (tokens_.size() > kTokensMax) return fail(ErrorCode::limit_exceeded, "the template is too long", where_);
    return std::move(tokens_);
  }

 private:
  tl::unexpected<Error> bad(std::string what) const {
    return fail(ErrorCode::invalid_argument, "the chat template " + std::move(what), where_ + ":" + std::to_string(line_));
  }
  bool looking_at(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }
  void add(Token::Kind kind, std::string value) { tokens_.push_back({.kind = kind, .value = std::move(value), .line = line_}); }
  void advance(std::size_t size) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + size), '\n'));
    at_ += size;
  }

  // Text up to the next tag, and that tag.
  Status next_part() {
    std::size_t open = at_;
    while (true) {
      open = source_.find('{', open);
      if (open == std::string::npos || open + 1 >= source_.size()) break;
      if (source_[open + 1] == '{' || source_[open + 1] == '%' || source_[open + 1] == '#') break;
      ++open;
    }
    if (open == std::string::npos || open + 1 >= source_.size()) {
      emit_text(source_.substr(at_));
      advance(source_.size() - at_);
      return {};
    }
    const char kind = source_[open + 1];
    const char sign = open + 2 < source_.size() ? source_[open + 2] : ' ';
    emit_text(trimmed(source_.substr(at_, open - at_), kind, sign));
    advance(open + 2 - at_);
    if (sign == '-' || sign == '+') advance(1);
    if (kind == '#') return comment();
    if (kind == '%' && at_raw("raw")) return raw_block();
    return tag(kind == '%');
  }

  void emit_text(std::string text) {
    if (!text.empty()) add(Token::text, std::move(text));
  }

  // The text before a tag, without the white space that the tag takes away.
  std::string trimmed(std::string text, char kind, char sign) const {
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.pop_back();
      return text;
    }
    if (kind == '{' || sign == '+') return text;
    const auto last = text.rfind('\n');
    const auto line = last == std::string::npos ? 0 : last + 1;
    if (line == 0 && !line_start_) return text;
    if (std::all_of(text.begin() + static_cast<std::ptrdiff_t>(line), text.end(), is_space)) text.resize(line);
    return text;
  }

  // Steps over the end of a tag and the white space that it takes away.
  void close(bool strip, bool keep_newline) {
    const auto begin = at_;
    if (strip) {
      advance(3);
      while (at_ < source_.size() && is_space(source_[at_])) advance(1);
    } else {
      advance(2);
      if (!keep_newline && at_ < source_.size() && source_[at_] == '\n') advance(1);
    }
    line_start_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  Status comment() {
    const auto end = source_.find("#}", at_);
    if (end == std::string::npos) return bad("has a comment without an end");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    advance(end - at_);
    if (sign == '-') --at_;
    close(sign == '-', sign == '+');
    return {};
  }

  // Whether a block tag of one word starts here, behind its opening and sign.
  bool at_raw(std::string_view word) const {
    auto at = at_;
    while (at < source_.size() && is_space(source_[at])) ++at;
    if (!std::string_view(source_).substr(at).starts_with(word)) return false;
    for (at += word.size(); at < source_.size() && is_space(source_[at]);) ++at;
    const auto rest = std::string_view(source_).substr(at);
    return rest.starts_with("%}") || rest.starts_with("-%}") || rest.starts_with("+%}");
  }

  // Steps over the rest of such a tag.
  void close_raw() {
    while (source_[at_] != '%' && source_[at_] != '-' && source_[at_] != '+') advance(1);
    const bool strip = source_[at_] == '-', keep = source_[at_] == '+';
    if (keep) advance(1);
    close(strip, keep);
  }

  // {% raw %}: all up to {% endraw %} is text.
  Status raw_block() {
    close_raw();
    for (auto open = source_.find("{%", at_); open != std::string::npos; open = source_.find("{%", open + 2)) {
      const char sign = open + 2 < source_.size() ? source_[open + 2] : ' ';
      const auto begin = at_;
      const auto line = line_;
      at_ = open + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      const bool ends = at_raw("endraw");
      at_ = begin;
      line_ = line;
      if (!ends) continue;
      emit_text(trimmed(source_.substr(at_, open - at_), '%', sign));
      advance(open + 2 + (sign == '-' || sign == '+' ? 1 : 0) - at_);
      close_raw();
      return {};
    }
    return bad("lacks 'endraw'");
  }

  Status tag(bool block) {
    add(block ? Token::block_begin : Token::output_begin, "");
    const std::string_view end = block ? "%}" : "}}";
    std::vector<char> open;
    while (true) {
      while (at_ < source_.size() && is_space(source_[at_])) advance(1);
      if (at_ >= source_.size()) return bad("has a tag without an end");
      const bool strip = source_[at_] == '-' && std::string_view(source_).substr(at_ + 1).starts_with(end);
      const bool keep = block && source_[at_] == '+' && std::string_view(source_).substr(at_ + 1).starts_with(end);
      if (open.empty() && (strip || keep || looking_at(end))) {
        add(block ? Token::block_end : Token::output_end, "");
        if (keep) advance(1);
        close(strip, !block || keep);
        return {};
      }
      TRY(expression_token(open));
    }
  }

  Status expression_token(std::vector<char>& open) {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return string_token(c);
    if (std::isdigit(static_cast<unsigned char>(c))) return number_token();
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') return name_token();
    for (const auto symbol : kLongSymbols)
      if (looking_at(symbol)) {
        add(Token::symbol, std::string(symbol));
        advance(2);
        return {};
      }
    if (kShortSymbols.find(c) == std::string_view::npos) return bad(std::string("holds the unexpected character '") + c + "'");
    if (c == '(' || c == '[' || c == '{') open.push_back(c);
    if ((c == ')' || c == ']' || c == '}') && !open.empty()) open.pop_back();
    add(Token::symbol, std::string(1, c));
    advance(1);
    return {};
  }

  Status name_token() {
    auto end = at_;
    while (end < source_.size() && (std::isalnum(static_cast<unsigned char>(source_[end])) || source_[end] == '_')) ++end;
    add(Token::name, source_.substr(at_, end - at_));
    advance(end - at_);
    return {};
  }

  Status number_token() {
    const char* begin = source_.data() + at_;
    const char* limit = source_.data() + source_.size();
    const char* end = begin;
    while (end < limit && std::isdigit(static_cast<unsigned char>(*end))) ++end;
    Token token{.kind = Token::integer, .line = line_};
    const bool member = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 are two places, not one number
    const bool fraction = !member && end + 1 < limit && *end == '.' && std::isdigit(static_cast<unsigned char>(end[1]));
    const auto* power = !member && end < limit && (*end == 'e' || *end == 'E') ? end + 1 : nullptr;
    if (power && power < limit && (*power == '+' || *power == '-')) ++power;
    if (fraction || (power && power < limit && std::isdigit(static_cast<unsigned char>(*power)))) {
      token.kind = Token::real;
      end = std::from_chars(begin, limit, token.number, std::chars_format::general).ptr;
    } else if (std::from_chars(begin, end, token.whole).ec != std::errc{}) {
      return bad("holds a number that is too large");
    }
    tokens_.push_back(std::move(token));
    advance(static_cast<std::size_t>(end - begin));
    return {};
  }

  Status string_token(char quote) {
    std::string value;
    auto i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] != '\\') {
        value += source_[i++];
        continue;
      }
      if (i + 1 >= source_.size()) break;
      i = TRY(escape(i + 1, value));
    }
    if (i >= source_.size()) return bad("has a string without an end");
    add(Token::string, std::move(value));
    advance(i + 1 - at_);
    return {};
  }

  // Reads the escape whose letter is at `i`; answers the offset after it.
  Result<std::size_t> escape(std::size_t i, std::string& value) const {
    const char c = source_[i];
    switch (c) {
      case 'a': value += '\a'; return i + 1;
      case 'b': value += '\b'; return i + 1;
      case 'f': value += '\f'; return i + 1;
      case 'v': value += '\v'; return i + 1;
      case 'n': value += '\n'; return i + 1;
      case 't': value += '\t'; return i + 1;
      case 'r': value += '\r'; return i + 1;
      case '\n': return i + 1;
      case '\\': case '\'': case '"': value += c; return i + 1;
      case 'x': return code_point(i + 1, 2, value);
      case 'u': return code_point(i + 1, 4, value);
      case 'U': return code_point(i + 1, 8, value);
      default: break;
    }
    if (std::isdigit(static_cast<unsigned char>(c)) || c == 'N') return bad(std::string("has a string with the escape \\") + c);
    // Python leaves an escape that it does not know as it stands.
    value += '\\';
    value += c;
    return i + 1;
  }

  Result<std::size_t> code_point(std::size_t i, std::size_t digits, std::string& value) const {
    std::uint32_t code = 0;
    if (i + digits > source_.size()) return bad("has a string with half an escape");
    const auto [end, error] = std::from_chars(source_.data() + i, source_.data() + i + digits, code, 16);
    if (error != std::errc{} || end != source_.data() + i + digits || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      return bad("has a string with an escape that is no character");
    append_utf8(value, code);
    return i + digits;
  }

  std::string source_;
  const std::string& where_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where) {
  return Lexer(normal_lines(source), where).run();
}

}  // namespace redoubt::engine::chat_template
