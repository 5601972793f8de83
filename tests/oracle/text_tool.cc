// SPDX-License-Identifier: Apache-2.0
//
// The engine's text side for tests in other languages. One JSON object a line on standard input, one JSON value a line out:
// {"template", "messages", "add_generation_prompt", "bos_token", "eos_token"} -> the text, or {"error": code}.
// With an argument, a tokenizer.json: {"encode": text, "special": bool} -> ids; {"decode": ids, "skip_special": bool} -> text.
#include <iostream>

#include "base/file.h"
#include "base/json.h"
#include "engine/chat_template/chat_template.h"
#include "engine/tokenizer/tokenizer.h"

using namespace redoubt;
using namespace redoubt::engine;

namespace {

Result<Json> render(const Json& task) {
  const auto made = TRY(chat_template::ChatTemplate::parse(
      task.at("template").get<std::string>(),
      {.bos_token = task.value("bos_token", ""), .eos_token = task.value("eos_token", "")}, "template"));
  std::vector<chat_template::Message> messages;
  for (const auto& message : task.at("messages")) messages.push_back({message.at("role"), message.at("content")});
  const bool adds = task.at("add_generation_prompt");
  return Json(TRY(made.render(messages, adds ? chat_template::GenerationPrompt::add : chat_template::GenerationPrompt::leave_out)));
}

Result<Json> convert(const tokenizer::Tokenizer& tokenizer, const Json& task) {
  if (task.contains("encode")) {
    const bool adds = task.value("special", true);
    return Json(TRY(tokenizer.encode(task["encode"].get<std::string>(), adds ? tokenizer::SpecialTokens::add : tokenizer::SpecialTokens::leave_out)));
  }
  const auto ids = task.at("decode").get<std::vector<std::int32_t>>();
  const bool skips = task.value("skip_special", true);
  return Json(TRY(tokenizer.decode(ids, skips ? tokenizer::OnDecode::skip_special_tokens : tokenizer::OnDecode::keep_special_tokens)));
}

}  // namespace

int main(int argc, char** argv) {
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  if (argc > 1) {
    auto text = read_text_file(argv[1]);
    if (!text) return std::cerr << text.error().message << "\n", 1;
    auto made = tokenizer::Tokenizer::parse(*text, argv[1]);
    if (!made) return std::cerr << made.error().message << "\n", 1;
    tokenizer = std::move(*made);
  }
  for (std::string line; std::getline(std::cin, line);) {
    const auto task = Json::parse(line);
    const auto answer = tokenizer ? convert(*tokenizer, task) : render(task);
    std::cout << dump_json(answer ? *answer : Json{{"error", to_string(answer.error().code)}, {"message", answer.error().message}}) << "\n";
  }
  return 0;
}
