// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <set>
#include <vector>

#include "base/json_reader.h"
#include "base/json_text.h"

namespace redoubt {
namespace {

// Builds the value from SAX events, so that depth and duplicate keys are refused while reading, not afterwards.
class BoundedBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit BoundedBuilder(std::size_t depth_max) : depth_max_(depth_max) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const auto [at, is_new] = stack_.back()->get_ref<Json::object_t&>().try_emplace(std::move(name));
    if (!is_new) return refuse(fmt::format("the key '{}' stands twice in one object", at->first));
    member_ = &at->second;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    return refuse(fmt::format("not valid JSON at byte {}", position));
  }

  Json take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }
  ErrorCode code() const { return code_; }

 private:
  Json* place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *member_ = std::move(value);
    return member_;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (stack_.size() >= depth_max_) {
      code_ = ErrorCode::limit_exceeded;
      return refuse(fmt::format("nested deeper than {} levels", depth_max_));
    }
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }
  bool refuse(std::string why) {
    problem_ = std::move(why);
    return false;
  }

  std::size_t depth_max_;
  Json root_;
  std::vector<Json*> stack_;
  Json* member_ = nullptr;  // of the object on top, whose value comes next
  std::string problem_;
  ErrorCode code_ = ErrorCode::invalid_argument;
};

template <class Is>
Result<const Json*> member(const Json& object, const char* key, std::string_view where, Is is, const char* type) {
  if (!object.is_object()) return fail(ErrorCode::invalid_argument, "not a JSON object", std::string(where));
  const auto found = object.find(key);
  if (found == object.end()) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is missing", key), std::string(where));
  if (!is(*found)) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not {}", key, type), std::string(where));
  return &*found;
}

// How many of the next eight bytes a string holds as they are; those from 0x80 are looked at together.
std::size_t plain_of_eight(const char* at) {
  constexpr std::uint64_t kOnes = ~std::uint64_t{0} / 255, kHigh = kOnes << 7;
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  const auto quote = word ^ kOnes * '"', backslash = word ^ kOnes * '\\';
  // The lowest bit is that of the first such byte, whatever is borrowed from those above.
  const auto special = (((word - kOnes * 0x20) & ~word) | ((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) | word) & kHigh;
  return static_cast<std::size_t>(std::countr_zero(special)) / 8;
}

constexpr std::size_t kEscapeMax = 6;

std::size_t write_escape(char* out, unsigned char c) {
  if (c == '"' || c == '\\') {
    out[0] = '\\';
    out[1] = static_cast<char>(c);
    return 2;
  }
  constexpr std::string_view kNamed = "\b\f\n\r\t", kNames = "bfnrt";
  if (const auto at = kNamed.find(static_cast<char>(c)); at != kNamed.npos) {
    out[0] = '\\';
    out[1] = kNames[at];
    return 2;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string_view("\\u00").copy(out, 4);
  out[4] = kHex[c >> 4];
  out[5] = kHex[c & 15];
  return kEscapeMax;
}

template <class Integer>
void append_integer(std::string& out, Integer value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// What the library's dump writes, several times as fast: most of a service's JSON is short strings and integers.
void append(std::string& out, const Json& value) {
  char separator = '{';
  switch (value.type()) {
    case Json::value_t::object:
      if (value.empty()) out += '{';
      for (const auto& [key, inner] : value.get_ref<const Json::object_t&>()) {
        out += std::exchange(separator, ',');
        append_json_string(out, key);
        out += ':';
        append(out, inner);
      }
      out += '}';
      return;
    case Json::value_t::array:
      separator = '[';
      if (value.empty()) out += '[';
      for (const auto& inner : value) {
        out += std::exchange(separator, ',');
        append(out, inner);
      }
      out += ']';
      return;
    case Json::value_t::string: return append_json_string(out, value.get_ref<const std::string&>());
    case Json::value_t::number_integer: return append_integer(out, value.get<std::int64_t>());
    case Json::value_t::number_unsigned: return append_integer(out, value.get<std::uint64_t>());
    case Json::value_t::boolean: out += value.get<bool>() ? "true" : "false"; return;
    default: out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view where, JsonLimits limits) {
  if (text.size() > limits.bytes_max) {
    return fail(ErrorCode::limit_exceeded, fmt::format("JSON text of more than {} bytes", limits.bytes_max), std::string(where));
  }
  // To the library it ends the text, and what stands behind it would never be looked at.
  if (text.find('\0') != text.npos) return fail(ErrorCode::invalid_argument, "a NUL byte in JSON text", std::string(where));
  if (auto plain = detail::read_plain_json(text, limits.depth_max)) return std::move(*plain);
  BoundedBuilder builder(limits.depth_max);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return fail(builder.code(), builder.problem(), std::string(where));
  }
  return builder.take();
}

void append_json_string(std::string& out, std::string_view text) {
  const auto begin = out.size();
  out += '"';
  // By way of a small buffer: JSON within JSON has an escape every few characters.
  constexpr std::size_t kStep = 8;
  char buffer[256], last[kStep] = {};
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (used + kStep + kEscapeMax > sizeof buffer) out.append(buffer, std::exchange(used, 0));
    const auto count = std::min(kStep, text.size() - at);
    const char* from = text.data() + at;
    if (count < kStep) from = static_cast<const char*>(std::memcpy(last, from, count));
    const auto plain = std::min(count, plain_of_eight(from));
    std::memcpy(buffer + used, from, kStep);
    used += plain;
    at += plain;
    if (plain == count) continue;
    const auto c = static_cast<unsigned char>(text[at++]);
    if (c < 0x80) {
      used += write_escape(buffer + used, c);
    } else {
      // The library knows what is UTF-8.
      out.resize(begin);
      out += Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
      return;
    }
  }
  out.append(buffer, used);
  out += '"';
}

std::string dump_json(const Json& value) {
  std::string out;
  append(out, value);
  return out;
}

Result<std::string> json_string(const Json& object, const char* key, std::string_view where) {
  return TRY(member(object, key, where, [](const Json& v) { return v.is_string(); }, "a string"))->get<std::string>();
}

Result<std::int64_t> json_integer(const Json& object, const char* key, std::string_view where) {
  const auto fits = [](const Json& v) {
    return v.is_number_integer() && !(v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX);
  };
  return TRY(member(object, key, where, fits, "an integer of 64 bits"))->get<std::int64_t>();
}

Result<double> json_number(const Json& object, const char* key, std::string_view where) {
  return TRY(member(object, key, where, [](const Json& v) { return v.is_number(); }, "a number"))->get<double>();
}

Result<bool> json_bool(const Json& object, const char* key, std::string_view where) {
  return TRY(member(object, key, where, [](const Json& v) { return v.is_boolean(); }, "true or false"))->get<bool>();
}

Result<Json> json_object(const Json& object, const char* key, std::string_view where) {
  return Json(*TRY(member(object, key, where, [](const Json& v) { return v.is_object(); }, "an object")));
}

Result<Json> json_array(const Json& object, const char* key, std::string_view where) {
  return Json(*TRY(member(object, key, where, [](const Json& v) { return v.is_array(); }, "an array")));
}

std::string json_or(const Json& object, const char* key, const char* fallback) { return json_string(object, key, {}).value_or(fallback); }
std::int64_t json_or(const Json& object, const char* key, std::int64_t fallback) { return json_integer(object, key, {}).value_or(fallback); }
double json_or(const Json& object, const char* key, double fallback) { return json_number(object, key, {}).value_or(fallback); }
bool json_or(const Json& object, const char* key, bool fallback) { return json_bool(object, key, {}).value_or(fallback); }

Json json_or(const Json& object, const char* key, const Json& fallback) {
  const auto found = member(object, key, {}, [&](const Json& v) { return fallback.is_null() || v.type() == fallback.type(); }, "as expected");
  return found ? **found : fallback;
}

}  // namespace redoubt
