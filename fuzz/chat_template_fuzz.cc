// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a chat template, under small limits.
#include "base/check.h"
#include "engine/chat_template/chat_template.h"
#include "engine/tokenizer/utf8.h"
#include "fuzz_input.h"

using namespace redoubt::engine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const chat_template::Limits limits{.steps_max = 10'000, .bytes_max = 1 << 20};
  const auto made = chat_template::ChatTemplate::parse(fuzz_text(data, size), {.bos_token = "<s>"}, "fuzz", limits);
  if (!made) return 0;
  const auto text = made->render({{"user", "Hé"}, {"assistant", "Ho"}}, chat_template::GenerationPrompt::add);
  CHECK(!text || tokenizer::find_invalid_utf8(*text) == std::string_view::npos);
  return 0;
}
