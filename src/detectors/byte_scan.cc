// SPDX-License-Identifier: Apache-2.0
#include "detectors/byte_scan.h"

#include <bit>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace redoubt::detectors {
namespace {

bool ends_json_run(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }
bool ends_printable_run(char c) {
  const bool printable = c >= 0x20 && c < 0x7f;
  return !printable && c != '\t' && c != '\n' && c != '\r';
}

#if defined(__SSE2__)

constexpr std::size_t kVectorBytes = 16;

__m128i vector_at(const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }
__m128i equal(__m128i bytes, char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); }
unsigned mask_of(__m128i bytes) { return static_cast<unsigned>(_mm_movemask_epi8(bytes)); }
// Signed: bytes from 0x80 on are in no range of ASCII.
__m128i within(__m128i bytes, char first, char last) {
  return _mm_andnot_si128(_mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(first)), _mm_cmpgt_epi8(bytes, _mm_set1_epi8(last))), _mm_set1_epi8(-1));
}

unsigned json_run_ends(__m128i bytes) {
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  return mask_of(_mm_or_si128(control, _mm_or_si128(equal(bytes, '"'), equal(bytes, '\\'))));
}

unsigned printable_run_ends(__m128i bytes) {
  const __m128i white = _mm_or_si128(equal(bytes, '\n'), _mm_or_si128(equal(bytes, '\t'), equal(bytes, '\r')));
  return ~mask_of(_mm_or_si128(within(bytes, 0x20, 0x7e), white)) & 0xffffu;
}

template <unsigned (*ends)(__m128i), bool (*ends_at)(char)>
std::size_t run_end(std::string_view text, std::size_t at) {
  for (; at + kVectorBytes <= text.size(); at += kVectorBytes) {
    if (const unsigned found = ends(vector_at(text.data() + at)); found != 0) return at + static_cast<std::size_t>(std::countr_zero(found));
  }
  while (at < text.size() && !ends_at(text[at])) ++at;
  return at;
}

void add_masks(ByteMasks& out, __m128i bytes, unsigned shift) {
  const auto put = [shift](std::uint64_t& mask, __m128i found) { mask |= static_cast<std::uint64_t>(mask_of(found)) << shift; };
  const __m128i digit = within(bytes, '0', '9'), letter = within(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
  const __m128i dash = equal(bytes, '-'), dot = equal(bytes, '.');
  const __m128i signs = _mm_or_si128(_mm_or_si128(equal(bytes, '_'), equal(bytes, '/')), _mm_or_si128(_mm_or_si128(equal(bytes, '+'), equal(bytes, '=')), equal(bytes, '~')));
  put(out.digit, digit);
  put(out.colon, equal(bytes, ':'));
  put(out.dash, dash);
  put(out.dot, dot);
  put(out.at, equal(bytes, '@'));
  put(out.value, _mm_or_si128(_mm_or_si128(digit, letter), _mm_or_si128(_mm_or_si128(dash, dot), signs)));
}

#else

template <bool (*ends_at)(char)>
std::size_t run_end(std::string_view text, std::size_t at) {
  while (at < text.size() && !ends_at(text[at])) ++at;
  return at;
}

#endif

}  // namespace

#if defined(__SSE2__)

ByteMasks masks_of(const char* bytes) {
  ByteMasks out;
  for (unsigned at = 0; at < 64; at += kVectorBytes) add_masks(out, vector_at(bytes + at), at);
  return out;
}

std::size_t json_run_end(std::string_view text, std::size_t at) { return run_end<json_run_ends, ends_json_run>(text, at); }
std::size_t printable_run_end(std::string_view text, std::size_t at) { return run_end<printable_run_ends, ends_printable_run>(text, at); }

#else

ByteMasks masks_of(const char* bytes) {
  ByteMasks out;
  for (unsigned at = 0; at < 64; ++at) {
    const char c = bytes[at];
    const std::uint64_t bit = 1ull << at;
    const bool digit = c >= '0' && c <= '9', letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && static_cast<unsigned char>(c) < 0x80;
    out.digit |= digit ? bit : 0;
    out.colon |= c == ':' ? bit : 0;
    out.dash |= c == '-' ? bit : 0;
    out.dot |= c == '.' ? bit : 0;
    out.at |= c == '@' ? bit : 0;
    out.value |= digit || letter || (c != '\0' && std::strchr("_./+=~-", c) != nullptr) ? bit : 0;
  }
  return out;
}

std::size_t json_run_end(std::string_view text, std::size_t at) { return run_end<ends_json_run>(text, at); }
std::size_t printable_run_end(std::string_view text, std::size_t at) { return run_end<ends_printable_run>(text, at); }

#endif

bool is_ascii(std::string_view text) {
  std::uint64_t bits = 0;
  std::size_t at = 0;
  for (; at + sizeof bits <= text.size(); at += sizeof bits) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, text.data() + at, sizeof bytes);
    bits |= bytes;
  }
  for (; at < text.size(); ++at) bits |= static_cast<unsigned char>(text[at]);
  return (bits & 0x8080808080808080u) == 0;
}

}  // namespace redoubt::detectors
