// SPDX-License-Identifier: Apache-2.0
#include "engine/model/lora_targets.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/tokenizer/regex.h"

namespace redoubt::engine::model {
namespace {

using tokenizer::Regex;

constexpr std::size_t kPatternBytesMax = 4096;

// An expression that has to match a whole path.
Result<Regex> whole(const std::string& pattern, const std::string& where) {
  if (pattern.size() > kPatternBytesMax) return fail(ErrorCode::limit_exceeded, "a pattern is too long", where);
  return Regex::compile("^(?:" + pattern + ")$", where);
}

Result<bool> matches(const Regex& regex, const std::string& path) {
  std::vector<tokenizer::Range> found;
  TRY(regex.find_all(path, found));
  return !found.empty();
}

// What the pattern that ends the path gives, as PEFT finds it. PEFT takes the first of several; objects in JSON have no order.
template <class T>
class Patterns {
 public:
  static Result<Patterns> compile(const std::map<std::string, T>& values, const char* where) {
    Patterns out;
    for (const auto& [pattern, value] : values)
      out.entries_.push_back({TRY(whole("(?:.*\\.)?(?:" + pattern + ")", where)), pattern, value, false});
    return out;
  }
  Result<std::optional<T>> find(const std::string& path) {
    std::optional<T> found;
    for (auto& entry : entries_) {
      if (!TRY(matches(entry.regex, path))) continue;
      entry.used = true;
      if (found && *found != entry.value)
        return fail(ErrorCode::unsupported, "two patterns give " + path + " different values", entry.pattern,
                    "write them so that one fits a module");
      found = entry.value;
    }
    return found;
  }
  Status expect_all_used(const char* where) const {
    for (const auto& entry : entries_)
      if (!entry.used)
        return fail(ErrorCode::invalid_argument, "'" + entry.pattern + "' fits no module that is adapted", where);
    return {};
  }

 private:
  struct Entry {
    Regex regex;
    std::string pattern;
    T value;
    bool used;
  };
  std::vector<Entry> entries_;
};

std::string names_of(const std::vector<ModulePath>& modules) {
  std::set<std::string> names;
  for (const auto& module : modules) names.insert(module.path.substr(module.path.rfind('.') + 1));
  std::string text;
  for (const auto& name : names) text += " " + name;
  return text;
}

class Chooser {
 public:
  Chooser(const std::vector<ModulePath>& modules, const LoraOptions& options) : modules_(modules), options_(options) {}

  Result<std::vector<std::string>> run() {
    if (!options_.target_pattern.empty()) pattern_ = TRY(whole(options_.target_pattern, "target_modules"));
    std::vector<std::string> chosen;
    for (const auto& module : modules_)
      if (TRY(is_target(module.path)) && in_layers(module.layer)) chosen.push_back(module.path);
    for (const auto& target : options_.targets)
      if (!found_.contains(target))
        return fail(ErrorCode::invalid_argument, "no module is named '" + target + "'", "target_modules",
                    "use all-linear, or names out of" + names_of(modules_));
    if (chosen.empty())
      return fail(ErrorCode::invalid_argument, "the adapter adapts no module", "target_modules",
                  "the modules are" + names_of(modules_));
    return chosen;
  }

 private:
  Result<bool> is_target(const std::string& path) {
    if (pattern_) return matches(*pattern_, path);
    bool any = options_.targets.empty();
    for (const auto& target : options_.targets)
      if (is_named(path, target)) any = true, found_.insert(target);
    return any;
  }
  bool in_layers(std::int64_t layer) const {
    return options_.layers.empty() || std::find(options_.layers.begin(), options_.layers.end(), layer) != options_.layers.end();
  }

  const std::vector<ModulePath>& modules_;
  const LoraOptions& options_;
  std::optional<Regex> pattern_;
  std::set<std::string> found_;
};

Result<std::vector<std::string>> strings_of(const Json& list, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& name : list) {
    if (!name.is_string()) return fail(ErrorCode::invalid_argument, "a module's name is not a string", where);
    names.push_back(name.get<std::string>());
  }
  if (names.empty()) return fail(ErrorCode::invalid_argument, "no module is named", where, "use \"all-linear\" or names");
  return names;
}

Status read_targets(const Json& value, const std::string& where, LoraOptions& options) {
  if (value.is_null() || value == "all-linear") return {};
  if (value.is_array()) {
    options.targets = TRY(strings_of(value, where));
    return {};
  }
  if (!value.is_string() || value == "")
    return fail(ErrorCode::invalid_argument, "target_modules must be \"all-linear\", a list of names or a regular expression", where);
  options.target_pattern = value.get<std::string>();
  return {};
}

Status read_layers(const Json& value, const std::string& where, LoraOptions& options) {
  if (value.is_null()) return {};
  const Json list = value.is_array() ? value : Json::array({value});
  for (const auto& layer : list) {
    if (!layer.is_number_integer() || layer.get<std::int64_t>() < 0)
      return fail(ErrorCode::invalid_argument, "layers_to_transform must be a layer's number or a list of them", where);
    options.layers.push_back(layer.get<std::int64_t>());
  }
  return {};
}

Status read_patterns(const Json& config, const std::string& where, LoraOptions& options) {
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    const Json patterns = json_or(config, key, Json());
    if (patterns.is_null()) continue;
    const std::string place = where + ": " + key;
    if (!patterns.is_object()) return fail(ErrorCode::invalid_argument, "must be an object", place);
    for (const auto& [pattern, value] : patterns.items()) {
      const bool rank = std::string_view(key) == "rank_pattern";
      if (rank ? !value.is_number_integer() || value < 1 || value > 4096 : !value.is_number() || value < 0)
        return fail(ErrorCode::invalid_argument, "not a number in range for '" + pattern + "'", place);
      if (rank)
        options.rank_pattern[pattern] = value.get<std::int64_t>();
      else
        options.alpha_pattern[pattern] = value.get<double>();
    }
  }
  return {};
}

}  // namespace

double LoraOptions::scale_of(std::int64_t module_rank, double module_alpha) const {
  const auto r = static_cast<double>(module_rank);
  return module_alpha / (stabilised ? std::sqrt(r) : r);
}

bool is_named(const std::string& path, const std::string& name) { return path == name || path.ends_with("." + name); }

Result<std::vector<LoraTarget>> choose_targets(const std::vector<ModulePath>& modules, const LoraOptions& options) {
  return size_targets(TRY(Chooser(modules, options).run()), options, UnusedPatterns::refused);
}

Result<std::vector<LoraTarget>> size_targets(const std::vector<std::string>& chosen, const LoraOptions& options, UnusedPatterns unused) {
  auto ranks = TRY(Patterns<std::int64_t>::compile(options.rank_pattern, "rank_pattern"));
  auto alphas = TRY(Patterns<double>::compile(options.alpha_pattern, "alpha_pattern"));
  std::vector<LoraTarget> targets;
  for (const auto& path : chosen) {
    const auto rank = TRY(ranks.find(path)).value_or(options.rank);
    targets.push_back({path, rank, TRY(alphas.find(path)).value_or(options.alpha)});
  }
  if (unused == UnusedPatterns::passed_over) return targets;
  TRY(ranks.expect_all_used("rank_pattern"));
  TRY(alphas.expect_all_used("alpha_pattern"));
  return targets;
}

Result<LoraOptions> parse_lora_options(const Json& config, const std::string& where) {
  LoraOptions options;
  options.rank = TRY(json_integer(config, "r", where));
  options.alpha = TRY(json_number(config, "lora_alpha", where));
  if (options.rank < 1 || options.rank > 4096) return fail(ErrorCode::invalid_argument, "r is out of range", where);
  options.dropout = json_or(config, "lora_dropout", 0.0);
  options.stabilised = json_or(config, "use_rslora", false);
  options.magnitude = json_or(config, "use_dora", false);
  TRY(read_targets(json_or(config, "target_modules", Json()), where, options));
  TRY(read_layers(json_or(config, "layers_to_transform", Json()), where, options));
  TRY(read_patterns(config, where, options));
  return options;
}

}  // namespace redoubt::engine::model
