// SPDX-License-Identifier: Apache-2.0
#include "json_schema/code_points.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/check.h"

namespace redoubt::json_schema {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

void add_hex(Grammar& grammar, StateId from, std::string_view digits, StateId to) {
  for (const char digit : digits) grammar.bytes(from, static_cast<std::uint8_t>(digit), static_cast<std::uint8_t>(digit), to);
}

// `count` hexadecimal digits, in capitals too.
void add_hex_digits(Grammar& grammar, StateId from, int count, StateId to) {
  for (int i = 0; i < count; ++i) {
    const auto next = i + 1 == count ? to : grammar.add_state();
    add_hex(grammar, from, "0123456789abcdefABCDEF", next);
    from = next;
  }
}

void add_escapes(Grammar& grammar, StateId from, StateId to) {
  const auto escape = grammar.add_state(), hex = grammar.add_state();
  grammar.bytes(from, '\\', '\\', escape);
  add_hex(grammar, escape, "\"\\/bfnrt", to);
  grammar.bytes(escape, 'u', 'u', hex);
  const auto three = grammar.add_state(), d = grammar.add_state(), low_d = grammar.add_state(), two = grammar.add_state();
  add_hex(grammar, hex, "0123456789abcefABCEF", three);
  add_hex(grammar, hex, "dD", d);
  add_hex_digits(grammar, three, 3, to);
  add_hex(grammar, d, "01234567", two);
  add_hex_digits(grammar, two, 2, to);
  const auto high = grammar.add_state(), pair = grammar.add_state(), low = grammar.add_state(), last = grammar.add_state();
  add_hex(grammar, d, "89abAB", high);
  add_hex_digits(grammar, high, 2, pair);
  grammar.text(pair, "\\u", low);
  add_hex(grammar, low, "dD", low_d);
  add_hex(grammar, low_d, "cdefCDEF", last);
  add_hex_digits(grammar, last, 2, to);
}

std::string utf8_of(std::uint32_t c) {
  std::string out;
  if (c < 0x80) return {static_cast<char>(c)};
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr std::uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[more] | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (c >> (6 * i) & 0x3F));
  return out;
}

// UTF-8 of a range whose ends have the same number of bytes: by the first byte, with the whole middle in one edge.
void add_utf8(Grammar& grammar, StateId from, std::string_view low, std::string_view high, StateId to) {
  const auto byte = [](std::string_view text) { return static_cast<std::uint8_t>(text[0]); };
  if (low.size() == 1) return grammar.bytes(from, byte(low), byte(high), to);
  const std::string least(low.size() - 1, '\x80'), most(low.size() - 1, '\xBF');
  if (byte(low) == byte(high)) {
    const auto next = grammar.add_state();
    grammar.bytes(from, byte(low), byte(low), next);
    return add_utf8(grammar, next, low.substr(1), high.substr(1), to);
  }
  auto first = byte(low), last = byte(high);
  if (low.substr(1) != least) {
    const auto next = grammar.add_state();
    grammar.bytes(from, first, first, next);
    add_utf8(grammar, next, low.substr(1), most, to);
    ++first;
  }
  if (high.substr(1) != most) {
    const auto next = grammar.add_state();
    grammar.bytes(from, last, last, next);
    add_utf8(grammar, next, least, high.substr(1), to);
    --last;
  }
  if (first > last) return;
  const auto next = grammar.add_state();
  grammar.bytes(from, first, last, next);
  add_utf8(grammar, next, least, most, to);
}

// A control character, a quote or a backslash.
void add_escaped(Grammar& grammar, StateId from, std::uint32_t c, StateId to) {
  static const std::map<std::uint32_t, std::string_view> kShort = {{'"', "\\\""}, {'\\', "\\\\"}, {8, "\\b"}, {9, "\\t"}, {10, "\\n"}, {12, "\\f"}, {13, "\\r"}};
  if (const auto found = kShort.find(c); found != kShort.end()) return grammar.text(from, found->second, to);
  grammar.text(from, std::string("\\u00") + kHexDigits[c >> 4] + kHexDigits[c & 15], to);
}

}  // namespace

void add_any_character(Grammar& grammar, StateId from, StateId to) {
  add_escapes(grammar, from, to);
  for (const auto& range : {CodePointRange{0x20, 0x21}, {0x23, 0x5B}, {0x5D, kCodePointMax}}) add_characters(grammar, from, range, to);
}

void add_characters(Grammar& grammar, StateId from, CodePointRange range, StateId to) {
  const auto part = [&](std::uint32_t low, std::uint32_t high) {
    low = std::max(low, range.low), high = std::min(high, range.high);
    if (low <= high) add_utf8(grammar, from, utf8_of(low), utf8_of(high), to);
  };
  for (std::uint32_t c = range.low; c <= std::min(range.high, std::uint32_t{'\\'}); ++c)
    if (c < 0x20 || c == '"' || c == '\\') add_escaped(grammar, from, c, to);
  part(0x20, 0x21), part(0x23, 0x5B), part(0x5D, 0x7F);
  part(0x80, 0x7FF), part(0x800, 0xD7FF), part(0xE000, 0xFFFF), part(0x10000, kCodePointMax);
}

void add_dfa(Grammar& grammar, StateId from, const CodePointDfa& dfa, StateId to) {
  std::vector<StateId> states;
  for (std::size_t i = 0; i < dfa.nodes.size(); ++i) states.push_back(grammar.add_state());
  if (!states.empty()) grammar.free(from, {states[0]});
  for (std::size_t i = 0; i < dfa.nodes.size(); ++i) {
    for (const auto& edge : dfa.nodes[i].edges) add_characters(grammar, states[i], {edge.low, edge.high}, states[edge.to]);
    if (dfa.nodes[i].accepts) grammar.free(states[i], {to});
  }
}

std::vector<std::uint32_t> code_points_of(std::string_view text) {
  std::vector<std::uint32_t> out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    CHECK(i + size <= text.size());
    std::uint32_t c = size == 1 ? lead : lead & (0x7Fu >> size);
    for (std::size_t j = 1; j < size; ++j) c = c << 6 | (static_cast<std::uint8_t>(text[i + j]) & 0x3F);
    out.push_back(c);
    i += size;
  }
  return out;
}

void CodePointDfa::trim() {
  std::vector<bool> live(nodes.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = nodes.size(); i-- > 0;) {
      if (live[i]) continue;
      live[i] = nodes[i].accepts || std::ranges::any_of(nodes[i].edges, [&](const Edge& edge) { return live[edge.to]; });
      changed = changed || live[i];
    }
  }
  if (nodes.empty() || !live[0]) return nodes.clear();
  for (auto& node : nodes) std::erase_if(node.edges, [&](const Edge& edge) { return !live[edge.to]; });
}

CodePointDfa all_but(const std::vector<std::string>& texts) {
  // A tree of the texts; whatever leaves it is another string.
  CodePointDfa dfa;
  dfa.nodes = {{{}, true}, {{{0, kCodePointMax, 1}}, true}};
  std::vector<std::map<std::uint32_t, std::uint32_t>> next(2);
  for (const auto& text : texts) {
    std::uint32_t at = 0;
    for (const auto c : code_points_of(text)) {
      const auto [found, fresh] = next[at].try_emplace(c, static_cast<std::uint32_t>(dfa.nodes.size()));
      at = found->second;
      if (!fresh) continue;
      dfa.nodes.push_back({{}, true});
      next.emplace_back();
    }
    dfa.nodes[at].accepts = false;
  }
  for (std::uint32_t at = 0; at < dfa.nodes.size(); ++at) {
    if (at == 1) continue;
    std::uint32_t low = 0;
    for (const auto& [c, to] : next[at]) {
      if (c > low) dfa.nodes[at].edges.push_back({low, c - 1, 1});
      dfa.nodes[at].edges.push_back({c, c, to});
      low = c + 1;
    }
    if (low <= kCodePointMax) dfa.nodes[at].edges.push_back({low, kCodePointMax, 1});
  }
  return dfa;
}

Result<CodePointDfa> with_length(const CodePointDfa& dfa, std::uint32_t least, std::uint32_t most, std::size_t nodes_max) {
  CodePointDfa out;
  const bool bounded = most != kUnbounded;
  const std::uint32_t last = bounded ? most : least;  // beyond it counts are alike
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pending;
  const auto node_of = [&](std::uint32_t node, std::uint32_t count) {
    const auto [found, fresh] = known.try_emplace({node, count}, static_cast<std::uint32_t>(out.nodes.size()));
    if (fresh) out.nodes.emplace_back(), pending.emplace_back(node, count);
    return found->second;
  };
  if (!dfa.is_empty()) node_of(0, 0);
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (pending.size() > nodes_max) return fail(ErrorCode::limit_exceeded, "a pattern with these lengths is too large");
    const auto [node, count] = pending[i];
    out.nodes[i].accepts = dfa.nodes[node].accepts && count >= least;
    if (bounded && count == most) continue;
    for (const auto& edge : dfa.nodes[node].edges) {
      const auto to = node_of(edge.to, std::min(count + 1, last));
      out.nodes[i].edges.push_back({edge.low, edge.high, to});
    }
  }
  out.trim();
  return out;
}

Result<CodePointDfa> both(const CodePointDfa& a, const CodePointDfa& b, std::size_t nodes_max) {
  CodePointDfa out;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pending;
  const auto node_of = [&](std::uint32_t in_a, std::uint32_t in_b) {
    const auto [found, fresh] = known.try_emplace({in_a, in_b}, static_cast<std::uint32_t>(out.nodes.size()));
    if (fresh) out.nodes.emplace_back(), pending.emplace_back(in_a, in_b);
    return found->second;
  };
  if (!a.is_empty() && !b.is_empty()) node_of(0, 0);
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (pending.size() > nodes_max) return fail(ErrorCode::limit_exceeded, "a pattern with this format is too large");
    const auto [in_a, in_b] = pending[i];
    out.nodes[i].accepts = a.nodes[in_a].accepts && b.nodes[in_b].accepts;
    for (const auto& left : a.nodes[in_a].edges) {
      for (const auto& right : b.nodes[in_b].edges) {
        const auto low = std::max(left.low, right.low), high = std::min(left.high, right.high);
        if (low > high) continue;
        const auto to = node_of(left.to, right.to);
        out.nodes[i].edges.push_back({low, high, to});
      }
    }
  }
  out.trim();
  return out;
}

}  // namespace redoubt::json_schema
