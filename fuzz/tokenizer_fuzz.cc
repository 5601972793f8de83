// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json, and text through what it describes. The bytes before the first NUL are the file, those after it the text.
#include "base/check.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/utf8.h"
#include "fuzz_input.h"

using namespace redoubt::engine::tokenizer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto all = fuzz_text(data, size);
  const auto middle = all.find('\0');
  const auto tokenizer = Tokenizer::parse(all.substr(0, middle), "fuzz");
  if (!tokenizer || middle == std::string_view::npos) return 0;
  const auto ids = (*tokenizer)->encode(all.substr(middle + 1));
  if (!ids) return 0;
  const auto text = (*tokenizer)->decode(*ids, OnDecode::keep_special_tokens);
  CHECK(text && find_invalid_utf8(*text) == std::string_view::npos);
  return 0;
}
