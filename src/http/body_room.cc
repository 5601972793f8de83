// SPDX-License-Identifier: Apache-2.0
#include "http/body_room.h"

namespace redoubt::http::detail {

BodyRoom::Part::~Part() {
  if (room_ == nullptr) return;
  room_->used_ -= bytes_;
  payer_->second.bytes -= bytes_;
  if (--payer_->second.parts == 0) room_->payers_.erase(payer_);
}

bool BodyRoom::grow(Part& part, const std::string& payer, std::size_t bytes) {
  if (bytes == 0) return true;
  if (part.room_ == nullptr) {
    part.payer_ = payers_.try_emplace(payer).first;
    ++part.payer_->second.parts;
    part.room_ = this;
  }
  auto& own = part.payer_->second;
  if (used_ + bytes > bytes_max_) return false;
  if (!payer.empty() && own.bytes + bytes > bytes_max_ - used_ - bytes) return false;
  used_ += bytes;
  own.bytes += bytes;
  part.bytes_ += bytes;
  return true;
}

}  // namespace redoubt::http::detail
