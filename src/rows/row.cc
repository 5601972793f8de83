// SPDX-License-Identifier: Apache-2.0
#include "rows/row.h"

#include <algorithm>
#include <array>

#include "base/member_text.h"

namespace redoubt::rows {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
constexpr std::array<std::string_view, 4> kOwnMembers = {"role", "content", "train", "weight"};  // of a message

class Reader {
 public:
  Reader(const Json& row, std::string_view where, std::string_view text) : row_(row), where_(where), text_(text) {}

  Result<Row> read() const {
    if (!row_.is_object()) return bad("a row is a JSON object");
    if (is_given(row_, "choices")) return choices();
    if (is_given(row_, "chosen") || is_given(row_, "rejected")) return preference();
    if (is_given(row_, "messages")) return conversation();
    if (is_given(row_, "prompt") || is_given(row_, "completion")) return completion();
    if (is_given(row_, "instruction") || is_given(row_, "output")) return instruction();
    if (!is_given(row_, "text")) {
      return bad("a row has 'messages', or 'prompt' and 'completion', or 'instruction' and 'output', or 'text', or 'choices'",
                 row_.contains("conversations") ? "write 'conversations' as 'messages' with 'role' and 'content'" : "see docs/data.md for the forms");
    }
    Row row;
    row.answer = TRY(text("text"));
    return row;
  }

 private:
  tl::unexpected<Error> bad(std::string what, std::string cure = "see docs/data.md for the forms") const {
    return fail(ErrorCode::invalid_argument, std::move(what), std::string(where_), std::move(cure));
  }

  Result<std::string> text(const char* key) const {
    if (!row_.contains(key) || !row_[key].is_string()) return bad("'" + std::string(key) + "' is a text");
    return row_[key].get<std::string>();
  }

  Result<Row> completion() const {
    if (row_.contains("prompt") && row_["prompt"].is_array())
      return bad("'prompt' and 'completion' are both texts", "write a conversation as 'messages'");
    Row row;
    row.form = Form::completion;
    row.question = row.prompt = TRY(text("prompt"));
    row.answer = TRY(text("completion"));
    return row;
  }

  // The prompt of Stanford's Alpaca, as the column "text" of its data set has it.
  Result<Row> instruction() const {
    Row row;
    row.form = Form::completion;
    const std::string instruction = TRY(text("instruction"));
    const std::string input = row_.contains("input") && !row_["input"].is_null() ? TRY(text("input")) : "";
    row.answer = TRY(text("output"));
    row.question = input.empty() ? instruction : instruction + "\n" + input;
    row.prompt = input.empty() ? "Below is an instruction that describes a task. Write a response that appropriately completes the request."
                               : "Below is an instruction that describes a task, paired with an input that provides further context. "
                                 "Write a response that appropriately completes the request.";
    row.prompt += "\n\n### Instruction:\n" + instruction + (input.empty() ? "" : "\n\n### Input:\n" + input) + "\n\n### Response:\n";
    return row;
  }

  Result<Row> conversation() const {
    Row row;
    row.form = Form::messages;
    const Json& messages = row_["messages"];
    if (!messages.is_array() || messages.size() < 2) return bad("'messages' is a list of at least two messages");
    row.messages = TRY(turns("messages"));
    if (row.messages.back().role != "assistant") return bad("the last message is the assistant's answer");
    row.answer = said(row.messages.back());
    row.tools = TRY(tools());
    return row;
  }

  // A list of descriptions, or such a list as a text, as data sets of fixed columns have it.
  Result<std::string> tools() const {
    if (!row_.contains("tools") || row_["tools"].is_null() || row_["tools"] == "") return std::string();
    const auto list = row_["tools"].is_string() ? parse_json(row_["tools"].get_ref<const std::string&>(), where_) : Result<Json>(row_["tools"]);
    const bool fits = list && list->is_array() && std::ranges::all_of(*list, [](const Json& tool) { return tool.is_object(); });
    if (!fits) return bad("'tools' is a list of descriptions, each a JSON object");
    if (list->empty()) return std::string();
    return row_["tools"].is_string() ? row_["tools"].get<std::string>() : as_written(*list, member_text(text_, {"tools"}));
  }

  static std::string as_written(const Json& value, std::optional<std::string_view> text) { return text && !text->empty() ? std::string(*text) : dump_json(value); }

  Result<Turn> turn(const Json& message, std::string_view text) const {
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) return bad("a message has the texts 'role' and 'content'");
    Turn turn{.role = message["role"].get<std::string>(), .content = {}};
    if (std::ranges::find(kRoles, turn.role) == kRoles.end()) return bad("a role is system, developer, user, assistant or tool");
    if (is_given(message, "function_call"))
      return fail(ErrorCode::unsupported, "'function_call' of a message is not read", std::string(where_), "write it as 'tool_calls', a list of such calls");
    turn.calls = TRY(calls(message, text));
    turn.content = TRY(content(message, !turn.calls.empty()));
    turn.train = TRY(mark(message));
    for (const char* name : {"name", "tool_call_id"})
      if (is_given(message, name) && !message[name].is_string()) return bad("'" + std::string(name) + "' of a message is a text");
    const auto is_own = [](const auto& member) { return std::ranges::find(kOwnMembers, member.key()) != kOwnMembers.end(); };
    for (auto member = message.begin(); member != message.end() && turn.json.empty(); ++member)
      if (!is_own(member)) turn.json = as_written(message, text);
    return turn;
  }

  // Rows of a table have all its columns, those that say nothing as null.
  static bool is_given(const Json& object, const char* name) { return object.contains(name) && !object[name].is_null(); }

  // A message that calls needs none.
  Result<std::string> content(const Json& message, bool calls) const {
    if (calls && !is_given(message, "content")) return std::string();
    if (message.contains("content") && message["content"].is_string()) return message["content"].get<std::string>();
    const bool parts = message.contains("content") && message["content"].is_array();
    return bad("a message has the texts 'role' and 'content'", parts ? "join the parts of 'content' to one text; images and sound are not read"
                                                                      : "only an assistant's message with 'tool_calls' may be without 'content'");
  }

  // Calls as OpenAI writes them, or the functions alone.
  Result<std::string> calls(const Json& message, std::string_view text) const {
    if (!is_given(message, "tool_calls") || message["tool_calls"] == Json::array()) return std::string();
    const Json& list = message["tool_calls"];
    if (message["role"] != "assistant") return bad("'tool_calls' stand in a message of the assistant");
    const auto fits = [](const Json& call) {
      const Json function = call.is_object() ? call.value("function", call) : Json();
      if (!function.is_object() || json_or(function, "name", "").empty()) return false;
      const bool named = !is_given(call, "id") || call["id"].is_string();
      return named && (!is_given(function, "arguments") || function["arguments"].is_string() || function["arguments"].is_object());
    };
    if (!list.is_array() || !std::ranges::all_of(list, fits))
      return bad("'tool_calls' is a list of calls, each with a 'function' of a 'name' and 'arguments'", "the arguments are an object, or JSON in a text");
    return as_written(list, member_text(text, {"tool_calls"}));
  }

  Result<std::optional<bool>> mark(const Json& message) const {
    if (message.contains("train") && !message["train"].is_null()) {
      if (!message["train"].is_boolean()) return bad("'train' of a message is true or false");
      return std::optional(message["train"].get<bool>());
    }
    if (!message.contains("weight") || message["weight"].is_null()) return std::optional<bool>();
    const Json& weight = message["weight"];
    if (!weight.is_number() || (weight != 0 && weight != 1)) return bad("'weight' of a message is 0 or 1", "other weights are not computed; use 'train': true or false");
    return std::optional(weight == 1);
  }

  Result<Row> choices() const {
    Row row;
    row.form = Form::choices;
    row.question = row.prompt = TRY(text(is_given(row_, "question") ? "question" : "prompt"));
    const Json& choices = row_["choices"];
    if (!choices.is_array() || choices.size() < 2) return bad("'choices' is a list of at least two texts");
    for (const auto& choice : choices) {
      if (!choice.is_string() || choice.get_ref<const std::string&>().empty()) return bad("a choice is a text that is not empty");
      row.choices.push_back(choice.get<std::string>());
    }
    const Json answer = json_or(row_, "answer", Json(nullptr));
    if (answer.is_number_integer() && answer >= 0 && answer < choices.size()) {
      row.right = answer.get<std::size_t>();
    } else {
      const auto found = std::find(choices.begin(), choices.end(), answer);
      if (!answer.is_string() || found == choices.end()) return bad("'answer' is the place of the right choice, from 0, or its text");
      row.right = static_cast<std::size_t>(found - choices.begin());
    }
    row.answer = row.choices[row.right];
    return row;
  }

  // Texts, or lists of messages.
  Result<Row> preference() const {
    for (const char* key : {"chosen", "rejected"}) {
      if (!row_.contains(key) || !(row_[key].is_string() || row_[key].is_array())) return bad("'chosen' and 'rejected' are both answers");
    }
    return row_["chosen"].is_string() && row_["rejected"].is_string() ? preference_of_texts() : preference_of_messages();
  }

  Result<Row> preference_of_texts() const {
    Row row;
    row.form = Form::preference;
    row.question = row.prompt = TRY(text("prompt"));
    row.answer = TRY(text("chosen"));
    row.rejected = TRY(text("rejected"));
    return row;
  }

  Result<Row> preference_of_messages() const {
    Row row;
    row.form = Form::preference;
    row.chosen_turns = TRY(turns("chosen"));
    row.rejected_turns = TRY(turns("rejected"));
    if (row_.contains("prompt") && row_["prompt"].is_array()) {
      row.messages = TRY(turns("prompt"));
    } else {  // a text beside lists says again what they begin with
      move_common_beginning(row);
    }
    for (const auto* answer : {&row.chosen_turns, &row.rejected_turns}) {
      if (answer->empty() || answer->back().role != "assistant") return bad("'chosen' and 'rejected' both end with the assistant's answer, each another one");
    }
    row.tools = TRY(tools());
    if (row.messages.empty()) return bad("'prompt' is a text or a list of messages", "or 'chosen' and 'rejected' begin with the same messages");
    row.answer = said(row.chosen_turns.back());
    row.rejected = said(row.rejected_turns.back());
    return row;
  }

  Result<std::vector<Turn>> turns(const char* key) const {
    if (!row_[key].is_array()) return bad("'prompt', 'chosen' and 'rejected' are all texts or all lists of messages");
    const auto texts = element_texts(member_text(text_, {key}).value_or(""));
    std::vector<Turn> turns;
    for (const auto& message : row_[key]) turns.push_back(TRY(turn(message, turns.size() < texts.size() ? texts[turns.size()] : std::string_view())));
    return turns;
  }

  // As TRL reads a preference without a prompt: what both begin with was asked.
  static void move_common_beginning(Row& row) {
    const auto same = [](const Turn& a, const Turn& b) { return a.role == b.role && a.content == b.content && a.json == b.json; };
    const auto count = std::ranges::mismatch(row.chosen_turns, row.rejected_turns, same).in1 - row.chosen_turns.begin();
    row.messages.assign(row.chosen_turns.begin(), row.chosen_turns.begin() + count);
    row.chosen_turns.erase(row.chosen_turns.begin(), row.chosen_turns.begin() + count);
    row.rejected_turns.erase(row.rejected_turns.begin(), row.rejected_turns.begin() + count);
  }

  const Json& row_;
  std::string_view where_, text_;
};

}  // namespace

std::string said(const Turn& turn) { return turn.content.empty() || turn.calls.empty() ? turn.content + turn.calls : turn.content + "\n" + turn.calls; }

Result<Row> row_of(const Json& value, std::string_view where, std::string_view text) { return Reader(value, where, text).read(); }

std::string question_of(const Row& row, Question question) {
  if (row.messages.empty()) {
    if (row.form == Form::text) return row.answer;
    return question == Question::user ? row.question : row.prompt;
  }
  const auto asked = std::find_if(row.messages.begin(), row.messages.end(), [](const auto& turn) { return turn.role == "user"; });
  if (question == Question::user && asked != row.messages.end()) return said(*asked);
  std::string all;
  const auto count = row.messages.size() - (row.form == Form::messages ? 1 : 0);  // a conversation's last is the answer
  for (std::size_t i = 0; i < count; ++i) all += said(row.messages[i]) + "\n";
  return all;
}

}  // namespace redoubt::rows
