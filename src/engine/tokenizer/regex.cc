// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <optional>

#include "base/utf8.h"
#include "engine/tokenizer/regex_translate.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::uint32_t kBacktracksMax = 50'000'000;
constexpr std::uint32_t kHeapKibMax = 256 << 10;

// What a search needs. One a thread: searches of a thread follow each other.
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

  int run(const pcre2_code* code, std::string_view text, std::size_t from) {
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
    const int found = pcre2_match(code, bytes, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
    // Generated code has a small stack; the interpreter uses the heap, up to the limit.
    if (found != PCRE2_ERROR_JIT_STACKLIMIT) return found;
    return pcre2_match(code, bytes, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context);
  }
};

pcre2_code* compile_code(const std::string& pattern, int& error) {
  auto* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  PCRE2_SIZE offset = 0;
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context);
  pcre2_compile_context_free(context);
  return code;
}

}  // namespace

void Regex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<Regex> Regex::compile(std::string_view pattern, std::string_view where) {
  int error = 0;
  auto* code = compile_code(TRY(translate_pattern(pattern, where)), error);
  if (!code) {
    char message[256] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return fail(ErrorCode::invalid_argument, std::string("the tokenizer's regular expression does not compile: ") + message,
                std::string(where));
  }
  // Where the machine forbids generated code the interpreter gives the same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(code);
}

Status Regex::find_all(std::string_view text, std::vector<Range>& matches) const {
  thread_local Search search;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  std::optional<std::size_t> last;  // where the match before ended
  for (std::size_t from = 0; from <= text.size();) {
    const int found = search.run(code, text, from);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) return fail(ErrorCode::limit_exceeded, "the tokenizer's regular expression takes too long on this text");
    const auto* offsets = pcre2_get_ovector_pointer(search.data);
    const Range match{offsets[0], offsets[1]};
    if (match.begin >= match.end && last == match.end) {
      from += from < text.size() ? utf8_step(text.substr(from)).size : 1;
      continue;
    }
    matches.push_back(match);
    from = match.end;
    last = match.end;
  }
  return {};
}

}  // namespace redoubt::engine::tokenizer

#undef PCRE2_CODE_UNIT_WIDTH
