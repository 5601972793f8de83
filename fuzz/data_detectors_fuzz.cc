// SPDX-License-Identifier: Apache-2.0
//
// Any text before the detectors: matches lie in it, in their order and on the borders of characters, whatever tricks it plays.
#include <string>

#include "base/check.h"
#include "detectors/detectors.h"
#include "fuzz_input.h"
#include "rows/lines.h"
#include "stages/data/word_lists.h"

using namespace redoubt;

namespace {

bool is_border(std::string_view text, std::size_t at) { return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto detectors = *detectors::Detectors::create([](std::string_view) { return true; });
  static const std::vector<stages::data::WordList> lists = {{"RUDE", stages::data::Action::warn, {"fool", "utter fool", "Straße"}, ""}};
  static const stages::data::WordLists words(lists);
  const auto text = fuzz_text(data, size);
  auto matches = detectors->scan(text);
  std::size_t before = 0;
  for (const auto& match : matches) {
    CHECK(match.length > 0 && match.offset >= before && match.offset + match.length <= size);
    before = match.offset;
  }
  if (rows::first_invalid_utf8(text) != text.npos) return 0;
  words.find(text, matches);
  for (const auto& match : matches) CHECK(is_border(text, match.offset) && is_border(text, match.offset + match.length));
  return 0;
}
