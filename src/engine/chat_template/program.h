// SPDX-License-Identifier: Apache-2.0
//
// A parsed template: statements and expressions as a tree.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/chat_template/lexer.h"
#include "engine/chat_template/value.h"

namespace redoubt::engine::chat_template {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;
using Expressions = std::vector<ExpressionPtr>;

struct Arguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

struct Expression {
  enum Kind {
    literal,      // value
    variable,     // name
    list,         // operands
    dict,         // operands: key, value, key, value...
    member,       // operands[0] . name
    item,         // operands[0] [ operands[1] ]
    slice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], any of the last three may be null
    call,         // operands[0] ( arguments )
    filter,       // operands[0] | name ( arguments )
    test,         // operands[0] is name ( arguments ); negated by `not_`
    unary,        // name in "not", "-", "+"
    binary,       // operands[0] name operands[1]
    conditional,  // operands[0] if operands[1] else operands[2] (may be null)
  } kind = literal;
  std::string name = {};
  Value value = {};
  Expressions operands = {};
  Arguments arguments = {};
  bool not_ = false;
  int line = 1;
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum Kind { text, output, if_, for_, set, set_block, generation, leave, next } kind = text;
  std::string value = {};                 // the text
  std::vector<std::string> targets = {};  // names that for or set assign to
  std::string member = {};                // `set target.member = ...`
  ExpressionPtr expression = {};          // output, condition, what is iterated or assigned
  ExpressionPtr filter = {};              // `for x in y if filter`
  Block body = {}, otherwise = {};
  int line = 1;
};

struct Program {
  Block statements;
};

Result<Program> parse_program(const std::vector<Token>& tokens, const std::string& where, std::size_t depth_max);

}  // namespace redoubt::engine::chat_template
