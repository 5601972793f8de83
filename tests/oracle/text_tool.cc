// SPDX-License-Identifier: Apache-2.0
//
// The engine's text side for tests in other languages. One JSON object a line on standard input, one JSON value a line out:
// {"template", "messages", "add_generation_prompt", "bos_token", "eos_token"} -> the text, or {"error": code}; "tools", "documents",
// "variables" and messages that are strings are JSON texts.
// With an argument, a tokenizer.json: {"encode": text, "special": bool} -> ids, {"encode_hex": bytes in hexadecimal} -> ids;
// {"decode": ids, "skip_special": bool} -> text;
// {"stream": ids, "skip_special": bool} -> the text in the pieces it comes in; {"time": texts} -> tokens and seconds.
#include <chrono>
#include <iostream>

#include "base/bytes.h"
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
  // A message is a text of its own where the order of its keys counts.
  for (const auto& message : task.at("messages")) {
    if (message.is_string()) messages.push_back({.role = "", .content = "", .json = message});
    else messages.push_back({message.at("role"), message.at("content")});
  }
  chat_template::Extras extras;
  if (task.at("add_generation_prompt").get<bool>()) extras.prompt = chat_template::GenerationPrompt::add;
  extras.continue_final_message = task.value("continue_final_message", false);
  extras.tools = task.value("tools", "");
  extras.documents = task.value("documents", "");
  extras.variables = task.value("variables", "");
  extras.now = task.value("now", std::int64_t{0});
  const auto marked = TRY(made.render_marked(messages, extras));
  if (!task.contains("spans")) return Json(marked.text);
  Json spans = Json::array();
  for (const auto& span : marked.generated) spans.push_back(marked.text.substr(span.begin, span.end - span.begin));
  return Json{{"text", marked.text}, {"generated", spans}};
}

// How long encoding takes, for bench/tokenizer_vs_tokenizers.py.
Result<Json> measured(const tokenizer::Tokenizer& tokenizer, const Json& texts) {
  const auto all = texts.get<std::vector<std::string>>();
  std::size_t tokens = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& text : all) tokens += TRY(tokenizer.encode(text)).size();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return Json{{"tokens", tokens}, {"seconds", seconds.count()}};
}

Result<Json> convert(const tokenizer::Tokenizer& tokenizer, const Json& task) {
  if (task.contains("time")) return measured(tokenizer, task["time"]);
  if (task.contains("encode_hex")) {
    const auto bytes = TRY(from_hex(task["encode_hex"].get<std::string>()));
    return Json(TRY(tokenizer.encode(text_of(bytes))));
  }
  if (task.contains("encode")) {
    const bool adds = task.value("special", true);
    return Json(TRY(tokenizer.encode(task["encode"].get<std::string>(), adds ? tokenizer::SpecialTokens::add : tokenizer::SpecialTokens::leave_out)));
  }
  const bool streams = task.contains("stream");
  const auto ids = task.at(streams ? "stream" : "decode").get<std::vector<std::int32_t>>();
  const auto special = task.value("skip_special", true) ? tokenizer::OnDecode::skip_special_tokens : tokenizer::OnDecode::keep_special_tokens;
  if (!streams) return Json(TRY(tokenizer.decode(ids, special)));
  auto stream = tokenizer.stream(special);
  Json pieces = Json::array();
  for (const auto id : ids) pieces.push_back(stream.push(id));
  pieces.push_back(stream.finish());
  return pieces;
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
