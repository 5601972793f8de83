// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as training data: every byte is read, every place lies in its line, a row that passes can be divided, and what a chat
// template is given of it is what the row holds.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "fuzz_input.h"
#include "stages/data/check.h"
#include "stages/data/split.h"

using namespace redoubt;

// What was taken out of the row's text is what its parsed form has there.
void check_texts(const rows::NumberedRow& numbered) {
  const auto row = rows::row_of(numbered);
  if (!row) return;
  const auto same = [&](const std::string& text, const Json& value) { return text.empty() || *parse_json(text, "text") == value; };
  const auto check_turns = [&](const std::vector<rows::Turn>& turns, const Json& messages, std::size_t first) {
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const Json& message = messages[first + i];
      CHECK(same(turns[i].json, message) && same(turns[i].calls, message.value("tool_calls", Json())));
      CHECK(message["role"] == turns[i].role && (message.value("content", Json()).is_null() || message["content"] == turns[i].content));
    }
  };
  if (row->form == rows::Form::messages) check_turns(row->messages, numbered.value["messages"], 0);
  if (row->chosen_turns.empty()) return;
  const bool apart = numbered.value.contains("prompt") && numbered.value["prompt"].is_array();
  if (apart) check_turns(row->messages, numbered.value["prompt"], 0);
  for (const auto* side : {"chosen", "rejected"}) check_turns(*side == 'c' ? row->chosen_turns : row->rejected_turns, numbered.value[side], apart ? 0 : row->messages.size());
}

void read_as(const char* name, const std::uint8_t* data, std::size_t size) {
  MemorySource source({data, size});
  const auto reader = rows::RowReader::open(source, name, 1 << 16);
  if (!reader) return;
  while (true) {
    const auto row = (*reader)->next();
    if (!row || !*row) return;
    const auto line = parse_json((**row).text, "line", {.bytes_max = 1 << 20, .depth_max = 100});
    CHECK(line && *line == (**row).value && (**row).text.find('\n') == std::string::npos);
    check_texts(**row);
  }
}

void try_as(const char* name, const std::uint8_t* data, std::size_t size) {
  MemorySource source({data, size});
  stages::data::CheckOptions options;
  options.policy.row_bytes_max = 4096;
  const auto report = stages::data::check_rows(source, size, name, options);
  if (!report) return;
  CHECK(report->bytes_read == size);
  const auto text = fuzz_text(data, size);
  std::vector<std::size_t> lengths;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lengths.push_back(end - at);
    at = end + 1;
  }
  bool usable = true;
  for (const auto& finding : report->findings) {
    CHECK(finding.line <= lengths.size());
    CHECK(finding.line == 0 || finding.column <= lengths[finding.line - 1] + 1);
    usable = usable && finding.kind != "SCHEMA" && finding.kind != "MALFORMED_JSON" && finding.kind != "MALFORMED_CSV" && finding.kind != "INVALID_UTF8";
  }
  MemorySource again(view_of(text));
  MemorySink kept, held_out;
  const auto split = stages::data::split_rows(again, name, {.fraction = 0.5, .seed = 1}, kept, held_out);
  if (!split) return;
  const Bytes ours = kept.take(), theirs = held_out.take();
  MemorySource kept_rows(ours), held_out_rows(theirs);
  CHECK(*stages::data::shared_questions(kept_rows, name, held_out_rows, name, rows::Question::user) == 0);
  if (usable) CHECK(split->kept + split->held_out == report->rows);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_as("fuzz.jsonl", data, size);
  read_as("fuzz.csv", data, size);
  try_as("fuzz.jsonl", data, size);
  try_as("fuzz.csv", data, size);
  return 0;
}
