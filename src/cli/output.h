// SPDX-License-Identifier: Apache-2.0
//
// How the command line speaks: results on stdout, all else on stderr, one JSON document with --json, exit codes from one table.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace redoubt::cli {

// 0 done, 1 failed, 2 usage or configuration, 3 refused by a gate, 4 tampered, 5 not permitted, 6 waiting, 7 undecided.
int exit_code_of(ErrorCode code);

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};
// Columns as wide as their widest cell, in characters; two spaces between.
std::string render(const Table& table);

// Makes sure that there are standard streams: the first file opened without one would get what is written there.
void hold_standard_streams();
// What was said to standard output is there: unavailable where a disk was full or nothing stands there. Whoever reads a pipe and goes has
// what he wanted.
Status finish_output();

class Output {
 public:
  explicit Output(bool json) : json_(json) {}
  bool json() const { return json_; }
  // The result: `value` with --json, else `text` (a newline is added where it is missing).
  void result(const Json& value, const std::string& text) const;
  // What others read byte for byte, as text and a newline; only a terminal is spared its control characters.
  void value(const std::string& text) const;
  // A line for the person, on stderr.
  void say(const std::string& line) const;
  // The failure in the form that was asked for; answers its exit code.
  int error(const Error& error) const;

 private:
  bool json_;
};

}  // namespace redoubt::cli
