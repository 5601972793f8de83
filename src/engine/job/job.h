// SPDX-License-Identifier: Apache-2.0
//
// The job contract of the engine, which is SageMaker's container contract: hyperparameters and channels come in below
// ROOT/input, results leave below ROOT/model, ROOT/output and ROOT/checkpoints, progress is JSON lines on stdout.
#pragma once

#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::job {

// Where a job's files are. Nothing is written outside `root`.
struct Paths {
  std::filesystem::path root;

  std::filesystem::path hyperparameters() const { return root / "input/config/hyperparameters.json"; }
  std::filesystem::path channel(std::string_view name) const { return root / "input/data" / name; }
  std::filesystem::path model() const { return root / "model"; }
  std::filesystem::path output_data() const { return root / "output/data"; }
  std::filesystem::path failure() const { return root / "output/failure"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  bool has_channel(std::string_view name) const { return std::filesystem::exists(channel(name)); }
};

// Whether a value may be a string that holds it ("16", "true"), as SageMaker sends hyperparameters.
enum class Strings { may_hold_values, are_strings };

// The job's hyperparameters. A value that cannot be read as its type, or that lies outside its bounds, is invalid_argument
// naming the key.
class Hyperparameters {
 public:
  // A missing file is an empty set: every reader has a default.
  static Result<Hyperparameters> read(const std::filesystem::path& file);
  static Result<Hyperparameters> from_json(Json values, std::string where, Strings strings = Strings::may_hold_values);

  // Takes a value over; an error about it names `where`.
  void set(const std::string& key, std::string value, std::string where);
  // Given, and not null.
  bool has(const char* key) const { return find(key) != nullptr; }
  Result<std::int64_t> integer(const char* key, std::int64_t fallback, std::int64_t least, std::int64_t most) const;
  Result<double> number(const char* key, double fallback, double least, double most) const;
  Result<bool> boolean(const char* key, bool fallback) const;
  Result<std::string> text(const char* key, std::string fallback) const;
  // One of `allowed`; the error lists them.
  Result<std::string> choice(const char* key, std::string fallback, const std::vector<std::string>& allowed) const;
  // Any JSON value; a string that parses as a JSON array or object is taken as that.
  Result<std::optional<Json>> value(const char* key) const;
  // Every key must be one of `known`, so that a misspelt one is refused instead of ignored. Keys that start with
  // "sagemaker_" or "redoubt_" belong to the platform.
  Status expect_only(const std::vector<std::string>& known) const;

 private:
  Hyperparameters(Json values, std::string where, Strings strings) : values_(std::move(values)), where_(std::move(where)), strings_(strings) {}
  const Json* find(const char* key) const;
  bool holds_value(const Json& found) const { return found.is_string() && strings_ == Strings::may_hold_values; }
  std::string place(const char* key) const;
  Json values_;
  std::string where_;
  Strings strings_;
  std::map<std::string, std::string> places_ = {};  // of values that stand elsewhere
};

// JSON lines, flushed one by one; each has the member "event". Not for several threads at once.
class EventWriter {
 public:
  explicit EventWriter(std::FILE* out = stdout) : out_(out) {}
  // Writes {"event": name, ...members}. A reader that went away (EPIPE) is not the job's failure.
  void write(std::string_view name, Json members);

 private:
  std::FILE* out_;
};

// Writes the failure's text to ROOT/output/failure, as SageMaker reads it.
Status write_failure(const Paths& paths, const Error& error);

}  // namespace redoubt::engine::job
