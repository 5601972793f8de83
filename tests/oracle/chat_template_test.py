# SPDX-License-Identifier: Apache-2.0
"""Chat templates against Transformers' own renderer, for templates written in the manner of the published ones."""
import json
import os
import pathlib
import subprocess

import jinja2
import pytest
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
