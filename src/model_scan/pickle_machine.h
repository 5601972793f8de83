// SPDX-License-Identifier: Apache-2.0
//
// The machine behind walk_pickle: its stack, memo and names, and what each opcode does to them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "model_scan/byte_reader.h"
#include "model_scan/pickle_opcodes.h"
#include "model_scan/pickle_values.h"
#include "model_scan/pickle_walk.h"
#include "model_scan/safe_globals.h"

namespace redoubt::model_scan {

class PickleMachine {
 public:
  PickleMachine(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, const PickleOptions& options, int depth = 0)
      : options_(options), reader_(object, begin, end), begin_(begin), depth_(depth), tuples_(end - begin) {}

  Result<PickleEnd> run();

 private:
  struct Global {
    std::string module, name;
    Known known;
  };
  // The contents of the dict that was filled last, while they are whole and few.
  struct Filled {
    std::int64_t node = -1;
    std::vector<Value> items;  // key, value, key, value...
  };

  bool step();
  bool apply(Effect effect);
  bool apply_name(Effect effect);
  bool read_argument(Argument argument);
  bool read_counted(std::size_t length_bytes);
  bool read_line(Argument argument);

  // The stack. Each answers false after telling what is wrong.
  bool push(Value value);
  bool need(std::size_t count);
  std::optional<std::size_t> mark_index();
  void drop_to(std::size_t size) { stack_.resize(size); }
  bool push_text();
  bool look_for_pickle();
  bool push_integer();
  bool push_node(Kind kind);
  bool make_tuple(std::size_t count);
  bool make_container(Kind kind);
  bool append(std::size_t first, std::size_t container, bool is_dict);
  bool set_items(std::size_t first);
  void note_items(Value dict, std::size_t first, bool was_empty);
  bool pop_one();
  bool memo_index();
  bool memo_put(std::uint64_t index);
  bool memo_get(std::uint64_t index);
  bool proto();
  bool frame();
  bool stop();
  bool persistent();

  // Names and calls.
  bool push_global(std::string module, std::string name);
  bool stack_global();
  bool call(Value callee, Value arguments);
  bool call_global(const Global& callee, std::int64_t id, Value arguments);
  bool call_marked(bool is_named);
  bool new_object(std::size_t count);
  bool build();
  bool build_state(Value object, Value state);
  bool check_text_encode(Value arguments);
  bool check_buffer(Value arguments);
  bool check_range(Value arguments);
  bool check_typed_tensor(Value arguments);
  bool make_array_type(Value arguments);
  bool load_nested(Value arguments);
  bool build_array_type(std::int64_t id, Value state);
  bool judge_part(ArrayType& type, Value part);
  bool judge_fields(ArrayType& type, Value fields);
  bool walk_array();
  bool skip_array(const ArrayType& type, Value shape);
  // What may be called only, stored: in a list, a state, as an argument.
  bool check_stored(Value value);
  bool check_stored_from(std::size_t first);

  Weight weight_of(Value value) const;
  bool check_weight(Weight weight);
  std::optional<std::string> text_at(Value value);
  std::optional<Value> tuple_item(Value tuple, std::size_t index) const { return tuple.is(Kind::tuple) ? tuples_.item(tuple, index) : std::nullopt; }

  // Tells of a problem; the walk goes on. `wrong` ends it.
  void tell(std::string rule, std::string severity, std::string detail);
  bool wrong(std::string detail);

  const PickleOptions& options_;
  ByteReader reader_;
  std::uint64_t begin_, opcode_at_ = 0, frame_end_ = 0, memo_count_ = 0;
  int depth_;
  unsigned char code_ = 0;
  std::uint64_t number_ = 0;       // an argument of fixed size, or the length of a counted one
  std::string_view line_;          // an argument that is a line; valid until the next read
  std::string module_, name_;      // of GLOBAL and INST
  std::vector<Value> stack_, memo_;
  std::vector<Node> nodes_;
  Tuples tuples_;
  Filled filled_;
  std::vector<Global> globals_;
  std::unordered_map<std::string, std::int64_t> global_ids_;
  std::vector<ArrayType> array_types_;
  std::unordered_map<std::int64_t, std::string> name_texts_;  // texts that were names before, by where they stand
  std::optional<Error> error_;
  std::size_t told_ = 0;
  bool broken_ = false;
  PickleEnd end_;
};

}  // namespace redoubt::model_scan
