// SPDX-License-Identifier: Apache-2.0
//
// The inside of compile_schema: one rule for each place of the schema.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "json_schema/code_points.h"
#include "json_schema/compile.h"
#include "json_schema/numbers.h"

namespace redoubt::json_schema {

// Members in the order in which they were written, since that is the order in which an answer gives them.
using Schema = nlohmann::ordered_json;

// A place in the schema, with its JSON pointer as a URI fragment ("#/items").
struct Place {
  const Schema* schema = nullptr;
  std::string pointer = "#";
  Place at(const std::string& key) const;         // a member that exists
  Place at(const char* key, std::size_t index) const;  // an entry of a member that is a list
};

class Compiler {
 public:
  Compiler(const Schema& document, const CompileLimits& limits) : document_(document), limits_(limits), grammar_(limits.grammar) {}
  Result<Grammar> run();

 private:
  Result<RuleId> rule_of(const Place& place);
  Status fill(RuleId rule, const Place& place);
  Result<Place> resolve(const Place& place) const;  // through $ref

  // What fits one of the forms, from the rule's start to `end`.
  Status add_reference(const Place& place, StateId start, StateId end);
  Status add_branches(const Place& place, const char* key, StateId start, StateId end);
  Status add_values(const Place& place, StateId start, StateId end);
  Status add_type(const Place& place, const std::string& type, StateId start, StateId end);
  Status add_string(const Place& place, StateId start, StateId end);
  Result<std::optional<CodePointDfa>> narrowed(const Place& place);
  Status add_numeric(const Place& place, bool integer, StateId start, StateId end);
  Status add_array(const Place& place, StateId start, StateId end);
  Status add_object(const Place& place, StateId start, StateId end);

  struct Property {
    std::string name;
    RuleId value;
    bool required;
  };
  struct Additional {
    std::optional<RuleId> value = {};  // of any further member; nothing: there is none
  };
  Result<std::vector<Property>> properties_of(const Place& place, const Additional& additional);
  Result<Additional> additional_of(const Place& place, bool names_properties);
  void add_members(const std::vector<Property>& properties, const Additional& additional, StateId start, StateId end);

  // Reading.
  Result<std::vector<std::string>> types_of(const Place& place) const;
  Result<std::uint32_t> count(const Place& place, const char* key, std::uint32_t fallback) const;
  Status only(const Place& place, std::initializer_list<const char*> keys) const;
  // Whether no value fits both; false where it can't be told.
  bool disjoint(const Place& a, const Place& b, int depth) const;
  std::optional<std::vector<Json>> values_of(const Place& place) const;

  // Pieces that are the same wherever they come.
  void add_space(StateId from, StateId to);
  void add_any_string(StateId from, StateId to);
  RuleId any_value();

  const Schema& document_;
  const CompileLimits& limits_;
  Grammar grammar_;
  std::map<std::string, RuleId> rules_ = {};  // by pointer
  std::optional<RuleId> space_ = {}, any_ = {};
  std::size_t depth_ = 0, pattern_work_ = 0;
};

// Errors of a place.
tl::unexpected<Error> wrong_schema(const Place& place, std::string what);
tl::unexpected<Error> unsupported_schema(const Place& place, std::string what);

}  // namespace redoubt::json_schema
