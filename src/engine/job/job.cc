// SPDX-License-Identifier: Apache-2.0
#include "engine/job/job.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"

namespace redoubt::engine::job {
namespace {

constexpr std::size_t kFailureBytesMax = 1024;  // SageMaker shows no more

// The number a string holds, all of it.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string join(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

}  // namespace

Result<Hyperparameters> Hyperparameters::read(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return Hyperparameters(Json::object(), file.string(), Strings::may_hold_values);
  auto text = TRY(read_text_file(file, 1 << 20));
  return from_json(TRY(parse_json(text, file.string())), file.string());
}

Result<Hyperparameters> Hyperparameters::from_json(Json values, std::string where, Strings strings) {
  if (!values.is_object()) return fail(ErrorCode::invalid_argument, "hyperparameters must be a JSON object", where);
  return Hyperparameters(std::move(values), std::move(where), strings);
}

const Json* Hyperparameters::find(const char* key) const {
  auto found = values_.find(key);
  return found == values_.end() || found->is_null() ? nullptr : &*found;
}

void Hyperparameters::set(const std::string& key, std::string value, std::string where) {
  values_[key] = std::move(value);
  places_[key] = std::move(where);
}

std::string Hyperparameters::place(const char* key) const {
  const auto elsewhere = places_.find(key);
  return elsewhere == places_.end() ? where_ + ": " + key : elsewhere->second;
}

Result<std::int64_t> Hyperparameters::integer(const char* key, std::int64_t fallback, std::int64_t least,
                                              std::int64_t most) const {
  const Json* found = find(key);
  if (!found) return fallback;
  std::optional<std::int64_t> value;
  if (found->is_number_unsigned() && found->get<std::uint64_t>() <= INT64_MAX) value = found->get<std::int64_t>();
  if (found->is_number_integer() && !found->is_number_unsigned()) value = found->get<std::int64_t>();
  if (holds_value(*found)) value = parse_number<std::int64_t>(found->get_ref<const std::string&>());
  if (!value || *value < least || *value > most)
    return fail(ErrorCode::invalid_argument,
                std::string(key) + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most),
                place(key));
  return *value;
}

Result<double> Hyperparameters::number(const char* key, double fallback, double least, double most) const {
  const Json* found = find(key);
  if (!found) return fallback;
  std::optional<double> value;
  if (found->is_number()) value = found->get<double>();
  if (holds_value(*found)) value = parse_number<double>(found->get_ref<const std::string&>());
  if (!value || !std::isfinite(*value) || *value < least || *value > most)
    return fail(ErrorCode::invalid_argument,
                std::string(key) + " must be a number from " + Json(least).dump() + " to " + Json(most).dump(),
                place(key));
  return *value;
}

Result<bool> Hyperparameters::boolean(const char* key, bool fallback) const {
  const Json* found = find(key);
  if (!found) return fallback;
  if (found->is_boolean()) return found->get<bool>();
  if (holds_value(*found)) {
    const auto& text = found->get_ref<const std::string&>();
    if (text == "true" || text == "True" || text == "1") return true;
    if (text == "false" || text == "False" || text == "0") return false;
  }
  return fail(ErrorCode::invalid_argument, std::string(key) + " must be true or false", place(key));
}

Result<std::string> Hyperparameters::text(const char* key, std::string fallback) const {
  const Json* found = find(key);
  if (!found) return fallback;
  if (!found->is_string())
    return fail(ErrorCode::invalid_argument, std::string(key) + " must be a string", place(key));
  return found->get<std::string>();
}

Result<std::string> Hyperparameters::choice(const char* key, std::string fallback,
                                            const std::vector<std::string>& allowed) const {
  auto value = TRY(text(key, std::move(fallback)));
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    return fail(ErrorCode::invalid_argument, std::string(key) + " is '" + value + "'", place(key),
                "use one of: " + join(allowed));
  return value;
}

Result<std::optional<Json>> Hyperparameters::value(const char* key) const {
  const Json* found = find(key);
  if (!found) return std::optional<Json>();
  if (holds_value(*found)) {
    const auto& text = found->get_ref<const std::string&>();
    if (!text.empty() && (text.front() == '[' || text.front() == '{')) return TRY(parse_json(text, place(key)));
  }
  return *found;
}

Status Hyperparameters::expect_only(const std::vector<std::string>& known) const {
  for (const auto& [key, value] : values_.items()) {
    if (key.starts_with("sagemaker_") || key.starts_with("redoubt_")) continue;
    if (std::find(known.begin(), known.end(), key) == known.end())
      return fail(ErrorCode::invalid_argument, "unknown hyperparameter '" + key + "'", where_, "known are: " + join(known));
  }
  return {};
}

void EventWriter::write(std::string_view name, Json members) {
  members["event"] = name;
  std::string line = dump_json(members) + "\n";
  std::fwrite(line.data(), 1, line.size(), out_);
  std::fflush(out_);
}

Status write_failure(const Paths& paths, const Error& error) {
  std::string text = error.message;
  if (!error.where.empty()) text += " (" + error.where + ")";
  if (!error.hint.empty()) text += "; " + error.hint;
  if (text.size() > kFailureBytesMax) text.resize(kFailureBytesMax);
  TRY(make_folder(paths.failure().parent_path()));
  return write_file(paths.failure(), text + "\n");
}

}  // namespace redoubt::engine::job
