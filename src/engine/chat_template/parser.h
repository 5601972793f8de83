// SPDX-License-Identifier: Apache-2.0
//
// Reads expressions from a row of tokens, with Jinja's precedence.
#pragma once

#include "engine/chat_template/program.h"

namespace redoubt::engine::chat_template {

class ExpressionParser {
 public:
  ExpressionParser(const std::vector<Token>& tokens, const std::string& where, std::size_t depth_max)
      : tokens_(tokens), where_(where), depth_max_(depth_max) {}

  Result<ExpressionPtr> parse_condition();     // with `a if b else c`
  Result<ExpressionPtr> parse_unconditional();  // without, for `for x in y if z`
  Result<ExpressionPtr> parse_tuple();         // one expression, or several with commas as a list

 protected:
  const Token& peek() const { return tokens_[at_]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool sees_symbol(std::string_view symbol) const { return peek().kind == Token::symbol && peek().value == symbol; }
  bool sees_name(std::string_view name) const { return peek().kind == Token::name && peek().value == name; }
  bool take_symbol(std::string_view symbol);
  bool take_name(std::string_view name);
  Status expect_symbol(std::string_view symbol);
  Result<std::string> expect_name();
  tl::unexpected<Error> bad(std::string what, ErrorCode code = ErrorCode::invalid_argument) const;

  // Counts nesting as long as it lives.
  struct Level {
    std::size_t& depth;
    ~Level() { --depth; }
  };
  Status check_depth();
  Result<Arguments> parse_arguments();

  const std::vector<Token>& tokens_;
  const std::string& where_;
  std::size_t at_ = 0, depth_ = 0, depth_max_;

 private:
  Result<ExpressionPtr> parse_or();
  Result<ExpressionPtr> parse_and();
  Result<ExpressionPtr> parse_not();
  Result<ExpressionPtr> parse_comparison();
  Result<ExpressionPtr> parse_sum();
  Result<ExpressionPtr> parse_concatenation();
  Result<ExpressionPtr> parse_product();
  enum class Filters { yes, no };
  Result<ExpressionPtr> parse_unary(Filters filters);
  Result<ExpressionPtr> parse_primary();
  Result<ExpressionPtr> parse_list();
  Result<ExpressionPtr> parse_dict();
  Result<ExpressionPtr> parse_postfix(ExpressionPtr of);
  Result<ExpressionPtr> parse_subscript(ExpressionPtr of);
  Result<ExpressionPtr> parse_filters(ExpressionPtr of);
  Result<ExpressionPtr> parse_test(ExpressionPtr of);
  std::string take_comparison();
  std::unique_ptr<Expression> make(Expression::Kind kind, std::string name = "") const;
  ExpressionPtr make_binary(std::string name, ExpressionPtr left, ExpressionPtr right) const;
};

}  // namespace redoubt::engine::chat_template
