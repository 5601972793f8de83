// SPDX-License-Identifier: Apache-2.0
//
// Examples by their number. They lie in memory, or in a file of the job's own folder that has no name and is gone with the
// process; of those memory holds 16 bytes each, however long they are.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/data/examples.h"

namespace redoubt::engine::data {

// What became of the rows of a file.
struct ExampleCounts {
  std::int64_t tokens = 0;
  std::int64_t truncated = 0;  // examples whose end was cut off
  std::int64_t dropped = 0;    // rows left out because they were too long
  std::int64_t windows = 0;    // examples that are a piece of a longer text
  std::int64_t longest = 0;    // tokens of the longest example
};

// A handle: copies share the examples. Safe to read from several threads.
class Examples {
 public:
  Examples();
  Examples(std::vector<Example> examples);  // NOLINT: a list is what it is made of

  std::size_t size() const;
  bool empty() const { return size() == 0; }
  // Tokens of one example, without reading it.
  std::int64_t tokens(std::size_t index) const;
  // unavailable when the file does not read.
  Result<Example> read(std::size_t index) const;
  const ExampleCounts& counts() const;
  // Hexadecimal SHA-256 over all tokens and which of them count.
  const std::string& digest() const;

  struct State;

 private:
  friend class ExampleWriter;
  explicit Examples(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

class ExampleWriter {
 public:
  // Makes the file in a folder that exists.
  static Result<ExampleWriter> create(const std::filesystem::path& folder);
  ExampleWriter(ExampleWriter&&) noexcept;
  ~ExampleWriter();

  // limit_exceeded when the folder has no room.
  Status add(const Example& example);
  void count_dropped();
  void count_window();
  std::size_t size() const;
  Result<Examples> finish();

 private:
  struct Open;
  explicit ExampleWriter(std::unique_ptr<Open> open);
  std::unique_ptr<Open> open_;
};

}  // namespace redoubt::engine::data
