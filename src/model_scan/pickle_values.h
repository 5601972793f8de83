// SPDX-License-Identifier: Apache-2.0
//
// What a pickle's program has on its stack, as far as a scan needs it: eight bytes a value, and never the data themselves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace redoubt::model_scan {

enum class Kind : std::uint8_t {
  mark, plain, integer,  // payload: the number
  text, special_text,    // payload: where its opcode stands; special: it begins with "__"
  bytes,                 // payload: where its opcode stands
  list, dict,            // payload: a node
  tuple,                 // payload: where its items stand, and how many they are
  global,                // payload: which one
  instance,              // payload: of which global
  array_type,            // payload: which numpy.dtype
  storage,               // what stands for a tensor's bytes
  unknown,               // out of the part of the memo that is not kept
};

class Value {
 public:
  constexpr Value() = default;
  constexpr Value(Kind kind, std::int64_t payload = 0) : bits_(static_cast<std::uint64_t>(payload) << 8 | static_cast<std::uint64_t>(kind)) {}
  constexpr Kind kind() const { return static_cast<Kind>(bits_ & 0xff); }
  constexpr std::int64_t payload() const { return static_cast<std::int64_t>(bits_) >> 8; }
  constexpr bool is(Kind kind) const { return this->kind() == kind; }
  constexpr bool is_text() const { return is(Kind::text) || is(Kind::special_text); }
  constexpr bool operator==(const Value&) const = default;

 private:
  std::uint64_t bits_ = static_cast<std::uint64_t>(Kind::plain);
};

// How many values a value would be if each were written out wherever it stands, and no memo saved it: what takes exponential time.
using Weight = std::uint32_t;
inline constexpr Weight kWeightMax = 1u << 31;
inline constexpr Weight add_weights(Weight a, Weight b) { return a + b > kWeightMax || a + b < a ? kWeightMax : a + b; }

// Lists and dicts; what a value holds of them is a number, so that a change is seen wherever they stand.
struct Node {
  Weight weight = 1;
  bool has_special_key = false;
  bool is_fields = false;  // numpy.dtype keeps the dict that it is given
};

// The items of tuples, the newest ones; an old tuple is one whose items are not known.
class Tuples {
 public:
  // For a pickle of so many bytes: each of its opcodes adds two items at most, or takes as many others from the stack.
  explicit Tuples(std::uint64_t pickle_bytes) : size_(static_cast<std::size_t>(std::min<std::uint64_t>(kRing, 2 * pickle_bytes + 16))) {}

  Value make(const Value* items, std::size_t count, Weight weight) {
    if (count > kItemsMax) return Value(Kind::plain);
    if (ring_.empty()) ring_.resize(size_);
    const std::uint64_t start = next_;
    put(Value(Kind::integer, weight));
    for (std::size_t i = 0; i < count; ++i) put(items[i]);
    return Value(Kind::tuple, static_cast<std::int64_t>(start << 12 | count));
  }
  static std::size_t size(Value tuple) { return static_cast<std::size_t>(tuple.payload() & 0xfff); }
  std::optional<Value> item(Value tuple, std::size_t index) const {
    const std::uint64_t start = static_cast<std::uint64_t>(tuple.payload()) >> 12;
    if (index >= size(tuple) || start + size_ < next_) return std::nullopt;
    return ring_[(start + 1 + index) % size_];
  }
  Weight weight(Value tuple) const {
    const std::uint64_t start = static_cast<std::uint64_t>(tuple.payload()) >> 12;
    return start + size_ < next_ ? 1 : static_cast<Weight>(ring_[start % size_].payload());
  }

 private:
  static constexpr std::size_t kRing = 1 << 18, kItemsMax = 0xfff;
  void put(Value value) { ring_[next_++ % size_] = value; }
  std::size_t size_;
  std::vector<Value> ring_;
  std::uint64_t next_ = 0;
};

// A numpy.dtype as its text and its state describe it.
struct ArrayType {
  bool is_known = false, has_objects = false, is_structure = false, has_state = false;
  std::uint64_t item_bytes = 0;
};

}  // namespace redoubt::model_scan
