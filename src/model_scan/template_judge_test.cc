// SPDX-License-Identifier: Apache-2.0
#include "model_scan/template_judge.h"

#include <gtest/gtest.h>

namespace redoubt::model_scan {
namespace {

std::string rule_of(std::string_view text) {
  const auto problem = judge_template(text);
  return problem ? problem->rule : "";
}

TEST(TemplateJudge, formatting_is_formatting) {
  for (const char* text : {"", "plain text", "{# a comment #}", "{{ messages[0]['content'] | trim }}", "{{ messages[loop.index0 + 1:] }}", "{% for k, v in tool.items() %}{{ k ~ ': ' ~ v[k] }}{% endfor %}",
                           "{% set config = 1 %}{{ config }}", "{% macro f(x, g=1) %}{{ g }}{% endmacro %}{{ f(x='a_b') }}", "{{ '{' + name + '}' }}", "{% if role in ['a_', 'b'] %}x{% endif %}", "{% raw %}{{ x.__class__ }}{% endraw %}",
                           "{{ '<|im_start|>' + message.role }}{{ basic[spec.type] }}", "{%- set ns = namespace(a=1) -%}{%- set ns.a = {'b': [1]} -%}{{ ns.a }}", "{{ x | map('upper') | join(', ') }}", "{{ tools | tojson(indent=4) }}",
                           "{{ x[y] }}{% set keys = x.keys() %}{% for k in keys %}{{ k }}{% endfor %}", "{{ x[y] }}{% if 'a' in x.keys() and x.items()|list|length > 1 %}{{ x|map('upper')|join(' ') ~ 'a' }}{% endif %}",
                           "{{ x[y] }}{% macro a_b(kwargs) %}{{ kwargs }}{% endmacro %}{{ a_b(1) }}{% call(user) a_b(2) %}{% endcall %}{% filter upper %}a{% endfilter %}", "{{ x[y] }}{{ '    enum_' + name }}", "{{ x[y] }}{{ '\"a_b\": '|indent(8) }}", "{{ x[y] }}{{ call.get('_block') }}", "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% endif %}"}) {
    EXPECT_EQ(rule_of(text), "") << text;
  }
}

TEST(TemplateJudge, what_reaches_further_is_named) {
  EXPECT_EQ(rule_of("{{ x.__class__ }}"), "attribute");
  EXPECT_EQ(rule_of("{{ x['\\x5f_class__'] }}"), "attribute");
  EXPECT_EQ(rule_of("{{ x['_' ~ y] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set u = 'a_b'[1] %}{{ x[u ~ u] }}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{{ config }}"), "attribute");
  EXPECT_EQ(rule_of("{% for k in x %}{{ k ~ '_' ~ x[k] }}{% endfor %}"), "attribute") << "a name could be put together of it";
  EXPECT_EQ(rule_of("{% set u = '%c' % 95 %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set u = dict(_=1) | first %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{{ raise_exception | string }}"), "attribute");
  EXPECT_EQ(rule_of("{{ ('{0._' ~ 'x_').format(y) }}"), "attribute");
  EXPECT_EQ(rule_of("{{ x[eos_token] }}"), "attribute");
  EXPECT_EQ(rule_of("{{ x | attr('y') }}"), "call");
  EXPECT_EQ(rule_of("{{ run(1) }}"), "call");
  EXPECT_EQ(rule_of("{% if run(1) %}{% endif %}"), "call");
  EXPECT_EQ(rule_of("{% do run(1) %}"), "call");
  EXPECT_EQ(rule_of("{% call run(1) %}{% endcall %}"), "call");
  EXPECT_EQ(rule_of("{% if lipsum %}{% endif %}"), "attribute");
  EXPECT_EQ(rule_of("{% filter attr(a) %}x{% endfilter %}"), "call");
  EXPECT_EQ(rule_of("{% macro f() %}{% set u = (kwargs | list | first)[1] %}{{ x[u ~ u] }}{{ x[u] }}{% endmacro %}{{ f(a_b=1) }}"), "attribute");
  EXPECT_EQ(rule_of("{% macro a_b() %}{% endmacro %}{% set f = a_b %}{% set u = f.name[1] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set f = raise_exception %}{% set u = (f | string)[15] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set u = (messages | map('upper') | string)[22] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set u = ('' ~ x.keys())[4] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set k = x.keys() %}{% set u = (k ~ '')[4] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% set k = messages | select %}{% set u = (k | trim)[24] %}{{ x[u] }}"), "attribute");
  EXPECT_EQ(rule_of("{% include 'x' %}"), "tag");
  EXPECT_EQ(rule_of("{{ x"), "malformed");
  EXPECT_EQ(rule_of("{{ 'x }}"), "malformed");
}

}  // namespace
}  // namespace redoubt::model_scan
