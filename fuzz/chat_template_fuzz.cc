// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a chat template, under small limits. The bytes before the first NUL are the template, those up to the second a
// message in JSON, and the rest the tools.
#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/chat_template/chat_template.h"
#include "fuzz_input.h"

using namespace redoubt::engine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto rest = fuzz_text(data, size);
  const auto next_part = [&] {
    const auto part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return std::string(part);
  };
  const chat_template::Limits limits{.steps_max = 10'000, .bytes_max = 1 << 20};
  const auto made = chat_template::ChatTemplate::parse(next_part(), {.bos_token = "<s>"}, "fuzz", limits);
  if (!made) return 0;
  std::vector<chat_template::Message> messages = {{"user", "Hé"}, {"assistant", "Ho"}};
  if (auto json = next_part(); !json.empty()) messages.push_back({"", "", std::move(json)});
  chat_template::Extras extras{.prompt = chat_template::GenerationPrompt::add, .now = 0};
  extras.tools = next_part();
  const auto marked = made->render_marked(messages, extras);
  if (!marked) return 0;
  CHECK(redoubt::find_invalid_utf8(marked->text) == std::string_view::npos);
  for (const auto& span : marked->generated) CHECK(span.begin <= span.end && span.end <= marked->text.size());
  return 0;
}
