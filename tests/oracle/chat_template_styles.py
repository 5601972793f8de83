# SPDX-License-Identifier: Apache-2.0
"""Chat templates with the constructs of the published families, in words of their own, and conversations to put through them."""
import json
import random
import re

STYLES = {
    "dated_system_and_tools_in_the_first_turn": """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not first_user is defined %}{%- set first_user = true %}{%- endif %}
{%- if not day is defined %}
    {%- if strftime_now is defined %}{%- set day = strftime_now("%d %b %Y") %}{%- else %}{%- set day = "1 Jan 2020" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|head|>system<|/head|>\\n\\n" }}
{%- if builtin is defined or tools is not none %}{{- "Environment: box\\n" }}{%- endif %}
{%- if builtin is defined %}{{- "Tools: " + builtin | reject('equalto', 'code') | join(", ") + "\\n\\n" }}{%- endif %}
{{- "Today: " + day + "\\n\\n" }}
{%- if tools is not none and not first_user %}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{{- system }}{{- "<|eot|>" }}
{%- if first_user and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("no user turn to put the tools into") }}
{%- endif %}
    {{- '<|head|>user<|/head|>\\n\\n' -}}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
    {{- first + "<|eot|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'box' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|/head|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("one call at a time") }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {%- if builtin is defined and call.name in builtin %}
            {{- "<|code|>" + call.name + ".call(" }}
            {%- for name, value in call.arguments | items %}
                {{- name + '="' + value|string + '"' }}
                {%- if not loop.last %}{{- ", " }}{%- endif %}
            {%- endfor %}
            {{- ")" }}
        {%- else %}
            {{- '<|head|>assistant<|/head|>\\n\\n' -}}
            {{- '{"name": "' + call.name + '", ' }}{{- '"parameters": ' }}{{- call.arguments | tojson }}{{- "}" }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- elif message.role == "tool" or message.role == "box" %}
        {{- "<|head|>box<|/head|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant<|/head|>\\n\\n' }}{%- endif %}
""",
    "grouped_tool_answers": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- else %}{{- 'You help.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}
""",
    "alternating_with_checks": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("turns must alternate") }}{%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE]" + " [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}{%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("an id has nine letters") }}{%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}{%- set content = message.content.content %}{%- else %}{%- set content = message.content %}{%- endif %}
        {{- '[RESULTS] {"content": ' + content|string + ", " }}{{- '"call_id": "' + message.tool_call_id|default("?", true) + '"}[/RESULTS]' }}
    {%- else %}
        {{- raise_exception("only user and assistant, tool and tool_results speak") }}
    {%- endif %}
{%- endfor %}
""",
    "parts_of_content": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception("turns must go user/assistant/user") }}{%- endif -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<turn>' + role + '\\n' + (prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<image>' }}{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("what content is that") }}
    {%- endif -%}
    {{ '</turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{'<turn>model\\n'}}{%- endif -%}
""",
    "short_chain": "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content']"
                   " + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% elif message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
                   "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% else %}{{ '<|' ~ message['role'] ~ '|>' ~ message.content ~ '<|end|>' }}{% endif %}{% endfor %}"
                   "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "thinking_switch_and_metadata": """{%- set reasoning = "off" -%}
{%- if messages[0].role == "system" -%}
  {%- set text = messages[0].content -%}
  {%- if "/no_think" in text -%}{%- set reasoning = "off" -%}{%- elif "/think" in text -%}{%- set reasoning = "on" -%}{%- endif -%}
  {%- set instructions = text.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{%- if enable_thinking is defined and enable_thinking -%}{%- set reasoning = "on" -%}{%- endif -%}
{{ "<|im_start|>system\\n" }}
{%- if tools or xml_tools -%}
  {%- set ns = namespace(lines="") -%}
  {%- for tool in (tools or xml_tools) -%}{%- set ns.lines = ns.lines ~ (tool | string) ~ "\\n" -%}{%- endfor -%}
  {{ "### Tools\\n" + ns.lines }}
{%- endif -%}
{%- set today = strftime_now("%d %B %Y") -%}
{{ "Date: " ~ today ~ "\\nReasoning: " + reasoning + "\\n" }}
{%- if instructions is defined and instructions -%}{{ instructions + "\\n" }}{%- endif -%}
{{ "<|im_end|>\\n" }}
{# ---- turns ---- #}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else "" -%}
  {%- if message.role == "user" -%}
    {{ "<|im_start|>" + message.role + "\\n" + content + "<|im_end|>\\n" }}
  {%- elif message.role == "assistant" -%}
    {% generation %}
    {%- if reasoning == "on" -%}
      {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
    {%- else -%}
      {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
    {%- endif -%}
    {% endgeneration %}
  {%- elif message.role == "tool" -%}
    {{ "<|im_start|>user\\n" + content + "<|im_end|>\\n" }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\\n" }}{%- if reasoning == "off" -%}{{ "<think>\\n\\n</think>\\n" }}{%- endif -%}{%- endif -%}
""",
    "states_in_a_namespace": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='', "
                             "is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}"
                             "{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}"
                             "{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<User>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and "
                             "'tool_calls' in message %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{%- if message['content'] is none %}{{'<Assistant><calls>' + tool['type'] "
                             "+ '<sep>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|string + '\\n' + '```' + '</call>'}}{%- else %}{{'<Assistant>' + message['content'] + '<calls>' + "
                             "tool['function']['name'] + '</call>'}}{%- endif %}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + '<call>' + tool['type'] + tool['function']['name']}}{%- endif %}{%- endfor %}"
                             "{{'</calls><end>'}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}{%- if ns.is_tool %}{{'</outputs>' + message['content'] + '<end>'}}{%- set ns.is_tool = "
                             "false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<Assistant>' + content + '<end>'}}"
                             "{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<outputs><output>' + message['content'] + '</output>'}}{%- set "
                             "ns.is_output_first = false %}{%- else %}{{'<output>' + message['content'] + '</output>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'</outputs>'}}{% endif %}"
                             "{% if add_generation_prompt and not ns.is_tool %}{{'<Assistant>'}}{% endif %}",
    "macros_that_call_themselves": """{%- macro python_type(spec) -%}
  {%- set names = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} -%}
  {%- if spec.type in names -%}
    {{ names[spec.type] }}
  {%- elif spec.type == "array" -%}
    {{ "List[" + python_type(spec['items']) + "]" if spec['items'] is mapping else "List" }}
  {%- elif spec.type == "object" -%}
    {%- if spec.additionalProperties is defined -%}Dict[str, {{ python_type(spec.additionalProperties) }}]{%- else -%}Dict{%- endif -%}
  {%- elif spec.type is iterable and spec.type is not string -%}
    Union[{%- for one in spec.type -%}{{ python_type({"type": one}) }}{{ "," if not loop.last }}{%- endfor -%}]
  {%- else -%}
    Any
  {%- endif -%}
{%- endmacro -%}
{%- macro document_turn(documents, start=0, label="doc") -%}
<results>
{% for document in documents %}
{{ label }}: {{ loop.index0 + start }}
{% for key, value in document.items() %}
{{ key | title }}: {{ value }}
{% endfor %}
{%- endfor %}
</results>
{%- endmacro -%}
{%- set outer = "seen" -%}
{%- macro sees() -%}{{ outer }}{{ inner | default("-") }}{%- endmacro -%}
{%- for tool in tools or [] %}
{%- set inner = "not seen" %}
def {{ tool.function.name }}(
    {%- for name, spec in tool.function.parameters.properties.items() -%}
        {{ name }}: {{ python_type(spec) }}{{ " = None" if name not in tool.function.parameters.required }}{{ ", " if not loop.last }}
    {%- endfor -%}
){{ sees() }}:
    \"\"\"{{ tool.function.description | indent(4) }}\"\"\"
{% endfor %}
{%- if documents %}{{ document_turn(documents, label="Document", start=1) }}{% endif %}
{%- for message in messages %}
{%- if message.tool_calls %}
Action: ```json
[
{%- for call in message.tool_calls %}
    {{ {"tool_name": call.function.name, "parameters": call.function.arguments} | tojson(indent=4) | indent(4) }}{{ "," if not loop.last }}
{%- endfor %}
]```
{%- else %}
<|{{ message.role | upper }}|>{{ message.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|CHATBOT|>{% endif %}
""",
    "typescript_of_tools": """{%- macro render_type(spec, required, nullable=false) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] is mapping -%}{%- if spec['items']['type'] == "string" -%}{{- "string[]" }}{%- else -%}{{- render_type(spec['items'], []) + "[]" }}{%- endif -%}{%- else -%}{{- "any[]" }}{%- endif -%}
        {%- if nullable -%}{{- " | null" -}}{%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type is not mapping and spec.type[0] is defined -%}
        {%- if spec.type | length > 1 -%}{{- spec.type | join(" | ") }}{%- else -%}{{- spec.type[0] }}{%- endif -%}
    {%- elif spec.oneOf -%}
        {%- for variant in spec.oneOf -%}{{- render_type(variant, required) -}}{%- if variant.description %}{{- "// " + variant.description }}{%- endif -%}{%- if not loop.last %}{{- " | " }}{%- endif -%}{%- endfor -%}
    {%- elif spec.type == "string" -%}
        {%- if spec.enum -%}{{- '"' + spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" }}{%- endif -%}
    {%- elif spec.type == "object" -%}
        {%- if spec.properties -%}
            {{- "{" }}
            {%- for name, inner in spec.properties.items() -%}
                {{- name -}}{%- if name not in (spec.required or []) -%}{{- "?" }}{%- endif -%}{{- ": " }}{{ render_type(inner, spec.required or [], nullable=inner.nullable) }}{%- if not loop.last -%}{{- ", " }}{%- endif -%}
            {%- endfor -%}
            {{- "}" }}
        {%- else -%}{{- "object" }}{%- endif -%}
    {%- else -%}{{- spec.type | default("any") }}{%- endif -%}
{%- endmacro -%}
{%- if tools %}namespace functions {
{% for tool in tools %}{%- set tool = tool.function %}
// {{ tool.description }}
type {{ tool.name }} = ({%- if tool.parameters and tool.parameters.properties %}_: {
{% for name, spec in tool.parameters.properties.items() %}
{%- if spec.description %}// {{ spec.description }}
{% endif %}{{ name }}{{ "?" if name not in (tool.parameters.required or []) }}: {{ render_type(spec, tool.parameters.required or []) }}
{%- if spec.default is defined %}, // default: {{ spec.default if spec.default is not string else '"' + spec.default + '"' }}{% endif %}{{ ",
" if not loop.last else "
" }}{% endfor %}}{% endif %}) => any;
{% endfor %}}{% endif %}
{%- set last = namespace(call=none) %}
{%- for message in messages -%}
    {%- if message.role not in ["user", "assistant", "system", "tool"] %}{%- continue %}{%- endif %}
    {%- if message.role == "assistant" and message.tool_calls %}
        {%- set call = message.tool_calls[0] %}
        {%- if message.thinking is defined %}{{- "<analysis>" + message.thinking + "</analysis>" }}{%- endif %}
        {%- set last.call = call.function.name %}
        {{- "<call to=" ~ last.call ~ ">" ~ call.function.arguments|tojson ~ "</call>" }}
    {%- elif message.role == "tool" %}
        {%- if last.call is none %}{{- raise_exception("an answer without a call") }}{%- endif %}
        {{- "<from " + last.call + ">" + message.content|tojson + "</from>" }}
    {%- else %}
        {{- "<" + message.role + ">" + message.content|string + "</" + message.role + ">" }}
    {%- endif %}
    {%- if loop.index > 40 %}{% break %}{% endif %}
{%- endfor -%}
""",
}

# What Jinja does with values, filters, tests and methods; one output each line.
EXPRESSIONS = """
1 < 2 < 3|1 < 3 < 2|1 == 1.0 != 2|'a' < 'b'|[1, 2] + [3]|'ab' * 3|3 * 'ab'|[0] * 2|'%s-%d%%' % ('x', 5)|'%s' % 'y'|"{} {0}".format('a') if false else 1|'{} {}'.format('a', 1)|'{b}{a}'.format(a=1, b='x')|2 * 3.5|7 // 2|-7 % 3
[1, none, true, 'a\\'b', "c'd\\"e", 1.5, {'k': (1, 2)}]|'tab\\t nl\\n é \\u2028 \\xa0 \\x07'|['tab\\t nl\\n é \\u2028 \\xa0 \\x07 \\u00ad \\ue000']|'\\d\\w'|'a' 'b'|1e3 if false else 0|10000000000000000.0|1.0e0 if false else 0.1|100000.0 * 1000000000000
'hello'[1]|'hello'[-1]|'hello'[10]|'hello'[::2]|'hello'[::-1]|'hello'[-3:]|[1, 2, 3][5:]|[1, 2, 3][-10:2]|(1, 2, 3)[1]|'éü€'[1:]|[1, 2, 3][::-2]
'a,b,,c'.split(',')|'a b  c'.split()|'a,b,c'.rsplit(',', 1)|' a b '.rsplit(none, 1)|'k=v=w'.partition('=')|'k=v=w'.rpartition('=')|'x'.partition('=')|'a\\nb\\r\\nc\\x0bd'.splitlines()|'abc'.find('c')|'abc'.find('z')|'abcabc'.rfind('b')|'aXbX'.count('X')|'abc'.index('b')
'  x '.strip() + '|'|'xxaxx'.strip('x')|'xya'.lstrip('yx')|'axy'.rstrip('yx')|'ABC def'.lower()|'straße'.upper()|"it's a dog's".title()|'hELLO wORLD'.capitalize()|'aBc'.swapcase()|'ab'.center(5, '*')|'ab'.ljust(4) + '|'|'ab'.rjust(4)|'-5'.zfill(4)|'ΑΣ'.lower()
'prefix-a'.removeprefix('prefix-')|'a-suffix'.removesuffix('-suffix')|'abc'.startswith('ab')|'abc'.startswith(('x', 'a'))|'abc'.endswith('c')|'12'.isdigit()|'½'.isnumeric()|'ab1'.isalnum()|'ab'.isalpha()|''.isalpha()|' \\t'.isspace()|'AB1'.isupper()|'ab'.islower()|', '.join(['a', 'b'])
'a-b'.replace('-', '+')|'aaa'.replace('a', 'b', 2)|'abc'.replace('', '.')|{'a': 1}.get('a')|{'a': 1}.get('b')|{'a': 1}.get('b', 2)|{'a': 1, 'b': 2}.items() | list|{'a': 1}.keys() | list|{'a': 1}.values() | list|{'b': 1, 'a': 2} | dictsort|{'b': 1, 'a': 2} | dictsort(by='value')|[3, 1, 2].index(2)|[1, 2, 1].count(1)
{'items': 3}['items']|{'items': 3}.items is callable|{}['items'] is defined|{}.keys is defined|{}.append is defined|[].append is defined|[].count is defined|''.upper is defined|''.nothing is defined|{'get': 1}.get is number|none.x is defined
[3, 1, 2] | sort|['b', 'A', 'c'] | sort|['b', 'A', 'c'] | sort(case_sensitive=true)|[3, 1, 2] | sort(reverse=true)|[{'a': {'b': 2}}, {'a': {'b': 1}}] | sort(attribute='a.b')|[1, 2, 3] | sum|[{'n': 1}, {'n': 2}] | sum(attribute='n')|[1, 5, 2] | max|['b', 'A'] | min|[] | max|['a', 'A', 'b'] | unique | list|[1, 2, 3, 4, 5] | batch(2) | list|[1, 2, 3] | batch(2, 'x') | list
[1, 2] | first|'abc' | last|[] | first|'abc' | list|'abc' | reverse|[1, 2] | reverse | list|[1, 2] | length|'é€' | count|{'a': 1} | length|undefined_name | length|[1, 2] | join|[1, 2] | join('-')|[{'a': 1}, {}] | join(',', attribute='a')|[{'a': [5]}] | map(attribute='a.0') | list
[{'a': 1}, {'b': 2}] | map(attribute='a', default=9) | list|['a', 'b'] | map('upper') | list|[1, 2, 3, 4] | select('odd') | list|[1, 2, 3] | reject('gt', 1) | list|[0, 1, '', 'a', none] | select | list|[{'a': 1}, {'a': 0}, {}] | selectattr('a') | list|[{'a': 1}, {}] | rejectattr('a', 'defined') | list|[{'a': 'x'}] | selectattr('a', 'in', ['x']) | list
'x' | default('d')|none | default('d')|none | default('d', true)|missing | default|'' | d('e', true)|' a ' | trim + '|'|'xax' | trim('x')|'a b' | title|'HELLO' | capitalize|'ab' | upper|'a\\nb\\n\\nc' | indent(2)|'a\\nb' | indent(2, true)|'a\\n\\nb' | indent(1, blank=true)|'a\\r\\nb\\n' | indent|'one two-three' | wordcount
'3' | int|'x' | int|'x' | int(7)|'3.9' | int|3.9 | int|'2.5' | float|'y' | float|5 | float|-3 | abs|5 | string + 'a'|true | string|none | string|[1] | string|'a' | replace('a', 'b')|'aaa' | replace('a', 'b', 1)|{'a': 1} | items | list|undefined_name | items | list
{'b': 1, 'a': ['é', '\\u2028', '"', '\\\\', '\\x7f', 1.5, none, true]} | tojson|{'b': 1, 'a': 2} | tojson(sort_keys=true)|{'a': [1, {}], 'b': []} | tojson(indent=2)|'é😀' | tojson(ensure_ascii=true)|[1, 2] | tojson(separators=(',', ':'))|{'a': 1} | tojson(indent=1, separators=(',', ': '))|'<&>' | tojson|1.0 | tojson|10000000000000000000000.0 | tojson
1 is number|true is number|true is integer|1.0 is float|1 is odd|2 is even|6 is divisibleby(3)|6 is divisibleby 4|'a' is string|{} is mapping|[] is mapping|'a' is iterable|5 is iterable|[] is sequence|{} is sequence|none is none|missing is undefined|false is false|0 is false|1 is true|true is sameas true|1 is sameas true|'a' is in ['a']|1 is eq 1|1 is ne 2|2 is gt 1|2 is ge 3|1 is lt 2|1 is le 0|'A' is upper|'a' is lower|range is callable|'upper' is filter|not 1 is none|1 is not none
range(3) | list|range(1, 4) | list|range(5, 0, -2) | list|dict(a=1, b='x')|namespace(a=1).a|(1, 2)[0]|{'a': {'b': [10, 20]}}.a.b[1]|('a' if 1 else 'b') ~ 'c'|'a' if 0|('x' if 0) is defined|not true or true|true and not false|'' or 'fallback'|'a' and 'b'|1 in [1]|'b' in 'abc'|'k' in {'k': 1}|3 not in [1]|1 + 1 ~ 2|'a' ~ none ~ true
'+5' | int|'1_000' | int|'0x1F' | int(0, 16)|'1010' | int(base=2)|'012' | int(7, 0)|'0b11' | int(base=0)|'+2.5' | float|'_1' | int(3)|'++1' | int(4)|'inf' | int(5)|undefined_name | int|undefined_name | float|'ﬁ' | capitalize|'ﬁx ﬁ' | title|'ﬁx'.title()|'ﬁX'.capitalize()
dict({'a': 1}, b=2)|dict([('a', 1), ('b', 2)])|dict({'a': 1}.items())|dict({'a': 1}, a=2)|{'a': 1, 'b': 2} | items | map(attribute=0) | list|{'a': 1} | dictsort | map(attribute=1) | list|[[3, 'c'], [1, 'a']] | sort(attribute=1)|[[1, 2], [3, 4]] | sum(attribute=1)|[['a', 1], ['b', 0]] | selectattr(1) | list|[['a'], ['b']] | join('-', 0)
['é'] | map('tojson', ensure_ascii=true) | list|[none, 'a'] | map('default', default_value='x', boolean=true) | list|[{'a': 1}] | map('tojson', indent=2) | list|[1, 2, 3] | select('divisibleby', num=2) | list|[{'n': 1}, {'n': 2}] | selectattr('n', '>', 1) | list|[{'n': 1}, {'n': 2}] | rejectattr('n', '<=', 1) | list
[[3, 'c'], [1, 'a']] | sort|(1, 2) < (1, 3)|[1] < [1, 0]|[1, 'a'] < [1, 2]|[2] >= [1, 5]|[[1, 2], [1]] | max|[{'a': 1, 'b': 2}, {'a': 1, 'b': 1}] | sort(attribute='a,b')|[1] < (1,)|'abcabc'.find('c', 3)|'abc'.find('a', 1)|'aé€a'.rfind('a', 0, 3)|'aXa'.count('a', 1)|'abc'.index('c', -1)|'abc'.find('', 9)|'abc'.count('', 1)|['a', 1] | join|''.join(['a', 1])
'yes' if [1] | select('gt', 5) else 'no'|[1, 2] | map('string') | length|[1, 2] | map('string') | last|([1, 2] | map('string'))[0] is defined|([1, 2] | select) is sequence|([1, 2] | select) is iterable|[2, 1] | select | first|[1] | select | tojson|[1, 2] | select | reverse | list|[1, 2] | reverse | length|{'a': 1} | items | length|{} | items is iterable|'a' in ['a'] | map('string')|[1, 1] | unique | length|[1, 2, 3] | batch(2) | length|undefined_name | items | list|{'a': 1}.items() | length
('<' | safe) + '>'|'<' + ('a' | safe)|('a' | safe) ~ '<'|('<%s>' | safe) % "'&"|('a,b' | safe).split(',')[0] + '"'|('x' | safe | upper) + '<'|('x' | safe)[0] + '<'|('xy' | safe)[:1] + '<'|('<' | safe) | length|['<' | safe]|('a' | safe).replace('a', '<')|('-' | safe).join(['<', 1])|('{}' | safe).format('<')|('a' | safe) * 2 + '<'|'<a href="x">' | e|('<' | safe) | escape|'a' | escape is escaped|'a' is escaped|('x' | safe | trim) is escaped|('x' | safe | replace('x', '<')) + '>'|{'k': '<' | safe} | tojson|('a\\nb' | safe | indent) + '<'|(1 | safe) + '<'|none | safe
'abc'['upper']()|{'a': 'x y'}['a']['split'](' ')|{'k': 1}['get']('k')|[[1, 2], [3]].0.1|{'a': [5]}.a.0|'abc'.1|strftime_now('%Z;%z;%%Z')|undefined_name | indent
none | selectattr('a') | list|0 | map('string') | list|false | reject('odd') | list|none | map(attribute='x') | list|'' | select | list|1 | select | list|none | list|{'a': undefined_name} | tojson|[[undefined_name]] | tojson|{'a': [1] | select} | tojson
undefined_name.x|undefined_name + 'a'|'a' + 1|1 < 'a'|none.x.y|raise_exception('no')|'x'.nothing()|5 | length|missing['a']|1 / 0|'a' | int('b') + 1 if false else 2|{'a': 1}.b.c|range('a')|'abc'.index('z')|strftime_now('%Y-%m-%d %% %H') | length
""".strip()


def lines_of_expressions():
    for number, line in enumerate(EXPRESSIONS.split("\n")):
        # A bar between two outputs has no space before it; those of filters have.
        for expression in re.split(r"(?<! )\|(?! )", line):
            yield number, expression


TEXTS = ["", "Hi", "  spaced out \n", "línea ünï 😀 漢字", "a\nb\r\nc", "<b>&\"'</b>", "{{ 7 * 7 }}{% raw %}", "</think>", "<think>\nhm\n</think>\n\nok", "/think please", "\u00a0\u2028", "\\n \\u00e9 \t",
         "<tool_response>x</tool_response>", "'single' and \"double\"", "end\u200b"]


def schema(rng, depth=0):
    kind = rng.choice(["string", "integer", "number", "boolean", "array", "object", "enum", "several", "bare"] if depth < 3 else ["string", "integer"])
    out = {"type": kind}
    if kind == "enum":
        out = {"enum": ["a", "é"], "type": "string"}
    elif kind == "several":
        out = {"type": rng.choice([["string", "null"], ["integer"]])}
    elif kind == "bare":
        out = {"oneOf": [schema(rng, depth + 1), {"type": "string", "description": "or"}]}
    elif kind == "array" and rng.random() < 0.8:
        out["items"] = schema(rng, depth + 1)
    elif kind == "object" and rng.random() < 0.7:
        out["properties"] = {name: schema(rng, depth + 1) for name in rng.sample(["zeta", "alpha", "ünï", "items"], 2)}
        if rng.random() < 0.5:
            out["required"] = ["zeta"]
    if rng.random() < 0.5:
        out["description"] = rng.choice(["what it is", "two\nlines", "«quoted»"])
    if rng.random() < 0.2:
        out["default"] = rng.choice(["d", 1, 2.5, None, True])
    return out


def tool(rng):
    names = rng.sample(["location", "unit", "n", "items", "Überschrift"], rng.randint(1, 3))
    return {"type": "function", "function": {"name": rng.choice(["look_up", "send"]), "description": rng.choice(["Looks it up.", "Sends\n  it", ""]),
                                             "parameters": {"type": "object", "properties": {name: schema(rng) for name in names}, "required": names[:1]}}}


def conversation(rng):
    def content():
        return rng.choice(TEXTS)

    def call():
        arguments = {rng.choice(["q", "items", "x"]): rng.choice([1, "é", [1, 2.5, None], {"b": True, "a": "z"}]) for _ in range(rng.randint(0, 2))}
        out = {"type": "function", "function": {"name": "look_up", "arguments": arguments if rng.random() < 0.8 else json.dumps(arguments)}}
        return {"id": rng.choice(["abcdefghi", "short"]), **out} if rng.random() < 0.8 else out

    messages = [{"role": "system", "content": content()}] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 3)):
        user = {"role": "user", "content": content()}
        if rng.random() < 0.15:
            user["content"] = [{"type": "text", "text": content()}, {"type": "image"}]
        messages.append(user)
        if rng.random() < 0.4:
            assistant = {"role": "assistant", "content": rng.choice([None, content()]), "tool_calls": [call() for _ in range(rng.randint(1, 2))]}
            if rng.random() < 0.3:
                assistant[rng.choice(["reasoning_content", "thinking", "reasoning"])] = content()
            messages.append(assistant)
            messages += [{"role": "tool", "name": "look_up", "tool_call_id": "abcdefghi", "content": rng.choice([content(), json.dumps({"t": 21})])} for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.8:
            messages.append({"role": "assistant", "content": content()})
    return messages


def tasks(count):
    rng = random.Random(77)
    print("seed 77")
    for _ in range(count):
        extras = {}
        if rng.random() < 0.5:
            extras["tools"] = [tool(rng) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.3:
            extras["documents"] = [{"title": "T", "text": rng.choice(TEXTS)} for _ in range(2)]
        variables = {}
        if rng.random() < 0.3:
            variables["enable_thinking"] = rng.random() < 0.5
        if rng.random() < 0.2:
            variables["builtin"] = ["look_up", "code"]
        yield conversation(rng), rng.random() < 0.5, extras, variables
