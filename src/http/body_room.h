// SPDX-License-Identifier: Apache-2.0
//
// What the bodies of all requests may hold together. A payer whom the handler named may hold as much as is left for the others, so that whoever
// comes finds room however many uploads another has begun: alone half of all, two who want all they can get a third each (Choudhury and Hahne,
// "Dynamic queue length thresholds for shared-memory packet switches", 1998). Runs on the server's thread only.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace redoubt::http::detail {

class BodyRoom {
 public:
  explicit BodyRoom(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  std::size_t used() const { return used_; }

 private:
  struct Payer {
    std::size_t bytes = 0, parts = 0;
  };
  using Payers = std::map<std::string, Payer>;  // of whom something is held; their places in memory stay

 public:
  // A request's part, given back when it is dropped.
  class Part {
   public:
    Part() = default;
    Part(Part&& other) noexcept : room_(std::exchange(other.room_, nullptr)), payer_(other.payer_), bytes_(other.bytes_) {}
    Part& operator=(Part&& other) noexcept {
      std::swap(room_, other.room_);
      std::swap(payer_, other.payer_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Part();

   private:
    friend class BodyRoom;
    BodyRoom* room_ = nullptr;
    Payers::iterator payer_{};
    std::size_t bytes_ = 0;
  };

  // So many bytes more for a request of this payer, who stays the same for all of its part. False where there is no room for them.
  bool grow(Part& part, const std::string& payer, std::size_t bytes);

 private:
  const std::size_t bytes_max_;
  std::size_t used_ = 0;
  Payers payers_;
};

}  // namespace redoubt::http::detail
