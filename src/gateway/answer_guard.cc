// SPDX-License-Identifier: Apache-2.0
#include "gateway/answer_guard.h"

#include <algorithm>

namespace redoubt::gateway {

using openai::Piece;

Piece AnswerGuard::take(Piece piece) {
  if (!ended_.empty()) return {};
  auto text = filter_.take(piece.text);
  // A call ends the text before it.
  if (!piece.calls.empty()) {
    text += filter_.end();
    if (!filter_.refused()) {
      note(filter_.take_hits());
      filter_ = guards_->answer();
      check_calls(piece.calls);
    }
  }
  if (guards_->holds_answers()) piece.text = std::move(text);
  note(filter_.take_hits());
  if (filter_.refused()) {
    ended_ = "content_filter";
    piece.calls.clear();
  }
  limit(piece);
  return piece;
}

Piece AnswerGuard::end() {
  if (!ended_.empty()) return {};
  Piece piece;
  auto text = filter_.end();
  if (guards_->holds_answers()) piece.text = std::move(text);
  if (filter_.refused()) ended_ = "content_filter";
  note(filter_.take_hits());
  limit(piece);
  return piece;
}

// Arguments come whole: what is refused in one ends the answer before all of them.
void AnswerGuard::check_calls(std::vector<openai::NamedCall>& calls) {
  for (auto& call : calls) {
    auto checked = guards_->check_call(call.call.arguments);
    note(checked.hits);
    if (checked.refused) {
      ended_ = "content_filter";
      calls.clear();
      return;
    }
    if (checked.changed) call.call.arguments = std::move(checked.json);
  }
}

void AnswerGuard::limit(Piece& piece) {
  const auto most = guards_->answer_characters_max();
  if (most == 0) return;
  for (std::size_t at = 0; at < piece.text.size(); ++at) {
    if ((static_cast<unsigned char>(piece.text[at]) & 0xc0) == 0x80 || ++characters_ <= most) continue;
    piece.text.resize(at);
    piece.logprobs.clear();
    piece.calls.clear();
    if (ended_.empty()) ended_ = "length";
  }
  // A call is told whole or not at all.
  for (auto call = piece.calls.begin(); call != piece.calls.end(); ++call) {
    characters_ += static_cast<std::int64_t>(openai::characters_of(call->call.arguments));
    if (characters_ <= most) continue;
    piece.calls.erase(call, piece.calls.end());
    if (ended_.empty()) ended_ = "length";
    return;
  }
}

void AnswerGuard::begin_again() {
  filter_ = guards_->answer();
  characters_ = 0;
  ended_.clear();
}

void AnswerGuard::note(const std::vector<guards::Hit>& hits) {
  count_ += static_cast<std::size_t>(std::count_if(hits.begin(), hits.end(), [](const auto& hit) { return hit.action >= guards::Action::redact; }));
  if (note_ && !hits.empty()) note_(hits);
}

}  // namespace redoubt::gateway
