// SPDX-License-Identifier: Apache-2.0
#include "stages/data/fold.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <array>

#include "detectors/byte_scan.h"
#include "rows/lines.h"

namespace redoubt::stages::data {
using namespace detectors;
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

constexpr std::array<char, 128> folded_letters() {
  std::array<char, 128> out{};
  for (char c = 0; c >= 0; ++c) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    out[static_cast<std::size_t>(c)] = space ? ' ' : c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    if (c == 127) break;
  }
  return out;
}
constexpr auto kFoldedAscii = folded_letters();

// The same of a text that is ASCII, which most are.
std::string folded_ascii(std::string_view text) {
  std::string out(text.size(), '\0');
  std::size_t end = 0;
  bool after_space = true;
  for (const char c : text) {
    // Written over by the next one where it is a space after a space: no branch that texts make hard to foresee.
    out[end] = kFoldedAscii[static_cast<unsigned char>(c)];
    const bool space = out[end] == ' ';
    end += static_cast<std::size_t>(!(space && after_space));
    after_space = space;
  }
  out.resize(end > 0 && out[end - 1] == ' ' ? end - 1 : end);
  return out;
}

}  // namespace

Result<std::string> folded(std::string_view text) {
  if (is_ascii(text)) return folded_ascii(text);
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
