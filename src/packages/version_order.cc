// SPDX-License-Identifier: Apache-2.0
#include "packages/version_order.h"

#include <algorithm>
#include <cctype>
#include <compare>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

bool digit(char c) { return detail::is_digit(c); }
using detail::sign;

// Policy's order of one character: '~' before the end, the end before letters, letters before all else.
int weight(std::string_view text, std::size_t at) {
  if (at >= text.size() || digit(text[at])) return 0;
  const char c = text[at];
  if (c == '~') return -1;
  return std::isalpha(static_cast<unsigned char>(c)) ? c : c + 256;
}

std::string_view number_at(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t from = at;
  while (at < text.size() && digit(text[at])) ++at;
  return text.substr(from, at - from);
}

int compare_numbers(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

int compare_debian_part(std::string_view a, std::string_view b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    while ((i < a.size() && !digit(a[i])) || (j < b.size() && !digit(b[j]))) {
      const int left = weight(a, i), right = weight(b, j);
      if (left != right) return left - right;
      ++i;
      ++j;
    }
    if (const int order = compare_numbers(number_at(a, i), number_at(b, j)); order != 0) return order;
  }
  return 0;
}

struct DebianVersion {
  std::string_view epoch, upstream, revision;
};

DebianVersion split_debian(std::string_view text) {
  DebianVersion version{"0", text, ""};
  if (const auto colon = text.find(':'); colon != text.npos) {
    version.epoch = text.substr(0, colon);
    version.upstream = text.substr(colon + 1);
  }
  if (const auto dash = version.upstream.rfind('-'); dash != version.upstream.npos) {
    version.revision = version.upstream.substr(dash + 1);
    version.upstream = version.upstream.substr(0, dash);
  }
  return version;
}

// PEP 440's public version and local label as a key that compares member by member.
struct PythonVersion {
  std::string epoch;  // numbers without leading zeros, so that zero is ""
  std::vector<std::string> release;
  int phase = 0;  // dev of no pre-release -3, a -2, b -1, rc 0... final 1
  std::string pre;
  std::optional<std::string> post, dev;
  std::vector<std::string> local;
};

std::string strip_zeros(std::string_view text) {
  std::size_t at = 0;
  return std::string(number_at(text, at));
}

class PythonParser {
 public:
  explicit PythonParser(std::string_view text) {
    for (char c : text) text_.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_.back()))) text_.pop_back();
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  std::optional<PythonVersion> parse() {
    PythonVersion version;
    if (peek() == 'v') ++at_;
    if (const auto bang = text_.find('!'); bang != text_.npos) {
      if (!digit(peek())) return std::nullopt;
      version.epoch = strip_zeros(digits());
      if (at_++ != bang) return std::nullopt;
    }
    do {
      if (!digit(peek())) return std::nullopt;
      version.release.push_back(strip_zeros(digits()));
    } while (peek() == '.' && digit(peek(1)) && ++at_ > 0);
    while (version.release.size() > 1 && version.release.back().empty()) version.release.pop_back();
    version.phase = 1;
    suffixes(version);
    if (peek() == '+') {
      ++at_;
      if (!local(version)) return std::nullopt;
    }
    return at_ == text_.size() ? std::optional(version) : std::nullopt;
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  std::string digits() {
    const std::size_t from = at_;
    while (digit(peek())) ++at_;
    return text_.substr(from, at_ - from);
  }
  // Takes one of the words after an optional separator.
  bool word(std::initializer_list<std::string_view> words) {
    const std::size_t before = at_;
    if (peek() == '.' || peek() == '-' || peek() == '_') ++at_;
    for (auto candidate : words) {
      if (text_.compare(at_, candidate.size(), candidate) == 0) {
        at_ += candidate.size();
        return true;
      }
    }
    at_ = before;
    return false;
  }
  std::string number_after() {
    if (peek() == '.' || peek() == '-' || peek() == '_') ++at_;  // even where no number follows
    return strip_zeros(digits());
  }
  void suffixes(PythonVersion& version) {
    if (word({"alpha", "a"})) {
      version.phase = -2;
    } else if (word({"beta", "b"})) {
      version.phase = -1;
    } else if (word({"preview", "pre", "rc", "c"})) {
      version.phase = 0;
    }
    if (version.phase < 1) version.pre = number_after();
    if (word({"post", "rev", "r"})) {
      version.post = number_after();
    } else if (peek() == '-' && digit(peek(1))) {
      ++at_;
      version.post = strip_zeros(digits());
    }
    if (word({"dev"})) version.dev = number_after();
    if (version.dev && version.phase == 1 && !version.post) version.phase = -3;
  }
  // Every part between separators has a character.
  bool local(PythonVersion& version) {
    std::string part;
    for (; at_ <= text_.size(); ++at_) {
      const char c = peek();
      if (at_ < text_.size() && (digit(c) || detail::is_letter(c))) {
        part.push_back(c);
        continue;
      }
      if (part.empty()) return false;
      version.local.push_back(std::exchange(part, {}));
      if (c != '.' && c != '-' && c != '_') return true;
    }
    return true;
  }

  std::string text_;
  std::size_t at_ = 0;
};

int compare_lists(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "", right = i < b.size() ? b[i] : "";
    if (const int order = compare_numbers(left, right); order != 0) return order;
  }
  return 0;
}

// Numbers sort after words; a label that is a prefix of the other sorts first.
int compare_local(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const bool left = std::all_of(a[i].begin(), a[i].end(), digit), right = std::all_of(b[i].begin(), b[i].end(), digit);
    if (left != right) return left ? 1 : -1;
    const int order = left ? compare_numbers(strip_zeros(a[i]), strip_zeros(b[i])) : a[i].compare(b[i]);
    if (order != 0) return order;
  }
  return static_cast<int>(a.size()) - static_cast<int>(b.size());
}

int compare_optional(const std::optional<std::string>& a, const std::optional<std::string>& b, int missing) {
  if (a.has_value() != b.has_value()) return a ? -missing : missing;
  return a ? compare_numbers(*a, *b) : 0;
}

}  // namespace

int compare_debian_versions(std::string_view a, std::string_view b) {
  const DebianVersion left = split_debian(a), right = split_debian(b);
  if (const int order = compare_debian_part(left.epoch, right.epoch); order != 0) return sign(order);
  if (const int order = compare_debian_part(left.upstream, right.upstream); order != 0) return sign(order);
  return sign(compare_debian_part(left.revision, right.revision));
}

int compare_python_versions(std::string_view a, std::string_view b) {
  const auto left = PythonParser(a).parse(), right = PythonParser(b).parse();
  if (!left || !right) return left ? 1 : right ? -1 : sign(a.compare(b));
  if (const int order = compare_numbers(left->epoch, right->epoch); order != 0) return sign(order);
  if (const int order = compare_lists(left->release, right->release); order != 0) return sign(order);
  if (left->phase != right->phase) return left->phase < right->phase ? -1 : 1;
  if (const int order = compare_numbers(left->pre, right->pre); order != 0) return sign(order);
  if (const int order = compare_optional(left->post, right->post, -1); order != 0) return sign(order);
  if (const int order = compare_optional(left->dev, right->dev, 1); order != 0) return sign(order);
  return sign(compare_local(left->local, right->local));
}

int compare_versions(std::string_view ecosystem, std::string_view a, std::string_view b) {
  using Order = int (*)(std::string_view, std::string_view);
  static constexpr std::pair<std::string_view, Order> kOrders[] = {
      {"PyPI", compare_python_versions},        {"npm", compare_semantic_versions},      {"Go", compare_semantic_versions},
      {"crates.io", compare_semantic_versions}, {"Maven", compare_maven_versions},       {"RubyGems", compare_ruby_versions},
      {"Alpine", compare_alpine_versions},      {"Wolfi", compare_alpine_versions},      {"Chainguard", compare_alpine_versions},
      {"Rocky Linux", compare_rpm_versions},    {"AlmaLinux", compare_rpm_versions},     {"Red Hat", compare_rpm_versions},
      {"openSUSE", compare_rpm_versions},       {"SUSE", compare_rpm_versions},          {"Fedora", compare_rpm_versions},
      {"Mageia", compare_rpm_versions},         {"openEuler", compare_rpm_versions},     {"Azure Linux", compare_rpm_versions},
      {"Photon OS", compare_rpm_versions},      {"Amazon Linux", compare_rpm_versions},  {"Oracle Linux", compare_rpm_versions}};
  const auto family = ecosystem.substr(0, ecosystem.find(':'));
  for (const auto& [name, order] : kOrders) {
    if (name == family) return order(a, b);
  }
  return compare_debian_versions(a, b);
}

}  // namespace redoubt::packages
