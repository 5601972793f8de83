// SPDX-License-Identifier: Apache-2.0
//
// The names that a pickle may ask for. The list decides: what is not on it, letter for letter, is unsafe, and so is every way around
// it, such as "a.b" for an attribute of an attribute. A name is on it when it may be called with any arguments, built with any state and stored
// anywhere without doing more than holding data, or when this scan follows what is done with it (`Role`).
#pragma once

#include <cstdint>

#include <string>
#include <string_view>
#include <vector>

namespace redoubt::model_scan {

enum class Role : std::uint8_t {
  unsafe,
  data,           // a class or function that makes an object out of its arguments and nothing else
  storage,        // torch.FloatStorage...: the kind of a tensor's bytes; `element_bytes` says how many each number has
  // What these do depends on the arguments, which are followed; most may stand only where they are called.
  text_encode,    // _codecs.encode: with "latin1" alone, which is how protocol 2 writes bytes
  array_type,     // numpy.dtype: what it says of objects must be true, or numbers are taken for addresses
  array_class,    // numpy.ndarray and its like: named beside a call, never called, since a buffer could be taken for objects
  range,          // range: of small whole numbers, since a list of it is as long
  buffer,         // bytes, bytearray: called with a number they make so much room
  typed_tensor,   // torch._tensor._rebuild_from_type_v2: calls its first argument, which must be torch's
  nested_torch,   // torch.storage._load_from_bytes: a file of torch.save in a string of bytes
  array_wrapper,  // joblib's NumpyArrayWrapper: the array's bytes follow in the stream
};

struct Known {
  Role role = Role::unsafe;
  std::uint32_t element_bytes = 0;
};
Known look_up(std::string_view module, std::string_view name);

// Whether a module is known for running programs or code, or for opening files or connections; for the wording and severity alone.
bool is_dangerous_module(std::string_view module);

struct ModuleNames {
  const char* module;
  const char* names;  // with one space between
};
// What estimators of scikit-learn write, with what they hold of SciPy and NumPy.
const std::vector<ModuleNames>& estimator_globals();

}  // namespace redoubt::model_scan
