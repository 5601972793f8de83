// SPDX-License-Identifier: Apache-2.0
//
// JSON written from front to back, without a value built first: for what is written for each request. Who names members in the order of
// their names gets dump_json's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redoubt {

class JsonWriter {
 public:
  // Appends to `out`, which outlives it.
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { begin('{'); }
  void end_object() { end('}'); }
  void begin_array() { begin('['); }
  void end_array() { end(']'); }
  // The next value's name, in an object. Printable ASCII without quotes and backslashes: names are ours.
  JsonWriter& member(std::string_view name);

  // A value: the whole, an element, or what `member` named. What is no UTF-8 in a text is written as U+FFFD.
  void text(std::string_view value);
  void text_or_null(std::string_view value) { value.empty() ? null() : text(value); }
  void integer(std::int64_t value);
  void number(double value);
  void boolean(bool value) { plain(value ? "true" : "false"); }
  void null() { plain("null"); }
  // A text that is JSON.
  void json(std::string_view value) { plain(value); }

 private:
  void divide() {
    if (follows_) out_ += ',';
    follows_ = true;
  }
  void begin(char bracket) {
    divide();
    out_ += bracket;
    follows_ = false;
  }
  void end(char bracket) {
    out_ += bracket;
    follows_ = true;
  }
  void plain(std::string_view value) {
    divide();
    out_ += value;
  }

  std::string& out_;
  bool follows_ = false;  // another value of the same object or array
};

}  // namespace redoubt
