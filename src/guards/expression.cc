// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "guards/expression.h"

#include <pcre2.h>

#include <string>

namespace redoubt::guards {

template <typename T, void (*release)(T*)>
struct FreePcre2 {
  void operator()(T* pointer) const { release(pointer); }
};

namespace {

constexpr std::size_t kFoundMax = 1000;
constexpr std::uint32_t kStepsMax = 2'000'000, kHeapKiBMax = 20'000;

using Data = std::unique_ptr<pcre2_match_data, FreePcre2<pcre2_match_data, pcre2_match_data_free>>;
using Limits = std::unique_ptr<pcre2_match_context, FreePcre2<pcre2_match_context, pcre2_match_context_free>>;

pcre2_match_data* match_data() {
  static thread_local const Data data(pcre2_match_data_create(1, nullptr));
  return data.get();
}

pcre2_match_context* match_limits() {
  static thread_local const Limits limits = [] {
    Limits made(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(made.get(), kStepsMax);
    pcre2_set_heap_limit(made.get(), kHeapKiBMax);
    return made;
  }();
  return limits.get();
}

}  // namespace

struct Expression::Code {
  std::unique_ptr<pcre2_code, FreePcre2<pcre2_code, pcre2_code_free>> compiled;
  std::uint32_t characters_min = 0;  // of what matches
};

Result<Expression> Expression::compile(std::string_view pattern, const std::string& where) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_CASELESS | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (compiled == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof message);
    return fail(ErrorCode::invalid_argument, "the pattern does not compile: " + std::string(reinterpret_cast<const char*>(message)), where + ", at " + std::to_string(at));
  }
  auto code = std::make_shared<Code>();
  code->compiled.reset(compiled);
  pcre2_pattern_info(compiled, PCRE2_INFO_MINLENGTH, &code->characters_min);
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);  // without it the matcher is only slower
  return Expression(std::move(code));
}

Findings Expression::find(std::string_view text, std::size_t from, Text is) const {
  Findings out;
  // Most of a request's texts are names of members: too short for any match.
  if (is == Text::whole && text.size() < code_->characters_min) return out;
  const std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | (is == Text::may_go_on ? PCRE2_PARTIAL_HARD : 0u);
  while (from < text.size() && out.found.size() < kFoundMax) {
    const int found = pcre2_match(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options, match_data(), match_limits());
    if (found == PCRE2_ERROR_NOMATCH) break;
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match_data());
    if (found == PCRE2_ERROR_PARTIAL) {
      out.open = ends[0];
      break;
    }
    if (found < 0) {
      out.gave_up = true;
      break;
    }
    out.found.push_back({ends[0], ends[1]});
    from = ends[1];
  }
  return out;
}

}  // namespace redoubt::guards
#undef PCRE2_CODE_UNIT_WIDTH
