// SPDX-License-Identifier: Apache-2.0
//
// Reads a template's statements.
#include "engine/chat_template/parser.h"

namespace redoubt::engine::chat_template {
namespace {

class StatementParser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Program> run() {
    Program program;
    TRY(parse_block(program.statements, {}));
    if (peek().kind != Token::end) return bad("ends a block that was not begun");
    return program;
  }

 private:
  // Reads statements up to a tag whose word is one of `ends`, which stays unread but for its opening; the end of the template
  // without one is an error unless nothing was asked for.
  Status parse_block(Block& into, const std::vector<std::string_view>& ends) {
    TRY(check_depth());
    const Level level{depth_};
    while (true) {
      const auto& token = peek();
      if (token.kind == Token::end) return ends.empty() ? Status() : bad("lacks '" + std::string(ends.back()) + "'");
      if (token.kind == Token::text) {
        into.push_back(make(Statement::text));
        into.back().value = take().value;
      } else if (token.kind == Token::output_begin) {
        take();
        into.push_back(make(Statement::output));
        into.back().expression = TRY(parse_tuple());
        TRY(expect(Token::output_end));
      } else {
        take();
        for (const auto end : ends)
          if (sees_name(end)) return {};
        TRY(parse_tag(into));
      }
    }
  }

  Statement make(Statement::Kind kind) const {
    Statement made;
    made.kind = kind;
    made.line = peek().line;
    return made;
  }

  Status expect(Token::Kind kind) {
    if (peek().kind != kind) return bad("has something unexpected ('" + peek().value + "') in a tag");
    take();
    return {};
  }

  Status end_tag(std::string_view word) {
    if (!take_name(word)) return bad("lacks '" + std::string(word) + "'");
    return expect(Token::block_end);
  }

  Status parse_tag(Block& into) {
    const auto word = TRY(expect_name());
    if (word == "if") return parse_if(into);
    if (word == "for") return parse_for(into);
    if (word == "set") return parse_set(into);
    if (word == "generation") return parse_generation(into);
    if (word == "macro") return parse_macro(into);
    if (word == "with") return parse_with(into);
    if (word == "filter") return parse_filter_block(into);
    if (word == "break" || word == "continue") {
      if (loops_ == 0) return bad("uses '" + word + "' outside a loop");
      into.push_back(make(word == "break" ? Statement::leave : Statement::next));
      return expect(Token::block_end);
    }
    if (word.starts_with("end") || word == "else" || word == "elif") return bad("has '" + word + "' without a beginning");
    return bad("uses the tag '" + word + "', which is not supported", ErrorCode::unsupported);
  }

  Status parse_if(Block& into) {
    auto made = make(Statement::if_);
    made.expression = TRY(parse_tuple());
    TRY(expect(Token::block_end));
    TRY(parse_block(made.body, {"elif", "else", "endif"}));
    if (take_name("elif")) {
      TRY(check_depth());
      const Level level{depth_};
      TRY(parse_if(made.otherwise));
      into.push_back(std::move(made));
      return {};  // the inner one has read endif
    }
    if (take_name("else")) {
      TRY(expect(Token::block_end));
      TRY(parse_block(made.otherwise, {"endif"}));
    }
    into.push_back(std::move(made));
    return end_tag("endif");
  }

  Result<std::vector<std::string>> parse_targets() {
    std::vector<std::string> names;
    const bool braced = take_symbol("(");
    do names.push_back(TRY(expect_name()));
    while (take_symbol(","));
    if (braced) TRY(expect_symbol(")"));
    return names;
  }

  Status parse_for(Block& into) {
    auto made = make(Statement::for_);
    made.targets = TRY(parse_targets());
    if (!take_name("in")) return bad("has a loop without 'in'");
    made.expression = TRY(parse_unconditional());
    if (take_name("if")) made.filter = TRY(parse_condition());
    if (sees_name("recursive")) return bad("uses a recursive loop, which is not supported", ErrorCode::unsupported);
    TRY(expect(Token::block_end));
    ++loops_;
    const auto body = parse_block(made.body, {"else", "endfor"});
    --loops_;
    TRY(body);
    if (take_name("else")) {
      TRY(expect(Token::block_end));
      TRY(parse_block(made.otherwise, {"endfor"}));
    }
    into.push_back(std::move(made));
    return end_tag("endfor");
  }

  Status parse_set(Block& into) {
    auto made = make(Statement::set);
    made.targets = TRY(parse_targets());
    if (made.targets.size() == 1 && take_symbol(".")) made.member = TRY(expect_name());
    if (take_symbol("=")) {
      made.expression = TRY(parse_tuple());
      into.push_back(std::move(made));
      return expect(Token::block_end);
    }
    made.kind = Statement::set_block;
    while (take_symbol("|")) TRY(parse_filter_name(made));
    TRY(expect(Token::block_end));
    TRY(parse_block(made.body, {"endset"}));
    into.push_back(std::move(made));
    return end_tag("endset");
  }

  // Transformers' marks around an answer; they write nothing.
  Status parse_generation(Block& into) {
    auto made = make(Statement::generation);
    TRY(expect(Token::block_end));
    TRY(parse_block(made.body, {"endgeneration"}));
    into.push_back(std::move(made));
    return end_tag("endgeneration");
  }

  Status parse_filter_name(Statement& made) {
    made.filter_names.push_back(TRY(expect_name()));
    made.filter_arguments.emplace_back();
    if (sees_symbol("(")) made.filter_arguments.back() = TRY(parse_arguments());
    return {};
  }

  Status parse_filter_block(Block& into) {
    auto made = make(Statement::filter_block);
    do TRY(parse_filter_name(made));
    while (take_symbol("|"));
    TRY(expect(Token::block_end));
    TRY(parse_block(made.body, {"endfilter"}));
    into.push_back(std::move(made));
    return end_tag("endfilter");
  }

  Status parse_with(Block& into) {
    auto made = make(Statement::with);
    while (peek().kind == Token::name) {
      made.targets.push_back(TRY(expect_name()));
      TRY(expect_symbol("="));
      made.values.push_back(TRY(parse_condition()));
      if (!take_symbol(",")) break;
    }
    TRY(expect(Token::block_end));
    TRY(parse_block(made.body, {"endwith"}));
    into.push_back(std::move(made));
    return end_tag("endwith");
  }

  // {% macro name(a, b=1) %}
  Status parse_macro(Block& into) {
    auto made = make(Statement::macro);
    made.member = TRY(expect_name());
    TRY(expect_symbol("("));
    while (!take_symbol(")")) {
      made.targets.push_back(TRY(expect_name()));
      if (take_symbol("=")) made.values.push_back(TRY(parse_condition()));
      else if (!made.values.empty()) return bad("has a macro with a parameter without a default behind one that has it");
      if (!sees_symbol(")")) TRY(expect_symbol(","));
    }
    TRY(expect(Token::block_end));
    const int loops = std::exchange(loops_, 0);
    const auto body = parse_block(made.body, {"endmacro"});
    loops_ = loops;
    TRY(body);
    into.push_back(std::move(made));
    return end_tag("endmacro");
  }

  int loops_ = 0;
};

}  // namespace

Result<Program> parse_program(const std::vector<Token>& tokens, const std::string& where, std::size_t depth_max) {
  return StatementParser(tokens, where, depth_max).run();
}

}  // namespace redoubt::engine::chat_template
