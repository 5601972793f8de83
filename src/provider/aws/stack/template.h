// SPDX-License-Identifier: Apache-2.0
//
// A CloudFormation template, and what its functions come to in one stack. The functions are those of the template that comes with
// Redoubt (Ref, Sub, GetAtt, If, Equals, Not, And, Or, Join, Select, GetAZs); another one is refused by name.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-reference.html
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/json.h"

namespace redoubt::provider::aws::stack {

struct Template {
  std::string file;
  std::string text;
  Json body;  // short forms written out: {"Ref": ...}, {"Fn::Sub": ...}
};

// invalid_argument with FILE:LINE.
Result<Template> load_template(const std::filesystem::path& file);

using Parameters = std::map<std::string, std::string>;

// A file of [{"ParameterKey": ..., "ParameterValue": ...}], as `aws cloudformation create-stack --parameters file://` takes it.
Result<Parameters> load_parameters(const std::filesystem::path& file);

// Whether each value is one that the template allows. invalid_argument names the parameter, what is allowed, and `where` it was given.
Status check_parameters(const Template& source, const Parameters& given, const std::string& where);

// What is known of a stack.
struct StackFacts {
  Parameters parameters = {};
  std::map<std::string, std::string> physical_ids = {};  // by logical id
  std::string name = {}, id = {}, region = {}, account = {}, partition = "aws";
};

class TemplateValues {
 public:
  // Both outlive it. Parameters that the facts lack have the template's defaults.
  TemplateValues(const Template& source, const StackFacts& facts) : template_(source), facts_(facts) {}

  // What a value comes to. Null stands for what the service alone knows, and for a text that it is part of.
  Result<Json> value_of(const Json& value) const;
  // Whether the stack makes the resource, by its condition.
  Result<bool> is_made(const Json& resource) const;

 private:
  Result<Json> function(const std::string& name, const Json& argument) const;
  Result<bool> condition(const std::string& name) const;
  Result<Json> reference(const std::string& name) const;
  Result<Json> substitute(const Json& argument) const;
  Json attribute(const std::string& name) const;

  const Template& template_;
  const StackFacts& facts_;
};

}  // namespace redoubt::provider::aws::stack
