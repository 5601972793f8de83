// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/pickle_start.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace redoubt::stages::acquire {
namespace {

constexpr std::size_t kOpcodesMax = 200'000;

// What an opcode's argument looks like (pickletools.py): so many bytes, lines, or a length and that many bytes.
enum class Argument : std::uint8_t { none, byte1, byte2, byte4, byte8, number_line, float_line, quoted_line, any_line, names, length1, length4, length8 };

// What an opcode does to the stack.
enum class Effect : std::uint8_t {
  invalid, nothing, push_plain, push_any, mark, stop, pop, pop_mark, duplicate, memo_put, memo_get, memoize,
  append, set_item, to_mark_kept, to_mark_plain, to_mark_tuple, tuple1, tuple2, tuple3, stack_global,
  call, call3, call_mark, call_names, build, persistent, read_only,
};

struct Opcode {
  Argument argument = Argument::none;
  Effect effect = Effect::invalid;
};

constexpr std::array<Opcode, 256> make_opcodes() {
  using A = Argument;
  using E = Effect;
  std::array<Opcode, 256> codes{};
  const auto set = [&](unsigned char code, A argument, E effect) { codes[code] = {argument, effect}; };
  for (const auto& [code, argument] : {std::pair{'I', A::number_line}, {'L', A::number_line}, {'F', A::float_line}, {'S', A::quoted_line}, {'V', A::any_line},
                                       {'J', A::byte4}, {'K', A::byte1}, {'M', A::byte2}, {'G', A::byte8}, {'N', A::none}, {'T', A::length4}, {'U', A::length1},
                                       {'X', A::length4}, {'B', A::length4}, {'C', A::length1}, {'}', A::none}, {']', A::none}, {'\x88', A::none}, {'\x89', A::none},
                                       {'\x8a', A::length1}, {'\x8b', A::length4}, {'\x8c', A::length1}, {'\x8d', A::length8}, {'\x8e', A::length8},
                                       {'\x8f', A::none}, {'\x96', A::length8}, {'\x97', A::none}}) {
    set(static_cast<unsigned char>(code), argument, E::push_plain);
  }
  set('(', A::none, E::mark), set('.', A::none, E::stop), set('0', A::none, E::pop), set('1', A::none, E::pop_mark), set('2', A::none, E::duplicate);
  set('a', A::none, E::append), set('s', A::none, E::set_item), set('e', A::none, E::to_mark_kept), set('u', A::none, E::to_mark_kept), set(0x90, A::none, E::to_mark_kept);
  set('d', A::none, E::to_mark_plain), set('l', A::none, E::to_mark_plain), set(0x91, A::none, E::to_mark_plain), set('t', A::none, E::to_mark_tuple);
  set(')', A::none, E::to_mark_tuple), set(0x85, A::none, E::tuple1), set(0x86, A::none, E::tuple2), set(0x87, A::none, E::tuple3);
  set('p', A::number_line, E::memo_put), set('q', A::byte1, E::memo_put), set('r', A::byte4, E::memo_put), set(0x94, A::none, E::memoize);
  set('g', A::number_line, E::memo_get), set('h', A::byte1, E::memo_get), set('j', A::byte4, E::memo_get);
  set('c', A::names, E::push_any), set(0x93, A::none, E::stack_global), set(0x82, A::byte1, E::push_any), set(0x83, A::byte2, E::push_any), set(0x84, A::byte4, E::push_any);
  set('R', A::none, E::call), set(0x81, A::none, E::call), set(0x92, A::none, E::call3), set('o', A::none, E::call_mark), set('i', A::names, E::call_names), set('b', A::none, E::build);
  set('P', A::any_line, E::push_plain), set('Q', A::none, E::persistent), set(0x98, A::none, E::read_only);
  set(0x80, A::byte1, E::nothing), set(0x95, A::byte8, E::nothing);
  return codes;
}
constexpr auto kOpcodes = make_opcodes();

enum class Kind : std::uint8_t { plain, tuple, any, mark };  // `any` may be called

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
    // EMPTY_TUPLE makes its tuple of nothing.
    return code == ')' ? push(Kind::tuple) : apply(opcode.effect, *argument);
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

  bool push(Kind kind) {
    stack_.push_back(kind);
    return true;
  }

  // Takes `count` objects off; none of them a mark.
  bool pop(std::size_t count) {
    if (stack_.size() < count || std::find(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end(), Kind::mark) != stack_.end()) return false;
    stack_.resize(stack_.size() - count);
    return true;
  }

  // Takes everything off down to the last mark, and the mark; answers the lowest of it.
  std::optional<Kind> pop_mark() {
    const auto mark = std::find(stack_.rbegin(), stack_.rend(), Kind::mark);
    if (mark == stack_.rend()) return std::nullopt;
    const auto first = static_cast<std::size_t>(stack_.rend() - mark);
    const Kind lowest = first < stack_.size() ? stack_[first] : Kind::plain;
    stack_.resize(first - 1);
    return lowest;
  }

  Kind top(std::size_t below = 0) const { return stack_.size() > below ? stack_[stack_.size() - 1 - below] : Kind::mark; }

  bool call(std::size_t count) {
    const bool can_call = top(count - 1) == Kind::any && top() != Kind::mark && (count > 2 || top() != Kind::plain);
    calls_ = calls_ || can_call;
    return can_call && pop(count) && push(Kind::any);
  }

  bool apply(Effect effect, std::string_view argument) {
    switch (effect) {
      case Effect::push_plain: return push(Kind::plain);
      case Effect::push_any: return push(Kind::any);
      case Effect::mark: return push(Kind::mark);
      case Effect::stop: return stopped_ = top() != Kind::mark;
      case Effect::pop: return !stack_.empty() && (stack_.pop_back(), true);
      case Effect::pop_mark: return pop_mark().has_value();
      case Effect::duplicate: return top() != Kind::mark && push(top());
      case Effect::append: return pop(2) && push(Kind::plain);
      case Effect::set_item: return pop(3) && push(Kind::plain);
      case Effect::to_mark_kept: return pop_mark() && top() != Kind::mark;
      case Effect::to_mark_plain: return pop_mark() && push(Kind::plain);
      case Effect::to_mark_tuple: return pop_mark() && push(Kind::tuple);
      case Effect::tuple1: return pop(1) && push(Kind::tuple);
      case Effect::tuple2: return pop(2) && push(Kind::tuple);
      case Effect::tuple3: return pop(3) && push(Kind::tuple);
      case Effect::persistent: return pop(1) && push(Kind::plain);
      case Effect::read_only: return top() != Kind::mark;
      case Effect::stack_global: return pop(2) && push(Kind::any);
      case Effect::call: return call(2);
      case Effect::call3: return call(3);
      case Effect::call_mark: return (calls_ |= pop_mark() == Kind::any) && push(Kind::any);
      case Effect::call_names: return (calls_ |= pop_mark().has_value()) && push(Kind::any);
      case Effect::build: return (calls_ |= top(1) == Kind::any && top() != Kind::mark) && pop(1);
      case Effect::memo_put: return remember(std::string(argument));
      case Effect::memoize: return remember("#" + std::to_string(memo_.size()));
      case Effect::memo_get: return recall(std::string(argument));
      case Effect::nothing: return true;
      case Effect::invalid: break;
    }
    return false;
  }

  // MEMOIZE numbers what it remembers; BINGET names it by that number. Any entry may be meant, so a call of one is a call.
  bool remember(std::string name) {
    if (top() == Kind::mark) return false;
    memo_[std::move(name)] = top();
    return true;
  }
  bool recall(const std::string& name) {
    if (memo_.empty()) return false;
    const auto found = memo_.find(name);
    return push(found == memo_.end() ? Kind::any : found->second);
  }

  std::string_view text_;
  std::size_t at_ = 0, opcodes_ = 0;
  std::vector<Kind> stack_;
  std::unordered_map<std::string, Kind> memo_;
  bool has_header_ = false, calls_ = false, stopped_ = false;
};

}  // namespace

bool starts_as_pickle(ByteView start) { return Walk(start.first(std::min(start.size(), kPickleStartBytes))).run(); }

}  // namespace redoubt::stages::acquire
