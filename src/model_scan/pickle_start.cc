// SPDX-License-Identifier: Apache-2.0
#include "model_scan/pickle_start.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model_scan/pickle_opcodes.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kOpcodesMax = 200'000;

enum class StackItem : std::uint8_t { plain, tuple, any, mark };  // `any` may be called

class Walk {
 public:
  explicit Walk(ByteView bytes) : text_(text_of(bytes)) {}

  bool run() {
    while (at_ < text_.size() && opcodes_ < kOpcodesMax && step()) ++opcodes_;
    // A program with a header, one that calls, or one that ends as programs do: with one object. A lone "N." is a text's.
    return (has_header_ && opcodes_ >= 2) || calls_ || (stopped_ && stack_.size() == 1 && opcodes_ >= 3);
  }

 private:
  // Whether there was another opcode that an unpickler would take.
  bool step() {
    if (stopped_) return false;
    const auto code = static_cast<unsigned char>(text_[at_++]);
    const Opcode opcode = kOpcodes[code];
    if (opcode.effect == Effect::invalid) return false;
    const auto argument = read(opcode.argument);
    if (!argument) return false;
    if (code == 0x80) {
      const auto version = static_cast<unsigned char>((*argument)[0]);
      has_header_ = has_header_ || (at_ == 2 && version <= 5);
      return version <= 5;
    }
    return apply(opcode.effect, *argument);
  }

  std::optional<std::string_view> take(std::uint64_t count) {
    if (count > text_.size() - at_) return std::nullopt;
    const auto taken = text_.substr(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return taken;
  }

  std::optional<std::string_view> line() {
    const auto end = text_.find('\n', at_);
    if (end == text_.npos) return std::nullopt;
    const auto taken = text_.substr(at_, end - at_);
    at_ = end + 1;
    return taken;
  }

  std::optional<std::string_view> line_of(std::string_view allowed) {
    const auto taken = line();
    return taken && !taken->empty() && taken->find_first_not_of(allowed) == taken->npos ? taken : std::nullopt;
  }

  std::optional<std::string_view> counted(std::size_t length_bytes) {
    const auto length = take(length_bytes);
    std::uint64_t count = 0;
    if (!length) return std::nullopt;
    for (std::size_t i = length->size(); i-- > 0;) count = count << 8 | static_cast<unsigned char>((*length)[i]);
    return take(count);
  }

  // A module and a name: no spaces, as every importable one.
  std::optional<std::string_view> names() {
    const auto is_name = [](const std::optional<std::string_view>& text) {
      return text && !text->empty() && std::none_of(text->begin(), text->end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; });
    };
    const auto module = line();
    if (!is_name(module)) return std::nullopt;
    const auto name = line();
    return is_name(name) ? name : std::nullopt;
  }

  std::optional<std::string_view> read(Argument argument) {
    switch (argument) {
      case Argument::none: return std::string_view();
      case Argument::byte1: return take(1);
      case Argument::byte2: return take(2);
      case Argument::byte4: return take(4);
      case Argument::byte8: return take(8);
      case Argument::number_line: return line_of(" \t\r0123456789abcdefABCDEFxXoOlL+-_");
      case Argument::float_line: return line_of(" \t\r0123456789eE+-._infatyINFATY");
      case Argument::any_line: return line();
      case Argument::names: return names();
      case Argument::length1: return counted(1);
      case Argument::length4: return counted(4);
      case Argument::length8: return counted(8);
      case Argument::quoted_line: {
        auto text = line();
        while (text && !text->empty() && (text->back() == '\r' || text->back() == ' ')) text->remove_suffix(1);
        return text && text->size() >= 2 && (text->front() == '\'' || text->front() == '"') && text->back() == text->front() ? text : std::nullopt;
      }
    }
    return std::nullopt;
  }

  bool push(StackItem kind) {
    stack_.push_back(kind);
    return true;
  }

  // Takes `count` objects off; none of them a mark.
  bool pop(std::size_t count) {
    if (stack_.size() < count || std::find(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end(), StackItem::mark) != stack_.end()) return false;
    stack_.resize(stack_.size() - count);
    return true;
  }

  // Takes everything off down to the last mark, and the mark; answers the lowest of it.
  std::optional<StackItem> pop_mark() {
    const auto mark = std::find(stack_.rbegin(), stack_.rend(), StackItem::mark);
    if (mark == stack_.rend()) return std::nullopt;
    const auto first = static_cast<std::size_t>(stack_.rend() - mark);
    const StackItem lowest = first < stack_.size() ? stack_[first] : StackItem::plain;
    stack_.resize(first - 1);
    return lowest;
  }

  StackItem top(std::size_t below = 0) const { return stack_.size() > below ? stack_[stack_.size() - 1 - below] : StackItem::mark; }

  bool call(std::size_t count) {
    const bool can_call = top(count - 1) == StackItem::any && top() != StackItem::mark && (count > 2 || top() != StackItem::plain);
    calls_ = calls_ || can_call;
    return can_call && pop(count) && push(StackItem::any);
  }

  bool apply(Effect effect, std::string_view argument) {
    switch (effect) {
      case Effect::push_plain:
      case Effect::push_integer:
      case Effect::push_text:
      case Effect::push_bytes:
      case Effect::push_list:
      case Effect::push_dict:
      case Effect::push_set:
      case Effect::out_of_band:
      case Effect::persistent_line: return push(StackItem::plain);
      case Effect::push_tuple: return push(StackItem::tuple);
      case Effect::global:
      case Effect::extension: return push(StackItem::any);
      case Effect::mark: return push(StackItem::mark);
      case Effect::stop: return stopped_ = top() != StackItem::mark;
      case Effect::pop: return !stack_.empty() && (stack_.pop_back(), true);
      case Effect::pop_mark: return pop_mark().has_value();
      case Effect::duplicate: return top() != StackItem::mark && push(top());
      case Effect::append: return pop(2) && push(StackItem::plain);
      case Effect::set_item: return pop(3) && push(StackItem::plain);
      case Effect::appends:
      case Effect::set_items:
      case Effect::add_items: return pop_mark() && top() != StackItem::mark;
      case Effect::make_list:
      case Effect::make_dict:
      case Effect::make_frozenset: return pop_mark() && push(StackItem::plain);
      case Effect::make_tuple: return pop_mark() && push(StackItem::tuple);
      case Effect::tuple1: return pop(1) && push(StackItem::tuple);
      case Effect::tuple2: return pop(2) && push(StackItem::tuple);
      case Effect::tuple3: return pop(3) && push(StackItem::tuple);
      case Effect::persistent: return pop(1) && push(StackItem::plain);
      case Effect::read_only: return top() != StackItem::mark;
      case Effect::stack_global: return pop(2) && push(StackItem::any);
      case Effect::call:
      case Effect::new_object: return call(2);
      case Effect::new_object_keywords: return call(3);
      case Effect::call_mark: return (calls_ |= pop_mark() == StackItem::any) && push(StackItem::any);
      case Effect::call_names: return (calls_ |= pop_mark().has_value()) && push(StackItem::any);
      case Effect::build: return (calls_ |= top(1) == StackItem::any && top() != StackItem::mark) && pop(1);
      case Effect::memo_put: return remember(std::string(argument));
      case Effect::memoize: return remember("#" + std::to_string(memo_.size()));
      case Effect::memo_get: return recall(std::string(argument));
      case Effect::proto:
      case Effect::frame: return true;
      case Effect::invalid: break;
    }
    return false;
  }

  // MEMOIZE numbers what it remembers; BINGET names it by that number. Any entry may be meant, so a call of one is a call.
  bool remember(std::string name) {
    if (top() == StackItem::mark) return false;
    memo_[std::move(name)] = top();
    return true;
  }
  bool recall(const std::string& name) {
    if (memo_.empty()) return false;
    const auto found = memo_.find(name);
    return push(found == memo_.end() ? StackItem::any : found->second);
  }

  std::string_view text_;
  std::size_t at_ = 0, opcodes_ = 0;
  std::vector<StackItem> stack_;
  std::unordered_map<std::string, StackItem> memo_;
  bool has_header_ = false, calls_ = false, stopped_ = false;
};

}  // namespace

bool starts_as_pickle(ByteView start) { return Walk(start.first(std::min(start.size(), kPickleStartBytes))).run(); }

}  // namespace redoubt::model_scan
