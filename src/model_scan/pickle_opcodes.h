// SPDX-License-Identifier: Apache-2.0
//
// The opcodes of Python's pickle, protocols 0 to 5 (pickletools.py): what follows each in the stream and what it does.
#pragma once

#include <array>
#include <cstdint>

namespace redoubt::model_scan {

// So many bytes, lines, or a length and that many bytes.
enum class Argument : std::uint8_t { none, byte1, byte2, byte4, byte8, number_line, float_line, quoted_line, any_line, names, length1, length4, length8 };

enum class Effect : std::uint8_t {
  invalid, proto, frame, push_plain, push_integer, push_text, push_bytes, push_list, push_dict, push_set, push_tuple, mark, stop, pop, pop_mark, duplicate,
  memo_put, memo_get, memoize, append, appends, set_item, set_items, add_items, make_list, make_dict, make_tuple, tuple1, tuple2, tuple3, make_frozenset,
  global, stack_global, extension, call, new_object, new_object_keywords, call_mark, call_names, build, persistent_line, persistent, out_of_band, read_only,
};

struct Opcode {
  const char* name = "";
  Argument argument = Argument::none;
  Effect effect = Effect::invalid;
};

constexpr std::array<Opcode, 256> make_opcodes() {
  using A = Argument;
  using E = Effect;
  std::array<Opcode, 256> o{};
  o['I'] = {"INT", A::number_line, E::push_integer}, o['L'] = {"LONG", A::number_line, E::push_integer}, o['F'] = {"FLOAT", A::float_line, E::push_plain};
  o['S'] = {"STRING", A::quoted_line, E::push_text}, o['V'] = {"UNICODE", A::any_line, E::push_text}, o['J'] = {"BININT", A::byte4, E::push_integer};
  o['K'] = {"BININT1", A::byte1, E::push_integer}, o['M'] = {"BININT2", A::byte2, E::push_integer}, o['G'] = {"BINFLOAT", A::byte8, E::push_plain};
  o['N'] = {"NONE", A::none, E::push_plain}, o['T'] = {"BINSTRING", A::length4, E::push_text}, o['U'] = {"SHORT_BINSTRING", A::length1, E::push_text};
  o['X'] = {"BINUNICODE", A::length4, E::push_text}, o['B'] = {"BINBYTES", A::length4, E::push_bytes}, o['C'] = {"SHORT_BINBYTES", A::length1, E::push_bytes};
  o['}'] = {"EMPTY_DICT", A::none, E::push_dict}, o[']'] = {"EMPTY_LIST", A::none, E::push_list}, o[')'] = {"EMPTY_TUPLE", A::none, E::push_tuple};
  o[0x88] = {"NEWTRUE", A::none, E::push_plain}, o[0x89] = {"NEWFALSE", A::none, E::push_plain}, o[0x8a] = {"LONG1", A::length1, E::push_integer};
  o[0x8b] = {"LONG4", A::length4, E::push_plain}, o[0x8c] = {"SHORT_BINUNICODE", A::length1, E::push_text}, o[0x8d] = {"BINUNICODE8", A::length8, E::push_text};
  o[0x8e] = {"BINBYTES8", A::length8, E::push_bytes}, o[0x8f] = {"EMPTY_SET", A::none, E::push_set}, o[0x96] = {"BYTEARRAY8", A::length8, E::push_bytes};
  o['('] = {"MARK", A::none, E::mark}, o['.'] = {"STOP", A::none, E::stop}, o['0'] = {"POP", A::none, E::pop}, o['1'] = {"POP_MARK", A::none, E::pop_mark};
  o['2'] = {"DUP", A::none, E::duplicate}, o['a'] = {"APPEND", A::none, E::append}, o['e'] = {"APPENDS", A::none, E::appends};
  o['s'] = {"SETITEM", A::none, E::set_item}, o['u'] = {"SETITEMS", A::none, E::set_items}, o[0x90] = {"ADDITEMS", A::none, E::add_items};
  o['d'] = {"DICT", A::none, E::make_dict}, o['l'] = {"LIST", A::none, E::make_list}, o['t'] = {"TUPLE", A::none, E::make_tuple};
  o[0x85] = {"TUPLE1", A::none, E::tuple1}, o[0x86] = {"TUPLE2", A::none, E::tuple2}, o[0x87] = {"TUPLE3", A::none, E::tuple3};
  o[0x91] = {"FROZENSET", A::none, E::make_frozenset};
  o['p'] = {"PUT", A::number_line, E::memo_put}, o['q'] = {"BINPUT", A::byte1, E::memo_put}, o['r'] = {"LONG_BINPUT", A::byte4, E::memo_put};
  o['g'] = {"GET", A::number_line, E::memo_get}, o['h'] = {"BINGET", A::byte1, E::memo_get}, o['j'] = {"LONG_BINGET", A::byte4, E::memo_get};
  o[0x94] = {"MEMOIZE", A::none, E::memoize};
  o['c'] = {"GLOBAL", A::names, E::global}, o[0x93] = {"STACK_GLOBAL", A::none, E::stack_global}, o['i'] = {"INST", A::names, E::call_names};
  o[0x82] = {"EXT1", A::byte1, E::extension}, o[0x83] = {"EXT2", A::byte2, E::extension}, o[0x84] = {"EXT4", A::byte4, E::extension};
  o['R'] = {"REDUCE", A::none, E::call}, o[0x81] = {"NEWOBJ", A::none, E::new_object}, o[0x92] = {"NEWOBJ_EX", A::none, E::new_object_keywords};
  o['o'] = {"OBJ", A::none, E::call_mark}, o['b'] = {"BUILD", A::none, E::build};
  o['P'] = {"PERSID", A::any_line, E::persistent_line}, o['Q'] = {"BINPERSID", A::none, E::persistent};
  o[0x97] = {"NEXT_BUFFER", A::none, E::out_of_band}, o[0x98] = {"READONLY_BUFFER", A::none, E::read_only};
  o[0x80] = {"PROTO", A::byte1, E::proto}, o[0x95] = {"FRAME", A::byte8, E::frame};
  return o;
}
inline constexpr std::array<Opcode, 256> kOpcodes = make_opcodes();

}  // namespace redoubt::model_scan
