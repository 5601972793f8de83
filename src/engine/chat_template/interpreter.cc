// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/interpreter.h"

#include <algorithm>

#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {

const Value* Given::find(std::size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  return find_member(named, name);
}

Status Budget::step(int line) {
  line_ = line;
  if (++steps_ > limits_.steps_max) return bad("takes too many steps", ErrorCode::limit_exceeded);
  return {};
}

Status Budget::spend(std::size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.bytes_max) return bad("makes too much text", ErrorCode::limit_exceeded);
  return {};
}

tl::unexpected<Error> Budget::bad(std::string what, ErrorCode code) const {
  return fail(code, "the chat template " + std::move(what), where_ + ":" + std::to_string(line_));
}

namespace {

// How a block of statements ended.
enum class Flow { on, leave, next };

class Interpreter {
 public:
  Interpreter(const Rendering& rendering, const Limits& limits, const std::string& where)
      : rendering_(rendering), budget_(limits, where) {
    scopes_.emplace_back();
  }

  Result<MarkedText> run(const Program& program) {
    TRY(run_block(program.statements));
    return MarkedText{std::move(out_), std::move(generated_)};
  }

 private:
  Result<Flow> run_block(const Block& block) {
    for (const auto& statement : block) {
      TRY(budget_.step(statement.line));
      const auto flow = TRY(run_statement(statement));
      if (flow != Flow::on) return flow;
    }
    return Flow::on;
  }

  Result<Flow> run_statement(const Statement& statement) {
    switch (statement.kind) {
      case Statement::text: TRY(write(statement.value)); return Flow::on;
      case Statement::output: TRY(write_value(*statement.expression)); return Flow::on;
      case Statement::if_: {
        const auto condition = TRY(evaluate(*statement.expression));
        return run_block(condition.truth() ? statement.body : statement.otherwise);
      }
      case Statement::for_: return run_loop(statement);
      case Statement::set: TRY(assign(statement, TRY(evaluate(*statement.expression)))); return Flow::on;
      case Statement::set_block: return run_set_block(statement);
      case Statement::generation: return run_generation(statement);
      case Statement::macro: define(statement); return Flow::on;
      case Statement::with: return run_with(statement);
      case Statement::filter_block: return run_filter_block(statement);
      case Statement::leave: return Flow::leave;
      case Statement::next: return Flow::next;
    }
    return Flow::on;
  }

  // What the block sets is its own.
  Result<Flow> run_scoped(const Block& block) {
    const Scope scope(scopes_);
    return run_block(block);
  }

  Status write(std::string_view text) {
    TRY(budget_.spend(text.size()));
    out_ += text;
    return {};
  }

  // What is written inside is the assistant's. In a set block nobody knows yet where the text will stand.
  Result<Flow> run_generation(const Statement& statement) {
    const std::size_t begin = out_.size();
    const auto flow = TRY(run_scoped(statement.body));
    if (captures_ == 0 && out_.size() > begin) generated_.push_back({begin, out_.size()});
    return flow;
  }

  // What a block writes, kept from the output.
  Result<std::string> captured(const Block& block) {
    std::string outer;
    std::swap(outer, out_);
    ++captures_;
    const auto flow = run_scoped(block);
    --captures_;
    std::swap(outer, out_);
    TRY(flow);
    return outer;
  }

  Result<Flow> run_set_block(const Statement& statement) {
    auto value = Value(TRY(captured(statement.body)));
    TRY(assign(statement, TRY(filtered_by(statement, std::move(value)))));
    return Flow::on;
  }

  Result<Flow> run_filter_block(const Statement& statement) {
    auto value = Value(TRY(captured(statement.body)));
    TRY(write(to_text(TRY(filtered_by(statement, std::move(value))))));
    return Flow::on;
  }

  Result<Value> filtered_by(const Statement& statement, Value value) {
    for (std::size_t i = 0; i < statement.filter_names.size(); ++i)
      value = TRY(apply_filter(statement.filter_names[i], value, TRY(given(statement.filter_arguments[i])), budget_));
    return value;
  }

  Result<Flow> run_with(const Statement& statement) {
    List values = TRY(evaluate_all(statement.values));
    const Scope scope(scopes_);
    for (std::size_t i = 0; i < values.size(); ++i) set_member(scopes_.back(), statement.targets[i], std::move(values[i]));
    return run_block(statement.body);
  }

  void define(const Statement& statement) { set_member(scopes_.back(), statement.member, Value(Macro{&statement, scopes_.size()})); }

  Status write_value(const Expression& expression) {
    const auto value = TRY(evaluate(expression));
    TRY(check_written(value, budget_));
    return write(to_text(value));
  }

  Status assign(const Statement& statement, Value value) {
    if (statement.member.empty()) return bind(statement.targets, std::move(value));
    auto* space = lookup(statement.targets[0]).space();
    if (!space) return budget_.bad("sets a member of '" + statement.targets[0] + "', which is no namespace");
    // It could come to hold itself.
    if (value.holds_space()) return budget_.bad("puts a namespace into a namespace", ErrorCode::unsupported);
    set_member(space->members, statement.member, std::move(value));
    return {};
  }

  Status bind(const std::vector<std::string>& names, Value value) {
    if (names.size() == 1) {
      set_member(scopes_.back(), names[0], std::move(value));
      return {};
    }
    const auto parts = TRY(items_of(value, budget_));
    if (parts.size() != names.size()) return budget_.bad("unpacks a value into another number of names");
    for (std::size_t i = 0; i < names.size(); ++i) set_member(scopes_.back(), names[i], parts[i]);
    return {};
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto* found = find_member(*scope, name)) return *found;
    if (const auto* found = find_member(rendering_.globals, name)) return *found;
    return {};
  }

  // Puts a scope on for as long as it lives.
  struct Scope {
    std::vector<Dict>& scopes;
    explicit Scope(std::vector<Dict>& all) : scopes(all) { scopes.emplace_back(); }
    ~Scope() { scopes.pop_back(); }
  };

  Result<Flow> run_loop(const Statement& statement) {
    auto items = TRY(items_of(TRY(evaluate(*statement.expression)), budget_));
    if (statement.filter) items = TRY(filtered(statement, std::move(items)));
    if (items.empty()) return run_scoped(statement.otherwise);
    for (std::size_t i = 0; i < items.size(); ++i) {
      TRY(budget_.step(statement.line));
      const Scope scope(scopes_);
      set_member(scopes_.back(), "loop", loop_value(items, i));
      TRY(bind(statement.targets, items[i]));
      if (TRY(run_block(statement.body)) == Flow::leave) break;
    }
    return Flow::on;
  }

  Result<List> filtered(const Statement& statement, List items) {
    List kept;
    for (auto& item : items) {
      TRY(budget_.step(statement.line));
      const Scope scope(scopes_);
      TRY(bind(statement.targets, item));
      if (TRY(evaluate(*statement.filter)).truth()) kept.push_back(std::move(item));
    }
    return kept;
  }

  static Value loop_value(const List& items, std::size_t i) {
    const auto index = static_cast<std::int64_t>(i), length = static_cast<std::int64_t>(items.size());
    return Value::of(Dict{{"index", index + 1},
                          {"index0", index},
                          {"revindex", length - index},
                          {"revindex0", length - index - 1},
                          {"first", i == 0},
                          {"last", i + 1 == items.size()},
                          {"length", length},
                          {"depth", std::int64_t{1}},
                          {"depth0", std::int64_t{0}},
                          {"previtem", i > 0 ? items[i - 1] : Value()},
                          {"nextitem", i + 1 < items.size() ? items[i + 1] : Value()}});
  }

  Result<Value> evaluate(const Expression& e) {
    TRY(budget_.step(e.line));
    switch (e.kind) {
      case Expression::literal: return e.value;
      case Expression::variable:
        if (e.name == "varargs" || e.name == "kwargs" || e.name == "caller")
          return budget_.bad("uses '" + e.name + "' of a macro, which is not supported", ErrorCode::unsupported);
        return lookup(e.name);
      case Expression::list: return built(Value::of(TRY(evaluate_all(e.operands))));
      case Expression::tuple: return built(Value::tuple_of(TRY(evaluate_all(e.operands))));
      case Expression::dict: return make_dict(e);
      case Expression::member: return get_member(TRY(evaluate(*e.operands[0])), e.name);
      case Expression::item: {
        const auto of = TRY(evaluate(*e.operands[0]));
        return get_item(of, TRY(evaluate(*e.operands[1])));
      }
      case Expression::slice: return get_slice(e);
      case Expression::call: return call(e);
      case Expression::filter: return filter(e);
      case Expression::test: {
        const auto value = TRY(evaluate(*e.operands[0]));
        return Value(TRY(apply_test(e.name, value, TRY(given(e.arguments)), budget_)) != e.not_);
      }
      case Expression::unary: return unary(e);
      case Expression::binary: return binary(e);
      case Expression::comparison: return comparison(e);
      case Expression::conditional: break;
    }
    if (TRY(evaluate(*e.operands[1])).truth()) return evaluate(*e.operands[0]);
    return e.operands[2] ? evaluate(*e.operands[2]) : Result<Value>(Value());
  }

  Result<List> evaluate_all(const Expressions& expressions) {
    List values;
    for (const auto& expression : expressions) values.push_back(TRY(evaluate(*expression)));
    return values;
  }

  Result<Given> given(const Arguments& arguments) {
    Given out{.positional = TRY(evaluate_all(arguments.positional)), .named = {}};
    if (arguments.spread) {
      const auto more = TRY(items_of(TRY(evaluate(*arguments.spread)), budget_));
      out.positional.insert(out.positional.end(), more.begin(), more.end());
    }
    for (const auto& [name, expression] : arguments.named) out.named.emplace_back(name, TRY(evaluate(*expression)));
    return out;
  }

  Result<Value> make_dict(const Expression& e) {
    Dict dict;
    for (std::size_t i = 0; i < e.operands.size(); i += 2) {
      const auto key = TRY(evaluate(*e.operands[i]));
      if (!key.text()) return budget_.bad("makes a dict with a key that is no string", ErrorCode::unsupported);
      set_member(dict, *key.text(), TRY(evaluate(*e.operands[i + 1])));
    }
    return built(Value::of(std::move(dict)));
  }

  // Counts a new list or dict with all that it holds, so that no value doubles its way past the limits.
  Result<Value> built(Value value) {
    TRY(budget_.spend(value.weight()));
    return value;
  }

  Result<Value> get_member(const Value& of, const std::string& name) {
    if (has_method(of, name)) return Value(Function::method);
    const Dict* members = of.space() ? &of.space()->members : of.dict();
    if (members) {
      const auto* found = find_member(*members, name);
      return found ? *found : Value();
    }
    if (of.is_undefined()) return budget_.bad("reads '" + name + "' of something that is not defined");
    return Value();
  }

  Result<Value> get_item(const Value& of, const Value& index) {
    if (index.text()) {
      const auto* found = of.dict() ? find_member(*of.dict(), *index.text()) : nullptr;
      if (found) return *found;
      return get_member(of, *index.text());
    }
    if (of.is_undefined()) return budget_.bad("indexes something that is not defined");
    if (!index.is_integer()) return Value();
    const auto length = static_cast<std::int64_t>(of.list() ? of.list()->size() : of.text() ? length_of(*of.text()) : 0);
    const auto place = index.integer() < 0 ? index.integer() + length : index.integer();
    if (place < 0 || place >= length) return Value();
    const auto at = static_cast<std::size_t>(place);
    if (of.list()) return (*of.list())[at];
    return text_like(of, std::string(substring(*of.text(), at, at + 1)));
  }

  // A slice's end as an offset of 0 to length, as Python clamps it.
  Result<std::int64_t> bound(const ExpressionPtr& part, std::int64_t fallback, std::int64_t least, std::int64_t most) {
    if (!part) return fallback;
    const auto value = TRY(evaluate(*part));
    if (value.is_none()) return fallback;
    if (!value.is_integer()) return budget_.bad("slices with something that is no whole number");
    const auto wanted = value.integer() < 0 ? value.integer() + most + (least < 0 ? 1 : 0) : value.integer();
    return std::clamp(wanted, least, most);
  }

  Result<Value> get_slice(const Expression& e) {
    const auto of = TRY(evaluate(*e.operands[0]));
    if (!of.list() && !of.text()) return budget_.bad(std::string("slices a value of type ") + of.type_name());
    const auto length = static_cast<std::int64_t>(of.list() ? of.list()->size() : length_of(*of.text()));
    std::int64_t step = 1;
    if (e.operands[3]) {
      const auto value = TRY(evaluate(*e.operands[3]));
      if (!value.is_none() && (!value.is_integer() || value.integer() == 0)) return budget_.bad("slices with a bad step");
      if (value.is_integer()) step = std::clamp<std::int64_t>(value.integer(), -length - 1, length + 1);
    }
    const std::int64_t least = step < 0 ? -1 : 0, most = step < 0 ? length - 1 : length;
    const auto begin = TRY(bound(e.operands[1], step < 0 ? most : least, least, most));
    const auto end = TRY(bound(e.operands[2], step < 0 ? least : most, least, most));
    return take_slice(of, begin, end, step);
  }

  Result<Value> take_slice(const Value& of, std::int64_t begin, std::int64_t end, std::int64_t step) {
    if (of.text() && step == 1)
      return text_like(of, std::string(substring(*of.text(), static_cast<std::size_t>(begin), static_cast<std::size_t>(std::max(begin, end)))));
    const auto items = TRY(items_of(of, budget_));
    List kept;
    for (auto i = begin; step > 0 ? i < end : i > end; i += step) kept.push_back(items[static_cast<std::size_t>(i)]);
    if (!of.text()) return of.is_tuple() ? Value::tuple_of(std::move(kept)) : Value::of(std::move(kept));
    std::string text;
    for (const auto& item : kept) text += *item.text();
    return text_like(of, std::move(text));
  }

  // A part of a text is marked as the whole is.
  static Value text_like(const Value& whole, std::string part) { return whole.is_marked() ? Value::marked(std::move(part)) : Value(std::move(part)); }

  Result<Value> call(const Expression& e) {
    const auto& callee = *e.operands[0];
    Value function;
    if (callee.kind == Expression::member) {
      const auto of = TRY(evaluate(*callee.operands[0]));
      if (callee.name == "cycle" && is_loop(of)) return cycle(*of.dict(), TRY(given(e.arguments)));
      function = of.is_undefined() ? Value() : TRY(get_member(of, callee.name));
      if (!function.macro()) return call_method(of, callee.name, TRY(given(e.arguments)), budget_);
    } else if (callee.kind == Expression::item) {
      const auto of = TRY(evaluate(*callee.operands[0])), name = TRY(evaluate(*callee.operands[1]));
      function = TRY(get_item(of, name));
      if (function.function() && *function.function() == Function::method) return call_method(of, *name.text(), TRY(given(e.arguments)), budget_);
    } else {
      function = TRY(evaluate(callee));
    }
    if (!function.is_callable()) return budget_.bad("calls '" + callee.name + "', which is no function", ErrorCode::unsupported);
    auto arguments = TRY(given(e.arguments));
    if (function.macro()) return call_macro(*function.macro(), std::move(arguments));
    return call_function(*function.function(), arguments, rendering_.now, budget_);
  }

  static bool is_loop(const Value& value) { return value.dict() && find_member(*value.dict(), "revindex0") && find_member(*value.dict(), "previtem"); }

  Result<Value> cycle(const Dict& loop, const Given& given) {
    if (given.positional.empty()) return budget_.bad("calls loop.cycle without values");
    return given.positional[static_cast<std::size_t>(find_member(loop, "index0")->integer()) % given.positional.size()];
  }

  Result<Value> call_macro(Macro macro, Given arguments) {
    const auto& definition = *macro.definition;
    const auto& parameters = definition.targets;
    const auto what = [&] { return "calls the macro '" + definition.member + "' "; };
    if (arguments.positional.size() > parameters.size()) return budget_.bad(what() + "with too many values");
    if (macro.scopes > scopes_.size()) return budget_.bad(what() + "outside of where it was made", ErrorCode::unsupported);
    if (++calls_ > kCallsMax) return budget_.bad(what() + "from within itself too often", ErrorCode::limit_exceeded);
    // It sees where it was defined, not where it is called.
    std::vector<Dict> hidden(std::make_move_iterator(scopes_.begin() + static_cast<std::ptrdiff_t>(macro.scopes)), std::make_move_iterator(scopes_.end()));
    scopes_.resize(macro.scopes);
    scopes_.emplace_back();
    const auto text = run_macro(definition, std::move(arguments));
    scopes_.resize(macro.scopes);
    std::ranges::move(hidden, std::back_inserter(scopes_));
    --calls_;
    return Value(TRY(text));
  }

  Result<std::string> run_macro(const Statement& definition, Given arguments) {
    const auto& parameters = definition.targets;
    const auto first_default = parameters.size() - definition.values.size();
    std::size_t used = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto* named = find_member(arguments.named, parameters[i]);
      if (named && i < arguments.positional.size()) return budget_.bad("gives '" + parameters[i] + "' to a macro twice");
      used += named ? 1 : 0;
      Value value;
      if (i < arguments.positional.size()) value = std::move(arguments.positional[i]);
      else if (named) value = *named;
      else if (i >= first_default) value = TRY(evaluate(*definition.values[i - first_default]));
      set_member(scopes_.back(), parameters[i], std::move(value));
    }
    if (used != arguments.named.size()) return budget_.bad("gives a macro a value under a name that it does not have");
    return captured(definition.body);
  }

  // a < b < c
  Result<Value> comparison(const Expression& e) {
    auto left = TRY(evaluate(*e.operands[0]));
    for (std::size_t i = 0; i < e.names.size(); ++i) {
      auto right = TRY(evaluate(*e.operands[i + 1]));
      if (!TRY(apply_binary(e.names[i], left, right, budget_)).truth()) return Value(false);
      left = std::move(right);
    }
    return Value(true);
  }

  Result<Value> filter(const Expression& e) {
    const auto value = TRY(evaluate(*e.operands[0]));
    return apply_filter(e.name, value, TRY(given(e.arguments)), budget_);
  }

  Result<Value> unary(const Expression& e) {
    const auto value = TRY(evaluate(*e.operands[0]));
    if (e.name == "not") return Value(!value.truth());
    if (!value.is_number()) return budget_.bad("gives a sign to something that is no number");
    if (e.name == "+") return value;
    return apply_binary("-", Value(std::int64_t{0}), value, budget_);
  }

  Result<Value> binary(const Expression& e) {
    auto left = TRY(evaluate(*e.operands[0]));
    if (e.name == "and") return left.truth() ? evaluate(*e.operands[1]) : Result<Value>(std::move(left));
    if (e.name == "or") return left.truth() ? Result<Value>(std::move(left)) : evaluate(*e.operands[1]);
    return apply_binary(e.name, left, TRY(evaluate(*e.operands[1])), budget_);
  }

  static constexpr int kCallsMax = 32;  // macros within macros
  const Rendering& rendering_;
  Budget budget_;
  std::vector<Dict> scopes_;
  std::string out_;
  std::vector<TextSpan> generated_;
  int captures_ = 0;  // blocks that are being written into a value
  int calls_ = 0;     // macros that are running
};

}  // namespace

Result<MarkedText> run_program(const Program& program, const Rendering& rendering, const Limits& limits, const std::string& where) {
  return Interpreter(rendering, limits, where).run(program);
}

}  // namespace redoubt::engine::chat_template
