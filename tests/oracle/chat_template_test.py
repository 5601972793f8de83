# SPDX-License-Identifier: Apache-2.0
"""Chat templates against Transformers' own renderer, for templates written in the manner of the published ones."""
import datetime
import json
import os
import pathlib
import subprocess

import jinja2
import pytest
import transformers.utils.chat_template_utils as theirs_utils
from chat_template_styles import STYLES, lines_of_expressions, tasks
from transformers.utils.chat_template_utils import render_jinja_template

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "text_tool")

TEMPLATES = {
    "chatml_default_system": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
              "'<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
              "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
              "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
              "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
              "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
              "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
              "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
             "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
             "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "qwen_with_tools_branch": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "blocks_and_comments": """{# a comment #}
  {% for message in messages %}
    {%+ if loop.first %} first {% endif +%}
  [{{ loop.index }}/{{ loop.length }} {{ loop.revindex }} {{ loop.last }}] {{ message | tojson }}
  {{ message.content | upper | replace('A', 'b') | length }} {{ message.get('name', 'none') }} {{ message.items() | list | length }}
  {% else %}
  none
  {% endfor %}
{% set x %}  kept {{ messages | map(attribute='role') | join(', ') }}{% endset %}
{{ x }} {{ 1 + 2 * 3 - 4 // 3 }} {{ 7 % 3 }} {{ 1 / 4 }} {{ -7 // 2 }} {{ 'a' ~ 1 ~ none }} {{ [1, 2.5, 'x', true, none] }} {{ {'k': [1], 'é': 'ü'} }}
{{ 'é' | tojson }} {{ {'b': 1, 'a': {'c': [1, 2]}} | tojson(indent=2) }} {{ 'abc'[::-1] }} {{ 'abcdef'[-3:5] }} {{ 'x' if false }}{{ undefined_thing }}|
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'in', ['user']) | map(attribute='content') | first }}
{{ 'hello world' | title }} {{ 'HELLO' | capitalize }} {{ ' a b  c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ [3, 1] | last }} {{ range(2, 8, 3) | list }}
{{ 'line one
line two' | indent(2) }} {{ '12' | int + 1 }} {{ '1.5' | float }} {{ 3 | string + 'x' }} {{ (1, 2) == (1, 2) }} {{ 2 in [1, 2] }} {{ 'a' not in 'abc' }}
""",
}

CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  What's ünïcode? 😀\n"}],
    [{"role": "user", "content": "<b>\"q\" & 'a'</b>"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}, {"role": "user", "content": "\u00a0ok\u2028"}],
    [{"role": "user", "content": ""}, {"role": "assistant", "content": "\ttab\\n {{ 1 }} {% x %}"}],
]


def expected(template, messages, adds):
    try:
        rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=adds, bos_token="<s>", eos_token="</s>")
    except jinja2.exceptions.TemplateError:
        return None
    return rendered[0]


@pytest.mark.parametrize("name", TEMPLATES)
def test_rendered_text_is_equal(name):
    tasks = [(messages, adds) for messages in CONVERSATIONS for adds in (True, False)]
    lines = "".join(json.dumps({"template": TEMPLATES[name], "messages": messages, "add_generation_prompt": adds, "bos_token": "<s>", "eos_token": "</s>"}) + "\n"
                    for messages, adds in tasks)
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, check=True)
    for (messages, adds), line in zip(tasks, done.stdout.split("\n")[:-1], strict=True):
        ours = json.loads(line)
        theirs = expected(TEMPLATES[name], messages, adds)
        if theirs is None:
            assert ours["error"] == "invalid_argument", ours
        else:
            assert ours == theirs


NOW = 1_764_300_000


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)  # as datetime.now() is


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setattr(theirs_utils, "datetime", FixedTime)


def render_theirs(template, messages, adds, extras, variables, **options):
    try:
        messages = theirs_utils._normalize_chat_messages(json.loads(json.dumps(messages)))  # as apply_chat_template does before
        rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=adds, **extras, **variables, **options,
                                            bos_token="<s>", eos_token="</s>")
    except Exception:  # the template's own refusals, and all that Python raises on values that do not go together
        return None
    return rendered[0]


def render_ours(jobs, **options):
    lines = ""
    for template, messages, adds, extras, variables in jobs:
        task = {"template": template, "messages": [json.dumps(message) for message in messages], "add_generation_prompt": adds, "bos_token": "<s>", "eos_token": "</s>", "now": NOW, **options}
        task.update({name: json.dumps(value) for name, value in extras.items()})
        if variables:
            task["variables"] = json.dumps(variables)
        lines += json.dumps(task) + "\n"
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


@pytest.mark.parametrize("name", [*STYLES, *TEMPLATES])
def test_rendered_text_is_equal_with_tools_and_documents(name):
    template = {**TEMPLATES, **STYLES}[name]
    jobs = [(template, *task) for task in tasks(300)]
    rendered = 0
    for job, ours in zip(jobs, render_ours(jobs), strict=True):
        theirs = render_theirs(*job)
        if theirs is None:
            assert isinstance(ours, dict), (job[1:], ours)
        else:
            assert ours == theirs, job[1:]
            rendered += 1
    assert rendered > 20


def test_expressions_are_equal():
    expressions = [expression for _, expression in lines_of_expressions()]
    jobs = [("{{ " + expression + " }}", [], False, {}, {}) for expression in expressions]
    wrong = []
    for job, ours in zip(jobs, render_ours(jobs), strict=True):
        theirs = render_theirs(*job)
        if (isinstance(ours, str) or theirs is not None) and ours != theirs:
            wrong.append((job[0], ours, theirs))
    assert not wrong, wrong


STATEMENTS = {
    "raw": "a {% raw %}{{ x }} {% if %}{% endraw %} b\n  {%- raw -%}  {{ y }}  {%- endraw %} c {% raw %}{% endraw %}",
    "with": "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "filter_block": "{% filter upper | replace('A', 'b') %}  a {{ 'x' }}{% endfilter %}",
    "set_with_filter": "{% set x | trim | upper %}  abc  {% endset %}[{{ x }}]",
    "macro_defaults": "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=5) }} {{ m(1, 2, 3) }} {{ m() }} {{ m is callable }}{{ m(1) | length }}",
    "macro_scope": "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 9 %}{{ x }}{% endmacro %}{% for i in [1] %}{% set x = 2 %}{{ m() }}{% endfor %}{{ m() }}{{ x }}",
    "loop": "{% for a in 'abcd' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('x', 'y', 'z') }}"
            "{{ loop.previtem is defined }}{{ loop.nextitem | default('-') }}{{ loop.depth }}{{ loop.depth0 }}|{% endfor %}",
    "break_continue": "{% for a in range(10) %}{% if a == 2 %}{% continue %}{% endif %}{% if a > 4 %}{% break %}{% endif %}{{ a }}{% else %}none{% endfor %}",
    "blocks_keep_what_they_set": "{% set b %}{% set a = 1 %}x{{ a }}{% endset %}{% filter upper %}{% set c = 2 %}y{{ c }}{% endfilter %}{% for i in [] %}{% else %}{% set d = 3 %}{{ d }}{% endfor %}"
                                 "{% generation %}{% set e = 4 %}{{ e }}{% endgeneration %}{% set n = namespace(f=0) %}{% generation %}{% set n.f = 5 %}{% endgeneration %}[{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ n.f }}]",
    "loop_filter": "{% for a, b in [(1, 2), (3, 4)] if b > 2 %}{{ a }}{{ loop.length }}{% endfor %}{% for x in missing %}{% else %}empty{% endfor %}",
    "nested": "{% for a in [1, 2] %}{% set outer = loop %}{% for b in [3] %}{{ outer.index }}{{ loop.last }}{% endfor %}{% endfor %}",
    "namespace": "{% set n = namespace(a=1, b={'x': 1}) %}{% for i in [1, 2] %}{% set n.a = n.a + i %}{% set n.c = i %}{% endfor %}{{ n.a }}{{ n.c }}{{ n.b.x }}{{ n.d is defined }}",
    "white_space": "  {%- if true %}  a  {% endif -%}  \n  b\n  {% if true %}\n  c\n  {% endif %}\n{%+ if true +%}\n d {% endif %}\n{# c #}\n  {#- c -#}  e\n{{- ' f ' -}}\n g \n\n",
    "line_ends": "a\r\n{% if true %}\r\nb\r{% endif %}\nc\n",
    "spread": "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{% set all = [m, m] %}{{ all[0](*[1]) }}{{ m(*(3, 4)) }}{{ m(5, *[6]) }}{{ range(*[1, 3]) | list }}{{ m(*[7], b=8) }}",
    "iterators": "{% set s = [1, 2, 3] | select('odd') %}{% for x in s %}{{ x }}{% endfor %}{% for x in s %}{{ x }}{% else %}gone{% endfor %}{% if [] | map('string') %}true{% endif %}"
                 "{% set t = [1, 2, 3] | map('string') %}{{ t | first }}{{ t | first }}{{ '3' in t }}{{ t | list }}",
    "safe": "{{ '<b>' | safe }}{{ '<i>' }}",
    "unpack": "{% set a, b = 1, [2] %}{{ a }}{{ b }}{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "generation": "{% for m in ['a', 'b'] %}{% generation %}{{ m }}{% endgeneration %}-{% endfor %}",
}


def test_statements_are_equal():
    jobs = [(template, [], False, {}, {}) for template in STATEMENTS.values()]
    for name, job, ours in zip(STATEMENTS, jobs, render_ours(jobs), strict=True):
        theirs = render_theirs(*job)
        assert theirs is not None and ours == theirs, name


@pytest.mark.parametrize("name", ["chatml_default_system", "llama3", "gemma", "qwen_with_tools_branch", "grouped_tool_answers", "parts_of_content"])
def test_the_final_message_is_left_open_as_theirs_is(name):
    template = {**TEMPLATES, **STYLES}[name]
    jobs = [(template, [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}], False, {}, {}) for text in ("Yes,", " Yes, ", "a\nb", "<think>\nx\n</think>\n\ny")]
    jobs.append((template, [{"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "text", "text": "one "}, {"type": "image"}]}], False, {}, {}))
    for job, ours in zip(jobs, render_ours(jobs, continue_final_message=True), strict=True):
        theirs = render_theirs(*job, continue_final_message=True)
        assert ours == theirs if theirs is not None else isinstance(ours, dict), job[1]
