// SPDX-License-Identifier: Apache-2.0
//
// Reads the fields of a generation request, as the worker protocol and a `generate` job have them, strictly: an unknown field, a
// wrong type or a value out of its bounds is invalid_argument that names the field.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/chat_template/chat_template.h"
#include "engine/generate/scheduler.h"
#include "engine/job/job.h"

namespace redoubt::engine::generate {

inline constexpr std::size_t kMessagesMax = 4096;
inline constexpr std::size_t kTextsMax = 2048;  // of a message `read`
inline constexpr std::size_t kIdBytesMax = 128;
inline constexpr std::size_t kScopeBytesMax = 512;
inline constexpr std::size_t kStopsMax = 16;
inline constexpr std::size_t kStopBytesMax = 256;

Result<std::string> request_id(const Json& message);
Status expect_fields(const Json& message, std::initializer_list<std::string_view> known);
Result<std::vector<chat_template::Message>> parse_messages(const Json& list);
Result<std::vector<std::string>> parse_stops(const Json& list);
// {"15": -100}: token ids, in decimal digits, and what is added to their logits.
Result<std::vector<std::pair<std::int32_t, float>>> parse_logit_bias(const Json& object);
Result<std::shared_ptr<const json_schema::Grammar>> parse_schema(std::string_view text);

// The fields that read_options and read_prompt know.
const std::vector<std::string>& request_fields();
// All but the prompt. Bounds that depend on the model are the scheduler's to check.
Result<Request> read_options(const job::Hyperparameters& values);

// Either plain text or a conversation.
struct Prompt {
  std::optional<std::string> text = {};
  std::vector<chat_template::Message> messages = {};
  std::string tools = {};  // JSON list of what the answer may call, for the chat template; with messages alone
};
Result<Prompt> read_prompt(const job::Hyperparameters& values);

// One text of a message `read`: plain, or as tokens.
struct TextInput {
  std::string text = {};
  std::vector<std::int32_t> tokens = {};  // empty: `text` counts
};
// Of its member `texts`; and of `window`, 0 where there is none.
Result<std::vector<TextInput>> parse_texts(const Json& message);
Result<std::int64_t> parse_window(const Json& message);

// A message of the worker protocol as values, whose strings are strings; no field of it is unknown.
Result<job::Hyperparameters> request_values(const Json& message);

}  // namespace redoubt::engine::generate
