// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kPatternBytesMax = 16 << 10;
constexpr std::uint32_t kBacktracksMax = 50'000'000;
constexpr std::uint32_t kHeapKibMax = 256 << 10;

// White_Space of Unicode; PCRE2's \s also takes U+180E.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Letters and numbers that came after PCRE2 10.42's Unicode 14, up to Oniguruma's Unicode 16.
constexpr std::string_view kNewLetters =
    R"(\x{1c89}\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65}\x{10d6f}-\x{10d85})"
    R"(\x{10ec2}-\x{10ec4}\x{1123f}\x{11240}\x{11380}-\x{11389}\x{1138b}\x{1138e}\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3})"
    R"(\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10}\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa})"
    R"(\x{16100}-\x{1611d}\x{16d40}-\x{16d6c}\x{18cff}\x{1b132}\x{1b155}\x{1df25}-\x{1df2a}\x{1e030}-\x{1e06d})"
    R"(\x{1e4d0}-\x{1e4eb}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";
constexpr std::string_view kNewNumbers =
    R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139}\x{16d70}-\x{16d79})"
    R"(\x{1ccf0}-\x{1ccf9}\x{1d2c0}-\x{1d2d3}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})";

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where) : pattern_(pattern), where_(where) {}

  Result<std::string> run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        TRY(escape());
        continue;
      }
      if (c == '[') TRY(open_class());
      if (c == ']') in_class_ = false;
      out_ += c;
      ++at_;
    }
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> refuse(std::string what) const {
    return fail(ErrorCode::unsupported, "the pre-tokenizer's regular expression uses " + what, std::string(where_));
  }

  Status open_class() {
    if (in_class_) return refuse("a class inside a class");
    in_class_ = true;
    return {};
  }

  Status escape() {
    if (at_ + 1 >= pattern_.size()) return refuse("a backslash at its end");
    const char c = pattern_[at_ + 1];
    if (c == 'p' || c == 'P') return property(c == 'P');
    if (c == 's' || c == 'S') {
      at_ += 2;
      return add_set(kSpace, c == 'S');
    }
    const bool known = c == 'd' || c == 'D' || c == 'r' || c == 'n' || c == 't' || c == 'x' || std::ispunct(static_cast<unsigned char>(c));
    if (!known) return refuse(std::string("the escape \\") + c);
    out_ += pattern_.substr(at_, 2);
    at_ += 2;
    return {};
  }

  Status property(bool negated) {
    const auto close = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || close == std::string_view::npos)
      return refuse("a property without braces");
    const auto name = pattern_.substr(at_ + 3, close - at_ - 3);
    const auto whole = std::string(pattern_.substr(at_, close + 1 - at_));
    at_ = close + 1;
    if (name == "L") return add_set("\\p{L}" + std::string(kNewLetters), negated);
    if (name == "N") return add_set("\\p{N}" + std::string(kNewNumbers), negated);
    out_ += whole;
    return {};
  }

  Status add_set(std::string_view members, bool negated) {
    if (!in_class_) {
      out_ += (negated ? "[^" : "[") + std::string(members) + "]";
      return {};
    }
    if (negated) return refuse("a negated set inside a class");
    out_ += members;
    return {};
  }

  std::string_view pattern_, where_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

// What one search needs, made anew each time so that searches do not share anything.
struct Search {
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  Search() {
    pcre2_set_match_limit(context, kBacktracksMax);
    pcre2_set_heap_limit(context, kHeapKibMax);
  }
  Search(const Search&) = delete;
  ~Search() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

}  // namespace

void Regex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<std::string> translate_pattern(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kPatternBytesMax)
    return fail(ErrorCode::limit_exceeded, "the pre-tokenizer's regular expression is longer than 16 KiB", std::string(where));
  return Translator(pattern, where).run();
}

Result<Regex> Regex::compile(std::string_view pattern, std::string_view where) {
  const auto text = TRY(translate_pattern(pattern, where));
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (!code) {
    char message[256] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return fail(ErrorCode::invalid_argument, std::string("the pre-tokenizer's regular expression does not compile: ") + message,
                std::string(where));
  }
  // Where the machine forbids generated code the interpreter gives the same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(code);
}

Result<std::vector<Range>> Regex::find_all(std::string_view text) const {
  const Search search;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  std::vector<Range> matches;
  for (std::size_t from = 0; from <= text.size();) {
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, search.data, search.context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      return fail(ErrorCode::limit_exceeded, "the pre-tokenizer's regular expression takes too long on this text");
    const auto* offsets = pcre2_get_ovector_pointer(search.data);
    matches.push_back({offsets[0], offsets[1]});
    from = offsets[1];
  }
  return matches;
}

}  // namespace redoubt::engine::tokenizer
