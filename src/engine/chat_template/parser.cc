// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/parser.h"

namespace redoubt::engine::chat_template {

bool ExpressionParser::take_symbol(std::string_view symbol) {
  if (!sees_symbol(symbol)) return false;
  take();
  return true;
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!sees_name(name)) return false;
  take();
  return true;
}

Status ExpressionParser::expect_symbol(std::string_view symbol) {
  if (take_symbol(symbol)) return {};
  return bad("lacks '" + std::string(symbol) + "'");
}

Result<std::string> ExpressionParser::expect_name() {
  if (peek().kind != Token::name) return bad("lacks a name");
  return take().value;
}

tl::unexpected<Error> ExpressionParser::bad(std::string what, ErrorCode code) const {
  return fail(code, "the chat template " + std::move(what), where_ + ":" + std::to_string(peek().line));
}

Status ExpressionParser::check_depth() {
  if (++depth_ <= depth_max_) return {};
  --depth_;
  return bad("is nested too deeply", ErrorCode::limit_exceeded);
}

std::unique_ptr<Expression> ExpressionParser::make(Expression::Kind kind, std::string name) const {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->name = std::move(name);
  made->line = peek().line;
  return made;
}

ExpressionPtr ExpressionParser::make_binary(std::string name, ExpressionPtr left, ExpressionPtr right) const {
  auto made = make(Expression::binary, std::move(name));
  made->operands.push_back(std::move(left));
  made->operands.push_back(std::move(right));
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_tuple() {
  auto first = TRY(parse_condition());
  if (!sees_symbol(",")) return first;
  auto made = make(Expression::tuple);
  made->operands.push_back(std::move(first));
  while (take_symbol(",")) {
    // A comma may end it.
    if (sees_symbol(")") || sees_symbol("=") || peek().kind == Token::block_end || peek().kind == Token::output_end) break;
    made->operands.push_back(TRY(parse_condition()));
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_condition() {
  TRY(check_depth());
  const Level level{depth_};
  auto value = TRY(parse_or());
  while (take_name("if")) {
    auto made = make(Expression::conditional);
    made->operands.push_back(std::move(value));
    made->operands.push_back(TRY(parse_or()));
    made->operands.push_back(take_name("else") ? TRY(parse_condition()) : nullptr);
    value = std::move(made);
  }
  return value;
}

Result<ExpressionPtr> ExpressionParser::parse_unconditional() { return parse_or(); }

Result<ExpressionPtr> ExpressionParser::parse_or() {
  auto left = TRY(parse_and());
  while (take_name("or")) left = make_binary("or", std::move(left), TRY(parse_and()));
  return left;
}

Result<ExpressionPtr> ExpressionParser::parse_and() {
  auto left = TRY(parse_not());
  while (take_name("and")) left = make_binary("and", std::move(left), TRY(parse_not()));
  return left;
}

Result<ExpressionPtr> ExpressionParser::parse_not() {
  if (!take_name("not")) return parse_comparison();
  TRY(check_depth());
  const Level level{depth_};
  auto made = make(Expression::unary, "not");
  made->operands.push_back(TRY(parse_not()));
  return made;
}

std::string ExpressionParser::take_comparison() {
  for (const char* symbol : {"==", "!=", "<=", ">=", "<", ">"})
    if (take_symbol(symbol)) return symbol;
  if (take_name("in")) return "in";
  const bool not_in = sees_name("not") && at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == Token::name && tokens_[at_ + 1].value == "in";
  if (!not_in) return "";
  take(), take();
  return "not in";
}

Result<ExpressionPtr> ExpressionParser::parse_comparison() {
  auto left = TRY(parse_sum());
  auto name = take_comparison();
  if (name.empty()) return left;
  auto right = TRY(parse_sum());
  auto next = take_comparison();
  if (next.empty()) return make_binary(std::move(name), std::move(left), std::move(right));
  auto made = make(Expression::comparison);
  made->operands.push_back(std::move(left));
  made->operands.push_back(std::move(right));
  made->names.push_back(std::move(name));
  for (; !next.empty(); next = take_comparison()) {
    made->names.push_back(std::move(next));
    made->operands.push_back(TRY(parse_sum()));
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_sum() {
  auto left = TRY(parse_concatenation());
  while (sees_symbol("+") || sees_symbol("-")) {
    auto name = take().value;
    left = make_binary(std::move(name), std::move(left), TRY(parse_concatenation()));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::parse_concatenation() {
  auto left = TRY(parse_product());
  while (take_symbol("~")) left = make_binary("~", std::move(left), TRY(parse_product()));
  return left;
}

Result<ExpressionPtr> ExpressionParser::parse_product() {
  auto left = TRY(parse_unary(Filters::yes));
  while (sees_symbol("*") || sees_symbol("/") || sees_symbol("//") || sees_symbol("%")) {
    auto name = take().value;
    left = make_binary(std::move(name), std::move(left), TRY(parse_unary(Filters::yes)));
  }
  if (sees_symbol("**")) return bad("uses '**', which is not supported", ErrorCode::unsupported);
  return left;
}

Result<ExpressionPtr> ExpressionParser::parse_unary(Filters filters) {
  TRY(check_depth());
  const Level level{depth_};
  ExpressionPtr value;
  if (sees_symbol("-") || sees_symbol("+")) {
    auto made = make(Expression::unary, take().value);
    made->operands.push_back(TRY(parse_unary(Filters::no)));
    value = std::move(made);
  } else {
    value = TRY(parse_primary());
  }
  value = TRY(parse_postfix(std::move(value)));
  return filters == Filters::yes ? parse_filters(std::move(value)) : Result<ExpressionPtr>(std::move(value));
}

Result<ExpressionPtr> ExpressionParser::parse_primary() {
  if (take_symbol("(")) {
    if (take_symbol(")")) return make(Expression::tuple);
    auto inner = TRY(parse_tuple());
    TRY(expect_symbol(")"));
    return inner;
  }
  if (sees_symbol("[")) return parse_list();
  if (sees_symbol("{")) return parse_dict();
  const auto& token = peek();
  auto made = make(Expression::literal);
  switch (token.kind) {
    case Token::string: {
      std::string text;
      while (peek().kind == Token::string) text += take().value;
      made->value = std::move(text);
      return made;
    }
    case Token::integer: made->value = take().whole; return made;
    case Token::real: made->value = take().number; return made;
    case Token::name: break;
    default: return bad("lacks an expression");
  }
  const auto name = take().value;
  if (name == "true" || name == "True") made->value = true;
  else if (name == "false" || name == "False") made->value = false;
  else if (name == "none" || name == "None") made->value = None{};
  else made->kind = Expression::variable, made->name = name;
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_list() {
  auto made = make(Expression::list);
  take();
  while (!take_symbol("]")) {
    made->operands.push_back(TRY(parse_condition()));
    if (!sees_symbol("]")) TRY(expect_symbol(","));
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_dict() {
  auto made = make(Expression::dict);
  take();
  while (!take_symbol("}")) {
    made->operands.push_back(TRY(parse_condition()));
    TRY(expect_symbol(":"));
    made->operands.push_back(TRY(parse_condition()));
    if (!sees_symbol("}")) TRY(expect_symbol(","));
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_postfix(ExpressionPtr of) {
  for (std::size_t links = 0;; ++links) {
    if (links > depth_max_) return bad("is nested too deeply", ErrorCode::limit_exceeded);
    if (take_symbol(".")) {
      const bool counts = peek().kind == Token::integer;  // messages.0
      auto made = make(counts ? Expression::item : Expression::member, peek().kind == Token::name ? peek().value : "");
      if (made->name.empty() && !counts) return bad("lacks a name after '.'");
      made->operands.push_back(std::move(of));
      if (counts) {
        auto index = make(Expression::literal);
        index->value = peek().whole;
        made->operands.push_back(std::move(index));
      }
      take();
      of = std::move(made);
    } else if (take_symbol("[")) {
      of = TRY(parse_subscript(std::move(of)));
    } else if (sees_symbol("(")) {
      auto made = make(Expression::call);
      made->operands.push_back(std::move(of));
      made->arguments = TRY(parse_arguments());
      of = std::move(made);
    } else {
      return of;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::parse_subscript(ExpressionPtr of) {
  Expressions parts;
  std::size_t colons = 0;
  parts.push_back(nullptr);
  while (!take_symbol("]")) {
    if (take_symbol(":")) {
      if (++colons > 2) return bad("has a slice of more than three parts");
      parts.push_back(nullptr);
    } else if (parts.back()) {
      return bad("lacks ']'");
    } else {
      parts.back() = TRY(parse_condition());
    }
  }
  if (colons == 0 && !parts[0]) return bad("has empty brackets");
  auto made = make(colons ? Expression::slice : Expression::item);
  made->operands.push_back(std::move(of));
  if (colons) parts.resize(3);
  for (auto& part : parts) made->operands.push_back(std::move(part));
  return made;
}

Result<ExpressionPtr> ExpressionParser::parse_filters(ExpressionPtr of) {
  for (std::size_t links = 0;; ++links) {
    if (links > depth_max_) return bad("is nested too deeply", ErrorCode::limit_exceeded);
    if (take_symbol("|")) {
      auto made = make(Expression::filter, TRY(expect_name()));
      if (sees_symbol("(")) made->arguments = TRY(parse_arguments());
      made->operands.push_back(std::move(of));
      of = std::move(made);
    } else if (take_name("is")) {
      of = TRY(parse_test(std::move(of)));
    } else {
      return of;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::parse_test(ExpressionPtr of) {
  auto made = make(Expression::test);
  made->not_ = take_name("not");
  made->name = TRY(expect_name());
  made->operands.push_back(std::move(of));
  const auto kind = peek().kind;
  const bool value_follows = kind == Token::string || kind == Token::integer || kind == Token::real || sees_symbol("[") || sees_symbol("{") ||
                             (kind == Token::name && !sees_name("else") && !sees_name("or") && !sees_name("and") && !sees_name("if") &&
                              !sees_name("is") && !sees_name("in") && !sees_name("not"));
  if (sees_symbol("(")) {
    made->arguments = TRY(parse_arguments());
  } else if (value_follows) {
    auto argument = TRY(parse_primary());
    made->arguments.positional.push_back(TRY(parse_postfix(std::move(argument))));
  }
  return made;
}

Result<Arguments> ExpressionParser::parse_arguments() {
  Arguments arguments;
  take();
  while (!take_symbol(")")) {
    const bool named = peek().kind == Token::name && at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == Token::symbol && tokens_[at_ + 1].value == "=";
    if (named) {
      auto name = take().value;
      take();
      arguments.named.emplace_back(std::move(name), TRY(parse_condition()));
    } else if (arguments.spread) {
      return bad("has a value behind '*' in a call");
    } else if (take_symbol("*")) {
      arguments.spread = TRY(parse_condition());
    } else {
      arguments.positional.push_back(TRY(parse_condition()));
    }
    if (!sees_symbol(")")) TRY(expect_symbol(","));
  }
  return arguments;
}

}  // namespace redoubt::engine::chat_template
