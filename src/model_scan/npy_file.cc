// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npy: a magic, a header in the form of a Python literal, then the numbers; or, of objects, a pickle.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "model_scan/pickle_walk.h"
#include "model_scan/byte_reader.h"
#include "model_scan/scan.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kHeaderBytesMax = 1 << 20;
constexpr int kStructuresDepthMax = 32;

// A Python literal of texts, numbers, booleans, tuples, lists and dicts; anything else is not read.
class Literal {
 public:
  explicit Literal(std::string_view text) : text_(text) {}

  // {'descr': ..., 'fortran_order': True, 'shape': (2, 3), }: false for anything else.
  bool run() {
    if (!take('{')) return false;
    while (!take('}')) {
      const auto key = text();
      if (!key || !take(':')) return false;
      bool is_known = false;
      if (*key == "descr") is_known = descr();
      if (*key == "fortran_order") is_known = word("True") || word("False");
      if (*key == "shape") is_known = shape();
      if (!is_known) return false;
      if (!take(',') && peek() != '}') return false;
    }
    skip_space();
    return at_ == text_.size() && has_descr_ && has_shape_;
  }
  bool has_objects() const { return has_objects_; }
  // Of all numbers; nothing where the items are structures.
  std::optional<std::uint64_t> bytes() const { return bytes_; }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) { return peek() == c && (++at_, true); }
  bool word(std::string_view word) {
    skip_space();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::optional<std::string_view> text() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    const auto end = text_.find(quote, at_ + 1);
    if (end == text_.npos) return std::nullopt;
    const auto found = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return found.find('\\') == found.npos ? std::optional(found) : std::nullopt;
  }
  std::optional<std::uint64_t> number() {
    skip_space();
    std::uint64_t value = 0;
    const auto [rest, problem] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (problem != std::errc()) return std::nullopt;
    at_ = static_cast<std::size_t>(rest - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;
    return value;
  }

  // As numpy.dtype writes itself: "<f8", "|b1", "<M8[ns]", "|O". It reads far more, such as "i4, O", and what is not understood may hide objects.
  bool note_type(std::string_view type) {
    if (!type.empty() && std::string_view("<>|=").find(type[0]) != std::string_view::npos) type.remove_prefix(1);
    if (type == "O" || type == "O4" || type == "O8") return has_objects_ = true;
    if (type == "?") type = "b1";
    if (type.size() < 2 || std::string_view("biufcSUVMm").find(type[0]) == std::string_view::npos) return false;
    const auto unit = type[0] == 'M' || type[0] == 'm' ? std::min(type.find('['), type.size()) : type.size();
    if (unit < type.size() && (!type.ends_with(']') || !std::all_of(type.begin() + static_cast<std::ptrdiff_t>(unit) + 1, type.end() - 1, [](unsigned char c) { return std::isalnum(c); }))) return false;
    std::uint64_t size = 0;
    const auto [rest, problem] = std::from_chars(type.data() + 1, type.data() + unit, size);
    if (problem != std::errc() || rest != type.data() + unit || size >= (1u << 30)) return false;
    item_bytes_ = type[0] == 'U' ? size * 4 : size;
    return true;
  }

  bool descr() {
    has_descr_ = true;
    if (peek() != '[') {
      const auto type = text();
      return type && note_type(*type);
    }
    if (!fields(0)) return false;
    item_bytes_ = std::nullopt;
    return true;
  }

  // A structure: [(name, type), (name, type, shape)...], where a name may be (title, name) and a type a structure.
  bool fields(int depth) {
    if (depth > kStructuresDepthMax || !take('[')) return false;
    while (!take(']')) {
      if (!take('(') || !field_name() || !take(',')) return false;
      const auto type = peek() == '[' ? std::nullopt : text();
      if (type ? !note_type(*type) : !fields(depth + 1)) return false;
      if (take(',') && peek() != ')' && !(peek() == '(' ? shape_of(nullptr) : number().has_value())) return false;
      take(',');
      if (!take(')')) return false;
      if (!take(',') && peek() != ']') return false;
    }
    return true;
  }

  bool field_name() {
    if (!take('(')) return text().has_value();
    return text() && take(',') && text() && take(')');
  }

  bool shape() {
    has_shape_ = true;
    std::uint64_t count = 1;
    if (!shape_of(&count)) return false;
    bytes_ = count;
    return true;
  }

  // (2, 3): how many items that are, where it is asked for.
  bool shape_of(std::uint64_t* count) {
    if (!take('(')) return false;
    while (!take(')')) {
      const auto size = number();
      if (!size || (count != nullptr && __builtin_mul_overflow(*count, *size, count))) return false;
      if (!take(',') && peek() != ')') return false;
    }
    return true;
  }

 public:
  void finish() {
    std::uint64_t bytes = 0;
    if (!item_bytes_ || !bytes_ || __builtin_mul_overflow(*bytes_, *item_bytes_, &bytes)) {
      bytes_ = std::nullopt;
    } else {
      bytes_ = bytes;
    }
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  bool has_descr_ = false, has_shape_ = false, has_objects_ = false;
  std::optional<std::uint64_t> item_bytes_, bytes_;
};

}  // namespace

Status Scan::look_at_array(const RandomAccess& object, const Place& place) {
  const auto refuse = [&](const char* detail, std::uint64_t offset) {
    add(place, "pickle", "array/malformed", "high", detail, offset);
    return Status{};
  };
  ByteReader reader(object);
  const auto* start = reader.peek(12);
  if (reader.error()) return fail(*reader.error());
  if (start == nullptr || start[6] < 1 || start[6] > 3) return refuse("an .npy file of a version that is not known", 0);
  const std::size_t begin = start[6] == 1 ? 10 : 12;
  const std::uint64_t length = start[6] == 1 ? start[8] | start[9] << 8 : start[8] | start[9] << 8 | start[10] << 16 | static_cast<std::uint64_t>(start[11]) << 24;
  if (length > kHeaderBytesMax || begin + length > object.size()) return refuse("the header of an .npy file is longer than the file", 0);
  Bytes header(static_cast<std::size_t>(length));
  TRY(object.read_at(begin, header));
  Literal literal(text_of(header));
  if (!literal.run()) return refuse("the header of an .npy file is not the plain description that NumPy writes", begin);
  literal.finish();
  const std::uint64_t data = begin + length;
  if (!literal.has_objects()) {
    if (literal.bytes() && *literal.bytes() != object.size() - data) return refuse("an .npy file whose numbers are not as many as its header says", data);
    return {};
  }
  const Part pickled(object, data, object.size() - data);
  return look_at_pickle(pickled, place.inside("objects.pkl"));
}

}  // namespace redoubt::model_scan
