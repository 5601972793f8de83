// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <regex>

#include "base/file.h"
#include "base/tagged_yaml.h"

namespace redoubt::provider::aws::stack {
namespace {

constexpr std::uint64_t kBytesMax = 1'000'000;  // CloudFormation's own limit for a template in a bucket
constexpr std::size_t kParameterBytesMax = 4096;
constexpr const char* kNoValue = "AWS::NoValue";

Result<Json> written_out(std::string_view tag, Json value) {
  if (tag == "Ref" || tag == "Condition") return Json{{std::string(tag), std::move(value)}};
  if (tag == "GetAtt" && value.is_string()) {
    const auto text = value.get<std::string>();
    const auto dot = text.find('.');
    if (dot == text.npos) return fail(ErrorCode::invalid_argument, "!GetAtt names no attribute");
    value = Json::array({text.substr(0, dot), text.substr(dot + 1)});
  }
  return Json{{"Fn::" + std::string(tag), std::move(value)}};
}

tl::unexpected<Error> refuse(const std::string& key, const Json& definition, const std::string& what, const std::string& where) {
  const auto about = json_or(definition, "Description", "");
  return fail(ErrorCode::invalid_argument, fmt::format("the parameter {} {}", key, what), where, about);
}

Status check_number(const std::string& key, const std::string& value, const Json& definition, const std::string& where) {
  double number = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (problem != std::errc() || end != value.data() + value.size()) return refuse(key, definition, "must be a number, not '" + value + "'", where);
  const auto least = json_or(definition, "MinValue", -1e300), most = json_or(definition, "MaxValue", 1e300);
  if (number < least || number > most) return refuse(key, definition, fmt::format("must lie between {} and {}", least, most), where);
  return {};
}

Status check_parameter(const std::string& key, const std::string& value, const Json& definition, const std::string& where) {
  if (value.size() > kParameterBytesMax) return refuse(key, definition, "is longer than 4,096 bytes", where);
  if (json_or(definition, "Type", "") == "Number") TRY(check_number(key, value, definition, where));
  if (const Json allowed = json_or(definition, "AllowedValues", Json::array()); !allowed.empty()) {
    std::string list;
    for (const auto& one : allowed) list += (list.empty() ? "" : ", ") + (one.is_string() ? one.get<std::string>() : one.dump());
    if (std::find(allowed.begin(), allowed.end(), Json(value)) == allowed.end()) return refuse(key, definition, fmt::format("must be one of {}, not '{}'", list, value), where);
  }
  const auto pattern = json_or(definition, "AllowedPattern", "");
  if (pattern.empty()) return {};
  try {
    if (!std::regex_match(value, std::regex(pattern))) return refuse(key, definition, fmt::format("must match {}, which '{}' does not", pattern, value), where);
  } catch (const std::regex_error&) {
    return refuse(key, definition, "has a pattern that can't be read: " + pattern, where);
  }
  return {};
}

}  // namespace

Result<Template> load_template(const std::filesystem::path& file) {
  Template source{file.string(), TRY(read_text_file(file, kBytesMax)), {}};
  auto document = parse_tagged_yaml(source.text, source.file, written_out);
  if (!document) return tl::unexpected(document.error());
  source.body = std::move(document->value);
  if (!source.body.is_object() || json_or(source.body, "Resources", Json::object()).empty()) {
    return fail(ErrorCode::invalid_argument, "no CloudFormation template: it has no Resources", source.file);
  }
  return source;
}

Result<Parameters> load_parameters(const std::filesystem::path& file) {
  const Json list = TRY(parse_json(TRY(read_text_file(file, kBytesMax)), file.string()));
  if (!list.is_array()) return fail(ErrorCode::invalid_argument, "not a list of parameters", file.string(), R"(write [{"ParameterKey": "Environment", "ParameterValue": "dev"}])");
  Parameters out;
  for (const auto& item : list) {
    auto key = TRY(json_string(item, "ParameterKey", file.string()));
    auto value = TRY(json_string(item, "ParameterValue", file.string()));
    if (!out.emplace(key, std::move(value)).second) return fail(ErrorCode::invalid_argument, "the parameter " + key + " stands twice", file.string(), "remove one of the two");
  }
  return out;
}

Status check_parameters(const Template& source, const Parameters& given, const std::string& where) {
  const Json known = json_or(source.body, "Parameters", Json::object());
  for (const auto& [key, value] : given) {
    const auto found = known.find(key);
    if (found == known.end()) {
      std::string names;
      for (const auto& [name, definition] : known.items()) names += (names.empty() ? "" : ", ") + name;
      return fail(ErrorCode::invalid_argument, fmt::format("{} has no parameter {}", source.file, key), where, "it has " + names);
    }
    TRY(check_parameter(key, value, *found, where));
  }
  return {};
}

Result<bool> TemplateValues::is_made(const Json& resource) const {
  const auto name = json_or(resource, "Condition", "");
  return name.empty() ? Result<bool>(true) : condition(name);
}

Result<bool> TemplateValues::condition(const std::string& name) const {
  const Json conditions = json_or(template_.body, "Conditions", Json::object());
  const auto found = conditions.find(name);
  if (found == conditions.end()) return fail(ErrorCode::invalid_argument, "no condition of this name: " + name, template_.file);
  const Json value = TRY(value_of(*found));
  if (!value.is_boolean()) return fail(ErrorCode::invalid_argument, "the condition can't be told before the stack is made: " + name, template_.file);
  return value.get<bool>();
}

Result<Json> TemplateValues::value_of(const Json& value) const {
  if (value.is_array()) {
    Json out = Json::array();
    for (const auto& item : value) {
      Json one = TRY(value_of(item));
      if (one != Json(kNoValue)) out.push_back(std::move(one));
    }
    return out;
  }
  if (!value.is_object()) return value;
  if (value.size() == 1) {
    const auto& name = value.begin().key();
    if (name == "Ref" || name.starts_with("Fn::")) return function(name, value.begin().value());
    if (name == "Condition" && value.begin().value().is_string()) return Json(TRY(condition(value.begin().value().get<std::string>())));
  }
  Json out = Json::object();
  for (const auto& [name, item] : value.items()) {
    Json one = TRY(value_of(item));
    if (one != Json(kNoValue)) out[name] = std::move(one);
  }
  return out;
}

Result<Json> TemplateValues::function(const std::string& name, const Json& argument) const {
  const auto refuse_argument = [&] { return fail(ErrorCode::invalid_argument, "not an argument of " + name + ": " + dump_json(argument).substr(0, 100), template_.file); };
  if (name == "Ref") return argument.is_string() ? reference(argument.get<std::string>()) : refuse_argument();
  if (name == "Fn::Sub") return substitute(argument);
  if (name == "Fn::GetAZs") return Json(nullptr);
  if (!argument.is_array()) return refuse_argument();
  if (name == "Fn::If") {
    if (argument.size() != 3 || !argument[0].is_string()) return refuse_argument();
    return value_of(TRY(condition(argument[0].get<std::string>())) ? argument[1] : argument[2]);
  }
  const Json values = TRY(value_of(argument));
  if (name == "Fn::Equals") return values.size() == 2 ? Result<Json>(values[0] == values[1]) : refuse_argument();
  if (name == "Fn::Not") return values.size() == 1 && values[0].is_boolean() ? Result<Json>(!values[0].get<bool>()) : refuse_argument();
  if (name == "Fn::And") return Json(std::all_of(values.begin(), values.end(), [](const Json& one) { return one == Json(true); }));
  if (name == "Fn::Or") return Json(std::any_of(values.begin(), values.end(), [](const Json& one) { return one == Json(true); }));
  if (name == "Fn::GetAtt") return argument.size() == 2 && argument[0].is_string() && argument[1].is_string() ? Result<Json>(attribute(argument[0].get<std::string>() + "." + argument[1].get<std::string>())) : refuse_argument();
  if (name == "Fn::Select" || name == "Fn::Join") {
    if (values.size() != 2 || !(values[1].is_array() || values[1].is_null())) return refuse_argument();
    if (values[1].is_null()) return Json(nullptr);
    if (name == "Fn::Select") return values[0].is_number_unsigned() && values[0] < values[1].size() ? Result<Json>(values[1][values[0].get<std::size_t>()]) : refuse_argument();
    std::string text;
    for (std::size_t i = 0; i < values[1].size(); ++i) {
      if (!values[1][i].is_string()) return Json(nullptr);
      text += (i == 0 ? "" : values[0].get<std::string>()) + values[1][i].get<std::string>();
    }
    return Json(text);
  }
  return fail(ErrorCode::unsupported, "a function that is not known here: " + name, template_.file);
}

Result<Json> TemplateValues::reference(const std::string& name) const {
  const std::map<std::string, std::string> pseudo = {{"AWS::Region", facts_.region},   {"AWS::AccountId", facts_.account}, {"AWS::Partition", facts_.partition},
                                                     {"AWS::StackName", facts_.name}, {"AWS::StackId", facts_.id},        {"AWS::NoValue", kNoValue},
                                                     {"AWS::URLSuffix", facts_.partition == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com"}};
  if (const auto found = pseudo.find(name); found != pseudo.end()) return Json(found->second);
  if (const auto found = facts_.parameters.find(name); found != facts_.parameters.end()) return Json(found->second);
  if (const auto found = facts_.physical_ids.find(name); found != facts_.physical_ids.end()) return Json(found->second);
  const Json parameters = json_or(template_.body, "Parameters", Json::object());
  if (const auto found = parameters.find(name); found != parameters.end()) {
    const auto fallback = found->find("Default");
    return fallback == found->end() ? Json(nullptr) : fallback->is_string() ? *fallback : Json(fallback->dump());
  }
  if (json_or(template_.body, "Resources", Json::object()).contains(name)) return Json(nullptr);
  return fail(ErrorCode::invalid_argument, "it refers to what it does not have: " + name, template_.file);
}

// "${Name}", "${Resource.Attribute}"; "${!Literal}" stands for itself.
Result<Json> TemplateValues::substitute(const Json& argument) const {
  const Json& text_of = argument.is_array() && !argument.empty() ? argument[0] : argument;
  const Json own = argument.is_array() && argument.size() > 1 ? TRY(value_of(argument[1])) : Json::object();
  if (!text_of.is_string()) return fail(ErrorCode::invalid_argument, "Fn::Sub has no text", template_.file);
  const auto& text = text_of.get_ref<const std::string&>();
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto open = text.find("${", at);
    const auto close = open == text.npos ? text.npos : text.find('}', open);
    out += text.substr(at, open == text.npos ? text.npos : open - at);
    if (close == text.npos) break;
    const auto name = text.substr(open + 2, close - open - 2);
    at = close + 1;
    if (name.starts_with('!')) {
      out += "${" + name.substr(1) + "}";
      continue;
    }
    const Json value = own.contains(name) ? own[name] : name.find('.') != name.npos ? attribute(name) : TRY(reference(name));
    if (!value.is_string()) return Json(nullptr);
    out += value.get<std::string>();
  }
  return Json(out);
}

// Of resources whose ARN follows from their name.
Json TemplateValues::attribute(const std::string& name) const {
  const auto dot = name.find('.');
  const auto logical = name.substr(0, dot), wanted = name.substr(dot + 1);
  const auto found = facts_.physical_ids.find(logical);
  if (found == facts_.physical_ids.end() || wanted != "Arn") return nullptr;
  const auto type = json_or(json_or(json_or(template_.body, "Resources", Json::object()), logical.c_str(), Json::object()), "Type", "");
  const auto& id = found->second;
  if (id.starts_with("arn:")) return id;
  const auto arn = [&](const char* service, const std::string& rest) { return Json(fmt::format("arn:{}:{}:{}:{}:{}", facts_.partition, service, facts_.region, facts_.account, rest)); };
  if (type == "AWS::S3::Bucket") return fmt::format("arn:{}:s3:::{}", facts_.partition, id);
  if (type == "AWS::IAM::Role") return fmt::format("arn:{}:iam::{}:role/{}", facts_.partition, facts_.account, id);
  if (type == "AWS::KMS::Key") return arn("kms", "key/" + id);
  if (type == "AWS::ECR::Repository") return arn("ecr", "repository/" + id);
  if (type == "AWS::Logs::LogGroup") return arn("logs", "log-group:" + id + ":*");
  return nullptr;
}

}  // namespace redoubt::provider::aws::stack
