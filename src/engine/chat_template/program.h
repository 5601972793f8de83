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
  ExpressionPtr spread = {};  // f(*spread): values that stand behind the positional ones
};

struct Expression {
  enum Kind {
    literal,      // value
    variable,     // name
    list,         // operands
    tuple,        // operands
    dict,         // operands: key, value, key, value...
    member,       // operands[0] . name
    item,         // operands[0] [ operands[1] ]
    slice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], any of the last three may be null
    call,         // operands[0] ( arguments )
    filter,       // operands[0] | name ( arguments )
    test,         // operands[0] is name ( arguments ); negated by `not_`
    unary,        // name in "not", "-", "+"
    binary,       // operands[0] name operands[1]
    comparison,   // operands[0] names[0] operands[1] names[1] operands[2] ..., each pair
    conditional,  // operands[0] if operands[1] else operands[2] (may be null)
  } kind = literal;
  std::string name = {};
  Value value = {};
  std::vector<std::string> names = {};  // of a comparison with several signs
  Expressions operands = {};
  Arguments arguments = {};
  bool not_ = false;
  int line = 1;
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum Kind { text, output, if_, for_, set, set_block, generation, leave, next, macro, with, filter_block } kind = text;
  std::string value = {};                 // the text
  std::vector<std::string> targets = {};  // names that for, set or with assign to; a macro's parameters
  std::string member = {};                // `set target.member = ...`; a macro's name
  Expressions values = {};                // of with; a macro's defaults, those of its last parameters
  std::vector<Arguments> filter_arguments = {};  // `set x | trim`, `filter trim`, by the name in `filter_names`
  std::vector<std::string> filter_names = {};
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
