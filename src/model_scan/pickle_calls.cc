// SPDX-License-Identifier: Apache-2.0
//
// The part of the machine that names, calls and builds: what is asked for by name, and with what it is called.
#include <fmt/format.h>

#include "model_scan/pickle_machine.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kStoragesMax = 1 << 20, kGlobalsMax = 100'000;

// Names go into messages: short, and nothing that a terminal obeys.
std::string shown(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 120)) out += c >= ' ' && c < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name.size() > 120 ? out + "..." : out;
}

}  // namespace

bool PickleMachine::apply_name(Effect effect) {
  switch (effect) {
    case Effect::proto: return proto();
    case Effect::frame: return frame();
    case Effect::global: return push_global(std::move(module_), std::move(name_));
    case Effect::stack_global: return stack_global();
    case Effect::extension: tell("extension", "critical", fmt::format("asks the registry of extensions for number {}, which may be anything", number_)); return push(Value(Kind::plain));
    case Effect::call:
    case Effect::new_object: return new_object(2);
    case Effect::new_object_keywords: return new_object(3);
    case Effect::call_mark: return call_marked(false);
    case Effect::call_names: return call_marked(true);
    case Effect::build: return build();
    case Effect::persistent_line: tell("persistent-id", "high", "asks the loading program for an object by a name"); return push(Value(Kind::plain));
    case Effect::persistent: return persistent();
    case Effect::out_of_band: return wrong("its data lie outside of the file");
    case Effect::read_only: return need(1);
    default: return wrong("no opcode");
  }
}

bool PickleMachine::push_global(std::string module, std::string name) {
  const std::string key = module + '\n' + name;
  if (const auto found = global_ids_.find(key); found != global_ids_.end()) return push(Value(Kind::global, found->second));
  if (globals_.size() >= kGlobalsMax) return wrong("more names than any model needs");
  const Known known = look_up(module, name);
  if (known.role == Role::unsafe) {
    const bool is_dangerous = is_dangerous_module(module);
    const char* why = name.find('.') != name.npos ? "which reaches through attributes" : "which is not on the list of what models are made of";
    tell("unsafe-global", is_dangerous ? "critical" : "high", fmt::format("asks for {}.{}, {}", shown(module), shown(name), why));
  }
  const auto id = static_cast<std::int64_t>(globals_.size());
  globals_.push_back({std::move(module), std::move(name), known});
  global_ids_[key] = id;
  return push(Value(Kind::global, id));
}

bool PickleMachine::stack_global() {
  if (!need(2)) return false;
  const auto module = text_at(stack_[stack_.size() - 2]), name = text_at(stack_.back());
  drop_to(stack_.size() - 2);
  if (error_) return false;
  if (module && name) return push_global(*module, *name);
  tell("computed-global", "critical", "asks for a name that is not a text of the pickle");
  return push(Value(Kind::unknown));
}

// REDUCE, NEWOBJ and NEWOBJ_EX: a callee, its arguments and perhaps its named ones.
bool PickleMachine::new_object(std::size_t count) {
  if (!need(count)) return false;
  const Value callee = stack_[stack_.size() - count], arguments = stack_[stack_.size() - count + 1];
  check_stored_from(stack_.size() - count + 1);
  drop_to(stack_.size() - count);
  return call(callee, arguments);
}

bool PickleMachine::call(Value callee, Value arguments) {
  ++end_.calls;
  if (callee.is(Kind::global)) {
    const Global global = globals_[static_cast<std::size_t>(callee.payload())];
    return call_global(global, callee.payload(), arguments);
  }
  tell("computed-call", "critical", "calls what is not a class or function asked for by name");
  return push(Value(Kind::unknown));
}

bool PickleMachine::call_global(const Global& callee, std::int64_t id, Value arguments) {
  switch (callee.known.role) {
    case Role::text_encode: return check_text_encode(arguments) && push(Value(Kind::bytes, -1));
    case Role::array_type: return make_array_type(arguments);
    case Role::array_class: tell("unsafe-call", "high", fmt::format("{}.{} is called, which could take a buffer for objects", callee.module, callee.name)); return push(Value(Kind::instance, id));
    case Role::range: return check_range(arguments) && push(Value(Kind::instance, id));
    case Role::buffer: return check_buffer(arguments) && push(Value(Kind::instance, id));
    case Role::typed_tensor: return check_typed_tensor(arguments) && push(Value(Kind::instance, id));
    case Role::nested_torch: return load_nested(arguments) && push(Value(Kind::plain));
    default: return push(Value(Kind::instance, id));
  }
}

// OBJ: mark, callee, arguments. INST: mark, arguments; the callee is named in the stream.
bool PickleMachine::call_marked(bool is_named) {
  const auto mark = mark_index();
  if (!mark) return false;
  if (is_named) {
    if (!push_global(std::move(module_), std::move(name_))) return false;
    const Value callee = stack_.back();
    stack_.pop_back();
    if (!make_tuple(stack_.size() - *mark - 1)) return false;
    const Value arguments = stack_.back();
    drop_to(*mark);
    return call(callee, arguments);
  }
  if (stack_.size() - *mark < 2) return wrong("an opcode needs objects that are not on the stack");
  const Value callee = stack_[*mark + 1];
  if (!make_tuple(stack_.size() - *mark - 2)) return false;
  const Value arguments = stack_.back();
  drop_to(*mark);
  return call(callee, arguments);
}

bool PickleMachine::check_text_encode(Value arguments) {
  const auto text = tuple_item(arguments, 0), encoding = tuple_item(arguments, 1);
  const auto name = encoding ? text_at(*encoding) : std::nullopt;
  if (error_) return false;
  const bool is_plain = text && text->is_text() && name && (*name == "latin1" || *name == "latin-1") && Tuples::size(arguments) == 2;
  if (!is_plain) tell("unsafe-call", "high", "_codecs.encode is called otherwise than for bytes in a text");
  return true;
}

bool PickleMachine::check_buffer(Value arguments) {
  const auto first = tuple_item(arguments, 0);
  const bool is_data = arguments.is(Kind::tuple) && (Tuples::size(arguments) == 0 || (first && (first->is(Kind::bytes) || first->is_text() || first->is(Kind::list))));
  if (!is_data) tell("unsafe-call", "high", "bytes are made otherwise than of bytes: of a number, they are as many zeros");
  return true;
}

bool PickleMachine::check_range(Value arguments) {
  constexpr std::int64_t kRangeMax = 1 << 24;
  bool is_small = arguments.is(Kind::tuple) && Tuples::size(arguments) >= 1 && Tuples::size(arguments) <= 3;
  for (std::size_t i = 0; is_small && i < Tuples::size(arguments); ++i) {
    const auto item = tuple_item(arguments, i);
    is_small = item && item->is(Kind::integer) && item->payload() >= -kRangeMax && item->payload() <= kRangeMax;
  }
  if (!is_small) tell("unsafe-call", "high", "a range of other numbers than small ones");
  return true;
}

bool PickleMachine::check_typed_tensor(Value arguments) {
  const auto function = tuple_item(arguments, 0);
  const bool is_torch = function && function->is(Kind::global) && globals_[static_cast<std::size_t>(function->payload())].module == "torch._utils";
  if (!is_torch) tell("unsafe-call", "critical", "torch._tensor._rebuild_from_type_v2 is to call what is not torch's");
  return true;
}

bool PickleMachine::load_nested(Value arguments) {
  const auto item = tuple_item(arguments, 0);
  if (!item || !item->is(Kind::bytes) || item->payload() < 0 || !options_.nested) {
    tell("unsafe-call", "critical", "torch.storage._load_from_bytes is called with what can't be followed");
    return true;
  }
  std::uint8_t head[9] = {};
  const auto at = static_cast<std::uint64_t>(item->payload());
  if (auto read = reader_.object().read_at(at, MutableByteView(head, std::min<std::uint64_t>(9, reader_.object().size() - at))); !read) {
    error_ = read.error();
    return false;
  }
  const std::size_t length_bytes = head[0] == 'C' ? 1 : head[0] == 'B' ? 4 : 8;
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) length = length << 8 | head[1 + i];
  if (auto looked = options_.nested(at + 1 + length_bytes, length); !looked) {
    error_ = looked.error();
    return false;
  }
  return true;
}

bool PickleMachine::persistent() {
  if (!need(1)) return false;
  const Value id = stack_.back();
  stack_.pop_back();
  if (!options_.has_storages) {
    tell("persistent-id", "high", "asks the loading program for an object by a name");
    return push(Value(Kind::plain));
  }
  const auto word = tuple_item(id, 0), type = tuple_item(id, 1), key = tuple_item(id, 2), count = tuple_item(id, 4);
  const auto what = word ? text_at(*word) : std::nullopt, name = key ? text_at(*key) : std::nullopt;
  if (error_) return false;
  if (what == "module" && type && type->is(Kind::global)) return push(*type);  // a layer's class, with its source for comparison
  const bool is_storage = what == "storage" && name && type && type->is(Kind::global) && globals_[static_cast<std::size_t>(type->payload())].known.role == Role::storage && count && count->is(Kind::integer) && count->payload() >= 0;
  if (!is_storage) {
    tell("persistent-id", "high", "names an object outside of the pickle that is not a tensor's storage");
  } else if (end_.storages.size() < kStoragesMax) {
    end_.storages[*name] = static_cast<std::uint64_t>(count->payload()) * globals_[static_cast<std::size_t>(type->payload())].known.element_bytes;
  }
  return push(Value(Kind::storage));
}

bool PickleMachine::build() {
  if (!need(2)) return false;
  const Value state = stack_.back();
  stack_.pop_back();
  check_stored(state);
  return build_state(stack_.back(), state);
}

bool PickleMachine::build_state(Value object, Value state) {
  const auto has_special_key = [&](Value dict) { return dict.is(Kind::dict) && nodes_[static_cast<std::size_t>(dict.payload())].has_special_key; };
  const auto is_lost = [](Value dict) { return dict.is(Kind::unknown); };
  const auto slots = tuple_item(state, 1);
  const bool has_slots = state.is(Kind::tuple) && Tuples::size(state) == 2;
  if (has_special_key(state) || is_lost(state) || (has_slots && (!slots || has_special_key(*slots) || is_lost(*slots)))) {
    tell("special-attribute", "critical", "sets an attribute such as __setstate__ or __class__ of an object");
  }
  if (object.is(Kind::array_type)) return build_array_type(object.payload(), state);
  if (object.is(Kind::global)) {
    const auto& global = globals_[static_cast<std::size_t>(object.payload())];
    tell("changed-global", "critical", fmt::format("changes {}.{} itself, not an object of it", shown(global.module), shown(global.name)));
  } else if (object.is(Kind::instance) && globals_[static_cast<std::size_t>(object.payload())].known.role == Role::array_wrapper) {
    if (!state.is(Kind::dict) || filled_.node != state.payload()) return wrong("the description of an array can't be followed");
    return walk_array();
  } else if (!object.is(Kind::instance) && !object.is(Kind::storage)) {
    tell("unsafe-build", "high", "gives a state to what is not an object that the pickle made");
  }
  return true;
}

Result<PickleEnd> walk_pickle(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, const PickleOptions& options) {
  return PickleMachine(object, begin, end, options).run();
}

}  // namespace redoubt::model_scan
