# SPDX-License-Identifier: Apache-2.0
"""A value against its shape in botocore's service models: required and unknown members, types, enums, lengths, ranges, patterns."""
import base64
import functools
import math
import re

import regex


def scalar(shape, text):
    """A member out of text; what does not read as its type stays text, for the check to find."""
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        pass
    return text


def from_xml(shape, element):
    def name_of(node):
        return node.tag.rpartition("}")[2]

    if shape.type_name == "structure":
        out = {}
        for name, member in shape.members.items():
            key = member.serialization.get("name", name)
            if member.type_name == "list" and member.serialization.get("flattened"):
                key = member.member.serialization.get("name", key)
            nodes = [node for node in element if name_of(node) == key]
            if not nodes:
                continue
            out[name] = [from_xml(member.member, node) for node in nodes] if member.type_name == "list" and member.serialization.get("flattened") else from_xml(member, nodes[0])
        known = set()
        for name, member in shape.members.items():
            key = member.serialization.get("name", name)
            known |= {key, member.member.serialization.get("name", key) if member.type_name == "list" else key}
        unknown = [name_of(node) for node in element if name_of(node) not in known]
        if unknown:
            out["?" + unknown[0]] = "unknown"
        return out
    if shape.type_name == "list":
        return [from_xml(shape.member, node) for node in element]
    return scalar(shape, element.text or "")


class Check:
    """A value against its shape. Values of secrets never reach a message."""

    def __init__(self, problems):
        self.problems = problems

    def say(self, where, what):
        self.problems.append(f"{where or 'input'}: {what}")

    def value(self, shape, value, where):
        if value is None:
            return self.say(where, "null")
        getattr(self, f"check_{shape.type_name}", self.check_other)(shape, value, where)

    def check_structure(self, shape, value, where):
        if not isinstance(value, dict):
            return self.say(where, "not a structure")
        if shape.metadata.get("document"):
            return None
        for name in shape.required_members:
            if name not in value and shape.members[name].serialization.get("name", name) not in value:
                self.say(f"{where}.{name}", "required and absent")
        if shape.is_tagged_union and len(value) != 1:
            self.say(where, "a union takes one member")
        names = {member.serialization.get("name", name) if "location" not in member.serialization else name: name for name, member in shape.members.items()}
        for given, inner in value.items():
            name = given if given in shape.members else names.get(given)
            if name is None:
                self.say(f"{where}.{given}", "no such member")
            else:
                self.value(shape.members[name], inner, f"{where}.{name}")

    def check_list(self, shape, value, where):
        if not isinstance(value, list):
            return self.say(where, "not a list")
        self.bounds(shape, len(value), where, "items")
        for index, inner in enumerate(value):
            self.value(shape.member, inner, f"{where}[{index}]")

    def check_map(self, shape, value, where):
        if not isinstance(value, dict):
            return self.say(where, "not a map")
        self.bounds(shape, len(value), where, "entries")
        for key, inner in value.items():
            self.value(shape.key, key, f"{where}.key")
            self.value(shape.value, inner, f"{where}[{key}]")

    def check_string(self, shape, value, where):
        if isinstance(value, bytes):
            return None
        if not isinstance(value, str):
            return self.say(where, f"a string is asked for, not {type(value).__name__}")
        enum = shape.metadata.get("enum")
        if enum and value not in enum:
            self.say(where, f"{value!r} is none of {', '.join(enum[:12])}")
        self.bounds(shape, len(value), where, "characters")
        pattern = compiled(shape.metadata.get("pattern"))
        if pattern is not None and not pattern.fullmatch(value):
            self.say(where, f"does not match {shape.metadata['pattern']}")

    def check_blob(self, shape, value, where):
        if isinstance(value, bytes):
            return self.bounds(shape, len(value), where, "bytes")
        try:
            self.bounds(shape, len(base64.b64decode(value, validate=True)), where, "bytes")
        except (ValueError, TypeError):
            self.say(where, "not base64")

    def check_integer(self, shape, value, where):
        if isinstance(value, bool) or not isinstance(value, int):
            return self.say(where, f"an integer is asked for, not {type(value).__name__}")
        self.bounds(shape, value, where, "")

    check_long = check_integer

    def check_double(self, shape, value, where):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return self.say(where, "not a number")
        self.bounds(shape, value, where, "")

    check_float = check_double

    def check_boolean(self, shape, value, where):
        if not isinstance(value, bool):
            self.say(where, f"true or false is asked for, not {type(value).__name__}")

    def check_timestamp(self, shape, value, where):
        iso = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
        if not (isinstance(value, (int, float)) and not isinstance(value, bool)) and not (isinstance(value, str) and re.fullmatch(iso + r"|\d+(\.\d+)?|\w{3}, .* GMT", value)):
            self.say(where, "not a time")

    def check_other(self, shape, value, where):
        self.say(where, f"a type that this judge does not know: {shape.type_name}")

    def bounds(self, shape, size, where, unit):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and size < low:
            self.say(where, f"{size} {unit}, at least {low}")
        if high is not None and size > high:
            self.say(where, f"{size} {unit}, at most {high}")


# Classes of Java's that are those of ASCII there, and of Unicode in Python.
ASCII_CLASSES = {"Print": r"\x20-\x7e", "Alnum": "0-9A-Za-z", "Alpha": "A-Za-z", "Digit": "0-9", "Punct": r"!-/:-@\[-`{-~", "Space": r"\s", "ASCII": r"\x00-\x7f"}


def translated(pattern):
    """A model's pattern, which is Java's or ECMA's, as the package `regex` reads it."""
    out, in_brackets, at = "", False, 0
    while at < len(pattern):
        named = re.compile(r"\\p\{(\w+)\}").match(pattern, at)
        if named and named.group(1) in ASCII_CLASSES:
            characters = ASCII_CLASSES[named.group(1)]
            out += characters if in_brackets else f"[{characters}]"
            at = named.end()
            continue
        for theirs, ours in ((r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"), (r"\z", r"\Z")):
            if pattern.startswith(theirs, at):
                out, at = out + ours, at + len(theirs)
                break
        else:
            length = 2 if pattern[at] == "\\" else 1
            in_brackets = pattern[at] == "[" or (in_brackets and pattern[at] != "]")
            out, at = out + pattern[at:at + length], at + length
    return out


@functools.cache
def compiled(pattern):
    return regex.compile(translated(pattern), regex.DOTALL) if pattern else None
