// SPDX-License-Identifier: Apache-2.0
//
// What a chat may call: read from a request, told to the model's own chat template, and found again in its answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::openai {

enum class ToolChoice { automatic, none, required };

struct Tools {
  std::vector<std::string> names;           // that the answer may call
  ToolChoice choice = ToolChoice::automatic;
  std::string json = {};                    // the list as its writer wrote it: what the template is told
  // With `required`: a JSON Schema of the one call that the answer has to be.
  std::string call_schema = {};
  std::size_t calls_max = 128;  // of one answer; 1 where the request's parallel_tool_calls is false
  bool may_call() const { return choice != ToolChoice::none && !names.empty(); }
};

struct ToolLimits {
  std::size_t tools_max = 0;         // 0: this server takes none, nor messages about calls
  std::size_t bytes_max = 64 << 10;  // of the whole list
  std::size_t description_max = 4096;
};

// Lengths are told in characters, as JSON Schema counts them.
std::size_t characters_of(std::string_view text);

// From the members `tools` and `tool_choice` of a request; `body` is the whole of it. Errors name the member.
Result<Tools> parse_tools(const Json& tools, const Json& choice, std::string_view body, const ToolLimits& limits);

struct ToolCall {
  std::string name, arguments;  // `arguments`: JSON text of an object, as the model wrote it
};

// The calls of an earlier answer as a message carries them; `arguments` that are a JSON object's text become that object, as templates
// want it. The result is what the template reads.
Result<std::string> message_with_calls(std::string_view content, const Json& calls, std::string_view name, const std::string& field);
std::string message_of_tool(std::string_view content, std::string_view call_id, std::string_view name);
// Of one among several who speak in the same role.
std::string message_of_participant(std::string_view role, std::string_view content, std::string_view name);

// Finds calls in an answer while it comes. Two forms are known: Hermes' and Qwen's `<tool_call>{"name", "arguments"}</tool_call>`, and
// Llama 3's, where the whole answer is `{"name", "parameters"}`, several parted by ';'. What only looks like a call (no JSON, or of
// a tool that was not offered) is text, unchanged. Calls beyond `calls_max` are not told at all.
class ToolCallReader {
 public:
  explicit ToolCallReader(Tools tools);
  struct Found {
    std::string text;
    std::vector<ToolCall> calls;
  };
  // What of the answer may be told by now; what may still become a call is held back.
  Found take(std::string_view piece);
  Found end();

 private:
  enum class State { begin, text, call, whole };
  bool step(Found& found);
  bool step_text(Found& found);
  bool step_call(Found& found);
  bool add_call(std::string_view json, Found& found);
  bool add_whole(std::string_view text, Found& found);

  const Tools tools_;
  State state_ = State::begin;
  std::string held_;
  std::size_t calls_ = 0;
};

}  // namespace redoubt::openai
