// SPDX-License-Identifier: Apache-2.0
#include "stages/data/row_text.h"

#include <cctype>

#include "detectors/utf8.h"

namespace redoubt::stages::data {
using namespace detectors;

std::string text_of(const rows::Row& row) {
  std::string out;
  const auto add = [&](const std::string& text) {
    if (!out.empty()) out.push_back('\n');
    out += text;
  };
  for (const auto* turns : {&row.messages, &row.chosen_turns, &row.rejected_turns}) {
    for (const auto& turn : *turns) {
      if (turn.role != "system" && turn.role != "developer") add(rows::said(turn));
    }
  }
  if (row.form == rows::Form::messages || !row.chosen_turns.empty()) return out;
  if (!row.question.empty()) add(row.question);
  if (row.form == rows::Form::choices) {
    for (const auto& choice : row.choices) add(choice);
    return out;
  }
  add(row.answer);
  if (!row.rejected.empty()) add(row.rejected);
  return out;
}

std::vector<std::string_view> words_of(std::string_view folded) {
  std::vector<std::string_view> words;
  std::size_t begin = 0, at = 0;
  const auto end_word = [&] {
    if (at > begin) words.push_back(folded.substr(begin, at - begin));
  };
  while (at < folded.size()) {
    const CodePoint here = code_point_at(folded, at);
    const bool ascii = here.value < 0x80, alone = here.value >= 0x2E80 && here.value < 0xAC00;
    const bool punctuation = ascii ? std::isalnum(static_cast<int>(here.value)) == 0 : here.value >= 0x2000 && here.value < 0x2070;
    if (alone || punctuation) {
      end_word();
      if (alone) words.push_back(folded.substr(at, here.bytes));
      begin = at + here.bytes;
    }
    at += here.bytes;
  }
  at = folded.size();
  end_word();
  return words;
}

}  // namespace redoubt::stages::data
