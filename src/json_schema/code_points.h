// SPDX-License-Identifier: Apache-2.0
//
// Characters of JSON strings, and deterministic automata over code points whose language can be a string's content.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "json_schema/grammar.h"

namespace redoubt::json_schema {

struct CodePointRange {
  std::uint32_t low, high;
};
inline constexpr std::uint32_t kCodePointMax = 0x10FFFF;

// State 0 is the start. Edges of one state don't overlap. No edge leads to a state from which nothing is accepted (`trim`).
struct CodePointDfa {
  struct Edge {
    std::uint32_t low, high, to;
  };
  struct Node {
    std::vector<Edge> edges = {};
    bool accepts = false;
  };
  std::vector<Node> nodes = {};

  bool is_empty() const { return nodes.empty(); }
  // Takes out what leads nowhere; an automaton of nothing has no nodes.
  void trim();
};

// Every string but these.
CodePointDfa all_but(const std::vector<std::string>& texts);
// The strings of `dfa` with `least` to `most` (kUnbounded: any number of) code points; limit_exceeded beyond nodes_max.
Result<CodePointDfa> with_length(const CodePointDfa& dfa, std::uint32_t least, std::uint32_t most, std::size_t nodes_max);

// The strings that are both's; limit_exceeded beyond nodes_max.
Result<CodePointDfa> both(const CodePointDfa& a, const CodePointDfa& b, std::size_t nodes_max);

// One character in any form that JSON has for it; a surrogate only as half of a pair.
void add_any_character(Grammar& grammar, StateId from, StateId to);
// One character of the range in its shortest form: itself, or its escape where it must be escaped.
void add_characters(Grammar& grammar, StateId from, CodePointRange range, StateId to);
// The content of a string, without its quotes.
void add_dfa(Grammar& grammar, StateId from, const CodePointDfa& dfa, StateId to);

// The code points of valid UTF-8.
std::vector<std::uint32_t> code_points_of(std::string_view text);

}  // namespace redoubt::json_schema
