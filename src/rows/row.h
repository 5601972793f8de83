// SPDX-License-Identifier: Apache-2.0
//
// One row of training or evaluation data, in the forms that docs/data.md describes:
//   {"messages": [{"role", "content"}...], "tools" (may lack)}  a conversation; the last message is the answer. The assistant's may
//                                                               have "tool_calls", then with or without a content
//   {"prompt", "completion"}                                    a text and how it goes on
//   {"instruction", "input" (may lack), "output"}               Alpaca's prompt around the instruction
//   {"text"}                                                    no question
//   {"question" or "prompt", "choices": [...], "answer"}        multiple choice; the answer's place from 0, or its text
//   {"prompt", "chosen", "rejected"}                            a preference: three texts, or three lists of messages; without
//                                                               'prompt' the lists begin alike
// Other members are left alone. Of a row with members of several forms the first form in that order counts, but choices and
// preferences, which are told by their own members, come first.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::rows {

struct Turn {
  std::string role, content;
  std::optional<bool> train = {};  // "train": true or false, or "weight": 1 or 0
  std::string calls = {};          // the assistant's "tool_calls", a JSON array as the file has it; often empty
  std::string json = {};           // the whole message as the file has it, where it has other members than these; else empty
};

// All that a turn says: its content, then its calls.
std::string said(const Turn& turn);

enum class Form { messages, completion, text, choices, preference };

struct Row {
  Form form = Form::text;
  std::vector<Turn> messages = {};        // of a conversation; of a preference of messages those before the answers
  std::string tools = {};                 // of a conversation: a JSON array of what the model may call, as the file has it; often empty
  std::string question = {};              // completion: what was asked, without what a form writes around it
  std::string prompt = {};                // completion, choices: what the model reads
  std::string answer = {};                // the answer's own text; of a text all of it
  std::vector<std::string> choices = {};  // at least two
  std::size_t right = 0;                  // the right one
  std::string rejected = {};              // preference: the other answer's own text
  std::vector<Turn> chosen_turns = {}, rejected_turns = {};  // preference of messages: what follows them, the assistant's last
};

// `text` is the row as the file has it, whose order a chat template follows where it writes tools and calls; without it their
// members are sorted. invalid_argument that names the member and never repeats the row's text. An empty answer is no error here.
Result<Row> row_of(const Json& value, std::string_view where, std::string_view text = {});

// What makes two rows the same question.
enum class Question {
  user,    // the first message of a user
  prompt,  // all that stands before the answer, system prompts and earlier turns too
};
// The question's own text; of a text all of it.
std::string question_of(const Row& row, Question question);

}  // namespace redoubt::rows
