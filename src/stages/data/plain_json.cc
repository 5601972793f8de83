// SPDX-License-Identifier: Apache-2.0
#include "stages/data/plain_json.h"

#include <charconv>

#include "base/utf8.h"
#include "detectors/byte_scan.h"

namespace redoubt::stages::data {
using namespace detectors;
namespace {

constexpr int kDepthMax = 32;

class PlainReader {
 public:
  explicit PlainReader(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  std::optional<Json> read() {
    Json value;
    if (!read_value(value, 0)) return std::nullopt;
    skip_space();
    if (at_ != end_) return std::nullopt;
    return value;
  }

 private:
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool read_value(Json& value, int depth) {
    skip_space();
    if (at_ == end_ || depth > kDepthMax) return false;
    switch (*at_) {
      case '{': return read_object(value, depth);
      case '[': return read_array(value, depth);
      case '"': {
        std::string text;
        if (!read_string(text)) return false;
        value = std::move(text);
        return true;
      }
      case 't': value = true; return take_word("true");
      case 'f': value = false; return take_word("false");
      case 'n': value = nullptr; return take_word("null");
      default: return read_integer(value);
    }
  }

  bool read_object(Json& value, int depth) {
    ++at_;
    value = Json::object();
    if (take('}')) return true;
    do {
      std::string key;
      skip_space();
      if (at_ == end_ || *at_ != '"' || !read_string(key) || !take(':')) return false;
      const auto [place, is_new] = value.get_ref<Json::object_t&>().try_emplace(std::move(key));
      if (!is_new || !read_value(place->second, depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  bool read_array(Json& value, int depth) {
    ++at_;
    value = Json::array();
    if (take(']')) return true;
    auto& list = value.get_ref<Json::array_t&>();
    do {
      if (!read_value(list.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  // As parse_json has them: a number without a sign is unsigned.
  bool read_integer(Json& value) {
    const char* begin = at_;
    const bool negative = *at_ == '-';
    if (negative) ++at_;
    const char* digits = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    const auto count = at_ - digits;
    const bool fraction = at_ != end_ && (*at_ == '.' || *at_ == 'e' || *at_ == 'E');
    if (count == 0 || count > 18 || fraction || (*digits == '0' && (count > 1 || negative))) return false;
    std::int64_t number = 0;
    std::from_chars(begin, at_, number);
    if (negative) value = number;
    else value = static_cast<std::uint64_t>(number);
    return true;
  }

  bool read_string(std::string& out) {
    ++at_;
    while (true) {
      const char* begin = at_;
      at_ += json_run_end(std::string_view(at_, static_cast<std::size_t>(end_ - at_)), 0);
      out.append(begin, at_);
      if (at_ == end_) return false;
      if (*at_ == '"') {
        ++at_;
        return true;
      }
      if (*at_ != '\\' || !read_escape(out)) return false;
    }
  }

  bool read_escape(std::string& out) {
    if (end_ - at_ < 2) return false;
    const char kind = at_[1];
    at_ += 2;
    if (kind == 'u') {
      std::uint32_t high = 0, low = 0;
      if (!read_hex(high) || (high >= 0xdc00 && high < 0xe000)) return false;
      if (high >= 0xd800 && high < 0xdc00) {
        if (!take_word("\\u") || !read_hex(low) || low < 0xdc00 || low >= 0xe000) return false;
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
      }
      append_utf8(out, high);
      return true;
    }
    constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    const auto found = kFrom.find(kind);
    if (found == kFrom.npos) return false;
    out.push_back(kTo[found]);
    return true;
  }

  bool read_hex(std::uint32_t& value) {
    if (end_ - at_ < 4) return false;
    const auto [stop, error] = std::from_chars(at_, at_ + 4, value, 16);
    if (error != std::errc() || stop != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  const char* at_;
  const char* const end_;
};

}  // namespace

std::optional<Json> parse_plain_json(std::string_view text) { return PlainReader(text).read(); }

}  // namespace redoubt::stages::data
