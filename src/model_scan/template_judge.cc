// SPDX-License-Identifier: Apache-2.0
#include "model_scan/template_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <vector>

#include "model_scan/scan.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kTokensMax = 200'000, kBytesMax = 1 << 20;
constexpr std::size_t kNearby = 4096;  // tokens that are looked at around one

using Words = std::initializer_list<std::string_view>;
bool is_one_of(std::string_view word, Words words) { return std::find(words.begin(), words.end(), word) != words.end(); }

bool is_tag(std::string_view word) {
  return is_one_of(word, {"if", "elif", "else", "endif", "for", "endfor", "set", "endset", "macro", "endmacro", "break", "continue", "generation", "endgeneration", "filter", "endfilter",
                          "with", "endwith", "call", "endcall", "do", "raw", "endraw", "autoescape", "endautoescape", "block", "endblock"});
}
bool is_function(std::string_view word) { return is_one_of(word, {"range", "namespace", "raise_exception", "strftime_now", "dict", "caller"}); }
bool is_method(std::string_view word) {
  return is_one_of(word, {"strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "partition", "rpartition", "startswith", "endswith", "upper", "lower", "title", "capitalize", "swapcase", "replace",
                          "items", "keys", "values", "get", "join", "append", "extend", "insert", "pop", "update", "setdefault", "copy", "count", "index", "find", "rfind", "isdigit", "isalpha", "isalnum",
                          "isupper", "islower", "isspace", "isnumeric", "isdecimal", "removeprefix", "removesuffix", "zfill", "ljust", "rjust", "center", "reverse", "sort", "remove", "strftime", "cycle", "changed"});
}
bool is_filter(std::string_view word) {
  return is_one_of(word, {"abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat", "first", "float", "forceescape", "format", "from_json", "fromjson", "groupby", "indent", "int",
                          "items", "join", "last", "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr",
                          "slice", "sort", "string", "striptags", "sum", "title", "tojson", "to_json", "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap"});
}
// Objects through which templates reach the interpreter.
bool is_gate(std::string_view word) {
  return is_one_of(word, {"self", "cycler", "joiner", "lipsum", "request", "config", "g", "session", "url_for", "get_flashed_messages", "application", "environ", "os", "sys", "subprocess", "builtins", "popen", "eval",
                          "exec", "open", "import", "importlib", "globals", "locals", "getattr", "setattr", "vars", "compile", "breakpoint", "mro", "subclasses"});
}

struct Token {
  enum Kind { name, text, number, symbol } kind = symbol;
  std::string value;
  std::size_t offset = 0;
};

// What the escapes of a Python text stand for, as far as plain letters are concerned.
std::string unescaped(std::string_view raw) {
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 >= raw.size()) {
      out += raw[i];
      continue;
    }
    const char kind = raw[++i];
    const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    unsigned value = 0;
    std::size_t read = 0;
    const bool is_octal = kind >= '0' && kind <= '7';
    for (std::size_t at = is_octal ? i : i + 1; at < raw.size() && read < (is_octal ? 3 : digits); ++at, ++read) {
      const char c = raw[at];
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0 || (is_octal && digit > 7)) break;
      value = value * (is_octal ? 8 : 16) + static_cast<unsigned>(digit);
    }
    if (kind == 'N') {
      out += "__";  // a letter by its name hides what it is
    } else if (digits > 0 || is_octal) {
      out += value < 0x80 ? std::string(1, static_cast<char>(value)) : "?";
      i += is_octal ? read - 1 : read;
    } else {
      out += kind;
    }
  }
  return out;
}

class Judge {
 public:
  explicit Judge(std::string_view text) : text_(text) {}

  std::optional<TemplateProblem> run() {
    if (text_.size() > kBytesMax) return TemplateProblem{"malformed", "the template is too long", 0};
    while (!problem_ && next_tag()) {
    }
    for (std::size_t i = 0; i < statements_.size() && !problem_; ++i) note_macros(statements_[i]);
    for (std::size_t i = 0; i < statements_.size() && !problem_; ++i) judge(statements_[i]);
    if (!problem_ && dynamic_at_ && underscore_at_) tell("attribute", "reaches into an object by a name that is put together of parts", *dynamic_at_);
    return problem_;
  }

 private:
  using Tokens = std::vector<Token>;
  struct Statement {
    Tokens tokens;
    bool is_block = false;  // {% %}, not {{ }}
    std::size_t offset = 0;
  };

  void tell(const char* rule, std::string detail, std::size_t offset) {
    if (!problem_) problem_ = TemplateProblem{rule, std::move(detail), offset};
  }

  bool next_tag() {
    const auto open = text_.find('{', at_);
    if (open == text_.npos || open + 1 >= text_.size()) return false;
    const char kind = text_[open + 1];
    at_ = open + 1;
    if (kind == '#') {
      const auto close = text_.find("#}", open + 2);
      if (close == text_.npos) return tell("malformed", "a comment without an end", open), false;
      at_ = close + 2;
    } else if (kind == '{' || kind == '%') {
      at_ = open + 2;
      Statement statement{{}, kind == '%', open};
      if (!read_tokens(statement, kind == '%' ? "%}" : "}}")) return false;
      if (statement.is_block && !statement.tokens.empty() && statement.tokens[0].value == "raw") skip_raw();
      statements_.push_back(std::move(statement));
    }
    return true;
  }

  void skip_raw() {
    const auto end = text_.find("endraw", at_);
    at_ = end == text_.npos ? text_.size() : text_.rfind('{', end);
  }

  bool read_tokens(Statement& statement, std::string_view close) {
    if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
    int braces = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (braces == 0 && text_.substr(at_).starts_with(close)) return at_ += close.size(), true;
      if (braces == 0 && (c == '-' || c == '+') && text_.substr(at_ + 1).starts_with(close)) return at_ += 1 + close.size(), true;
      if (++tokens_ > kTokensMax) return tell("malformed", "the template is too long", at_), false;
      if (c == '\'' || c == '"') {
        if (!read_text(statement, c)) return false;
      } else if (is_letter(c)) {
        read_while(statement, Token::name, [&](char d) { return is_letter(d) || is_digit(d); });
      } else if (is_digit(c)) {
        read_while(statement, Token::number, [&](char d) { return is_letter(d) || is_digit(d); });
      } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        ++at_;
      } else {
        braces += c == '{' ? 1 : c == '}' ? -1 : 0;
        statement.tokens.push_back({Token::symbol, std::string(1, c), at_++});
      }
    }
    return tell("malformed", "a tag without an end", statement.offset), false;
  }

  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  void read_while(Statement& statement, Token::Kind kind, const auto& belongs) {
    const std::size_t start = at_;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    statement.tokens.push_back({kind, std::string(text_.substr(start, at_ - start)), start});
  }

  bool read_text(Statement& statement, char quote) {
    const std::size_t start = at_++;
    while (at_ < text_.size() && text_[at_] != quote) at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return tell("malformed", "a text without an end", start), false;
    statement.tokens.push_back({Token::text, unescaped(text_.substr(start + 1, at_ - start - 1)), start});
    ++at_;
    return true;
  }

  void note_macros(const Statement& statement) {
    const Tokens& tokens = statement.tokens;
    if (!statement.is_block || tokens.size() < 2) return;
    if (tokens[0].value == "macro") macros_.insert(tokens[1].value);
    if (tokens[0].value == "set") own_.insert(tokens[1].value);
    if (tokens[0].value == "set" && is_lazy(tokens, last_name(tokens))) lazy_.insert(tokens[1].value);
    for (std::size_t i = 1; i < tokens.size() && (tokens[0].value == "macro" || tokens[0].value == "for") && tokens[i].value != "in"; ++i) own_.insert(tokens[i].value);
  }

  void judge(const Statement& statement) {
    const Tokens& tokens = statement.tokens;
    if (statement.is_block) {
      if (tokens.empty() || tokens[0].kind != Token::name || !is_tag(tokens[0].value)) return tell("tag", fmt::format("'{{% {} %}}' does more than format", tokens.empty() ? "" : tokens[0].value), statement.offset);
      if (tokens[0].value == "filter" && tokens.size() > 1 && !is_filter(tokens[1].value)) return tell("call", fmt::format("the filter '{}' does more than format", tokens[1].value), tokens[1].offset);
    }
    for (std::size_t i = statement.is_block ? 1 : 0; i < tokens.size() && !problem_; ++i) judge_token(tokens, i, statement.is_block);
  }

  static bool is_symbol(const Tokens& tokens, std::size_t i, char c) { return i < tokens.size() && tokens[i].kind == Token::symbol && tokens[i].value[0] == c; }

  void judge_token(const Tokens& tokens, std::size_t i, bool is_block) {
    const Token& token = tokens[i];
    if (token.kind == Token::text) {
      if (token.value.find('_') != token.value.npos) {
        if (is_taken_apart(tokens, i) && !underscore_at_) underscore_at_ = token.offset;
        if (is_block && i == 3 && tokens[0].value == "set") underscored_.insert(tokens[1].value);
      }
      return judge_text(token, is_compared(tokens, i));
    }
    if (is_symbol(tokens, i, '[') && i > 0 && tokens[i - 1].kind == Token::name && underscored_.contains(tokens[i - 1].value) && !underscore_at_) underscore_at_ = tokens[i].offset;
    if (is_symbol(tokens, i, '[')) return judge_subscript(tokens, i);
    if (token.kind != Token::name) return;
    const bool is_member = i > 0 && is_symbol(tokens, i - 1, '.'), is_piped = i > 0 && is_symbol(tokens, i - 1, '|'), is_called = is_symbol(tokens, i + 1, '(');
    if (token.value.starts_with("__") || (is_member && token.value.starts_with('_'))) return tell("attribute", fmt::format("reaches for '{}'", token.value), token.offset);
    if (is_written_out(tokens, i, is_block) && !underscore_at_) underscore_at_ = token.offset;
    if (is_piped) {
      if (!is_filter(token.value)) return tell("call", fmt::format("the filter '{}' does more than format", token.value), token.offset);
      return judge_attribute_filter(tokens, i);
    }
    const bool is_function_by_name = !is_member && (macros_.contains(token.value) || (is_function(token.value) && !own_.contains(token.value)));
    if (is_function_by_name && (is_symbol(tokens, i + 1, '.') || is_symbol(tokens, i + 1, '|') || is_symbol(tokens, i + 1, '['))) return tell("attribute", fmt::format("takes the function '{}' apart", token.value), token.offset);
    if (is_called && !is_member && (token.value == "dict" || token.value == "namespace")) note_keywords(tokens, i);
    // A text that is filled by another one reaches for members, as a subscript does.
    if (is_called && is_member && token.value == "format" && !(i > 1 && tokens[i - 2].kind == Token::text && tokens[i - 2].value.find('_') == std::string::npos) && !dynamic_at_) dynamic_at_ = token.offset;
    const bool is_defined = is_block && i > 0 && (tokens[0].value == "macro" || (i == 1 && is_one_of(tokens[0].value, {"set", "for", "with", "filter", "block", "endblock", "endmacro"})));
    const bool is_tested = i + 1 < tokens.size() && tokens[i + 1].value == "is";
    // Functions and macros tell their names, and a macro those of its arguments.
    const bool tells_names = (is_function_by_name && !is_called && !is_tested && token.value.find('_') != token.value.npos) || (!is_member && !own_.contains(token.value) && token.value == "kwargs");
    if (tells_names && !is_defined && !is_keyword_argument(tokens, i) && !underscore_at_) underscore_at_ = token.offset;
    if (!is_member && !is_defined && is_gate(token.value) && !own_.contains(token.value) && !is_keyword_argument(tokens, i)) return tell("attribute", fmt::format("reaches for '{}'", token.value), token.offset);
    if (is_member && is_one_of(token.value, {"mro", "func_globals", "gi_frame", "gi_code", "cr_frame", "f_globals", "tb_frame", "format_map"})) return tell("attribute", fmt::format("reaches for '{}'", token.value), token.offset);
    if (!is_called) return;
    const bool is_test = i > 0 && (tokens[i - 1].value == "is" || tokens[i - 1].value == "not");
    const bool is_word = is_one_of(token.value, {"if", "elif", "else", "in", "and", "or", "not", "is", "for", "set", "call", "recursive", "do"});
    if (is_member ? !is_method(token.value) && token.value != "format" : !is_function(token.value) && !macros_.contains(token.value) && !is_word && !is_test && !is_defined) {
      tell("call", fmt::format("calls '{}'", token.value), token.offset);
    }
  }

  // map(attribute=...), selectattr(...) and their like reach for a member by a text.
  void judge_attribute_filter(const Tokens& tokens, std::size_t i) {
    if (!is_symbol(tokens, i + 1, '(') || i + 2 >= tokens.size()) return;
    if (tokens[i].value == "map" && tokens[i + 2].kind == Token::text && !is_filter(tokens[i + 2].value)) return tell("call", fmt::format("maps by '{}'", tokens[i + 2].value), tokens[i + 2].offset);
    const bool is_by_place = is_one_of(tokens[i].value, {"selectattr", "rejectattr", "groupby"});
    if (is_by_place && tokens[i + 2].kind != Token::text && !dynamic_at_) dynamic_at_ = tokens[i].offset;
    for (std::size_t at = i + 2; at + 2 < tokens.size() && !is_symbol(tokens, at, ')'); ++at) {
      const bool is_attribute = tokens[at].kind == Token::name && tokens[at].value == "attribute" && is_symbol(tokens, at + 1, '=');
      if (is_attribute && tokens[at + 2].kind == Token::name && !dynamic_at_) dynamic_at_ = tokens[at].offset;
    }
  }

  // A generator or a view of a dict that becomes a text says what it is: "<generator object sync_do_map ...>", "dict_items(...)".
  bool is_written_out(const Tokens& tokens, std::size_t i, bool is_block) const {
    const bool is_joined = i > 0 && is_symbol(tokens, i - 1, '~');
    std::size_t next = i + 1;
    if (!is_lazy(tokens, i)) {
      if (!lazy_.contains(tokens[i].value) || (i > 0 && is_symbol(tokens, i - 1, '.')) || (is_block && i == 1 && tokens[0].value == "set")) return false;
    } else if (is_symbol(tokens, next, '(')) {
      next = behind_parentheses(tokens, next);
    }
    while (is_symbol(tokens, next, ')')) ++next;
    if (is_symbol(tokens, next, '|') && next + 1 < tokens.size()) {
      return !is_one_of(tokens[next + 1].value, {"list", "join", "first", "sum", "sort", "min", "max", "length", "count", "dictsort", "default", "d", "tojson", "map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "groupby", "reverse", "items"});
    }
    bool joins = false;
    for (std::size_t before = i; before-- > 0 && i - before < kNearby && !joins;) joins = is_symbol(tokens, before, '~');
    return is_joined || joins || is_symbol(tokens, next, '~');
  }

  static bool is_lazy(const Tokens& tokens, std::size_t i) {
    if (i == 0 || tokens[i].kind != Token::name) return false;
    if (is_symbol(tokens, i - 1, '|')) return is_one_of(tokens[i].value, {"map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "items", "reverse"});
    return is_symbol(tokens, i - 1, '.') && is_symbol(tokens, i + 1, '(') && is_one_of(tokens[i].value, {"items", "keys", "values"});
  }

  // What a statement ends with: a name, or that of a call.
  static std::size_t last_name(const Tokens& tokens) {
    int depth = 0;
    for (std::size_t i = tokens.size(); i-- > 0;) {
      if (is_symbol(tokens, i, ')')) ++depth;
      if (is_symbol(tokens, i, '(')) --depth;
      if (depth == 0 && tokens[i].kind == Token::name) return i;
      if (depth == 0 && !is_symbol(tokens, i, '(')) return 0;
    }
    return 0;
  }

  static std::size_t behind_parentheses(const Tokens& tokens, std::size_t open) {
    int depth = 0;
    for (std::size_t i = open; i < std::min(tokens.size(), open + kNearby); ++i) {
      if (is_symbol(tokens, i, '(')) ++depth;
      if (is_symbol(tokens, i, ')') && --depth == 0) return i + 1;
    }
    return tokens.size();
  }

  static bool is_keyword_argument(const Tokens& tokens, std::size_t i) { return is_symbol(tokens, i + 1, '=') && !is_symbol(tokens, i + 2, '='); }

  // Names of arguments become texts as keys of a dict.
  void note_keywords(const Tokens& tokens, std::size_t function) {
    int depth = 0;
    for (std::size_t i = function + 1; i < tokens.size(); ++i) {
      if (is_symbol(tokens, i, '(')) ++depth;
      if (is_symbol(tokens, i, ')') && --depth == 0) return;
      if (depth != 1 || tokens[i].kind != Token::name || !is_keyword_argument(tokens, i)) continue;
      const std::string& name = tokens[i].value;
      const bool has_underscore = tokens[function].value == "dict" ? name.find('_') != name.npos : name.front() == '_' || name.back() == '_';
      if (has_underscore && !underscore_at_) underscore_at_ = tokens[i].offset;
    }
  }

  // A text that is looked up or compared as it stands, and goes into no other.
  static bool is_compared(const Tokens& tokens, std::size_t i) {
    for (const char joined : {'~', '+', '%', '*', '|', '[', '.'}) {
      if (is_symbol(tokens, i + 1, joined)) return false;
    }
    const bool is_key = i > 1 && is_symbol(tokens, i - 1, '(') && tokens[i - 2].value == "get";
    const bool is_equal = i > 1 && is_symbol(tokens, i - 1, '=') && (is_symbol(tokens, i - 2, '=') || is_symbol(tokens, i - 2, '!'));
    return is_key || is_equal || (i + 1 < tokens.size() && tokens[i + 1].value == "in");
  }

  // What a special name could begin or end with: of letters alone, or so short or so made that something else may be left of it.
  static bool is_piece(std::string_view text) {
    constexpr std::size_t kShort = 3;
    if (text.front() != '_' && text.back() != '_') return false;
    return text.size() <= kShort || text.find('{') != text.npos || std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c); });
  }

  // Whether single letters of a text are reached for: by a subscript, a filter or a method.
  static bool is_taken_apart(const Tokens& tokens, std::size_t i) {
    if (is_symbol(tokens, i + 1, '[')) return true;
    if (i + 2 >= tokens.size() || (!is_symbol(tokens, i + 1, '.') && !is_symbol(tokens, i + 1, '|'))) return false;
    return is_one_of(tokens[i + 2].value, {"first", "last", "list", "batch", "slice", "random", "reverse", "map", "select", "reject", "replace", "truncate", "sort", "unique", "min", "max", "groupby", "wordwrap", "striptags", "trim",
                                           "split", "rsplit", "splitlines", "partition", "rpartition", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "items"});
  }

  void judge_text(const Token& token, bool is_compared) {
    const auto from = token.value.find("__");
    if (from != token.value.npos && from + 2 < token.value.size() && is_letter(token.value[from + 2]) && token.value[from + 2] != '_') return tell("attribute", "a text that names a special attribute", token.offset);
    // "%c" makes a letter of a number.
    const bool is_made_of = !token.value.empty() && !is_compared && (is_piece(token.value) || token.value.find("%c") != token.value.npos);
    if (is_made_of && !underscore_at_) underscore_at_ = token.offset;
  }

  // x[...]: a text, a number, a name or arithmetic with them; a text put together on the spot is none of these.
  void judge_subscript(const Tokens& tokens, std::size_t open) {
    const bool follows_value = open > 0 && (tokens[open - 1].kind == Token::name || tokens[open - 1].kind == Token::text || is_symbol(tokens, open - 1, ')') || is_symbol(tokens, open - 1, ']'));
    if (!follows_value || (tokens[open - 1].kind == Token::name && is_one_of(tokens[open - 1].value, {"in", "if", "else", "and", "or", "not", "is", "set"}))) return;
    int depth = 0;
    bool has_text = false, has_name = false, has_sum = false;
    for (std::size_t i = open; i < tokens.size(); ++i) {
      if (is_symbol(tokens, i, '[') || is_symbol(tokens, i, '(')) ++depth;
      if ((is_symbol(tokens, i, ']') || is_symbol(tokens, i, ')')) && --depth == 0) break;
      has_text = has_text || tokens[i].kind == Token::text;
      has_name = has_name || tokens[i].kind == Token::name;
      // A special token is a text of the repository.
      if (tokens[i].kind == Token::name && tokens[i].value.ends_with("_token") && !own_.contains(tokens[i].value) && !is_symbol(tokens, i - 1, '.')) return tell("attribute", "reaches into an object by a special token", tokens[open].offset);
      has_sum = has_sum || is_symbol(tokens, i, '~') || is_symbol(tokens, i, '+') || is_symbol(tokens, i, '|') || is_symbol(tokens, i, '%') || is_symbol(tokens, i, '*');
    }
    if (has_text && has_sum) return tell("attribute", "reaches into an object by a name that is put together of parts", tokens[open].offset);
    if (has_name && !dynamic_at_) dynamic_at_ = tokens[open].offset;
  }

  std::string_view text_;
  std::size_t at_ = 0, tokens_ = 0;
  std::vector<Statement> statements_;
  std::set<std::string> macros_, own_, underscored_, lazy_;  // names of macros, of the template's variables, of texts with an underscore in them, and of what has one when it is written out
  std::optional<std::size_t> dynamic_at_, underscore_at_;
  std::optional<TemplateProblem> problem_;
};

}  // namespace

std::optional<TemplateProblem> judge_template(std::string_view text) { return Judge(text).run(); }

void Scan::judge_template(std::string_view text, const Place& place, std::string_view name) {
  if (const auto problem = model_scan::judge_template(text)) {
    add(place, "template", "template/" + problem->rule, problem->rule == "malformed" ? "medium" : "critical", fmt::format("the template '{}' {}", name, problem->detail), place.path == name ? problem->offset : 0);
  }
}

}  // namespace redoubt::model_scan
