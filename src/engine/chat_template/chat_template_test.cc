// SPDX-License-Identifier: Apache-2.0
// What published templates must render is judged against Transformers in tests/oracle/chat_template_test.py.
#include "engine/chat_template/chat_template.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace redoubt::engine::chat_template {
namespace {

Result<std::string> rendered(std::string_view source, Limits limits = {}) {
  const auto made = TRY(ChatTemplate::parse(source, {.bos_token = "<s>", .eos_token = "</s>"}, "test", limits));
  return made.render({{"user", "Hi"}, {"assistant", "Ho"}}, GenerationPrompt::add);
}

std::string shown(std::string_view source) {
  auto text = rendered(source);
  EXPECT_TRUE(text) << source << ": " << text.error().message << " " << text.error().where;
  return text ? *text : "";
}

ErrorCode refusal(std::string_view source, Limits limits = {}) {
  const auto text = rendered(source, limits);
  EXPECT_FALSE(text) << source << " gave " << *text;
  return text ? ErrorCode::internal : text.error().code;
}

// Expected values from Jinja 3.1.6 with trim_blocks and lstrip_blocks.
TEST(ChatTemplate, renders_as_jinja_does) {
  EXPECT_EQ(shown("{% for m in messages %}[{{ m.role }}|{{ m['content'] }}|{{ loop.index }}{{ ',' if not loop.last }}]{% endfor %}"),
            "[user|Hi|1,][assistant|Ho|2]");
  EXPECT_EQ(shown("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(shown("a  {{- ' x ' -}}  b"), "a x b");
  EXPECT_EQ(shown("{# gone #}\nx {%- if 1 %} y{% endif -%}  z"), "x yz");
  EXPECT_EQ(shown("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"), "2");
  EXPECT_EQ(shown("{% set x = 1 %}{% for m in messages %}{% set x = 5 %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(shown("{{ messages[1:]|length }}{{ messages[::-1][0].role }}{{ 'abcdef'[1:-1] }}{{ 'abc'[::-1] }}"), "1assistantbcdecba");
  EXPECT_EQ(shown("{{ ' é '|trim|upper }}{{ 'é€'|length }}{{ [1,'a',true,none,1.0] }}"), "É2[1, 'a', True, None, 1.0]");
  EXPECT_EQ(shown("{{ {'b': [1, 2], 'a': 'é'}|tojson }}"), "{\"b\": [1, 2], \"a\": \"é\"}");
  EXPECT_EQ(shown("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(',') }}"), "Hi");
  EXPECT_EQ(shown("{{ 7 // -2 }} {{ 7 % -2 }} {{ 7 / 2 }} {{ 1 ~ 2 }} {{ '%' in 'a%b' }}"), "-4 -1 3.5 12 True");
  EXPECT_EQ(shown("{{ x is defined }}{{ x|default('d') }}{{ bos_token }}{{ pad_token is defined }}"), "Falsed<s>False");
  EXPECT_EQ(shown("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{% for x in [] %}{% else %}none{% endfor %}"), "a1none");
  EXPECT_EQ(shown("{% set t %}x{{ 1 }}{% endset %}{{ t * 1 if false else t }}{{ 'a-b'.split('-')[-1] }}"), "x1b");
  EXPECT_EQ(shown("{% set b %}{% set a = 1 %}x{{ a }}{% endset %}{% filter upper %}{% set c = 1 %}y{% endfilter %}{% for i in [] %}{% else %}{% set d = 1 %}z{% endfor %}[{{ a }}{{ b }}{{ c }}{{ d }}]"), "Yz[x1]");
  EXPECT_EQ(shown("{% generation %}{% set a = 1 %}{{ a }}{% endgeneration %}[{{ a }}]"), "1[]");
}

TEST(ChatTemplate, what_stands_between_generation_marks_is_told_by_its_place) {
  const auto made = ChatTemplate::parse("{% for m in messages %}[{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}]{% endfor %}", {}, "t").value();
  const auto marked = made.render_marked({{"user", "Hi"}, {"assistant", "Ho"}, {"user", "?"}, {"assistant", "é"}}, GenerationPrompt::leave_out).value();
  EXPECT_EQ(marked.text, "[Hi][Ho!][?][é!]");
  ASSERT_EQ(marked.generated.size(), 2u);
  const auto text_of = [&](const TextSpan& span) { return marked.text.substr(span.begin, span.end - span.begin); };
  EXPECT_EQ(text_of(marked.generated[0]), "Ho!");
  EXPECT_EQ(text_of(marked.generated[1]), "é!");
}

TEST(ChatTemplate, passes_on_what_the_template_refuses) {
  const auto text = rendered("{{ raise_exception('roles must alternate') }}");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(text.error().message.find("roles must alternate"), std::string::npos);
}

TEST(ChatTemplate, has_no_way_out) {
  EXPECT_EQ(shown("{{ ''.__class__ }}{{ messages.__init__ }}{{ range.__globals__ }}"), "");
  EXPECT_NE(refusal("{{ ''.__class__.__mro__ }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ '{0.__class__}'.format(1) }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{% include 'x' %}"), ErrorCode::internal);
  EXPECT_NE(refusal("{% import 'os' as os %}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ cycler.__init__.__globals__ }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ messages.append(1) }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ ''.join.__globals__.x }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{% macro m() %}{% endmacro %}{{ m.__code__.co_code }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ '%(x)s' % {'x': 1} }}"), ErrorCode::internal);
  EXPECT_NE(refusal("{{ dict.__init__.__globals__ }}"), ErrorCode::internal);
}

TEST(ChatTemplate, is_bounded) {
  EXPECT_EQ(refusal("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{% set n = namespace(x='ab') %}{% for a in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ range(1000000000) }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ " + std::string(10000, '(') + "1" + std::string(10000, ')') + " }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ " + std::string(10000, '-') + "1 }}"), ErrorCode::limit_exceeded);
  std::string nested;
  for (int i = 0; i < 10000; ++i) nested += "{% if 1 %}";
  EXPECT_EQ(refusal(nested), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{% macro m(n) %}{% for i in range(9) %}{{ m(n) }}{% endfor %}{% endmacro %}{{ m(1) }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ ('a' * 1000000) * 1000000 }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ 'a'.rjust(100000000) }}"), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal("{{ strftime_now('%c' * 1000) }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ 9223372036854775807 + 1 }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ -(-9223372036854775807 - 1) }}"), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{{ 'a' }}", {.template_bytes_max = 3}), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal("{% set n = namespace(x=[]) %}{% for a in range(1000) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}"), ErrorCode::limit_exceeded);
}

TEST(ChatTemplate, takes_messages_tools_and_variables_as_json_in_their_order) {
  const auto made = ChatTemplate::parse("{% for m in messages %}{{ m | tojson }}{% endfor %}{{ tools | tojson }}{{ on }}{{ strftime_now('%Y-%m-%d') }}", {}, "t").value();
  const Extras extras{.tools = R"([{"z": 1, "a": [1.0, null]}])", .variables = R"({"on": true})", .now = 86'400};
  EXPECT_EQ(made.render_marked({{"user", "é"}, {"", "", R"({"b": 1, "a": {"d": 2, "c": 3}})"}}, extras).value().text,
            R"({"role": "user", "content": "é"}{"b": 1, "a": {"d": 2, "c": 3}}[{"z": 1, "a": [1.0, null]}]True1970-01-02)");
  const auto refused = [&](const Extras& given) { return made.render_marked({}, given).error().code; };
  EXPECT_EQ(refused({.tools = "[1]"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.tools = "{}"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.tools = "[{"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.tools = R"([{"a": 1, "a": 2}])"}), ErrorCode::invalid_argument);
  for (const char* too_large : {"9223372036854775808", "12345678901234567890123", "-12345678901234567890123"})
    EXPECT_EQ(refused({.tools = std::string(R"([{"a": )") + too_large + "}]"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.tools = "[{\"a\": \"\xff\"}]"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.tools = std::string(1000, '[')}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.variables = R"({"messages": []})"}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({.continue_final_message = true}), ErrorCode::invalid_argument);
}

// What AutoTokenizer.from_pretrained (Transformers 5.24) makes of these folders.
TEST(ChatTemplate, reads_the_files_of_older_and_newer_folders) {
  const auto folder = TemporaryFolder::create().value();
  const auto write = [&](const char* name, std::string_view text) { ASSERT_TRUE(write_file(folder.path() / name, text)); };
  const auto shown_with = [&](std::string tools) {
    const auto made = ChatTemplate::load(folder.path());
    return made ? made->render_marked({{"user", "Hi"}}, Extras{.tools = std::move(tools)}).value().text : made.error().message;
  };
  write("tokenizer_config.json", R"({"eos_token": "</a>", "chat_template": "{{ bos_token }}{{ eos_token }}"})");
  write("special_tokens_map.json", R"({"bos_token": {"content": "<b>"}, "eos_token": "</b>"})");
  EXPECT_EQ(shown_with(""), "<b></b>");
  write("tokenizer_config.json", R"({"eos_token": "</a>", "chat_template": "{{ bos_token }}{{ eos_token }}", "added_tokens_decoder": {}})");
  EXPECT_EQ(shown_with(""), "</a>");
  write("chat_template.jinja", "plain");
  ASSERT_TRUE(make_folder(folder.path() / "additional_chat_templates"));
  write("additional_chat_templates/tool_use.jinja", "{{ tools | length }} tools");
  EXPECT_EQ(shown_with(""), "plain");
  EXPECT_EQ(shown_with(R"([{"name": "f"}])"), "1 tools");
  write("special_tokens_map.json", "[]");
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(shown_with(""), "a tokenizer configuration is a JSON object");
}

TEST(ChatTemplate, names_the_line_of_a_mistake) {
  const auto text = rendered("a\nb\n{% if %}{% endif %}");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().where, "test:3");
  for (const char* source : {"{{", "{{ 'a }}", "{% if 1 %}", "{% endfor %}", "{{ 1 + }}", "{# x", "{{ [1, }}", "{% for x %}{% endfor %}", "{{ a b }}"})
    EXPECT_EQ(refusal(source), ErrorCode::invalid_argument) << source;
}

}  // namespace
}  // namespace redoubt::engine::chat_template
