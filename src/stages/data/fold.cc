// SPDX-License-Identifier: Apache-2.0
#include "stages/data/fold.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>

#include "rows/lines.h"

namespace redoubt::stages::data {
namespace {

std::string trimmed(const std::string& text) {
  std::string out;
  const auto size = static_cast<std::int32_t>(text.size());
  bool pending = false;
  for (std::int32_t at = 0; at < size;) {
    const std::int32_t start = at;
    UChar32 c = 0;
    U8_NEXT(text.data(), at, size, c);
    if (u_isUWhiteSpace(c)) {
      pending = !out.empty();
      continue;
    }
    if (pending) out.push_back(' ');
    pending = false;
    out.append(text, static_cast<std::size_t>(start), static_cast<std::size_t>(at - start));
  }
  return out;
}

// The same of a text that is ASCII, which most are.
std::string folded_ascii(std::string_view text) {
  std::string out(text.size(), '\0');
  char* at = out.data();
  bool pending = false;
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      pending = at != out.data();
      continue;
    }
    if (pending) *at++ = ' ';
    pending = false;
    *at++ = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  out.resize(static_cast<std::size_t>(at - out.data()));
  return out;
}

}  // namespace

Result<std::string> folded(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return folded_ascii(text);
  if (rows::first_invalid_utf8(text) != text.npos) return fail(ErrorCode::invalid_argument, "not UTF-8");
  if (text.size() > INT32_MAX / 4) return fail(ErrorCode::limit_exceeded, "a text of more than 512 MiB");
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = icu::Normalizer2::getNFKCCasefoldInstance(status);
  if (U_FAILURE(status)) return fail(ErrorCode::internal, "Unicode's tables are not there", u_errorName(status));
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) return fail(ErrorCode::internal, "a text does not fold", u_errorName(status));
  return trimmed(out);
}

}  // namespace redoubt::stages::data
