// SPDX-License-Identifier: Apache-2.0
//
// One answer on its way through the endpoint's guards.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "guards/guards.h"
#include "openai/answer.h"

namespace redoubt::gateway {

using NoteHits = std::function<void(const std::vector<guards::Hit>&)>;

class AnswerGuard {
 public:
  // `note` hears of what is found.
  AnswerGuard(std::shared_ptr<const guards::Guards> guards, NoteHits note) : guards_(std::move(guards)), note_(std::move(note)), filter_(guards_->answer()) {}
  // What of the answer may be told by now.
  openai::Piece take(openai::Piece piece);
  openai::Piece end();
  // Nothing of the answer was told, and another begins.
  void begin_again();
  // What was taken out or refused since the last call.
  std::size_t take_count() { return std::exchange(count_, 0); }
  // How the answer ends where it may not go on: "content_filter" or "length"; empty: it may.
  const std::string& ended() const { return ended_; }

 private:
  void check_calls(std::vector<openai::NamedCall>& calls);
  void limit(openai::Piece& piece);
  void note(const std::vector<guards::Hit>& hits);

  std::shared_ptr<const guards::Guards> guards_;
  NoteHits note_;
  guards::TextFilter filter_;
  std::int64_t characters_ = 0;
  std::size_t count_ = 0;
  std::string ended_;
};

}  // namespace redoubt::gateway
