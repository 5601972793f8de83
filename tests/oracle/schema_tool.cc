// SPDX-License-Identifier: Apache-2.0
//
// The schema compiler for tests in other languages. One JSON object a line on standard input, one JSON value a line out:
// {"schema": TEXT, "seed", "count"} answers that many random texts that the schema lets through ("" for one that found no end), or
// {"error": message};
// {"schema": TEXT, "texts": [..]} answers for each whether it is let through.
#include <iostream>
#include <random>

#include "base/json.h"
#include "json_schema/compile.h"
#include "json_schema/machine.h"

using namespace redoubt;
using json_schema::Machine;

namespace {

// Walks at random, and after `bytes` ends what can be ended.
std::string random_text(Machine& machine, std::mt19937_64& random, std::size_t bytes) {
  std::string text;
  auto at = machine.start();
  while (!machine.finished(at) && !(machine.accepts(at) && random() % 4 == 0)) {
    std::string may_come;
    for (int byte = 0; byte < 256; ++byte)
      if (machine.next(at, static_cast<std::uint8_t>(byte)) != Machine::kDead) may_come += static_cast<char>(byte);
    if (may_come.empty()) return machine.exhausted() ? "exhausted" : "dead end after " + text;
    char byte = may_come[random() % may_come.size()];
    // Closing is one of hundreds of ways to go on in a string; take it more often, and always once the text is long.
    const bool in_string = may_come.size() > 100;
    if (text.size() > bytes || random() % 12 == 0)
      if (const auto closing = may_come.find_first_of(in_string ? "\"" : "]}"); closing != std::string::npos) byte = may_come[closing];
    text += byte;
    at = machine.next(at, static_cast<std::uint8_t>(byte));
    machine.renew();
    if (text.size() > 10 * bytes) return {};  // it waits for a pattern that chance does not write
  }
  return text;
}

bool accepts(Machine& machine, const std::string& text) {
  auto at = machine.start();
  for (const char byte : text) at = machine.next(at, static_cast<std::uint8_t>(byte));
  return machine.accepts(at);
}

Json answer(const Json& task) {
  const auto grammar = json_schema::compile_schema(task.at("schema").get<std::string>());
  if (!grammar) return {{"error", grammar.error().message}};
  Machine machine(*grammar);
  Json out = Json::array();
  for (const auto& text : task.value("texts", Json::array())) out.push_back(accepts(machine, text));
  std::mt19937_64 random(task.value("seed", 0));
  for (int i = 0; i < task.value("count", 0); ++i) out.push_back(random_text(machine, random, 200));
  return out;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(Json::parse(line)).dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
  return 0;
}
