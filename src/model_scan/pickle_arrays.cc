// SPDX-License-Identifier: Apache-2.0
//
// The part of the machine that follows NumPy's types, and joblib's arrays, whose bytes stand in the stream behind their description.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "model_scan/pickle_machine.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kArrayTypesMax = 1 << 20;
constexpr int kPicklesDepthMax = 8;
// What numpy sets in a type that holds objects: counted references, and a list in a pickle instead of bytes.
constexpr std::int64_t kCountsReferences = 0x01, kListInPickle = 0x02;

// "f8", "<i4", "U10", "O8", "V16" and the like.
ArrayType array_type_of(std::string_view text) {
  ArrayType type;
  if (text.starts_with('<') || text.starts_with('>') || text.starts_with('|') || text.starts_with('=')) text.remove_prefix(1);
  if (text == "?") return {.is_known = true, .item_bytes = 1};
  if (text.empty() || std::string_view("biufcSUVOMmaB").find(text[0]) == std::string_view::npos) return type;
  if (text[0] == 'M' || text[0] == 'm') text = text.substr(0, text.find('['));
  std::uint64_t count = 0;
  const auto [rest, problem] = std::from_chars(text.data() + 1, text.data() + text.size(), count);
  const bool has_number = problem == std::errc() && rest == text.data() + text.size() && count <= (1u << 30);
  if (text[0] == 'O' && (text.size() == 1 || has_number)) return {.is_known = true, .has_objects = true, .item_bytes = 8};
  if (!has_number) return type;
  return {.is_known = true, .is_structure = text[0] == 'V', .item_bytes = text[0] == 'U' ? count * 4 : count};
}

}  // namespace

bool PickleMachine::make_array_type(Value arguments) {
  if (array_types_.size() >= kArrayTypesMax) return wrong("more types of arrays than any model needs");
  const auto item = tuple_item(arguments, 0);
  const auto text = item ? text_at(*item) : std::nullopt;
  if (error_) return false;
  array_types_.push_back(text ? array_type_of(*text) : ArrayType{});
  // Of numpy.recarray the type's name is a class, and its state says the rest.
  if (item && item->is(Kind::global) && globals_[static_cast<std::size_t>(item->payload())].module == "numpy" && globals_[static_cast<std::size_t>(item->payload())].name == "record") array_types_.back() = {.is_known = true, .is_structure = true};
  if (!array_types_.back().is_known) tell("unsafe-call", "high", "numpy.dtype is called with what can't be followed");
  return push(Value(Kind::array_type, static_cast<std::int64_t>(array_types_.size() - 1)));
}

// The state of a numpy.dtype: version, order, sub-array, names, fields, size, alignment, flags, perhaps metadata. Flags that hide
// objects, or fields beyond the size, have numpy take numbers for addresses.
bool PickleMachine::build_array_type(std::int64_t id, Value state) {
  ArrayType& type = array_types_[static_cast<std::size_t>(id)];
  if (std::exchange(type.has_state, true)) return wrong("a numpy.dtype that is given a second state");
  const auto version = tuple_item(state, 0), part = tuple_item(state, 2), fields = tuple_item(state, 4), size = tuple_item(state, 5), flags = tuple_item(state, 7);
  const bool is_usual = version && version->is(Kind::integer) && (version->payload() == 3 || version->payload() == 4) && size && size->is(Kind::integer) && flags && flags->is(Kind::integer);
  if (!is_usual) return wrong("a state of numpy.dtype that can't be followed");
  if (type.is_structure && size->payload() >= 0) type.item_bytes = static_cast<std::uint64_t>(size->payload());
  if (!part->is(Kind::plain) && !judge_part(type, *part)) return false;
  if (!fields->is(Kind::plain) && !judge_fields(type, *fields)) return false;
  const bool counts = (flags->payload() & kCountsReferences) != 0 && (flags->payload() & kListInPickle) != 0;
  const bool counts_none = (flags->payload() & (kCountsReferences | kListInPickle)) == 0;
  if (type.has_objects ? !counts : !counts_none) return wrong("a numpy.dtype whose flags say otherwise of objects than its type");
  if (!type.is_structure && !type.has_objects && size->payload() >= 0 && static_cast<std::uint64_t>(size->payload()) != type.item_bytes) return wrong("a numpy.dtype whose state has another size");
  return true;
}

// An item that is itself an array: (type, shape).
bool PickleMachine::judge_part(ArrayType& type, Value part) {
  const auto base = tuple_item(part, 0), shape = tuple_item(part, 1);
  if (!base || !base->is(Kind::array_type) || !shape) return wrong("a sub-array of numpy.dtype that can't be followed");
  const ArrayType& inner = array_types_[static_cast<std::size_t>(base->payload())];
  type.has_objects = type.has_objects || inner.has_objects;
  std::uint64_t bytes = inner.item_bytes;
  for (std::size_t i = 0; i < (shape->is(Kind::tuple) ? Tuples::size(*shape) : 1); ++i) {
    const auto size = shape->is(Kind::tuple) ? tuple_item(*shape, i) : shape;
    if (!size || !size->is(Kind::integer) || size->payload() < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size->payload()), &bytes)) return wrong("a sub-array of numpy.dtype that can't be followed");
  }
  return bytes <= type.item_bytes || wrong("a sub-array of a numpy.dtype that reaches beyond its array's items");
}

bool PickleMachine::judge_fields(ArrayType& type, Value fields) {
  if (!fields.is(Kind::dict) || filled_.node != fields.payload()) return wrong("the fields of a numpy.dtype can't be followed");
  for (std::size_t i = 0; i + 1 < filled_.items.size(); i += 2) {
    const auto kind = tuple_item(filled_.items[i + 1], 0), offset = tuple_item(filled_.items[i + 1], 1);
    if (!kind || !kind->is(Kind::array_type) || !offset || !offset->is(Kind::integer) || offset->payload() < 0) return wrong("the fields of a numpy.dtype can't be followed");
    const ArrayType& field = array_types_[static_cast<std::size_t>(kind->payload())];
    type.has_objects = type.has_objects || field.has_objects;
    if (static_cast<std::uint64_t>(offset->payload()) + field.item_bytes > type.item_bytes) return wrong("a field of a numpy.dtype that reaches beyond its array's items");
  }
  nodes_[static_cast<std::size_t>(fields.payload())].is_fields = true;
  return true;
}

// joblib reads an array's bytes, or the pickle of its objects, straight from the file once the wrapper has its state.
bool PickleMachine::walk_array() {
  Value type, shape(Kind::unknown), alignment;
  for (std::size_t i = 0; i + 1 < filled_.items.size(); i += 2) {
    const auto key = text_at(filled_.items[i]);
    if (!key) return wrong("the description of an array has a name that can't be read");
    if (key == "dtype") type = filled_.items[i + 1];
    if (key == "shape") shape = filled_.items[i + 1];
    if (key == "numpy_array_alignment_bytes") alignment = filled_.items[i + 1];
  }
  if (error_) return false;
  if (!type.is(Kind::array_type) || !array_types_[static_cast<std::size_t>(type.payload())].is_known) return wrong("the type of an array can't be followed");
  if (reader_.offset() < frame_end_) return wrong("an array's bytes within a frame");
  const ArrayType array = array_types_[static_cast<std::size_t>(type.payload())];
  if (array.has_objects) {
    if (depth_ >= kPicklesDepthMax) return wrong("pickles are nested too deep");
    auto inner = PickleMachine(reader_.object(), reader_.offset(), reader_.offset() + reader_.left(), options_, depth_ + 1).run();
    if (!inner) {
      error_ = inner.error();
      return false;
    }
    end_.calls += inner->calls;
    if (!inner->stopped) {
      broken_ = true;
      return false;
    }
    return reader_.skip(inner->end - reader_.offset());
  }
  if (!alignment.is(Kind::plain)) {
    const auto* padding = reader_.peek(1);
    if (padding == nullptr || !reader_.skip(1u + *padding)) return wrong("the padding before an array's bytes is cut off");
  }
  return skip_array(array, shape);
}

bool PickleMachine::skip_array(const ArrayType& type, Value shape) {
  if (!shape.is(Kind::tuple)) return wrong("the shape of an array can't be followed");
  std::uint64_t bytes = type.item_bytes;
  for (std::size_t i = 0; i < Tuples::size(shape); ++i) {
    const auto size = tuple_item(shape, i);
    if (!size || !size->is(Kind::integer) || size->payload() < 0) return wrong("the shape of an array can't be followed");
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size->payload()), &bytes)) return wrong("an array that is larger than any memory");
  }
  return reader_.skip(bytes) || wrong(fmt::format("an array of {} bytes where {} are left", bytes, reader_.left()));
}

}  // namespace redoubt::model_scan
