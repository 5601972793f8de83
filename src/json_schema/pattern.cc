// SPDX-License-Identifier: Apache-2.0
#include "json_schema/pattern.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace redoubt::json_schema {
namespace {

constexpr std::size_t kWorkOfNode = 16;  // to make it

using Ranges = std::vector<CodePointRange>;

tl::unexpected<Error> not_supported(std::string what) { return fail(ErrorCode::unsupported, "pattern: " + std::move(what) + " is not supported"); }
tl::unexpected<Error> malformed(std::string what) { return fail(ErrorCode::invalid_argument, "pattern: " + std::move(what)); }

Ranges complement(Ranges ranges) {
  std::ranges::sort(ranges, {}, &CodePointRange::low);
  Ranges out;
  std::uint32_t low = 0;
  for (const auto& range : ranges) {
    if (range.low > low) out.push_back({low, range.low - 1});
    low = std::max(low, range.high + 1);
  }
  if (low <= kCodePointMax) out.push_back({low, kCodePointMax});
  return out;
}

// The ASCII members of a shorthand class; the dialects agree on no others.
std::optional<Ranges> shorthand(std::uint32_t letter) {
  static const std::map<char, Ranges> kClasses = {{'d', {{'0', '9'}}}, {'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}}, {'s', {{9, 13}, {' ', ' '}}}};
  const auto found = letter < 0x80 ? kClasses.find(static_cast<char>(letter | 0x20)) : kClasses.end();
  if (found == kClasses.end()) return std::nullopt;
  if (letter & 0x20) return found->second;
  auto others = complement(found->second);
  others.back().high = 0x7F;
  // Python counts the separators 0x1C to 0x1F as white space, ECMA-262 does not.
  if (letter != 'S') return others;
  return Ranges{{0, 8}, {14, 0x1B}, {'!', 0x7F}};
}

struct Nfa {
  struct Node {
    std::vector<std::pair<CodePointRange, std::uint32_t>> edges = {};
    std::vector<std::uint32_t> free = {};
  };
  std::vector<Node> nodes = {};
  std::uint32_t add() {
    nodes.emplace_back();
    return static_cast<std::uint32_t>(nodes.size() - 1);
  }
};

// A part of the pattern as a tree, so that a quantifier can build it several times.
struct Part {
  enum Kind : std::uint8_t { characters, sequence, alternatives, repeat } kind = sequence;
  Ranges ranges = {};
  std::vector<Part> parts = {};
  std::uint32_t least = 1, most = 1;
};

class Parser {
 public:
  Parser(std::string_view pattern, const PatternLimits& limits) : text_(code_points_of(pattern)), limits_(limits) {}

  struct Alternative {
    Part part;
    bool from_start = false, to_end = false;
  };
  // The alternatives of the whole, each with its anchors.
  Result<std::vector<Alternative>> parse() {
    std::vector<Alternative> all;
    do {
      auto& one = all.emplace_back();
      one.from_start = take('^');
      one.part = TRY(parse_sequence(0));
      one.to_end = take('$');
      if (!at_end() && peek() != '|') return peek() == ')' ? malformed("a ')' without its '('") : not_supported("an anchor in the middle");
    } while (take('|'));
    return all;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  std::uint32_t peek() const { return text_[at_]; }
  bool take(std::uint32_t c) {
    if (at_end() || peek() != c) return false;
    ++at_;
    return true;
  }

  Result<Part> parse_sequence(int depth) {
    Part out;
    while (!at_end() && peek() != '|' && peek() != ')' && peek() != '$' && peek() != '^') {
      auto atom = TRY(parse_atom(depth));
      out.parts.push_back(TRY(parse_quantifier(std::move(atom))));
    }
    return out;
  }

  Result<Part> parse_group(int depth) {
    if (depth >= limits_.depth_max) return fail(ErrorCode::limit_exceeded, "pattern: groups are nested too deep");
    if (take('?') && !take(':')) return not_supported("a group that begins with '(?' and is not '(?:'");
    Part out{.kind = Part::alternatives};
    do out.parts.push_back(TRY(parse_sequence(depth + 1)));
    while (take('|'));
    if (!at_end() && (peek() == '^' || peek() == '$')) return not_supported("an anchor within a group");
    if (!take(')')) return malformed("a '(' without its ')'");
    return out;
  }

  Result<Part> parse_atom(int depth) {
    const auto c = text_[at_++];
    if (c == '(') return parse_group(depth);
    Part out{.kind = Part::characters};
    if (c == '.') out.ranges = complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
    else if (c == '[') out.ranges = TRY(parse_class());
    else if (c == '\\') out.ranges = TRY(parse_escape());
    else if (c == '*' || c == '+' || c == '?') return malformed("a quantifier that follows nothing");
    else if (c == '{' || c == '}' || c == ']') return not_supported(std::string("a bare '") + static_cast<char>(c) + "'");
    else out.ranges = {{c, c}};
    return out;
  }

  Result<std::uint32_t> parse_hex(int digits) {
    std::uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const auto c = at_end() ? 0 : text_[at_++];
      const auto digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
      if (digit == 16) return malformed("an escape lacks its hexadecimal digits");
      value = value * 16 + digit;
    }
    return value;
  }

  // After the backslash: a character or a shorthand class.
  Result<Ranges> parse_escape() {
    if (at_end()) return malformed("it ends with a backslash");
    const auto c = text_[at_++];
    if (auto ranges = shorthand(c)) return *ranges;
    static const std::map<std::uint32_t, std::uint32_t> kControls = {{'t', 9}, {'n', 10}, {'v', 11}, {'f', 12}, {'r', 13}};
    std::uint32_t value = c;
    if (const auto found = kControls.find(c); found != kControls.end()) value = found->second;
    else if (c == 'x' || c == 'u') value = TRY(parse_hex(c == 'x' ? 2 : 4));
    else if (c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) return not_supported("the escape of '" + shown(c) + "'");
    if (value >= 0xD800 && value < 0xE000) return not_supported("a surrogate's escape");
    return Ranges{{value, value}};
  }

  static std::string shown(std::uint32_t c) { return c < 0x80 ? std::string(1, static_cast<char>(c)) : "U+" + std::to_string(c); }

  Result<Ranges> parse_class() {
    const bool negated = take('^');
    if (!at_end() && peek() == ']') return not_supported("an empty class");
    Ranges ranges;
    bool has_shorthand = false;
    while (!take(']')) {
      if (at_end()) return malformed("a '[' without its ']'");
      if (peek() == '[') return not_supported("a bare '[' in a class");
      const auto low = TRY(parse_class_member());
      const bool is_range = !at_end() && peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!is_range) {
        has_shorthand = has_shorthand || low.size() > 1 || low[0].low != low[0].high;
        ranges.insert(ranges.end(), low.begin(), low.end());
        continue;
      }
      ++at_;
      const auto high = TRY(parse_class_member());
      if (low.size() != 1 || high.size() != 1 || low[0].low != low[0].high || high[0].low != high[0].high) return malformed("a range of a shorthand class");
      if (low[0].low > high[0].low) return malformed("a range that goes backwards");
      ranges.push_back({low[0].low, high[0].low});
    }
    if (!negated) return ranges;
    auto out = complement(ranges);
    if (!has_shorthand) return out;
    // Beyond ASCII, and on the separators 0x1C to 0x1F, the dialects differ on what the shorthand takes out.
    auto beside = complement(out);
    beside.insert(beside.end(), {{0x1C, 0x1F}, {0x80, kCodePointMax}});
    return complement(beside);
  }

  Result<Ranges> parse_class_member() {
    const auto c = text_[at_++];
    if (c != '\\') return Ranges{{c, c}};
    if (take('b')) return Ranges{{8, 8}};
    if (take('-')) return Ranges{{'-', '-'}};
    return parse_escape();
  }

  std::optional<std::uint32_t> parse_number() {
    if (at_end() || peek() < '0' || peek() > '9') return std::nullopt;
    std::uint32_t value = 0;
    while (!at_end() && peek() >= '0' && peek() <= '9') value = std::min<std::uint32_t>(value * 10 + (text_[at_++] - '0'), 1'000'000);
    return value;
  }

  Result<Part> parse_quantifier(Part atom) {
    std::uint32_t least = 1, most = 1;
    if (take('*')) least = 0, most = kUnbounded;
    else if (take('+')) most = kUnbounded;
    else if (take('?')) least = 0;
    else if (take('{')) {
      const auto low = parse_number();
      if (!low) return malformed("a '{' without a number");
      least = most = *low;
      if (take(',')) most = parse_number().value_or(kUnbounded);
      if (!take('}')) return malformed("a '{' without its '}'");
      if (most < least) return malformed("a quantifier whose numbers go backwards");
    } else {
      return atom;
    }
    (void)take('?');  // a lazy quantifier finds the same strings
    if (!at_end() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{')) return malformed("two quantifiers in a row");
    Part out{.kind = Part::repeat};
    out.least = least, out.most = most;
    out.parts.push_back(std::move(atom));
    return out;
  }

  std::vector<std::uint32_t> text_;
  const PatternLimits& limits_;
  std::size_t at_ = 0;
};

class Builder {
 public:
  explicit Builder(const PatternLimits& limits) : limits_(limits) {}
  Nfa nfa = {};

  Result<std::uint32_t> build(const Part& part, std::uint32_t from) {
    if (nfa.nodes.size() > limits_.nfa_states_max || ++steps_ > 20 * limits_.nfa_states_max) return fail(ErrorCode::limit_exceeded, "pattern: it is too large");
    switch (part.kind) {
      case Part::characters: {
        const auto to = nfa.add();
        for (const auto& range : part.ranges) nfa.nodes[from].edges.emplace_back(range, to);
        return to;
      }
      case Part::sequence:
        for (const auto& inner : part.parts) from = TRY(build(inner, from));
        return from;
      case Part::alternatives: {
        const auto to = nfa.add();
        for (const auto& inner : part.parts) nfa.nodes[TRY(build(inner, branch(from)))].free.push_back(to);
        return to;
      }
      case Part::repeat: break;
    }
    return repeat(part, from);
  }

 private:
  std::uint32_t branch(std::uint32_t from) {
    const auto to = nfa.add();
    nfa.nodes[from].free.push_back(to);
    return to;
  }

  Result<std::uint32_t> repeat(const Part& part, std::uint32_t from) {
    for (std::uint32_t i = 0; i < part.least; ++i) from = TRY(build(part.parts[0], from));
    if (part.most == kUnbounded) {
      const auto loop = branch(from);
      nfa.nodes[TRY(build(part.parts[0], loop))].free.push_back(loop);
      return branch(loop);
    }
    std::vector<std::uint32_t> exits = {from};
    for (std::uint32_t i = part.least; i < part.most; ++i) exits.push_back(from = TRY(build(part.parts[0], from)));
    const auto to = nfa.add();
    for (const auto exit : exits) nfa.nodes[exit].free.push_back(to);
    return to;
  }

  const PatternLimits& limits_;
  std::size_t steps_ = 0;
};

// Subset construction over the stretches of code points that no edge tells apart.
class Determiniser {
 public:
  // From `rest` on every string is accepted.
  Determiniser(const Nfa& nfa, std::uint32_t end, std::uint32_t rest, const PatternLimits& limits, std::size_t& work) : nfa_(nfa), end_(end), rest_(rest), limits_(limits), work_(work) {}

  Result<CodePointDfa> run(std::uint32_t start) {
    std::set<std::uint32_t> cuts = {0, kCodePointMax + 1};
    for (const auto& node : nfa_.nodes)
      for (const auto& [range, to] : node.edges) cuts.insert(range.low), cuts.insert(range.high + 1);
    const std::vector<std::uint32_t> borders(cuts.begin(), cuts.end());
    (void)node_of({start});
    for (std::size_t i = 0; i < sets_.size(); ++i) {
      if (work_ > limits_.work_max) return fail(ErrorCode::limit_exceeded, "pattern: it is too large, or is together with those before it");
      if (sets_.size() > limits_.dfa_nodes_max) return fail(ErrorCode::limit_exceeded, "pattern: it is too large");
      for (std::size_t j = 0; j + 1 < borders.size(); ++j) step(static_cast<std::uint32_t>(i), borders[j], borders[j + 1] - 1);
    }
    dfa_.trim();
    return std::move(dfa_);
  }

 private:
  void step(std::uint32_t from, std::uint32_t low, std::uint32_t high) {
    std::vector<std::uint32_t> next;
    for (const auto node : sets_[from]) {
      work_ += nfa_.nodes[node].edges.size();
      for (const auto& [range, to] : nfa_.nodes[node].edges)
        if (range.low <= low && high <= range.high) next.push_back(to);
    }
    if (next.empty()) return;
    const auto to = node_of(std::move(next));
    auto& edges = dfa_.nodes[from].edges;
    if (!edges.empty() && edges.back().to == to && edges.back().high + 1 == low) edges.back().high = high;
    else edges.push_back({low, high, to});
  }

  std::uint32_t node_of(std::vector<std::uint32_t> set) {
    std::vector<bool> in(nfa_.nodes.size());
    std::vector<std::uint32_t> closed;
    while (!set.empty()) {
      const auto node = set.back();
      set.pop_back();
      if (in[node]) continue;
      in[node] = true;
      closed.push_back(node);
      set.insert(set.end(), nfa_.nodes[node].free.begin(), nfa_.nodes[node].free.end());
    }
    work_ += nfa_.nodes.size() / 64 + closed.size();
    if (in[rest_]) closed = {rest_, end_};
    std::ranges::sort(closed);
    const auto [found, fresh] = known_.try_emplace(closed, static_cast<std::uint32_t>(sets_.size()));
    if (!fresh) return found->second;
    dfa_.nodes.push_back({{}, in[end_]});
    sets_.push_back(std::move(closed));
    return found->second;
  }

  const Nfa& nfa_;
  const std::uint32_t end_, rest_;
  const PatternLimits& limits_;
  CodePointDfa dfa_ = {};
  std::vector<std::vector<std::uint32_t>> sets_ = {};
  std::map<std::vector<std::uint32_t>, std::uint32_t> known_ = {};
  std::size_t& work_;
};

}  // namespace

Result<CodePointDfa> compile_pattern(std::string_view pattern, std::size_t& work, PatternLimits limits) {
  if (pattern.size() > limits.bytes_max) return fail(ErrorCode::limit_exceeded, "pattern: it is longer than " + std::to_string(limits.bytes_max) + " bytes");
  Parser parser(pattern, limits);
  const auto alternatives = TRY(parser.parse());
  Builder builder(limits);
  auto& nfa = builder.nfa;
  const auto start = nfa.add(), end = nfa.add(), rest = nfa.add();
  const CodePointRange any{0, kCodePointMax};
  nfa.nodes[rest].edges.emplace_back(any, rest);
  nfa.nodes[rest].free.push_back(end);
  for (const auto& one : alternatives) {
    const auto first = nfa.add();
    nfa.nodes[start].free.push_back(first);
    if (!one.from_start) nfa.nodes[first].edges.emplace_back(any, first);
    const auto last = TRY(builder.build(one.part, first));
    nfa.nodes[last].free.push_back(one.to_end ? end : rest);
  }
  work += kWorkOfNode * nfa.nodes.size();
  return Determiniser(nfa, end, rest, limits, work).run(start);
}

}  // namespace redoubt::json_schema
