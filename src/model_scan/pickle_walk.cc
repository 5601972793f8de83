// SPDX-License-Identifier: Apache-2.0
#include "model_scan/pickle_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/memory_object.h"
#include "model_scan/pickle_machine.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kStackMax = 8 << 20, kMemoKept = 8 << 20, kNodesMax = 8 << 20, kToldMax = 200, kFilledItemsMax = 1 << 14;
constexpr int kHiddenDepthMax = 4;
constexpr std::uint64_t kMemoLeap = 1 << 20;  // how far past the number of opcodes a memo's index may lie
constexpr const char* kTorchMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

std::uint64_t little_endian(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

std::size_t bytes_of(Argument argument) {
  switch (argument) {
    case Argument::byte1:
    case Argument::length1: return 1;
    case Argument::byte2: return 2;
    case Argument::byte4:
    case Argument::length4: return 4;
    case Argument::byte8:
    case Argument::length8: return 8;
    default: return 0;
  }
}

// Whether a text begins with "_", which is then taken off: in lines also as an escape.
bool takes_underscore(std::string_view& text, unsigned char code) {
  for (const std::string_view form : {"_", "\\x5f", "\\x5F", "\\137", "\\u005f", "\\u005F", "\\U0000005f", "\\U0000005F"}) {
    if (!text.starts_with(form) || (form.size() > 1 && code != 'S' && code != 'V')) continue;
    text.remove_prefix(form.size());
    return true;
  }
  return false;
}

// Whether a key of an object's state may be a name with "__" in front: texts that the pickle has made by a call are not known.
bool may_be_special(Value key) { return key.is(Kind::special_text) || key.is(Kind::instance) || key.is(Kind::unknown); }

// Classes of the list whose objects are lists, sets or dicts.
bool may_be_filled(std::string_view name) {
  constexpr std::string_view kNames[] = {"list", "set", "dict", "bytearray", "OrderedDict", "defaultdict", "Counter", "deque", "Bunch", "dok_array", "dok_matrix"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

void PickleMachine::tell(std::string rule, std::string severity, std::string detail) {
  if (++told_ > kToldMax) return;
  options_.found({std::move(rule), std::move(severity), std::move(detail), kOpcodes[code_].name, opcode_at_});
}

bool PickleMachine::wrong(std::string detail) {
  if (!broken_ && !reader_.error() && !error_) options_.found({"malformed", "high", std::move(detail), kOpcodes[code_].name, opcode_at_});
  broken_ = true;
  return false;
}

Result<PickleEnd> PickleMachine::run() {
  opcode_at_ = begin_;
  while (!end_.stopped && step()) ++end_.opcodes;
  if (reader_.error()) return fail(*reader_.error());
  if (error_) return fail(*error_);
  end_.end = reader_.offset();
  return std::move(end_);
}

bool PickleMachine::step() {
  const auto* byte = reader_.peek(1);
  if (byte == nullptr) return wrong("the pickle ends without a STOP");
  opcode_at_ = reader_.offset();
  code_ = *byte;
  const Opcode& opcode = kOpcodes[code_];
  if (opcode.effect == Effect::invalid) return wrong(fmt::format("0x{:02x} is no opcode", code_));
  reader_.advance(1);
  return (opcode.argument == Argument::none || read_argument(opcode.argument)) && apply(opcode.effect);
}

bool PickleMachine::read_argument(Argument argument) {
  switch (argument) {
    case Argument::byte1:
    case Argument::byte2:
    case Argument::byte4:
    case Argument::byte8: {
      const std::size_t count = bytes_of(argument);
      const auto* bytes = reader_.peek(count);
      if (bytes == nullptr) return wrong("the pickle ends within an opcode");
      number_ = little_endian(bytes, count);
      reader_.advance(count);
      return true;
    }
    case Argument::length1:
    case Argument::length4:
    case Argument::length8: return read_counted(bytes_of(argument));
    default: return read_line(argument);
  }
}

// The length is left in number_; texts and numbers of interest are read again from the window.
bool PickleMachine::read_counted(std::size_t length_bytes) {
  const auto* bytes = reader_.peek(length_bytes);
  if (bytes == nullptr) return wrong("the pickle ends within an opcode");
  number_ = little_endian(bytes, length_bytes);
  // Of a short argument the window shall hold everything while the opcode is applied.
  if (number_ <= ByteReader::kBehind - 16 && number_ + length_bytes <= reader_.left()) reader_.peek(length_bytes + static_cast<std::size_t>(number_));
  reader_.advance(length_bytes);
  if (!reader_.skip(number_)) return wrong(fmt::format("a length of {} bytes where {} are left", number_, reader_.left()));
  return true;
}

bool PickleMachine::read_line(Argument argument) {
  const auto first = reader_.line();
  if (!first) return wrong("the pickle ends within a line, or a line is too long");
  line_ = *first;
  if (argument != Argument::names) return true;
  module_ = std::string(line_);
  const auto second = reader_.line();
  if (!second) return wrong("the pickle ends within a name");
  name_ = std::string(*second);
  return true;
}

bool PickleMachine::push(Value value) {
  if (stack_.size() >= kStackMax) return wrong("more objects on the stack than any model needs");
  stack_.push_back(value);
  return true;
}

// Whether so many objects lie on the stack above the last mark.
bool PickleMachine::need(std::size_t count) {
  if (stack_.size() < count) return wrong("an opcode needs objects that are not on the stack");
  for (std::size_t i = 0; i < count; ++i) {
    if (stack_[stack_.size() - 1 - i].is(Kind::mark)) return wrong("an opcode takes objects from below a mark");
  }
  return true;
}

std::optional<std::size_t> PickleMachine::mark_index() {
  for (std::size_t i = stack_.size(); i-- > 0;) {
    if (stack_[i].is(Kind::mark)) return i;
  }
  wrong("an opcode needs a mark that is not on the stack");
  return std::nullopt;
}

bool PickleMachine::push_text() {
  constexpr std::size_t kEscapeMax = 10;
  const std::uint64_t start = opcode_at_ + 1 + bytes_of(kOpcodes[code_].argument);
  auto head = reader_.at_hand(start, 1 + 2 * kEscapeMax);
  if (code_ == 'S') head.remove_prefix(std::min<std::size_t>(1, head.size()));
  const bool is_special = takes_underscore(head, code_) && takes_underscore(head, code_);
  return push(Value(is_special ? Kind::special_text : Kind::text, static_cast<std::int64_t>(opcode_at_)));
}

// A string that is itself a pickle, plain, in base64 or in hexadecimal, is not run by what loads this one; but what hides a program among
// weights means it to be run. Its start is walked, and told of when it asks for what no model needs.
bool PickleMachine::look_for_pickle() {
  constexpr std::size_t kBytesMin = 12, kBytesMax = 48 << 10;
  if (kOpcodes[code_].argument == Argument::any_line || kOpcodes[code_].argument == Argument::quoted_line || number_ < kBytesMin || depth_ >= kHiddenDepthMax) return true;
  const std::uint64_t start = opcode_at_ + 1 + bytes_of(kOpcodes[code_].argument);
  const auto head = reader_.at_hand(start, 4);
  if (head.size() < 4) return true;
  const bool is_plain = head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
  const bool is_base64 = head[0] == 'g' && head[1] == 'A' && head[2] >= 'I' && head[2] <= 'X';
  const bool is_hex = head.starts_with("800") && head[3] >= '2' && head[3] <= '5';
  if (!is_plain && !is_base64 && !is_hex) return true;
  const auto text = reader_.at_hand(start, static_cast<std::size_t>(std::min<std::uint64_t>(number_, kBytesMax)));
  auto bytes = is_plain ? Result<Bytes>(to_bytes(text)) : is_base64 ? from_base64(text) : from_hex(text);
  if (!bytes) return true;
  const MemoryObject hidden(std::move(*bytes));
  bool asks = false;
  PickleOptions options;
  options.found = [&](const PickleProblem& problem) { asks = asks || (problem.rule != "malformed" && problem.rule != "persistent-id"); };
  options.nested = [](std::uint64_t, std::uint64_t) { return Status{}; };
  const auto walked = PickleMachine(hidden, 0, hidden.size(), options, depth_ + 1).run();
  if (walked && asks) tell("hidden-pickle", "high", "a string that is a pickle, and asks for what no model needs");
  return true;
}

bool PickleMachine::push_integer() {
  if (code_ == 'K' || code_ == 'M') return push(Value(Kind::integer, static_cast<std::int64_t>(number_)));
  if (code_ == 'J') return push(Value(Kind::integer, static_cast<std::int32_t>(number_)));
  if (code_ == 0x8a) {
    const auto digits = reader_.at_hand(opcode_at_ + 2, static_cast<std::size_t>(number_));
    if (digits.size() == 10 && digits == std::string_view(kTorchMagic, 10)) end_.is_torch_magic = stack_.empty();
    if (digits.size() != number_ || digits.size() > 6) return push(Value(Kind::plain));
    std::int64_t value = digits.empty() || static_cast<signed char>(digits.back()) >= 0 ? 0 : -1;
    for (std::size_t i = digits.size(); i-- > 0;) value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << 8 | static_cast<unsigned char>(digits[i]));
    return push(Value(Kind::integer, value));
  }
  std::int64_t value = 0;
  if (line_.ends_with('L')) line_.remove_suffix(1);
  const auto [rest, problem] = std::from_chars(line_.data(), line_.data() + line_.size(), value);
  const bool is_small = problem == std::errc() && rest == line_.data() + line_.size() && value < (std::int64_t{1} << 50) && value > -(std::int64_t{1} << 50);
  return push(is_small ? Value(Kind::integer, value) : Value(Kind::plain));
}

bool PickleMachine::push_node(Kind kind) {
  if (nodes_.size() >= kNodesMax) return push(Value(Kind::unknown));
  nodes_.push_back({});
  return push(Value(kind, static_cast<std::int64_t>(nodes_.size() - 1)));
}

Weight PickleMachine::weight_of(Value value) const {
  if (value.is(Kind::list) || value.is(Kind::dict)) return nodes_[static_cast<std::size_t>(value.payload())].weight;
  return value.is(Kind::tuple) ? tuples_.weight(value) : 1;
}

bool PickleMachine::check_weight(Weight weight) {
  if (weight < 100'000'000 || weight / 64 < end_.opcodes) return true;
  return wrong("a few objects that stand in each other so often that they are millions: a bomb");
}

bool PickleMachine::check_stored(Value value) {
  if (!value.is(Kind::global)) return true;
  const auto& global = globals_[static_cast<std::size_t>(value.payload())];
  if (global.known.role == Role::range || global.known.role == Role::text_encode || global.known.role == Role::array_type || global.known.role == Role::nested_torch || global.known.role == Role::typed_tensor || global.known.role == Role::array_wrapper) {
    tell("stored-function", "critical", fmt::format("{}.{} is handed on instead of being called, so what it will be called with is not known", global.module, global.name));
  }
  return true;
}

bool PickleMachine::check_stored_from(std::size_t first) {
  for (std::size_t i = first; i < stack_.size(); ++i) check_stored(stack_[i]);
  return true;
}

// The topmost `count` values become a tuple.
bool PickleMachine::make_tuple(std::size_t count) {
  const std::size_t first = stack_.size() - count;
  Weight weight = 1;
  for (std::size_t i = first; i < stack_.size(); ++i) weight = add_weights(weight, weight_of(stack_[i]));
  if (!check_weight(weight)) return false;
  check_stored_from(first);
  const Value tuple = tuples_.make(stack_.data() + first, count, weight);
  drop_to(first);
  return push(tuple);
}

bool PickleMachine::make_container(Kind kind) {
  const auto mark = mark_index();
  if (!mark) return false;
  const std::size_t first = *mark + 1;
  if (kind == Kind::tuple) {
    if (!make_tuple(stack_.size() - first)) return false;
    stack_.erase(stack_.end() - 2);  // the mark below it
    return true;
  }
  const std::vector<Value> items(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
  drop_to(*mark);
  if (kind == Kind::plain) {  // a frozenset
    for (const Value item : items) check_stored(item);
    return push(Value(Kind::plain));
  }
  if (!push_node(kind)) return false;
  const std::size_t container = stack_.size() - 1;
  stack_.insert(stack_.end(), items.begin(), items.end());
  return append(container + 1, container, kind == Kind::dict);
}

// Puts everything from `first` on into the container below.
bool PickleMachine::append(std::size_t first, std::size_t container, bool is_dict) {
  if (is_dict && (stack_.size() - first) % 2 != 0) return wrong("a key without a value");
  const Value target = stack_[container];
  if (target.is(Kind::mark)) return wrong("an opcode takes objects from below a mark");
  check_stored_from(first);
  if (target.is(Kind::list) || target.is(Kind::dict)) {
    Node& node = nodes_[static_cast<std::size_t>(target.payload())];
    if (node.is_fields) return wrong("the fields of a numpy.dtype are changed");
    const bool was_empty = node.weight == 1;
    for (std::size_t i = first; i < stack_.size(); ++i) {
      node.weight = add_weights(node.weight, weight_of(stack_[i]));
      if (is_dict && (i - first) % 2 == 0) node.has_special_key = node.has_special_key || may_be_special(stack_[i]);
    }
    if (!check_weight(node.weight)) return false;
    if (is_dict) note_items(target, first, was_empty);
  } else if (target.is(Kind::global)) {
    tell("changed-global", "critical", "a class or function, not an object, is filled");
  } else if (target.is(Kind::storage) || (target.is(Kind::instance) && !may_be_filled(globals_[static_cast<std::size_t>(target.payload())].name))) {
    tell("unsafe-build", "critical", "fills what is neither a list nor a dict: of a tensor, its memory");
  }
  drop_to(first);
  return true;
}

void PickleMachine::note_items(Value dict, std::size_t first, bool was_empty) {
  if (was_empty) filled_ = {dict.payload(), {}};
  if (filled_.node != dict.payload()) return;
  if (filled_.items.size() + stack_.size() - first > kFilledItemsMax) {
    filled_ = {};
    return;
  }
  filled_.items.insert(filled_.items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
}

bool PickleMachine::set_items(std::size_t first) {
  if (first == 0) return wrong("an opcode needs objects that are not on the stack");
  const std::size_t mark = first - 1;
  if (mark == 0) return wrong("an opcode needs objects that are not on the stack");
  const bool is_dict = kOpcodes[code_].effect == Effect::set_items;
  if (!append(first, mark - 1, is_dict)) return false;
  stack_.pop_back();  // the mark
  return true;
}

bool PickleMachine::pop_one() {
  if (stack_.empty()) return wrong("an opcode needs objects that are not on the stack");
  stack_.pop_back();
  return true;
}

// Where the index is a line: digits alone, since Python reads "1_0" as ten and others do not. What Python makes of it is followed.
bool PickleMachine::memo_index() {
  if (kOpcodes[code_].argument != Argument::number_line) return true;
  std::string digits(line_);
  if (std::erase(digits, '_') > 0) tell("malformed", "high", "an index of the memo that is not digits");
  const auto [rest, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number_);
  return (problem == std::errc() && rest == digits.data() + digits.size()) || wrong("an index of the memo that is not digits");
}

bool PickleMachine::memo_put(std::uint64_t index) {
  if (!need(1)) return false;
  if (index > end_.opcodes + kMemoLeap) return wrong(fmt::format("the memo is to hold {} objects: a bomb", index));
  if (index >= kMemoKept) {
    // Not kept, so only the next place is taken: MEMOIZE counts the places that are in use.
    if (index != memo_count_) return wrong(fmt::format("the memo's place {} where {} are in use", index, memo_count_));
    ++memo_count_;
    return true;
  }
  if (index >= memo_.size()) memo_.resize(static_cast<std::size_t>(index) + 1, Value(Kind::mark));
  Value& entry = memo_[static_cast<std::size_t>(index)];
  memo_count_ += entry.is(Kind::mark) ? 1 : 0;
  entry = stack_.back();
  return true;
}

bool PickleMachine::memo_get(std::uint64_t index) {
  if (index >= kMemoKept) return push(Value(Kind::unknown));
  if (index >= memo_.size() || memo_[static_cast<std::size_t>(index)].is(Kind::mark)) return wrong(fmt::format("object {} of the memo was never put there", index));
  return push(memo_[static_cast<std::size_t>(index)]);
}

bool PickleMachine::proto() {
  if (number_ > 5) return wrong(fmt::format("protocol {} is not known", number_));
  return true;
}

bool PickleMachine::frame() {
  if (number_ > reader_.left()) return wrong(fmt::format("a frame of {} bytes where {} are left", number_, reader_.left()));
  if (reader_.offset() < frame_end_) return wrong("a frame within a frame");
  frame_end_ = reader_.offset() + number_;
  return true;
}

bool PickleMachine::stop() {
  if (stack_.size() != 1 || stack_.back().is(Kind::mark)) {
    // The unpickler answers what lies on top and forgets the rest.
    if (!need(1)) return false;
    tell("malformed", "high", "objects are left on the stack at the end");
  }
  if (reader_.offset() < frame_end_) tell("malformed", "high", "the last frame is longer than the pickle");
  if (stack_.back().is(Kind::integer)) end_.integer = stack_.back().payload();
  end_.stopped = true;
  return true;
}

std::optional<std::string> PickleMachine::text_at(Value value) {
  constexpr std::size_t kNameMax = 1024;
  if (!value.is_text()) return std::nullopt;
  if (const auto known = name_texts_.find(value.payload()); known != name_texts_.end()) return known->second;
  const auto at = static_cast<std::uint64_t>(value.payload());
  std::string bytes(reader_.at_hand(at, kNameMax + 16));
  // What left the window is read again; a text that ends in the window is whole there.
  if (bytes.size() < kNameMax + 16 && at + bytes.size() < reader_.offset()) {
    Bytes again(static_cast<std::size_t>(std::min<std::uint64_t>(kNameMax + 16, reader_.offset() - at)));
    if (auto read = reader_.object().read_at(at, again); !read) {
      error_ = read.error();
      return std::nullopt;
    }
    bytes = to_text(again);
  }
  const Argument argument = kOpcodes[static_cast<unsigned char>(bytes[0])].argument;
  const std::size_t length_bytes = bytes_of(argument);
  std::string text;
  if (length_bytes > 0) {
    if (bytes.size() < 1 + length_bytes) return std::nullopt;
    const auto length = little_endian(reinterpret_cast<const std::uint8_t*>(bytes.data()) + 1, length_bytes);
    if (length > kNameMax || length > bytes.size() - 1 - length_bytes) return std::nullopt;
    text = bytes.substr(1 + length_bytes, static_cast<std::size_t>(length));
  } else {
    const auto end = bytes.find('\n');
    if (end == bytes.npos) return std::nullopt;
    text = bytes.substr(1, end - 1);
    if (argument == Argument::quoted_line && text.size() >= 2) text = text.substr(1, text.size() - 2);
    if (text.find('\\') != text.npos) return std::nullopt;  // escapes: no name of a model has one
  }
  if (name_texts_.size() < 100'000) name_texts_[value.payload()] = text;
  return text;
}

bool PickleMachine::apply(Effect effect) {
  switch (effect) {
    case Effect::push_plain:
    case Effect::push_set: return push(Value(Kind::plain));
    case Effect::push_integer: return push_integer();
    case Effect::push_text: return look_for_pickle() && push_text();
    case Effect::push_bytes: return look_for_pickle() && push(Value(Kind::bytes, static_cast<std::int64_t>(opcode_at_)));
    case Effect::push_list: return push_node(Kind::list);
    case Effect::push_dict: return push_node(Kind::dict);
    case Effect::push_tuple: return make_tuple(0);
    case Effect::mark: return push(Value(Kind::mark));
    case Effect::stop: return stop();
    case Effect::pop: return pop_one();
    case Effect::pop_mark: {
      const auto mark = mark_index();
      if (mark) drop_to(*mark);
      return mark.has_value();
    }
    case Effect::duplicate: return need(1) && push(stack_.back());
    case Effect::memo_put: return memo_index() && memo_put(number_);
    case Effect::memo_get: return memo_index() && memo_get(number_);
    case Effect::memoize: return memo_put(memo_count_);
    case Effect::append: return need(2) && append(stack_.size() - 1, stack_.size() - 2, false);
    case Effect::set_item: return need(3) && append(stack_.size() - 2, stack_.size() - 3, true);
    case Effect::appends:
    case Effect::add_items:
    case Effect::set_items: {
      const auto mark = mark_index();
      return mark && set_items(*mark + 1);
    }
    case Effect::make_list: return make_container(Kind::list);
    case Effect::make_dict: return make_container(Kind::dict);
    case Effect::make_tuple: return make_container(Kind::tuple);
    case Effect::make_frozenset: return make_container(Kind::plain);
    case Effect::tuple1: return need(1) && make_tuple(1);
    case Effect::tuple2: return need(2) && make_tuple(2);
    case Effect::tuple3: return need(3) && make_tuple(3);
    default: return apply_name(effect);
  }
}

}  // namespace redoubt::model_scan
