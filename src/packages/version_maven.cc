// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "packages/version_order.h"
#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

using detail::compare_digits, detail::is_digit, detail::sign, detail::without_zeros;

constexpr std::size_t kMavenTextMax = 512;  // each '-' nests a list

struct Item {
  enum Kind { number, word, list } kind = list;
  std::string text = {};
  std::vector<Item> items = {};
};

// The qualifiers that have a place of their own; all others come after them, in alphabetical order.
std::string rank(const std::string& word) {
  static constexpr std::string_view kKnown[] = {"alpha", "beta", "milestone", "rc", "snapshot", "", "sp"};
  for (std::size_t i = 0; i < std::size(kKnown); ++i) {
    if (word == kKnown[i]) return std::to_string(i);
  }
  return "7-" + word;
}
const std::string kRelease = "5";

std::string qualifier(std::string word, bool before_digit) {
  if (before_digit && word == "a") return "alpha";
  if (before_digit && word == "b") return "beta";
  if (before_digit && word == "m") return "milestone";
  if (word == "ga" || word == "final" || word == "release") return "";
  return word == "cr" ? "rc" : word;
}

Item item_of(bool is_number, std::string text, bool before_digit) {
  if (is_number) return {Item::number, std::move(text), {}};
  return {Item::word, qualifier(std::move(text), before_digit), {}};
}

bool is_null(const Item& item) {
  if (item.kind == Item::number) return without_zeros(item.text).empty();
  return item.kind == Item::word ? rank(item.text) == kRelease : item.items.empty();
}

// What counts nothing at the end of a list, or before a list at its end, is left out.
void normalize(Item& list) {
  for (std::size_t i = list.items.size(); i-- > 0;) {
    if (is_null(list.items[i])) {
      list.items.erase(list.items.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (list.items[i].kind != Item::list) {
      break;
    }
  }
}

class Parser {
 public:
  Item parse(std::string_view text) {
    for (const char c : text) text_.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    open();
    for (at_ = 0; at_ < text_.size(); ++at_) step(text_[at_]);
    if (start_ < text_.size()) {
      open_for_word();
      lists_.back().items.push_back(item_of(in_number_, text_.substr(start_), false));
    }
    // Each list is the last of the one around it.
    while (lists_.size() > 1) {
      Item last = std::move(lists_.back());
      lists_.pop_back();
      normalize(last);
      lists_.back().items.push_back(std::move(last));
    }
    normalize(lists_.back());
    return std::move(lists_.back());
  }

 private:
  void open() { lists_.push_back({}); }
  // ".X" is "-X" for a word before a number or at the end.
  void open_for_word() {
    if (!in_number_ && !lists_.back().items.empty()) open();
  }
  void add(bool before_digit) {
    lists_.back().items.push_back(at_ == start_ ? Item{Item::number, "0", {}} : item_of(in_number_, text_.substr(start_, at_ - start_), before_digit));
    start_ = at_;
  }
  void step(char c) {
    if (c == '.' || c == '-') {
      add(false);
      start_ = at_ + 1;
      if (c == '-') open();
      return;
    }
    if (is_digit(c) != in_number_ && at_ > start_) {
      open_for_word();
      add(is_digit(c));
      open();
    }
    in_number_ = is_digit(c);
  }

  std::string text_;
  std::size_t at_ = 0, start_ = 0;
  bool in_number_ = false;
  std::vector<Item> lists_;
};

int compare_items(const Item* a, const Item* b);

int compare_with_nothing(const Item& item) {
  if (item.kind == Item::number) return is_null(item) ? 0 : 1;
  if (item.kind == Item::word) return sign(rank(item.text).compare(kRelease));
  for (const auto& each : item.items) {
    if (const int order = compare_with_nothing(each); order != 0) return order;
  }
  return 0;
}

int compare_item_lists(const Item& a, const Item& b) {
  for (std::size_t i = 0; i < std::max(a.items.size(), b.items.size()); ++i) {
    const int order = compare_items(i < a.items.size() ? &a.items[i] : nullptr, i < b.items.size() ? &b.items[i] : nullptr);
    if (order != 0) return order;
  }
  return 0;
}

int compare_items(const Item* a, const Item* b) {
  if (a == nullptr || b == nullptr) return a != nullptr ? compare_with_nothing(*a) : b != nullptr ? -compare_with_nothing(*b) : 0;
  if (a->kind == b->kind) {
    if (a->kind == Item::number) return compare_digits(a->text, b->text);
    return a->kind == Item::word ? sign(rank(a->text).compare(rank(b->text))) : compare_item_lists(*a, *b);
  }
  // A number is newer than a list, a list newer than a word.
  const auto place = [](Item::Kind kind) { return kind == Item::number ? 2 : kind == Item::list ? 1 : 0; };
  return place(a->kind) < place(b->kind) ? -1 : 1;
}

}  // namespace

int compare_maven_versions(std::string_view a, std::string_view b) {
  if (a.size() > kMavenTextMax || b.size() > kMavenTextMax) return a.size() > kMavenTextMax && b.size() > kMavenTextMax ? sign(a.compare(b)) : a.size() > kMavenTextMax ? -1 : 1;
  const Item left = Parser().parse(a), right = Parser().parse(b);
  return compare_item_lists(left, right);
}

}  // namespace redoubt::packages
