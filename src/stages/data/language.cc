// SPDX-License-Identifier: Apache-2.0
#include "stages/data/language.h"

#include <cld2/public/compact_lang_det.h>
#include <unicode/ucsdet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kBytesMax = 4096;
constexpr int kPercentMin = 60;     // of the text that the language is of
constexpr int kConfidenceMin = 20;  // of ICU's 100

// The start of a text, not cut inside a character.
std::string_view start_of(std::string_view text) {
  std::size_t end = std::min(text.size(), kBytesMax);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

std::uint64_t letters_in(std::string_view text) {
  const auto begins_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0xc0; };
  return static_cast<std::uint64_t>(std::count_if(text.begin(), text.end(), begins_letter));
}

// CLD2 keeps some codes that ISO 639 gave up.
std::string current_code(std::string_view code) {
  if (code == "un") return {};
  if (code == "iw") return "he";
  if (code == "jw") return "jv";
  return std::string(code);
}

// Wide encodings give themselves away by a mark, or by NUL in every other byte.
std::string wide_encoding(std::string_view bytes) {
  if (bytes.starts_with(std::string_view("\xff\xfe\0\0", 4))) return "UTF-32LE";
  if (bytes.starts_with(std::string_view("\0\0\xfe\xff", 4))) return "UTF-32BE";
  if (bytes.starts_with("\xff\xfe")) return "UTF-16LE";
  if (bytes.starts_with("\xfe\xff")) return "UTF-16BE";
  std::array<std::size_t, 2> zeros{};
  for (std::size_t i = 0; i < bytes.size(); ++i) zeros[i % 2] += bytes[i] == '\0';
  if (bytes.size() < 8 || zeros[0] + zeros[1] < bytes.size() / 3) return {};
  return zeros[1] > zeros[0] ? "UTF-16LE" : "UTF-16BE";
}

}  // namespace

std::string language_of(std::string_view text, std::uint64_t letters_min) {
  text = start_of(text);
  if (letters_in(text) < letters_min) return {};
  std::array<CLD2::Language, 3> languages{};
  std::array<int, 3> percent{};
  int bytes = 0;
  bool is_reliable = false;
  CLD2::DetectLanguageSummary(text.data(), static_cast<int>(text.size()), true, languages.data(), percent.data(), &bytes, &is_reliable);
  if (!is_reliable || percent[0] < kPercentMin) return {};
  return current_code(CLD2::LanguageCode(languages[0]));
}

bool is_expected(std::string_view language, const std::string& expected) {
  return language == expected || (language.starts_with(expected) && language.substr(expected.size()).starts_with('-'));
}

std::string encoding_of(std::string_view bytes) {
  bytes = bytes.substr(0, kBytesMax);
  if (auto wide = wide_encoding(bytes); !wide.empty()) return wide;
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UCharsetDetector, void (*)(UCharsetDetector*)> detector(ucsdet_open(&status), ucsdet_close);
  if (U_FAILURE(status)) return {};
  ucsdet_setText(detector.get(), bytes.data(), static_cast<std::int32_t>(bytes.size()), &status);
  const UCharsetMatch* match = ucsdet_detect(detector.get(), &status);
  if (U_FAILURE(status) || match == nullptr || ucsdet_getConfidence(match, &status) < kConfidenceMin) return {};
  const char* name = ucsdet_getName(match, &status);
  return U_FAILURE(status) || std::string_view(name) == "UTF-8" ? "" : name;
}

}  // namespace redoubt::stages::data
