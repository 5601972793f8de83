# SPDX-License-Identifier: Apache-2.0
"""Schemas as automata against the `jsonschema` package: what they let through validates, and what validates in their form is let through."""
import datetime
import ipaddress
import json
import random
import re
import subprocess
import typing
import uuid

import jsonschema
import pydantic
import pytest

from conftest import BUILD

SEED = 20261128


def run(tasks):
    done = subprocess.run([BUILD / "schema_tool"], input="".join(json.dumps(task) + "\n" for task in tasks), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


class Schemas:
    """Random schemas of the subset."""

    def __init__(self, rng):
        self.rng, self.defs = rng, {}

    def document(self):
        root = self.schema(0)
        if self.defs and "$ref" not in root:
            root["$defs"] = self.defs
        elif self.defs:
            root = {"$defs": self.defs, **root}
        return root

    def schema(self, depth):
        simple = [self.string, self.integer, self.number, self.enum, self.constant, self.plain, self.pattern]
        deep = [self.object, self.object, self.array, self.any_of, self.one_of, self.reference, self.mapping]
        return self.rng.choice(simple if depth > 3 else simple + deep + deep)(depth)

    def plain(self, depth):
        return {"type": self.rng.choice(["null", "boolean", "string", "integer", "number", ["string", "null"], ["boolean", "integer"], ["array", "object"]])}

    def string(self, depth):
        least = self.rng.randrange(4)
        return {"type": "string", **self.rng.choice([{}, {"minLength": least}, {"maxLength": least}, {"minLength": least, "maxLength": least + self.rng.randrange(5)}])}

    def pattern(self, depth):
        pattern = self.rng.choice(["^[a-z]{2,5}$", "^\\d{3}-\\d{2}$", "a+b", "^(foo|bar|b[aeiou]z)+$", "^\\w+@\\w+\\.(com|org)$", "[^a-z\\s]$", "^.{0,4}$", "\\.\\.", "^[\\u00e0-\\u00ff]?x",
                                   "^$", "^a|z$", "(?:ab){2}", "^[A-F0-9]{8}$", "\\S\\D\\W"])
        return {"type": "string", "pattern": pattern, **self.rng.choice([{}, {}, {"maxLength": 12}, {"minLength": 3, "maxLength": 20} if pattern != "^$" else {}])}

    def bounds(self, value):
        low, high = sorted([value(), value()])
        out = {}
        if self.rng.random() < 0.7:
            out[self.rng.choice(["minimum", "exclusiveMinimum"])] = low
        if self.rng.random() < 0.7:
            out[self.rng.choice(["maximum", "exclusiveMaximum"])] = high
        return out

    def integer(self, depth):
        return {"type": "integer", **self.bounds(lambda: self.rng.randint(-10**self.rng.randrange(1, 19), 10**self.rng.randrange(1, 19)))}

    def number(self, depth):
        return {"type": "number", **self.bounds(lambda: self.rng.choice([round(self.rng.uniform(-2, 2), 3), self.rng.uniform(-1e6, 1e6), self.rng.randint(-9, 9), 1e-7, 0]))}

    def value(self, depth=0):
        kinds = [None, True, 0, -1.5, 12, "", "a", 'q"\\\n', "naïve 漢字 😀", "\x7f"]
        kind = self.rng.randrange(len(kinds) + (2 if depth < 2 else 0))
        if kind < len(kinds):
            return kinds[kind]
        return [self.value(depth + 1) for _ in range(self.rng.randrange(3))] if kind == len(kinds) else {self.rng.choice("abc"): self.value(depth + 1)}

    def enum(self, depth):
        return {"enum": [self.value() for _ in range(self.rng.randrange(1, 5))]}

    def constant(self, depth):
        return {"const": self.value()}

    def names(self):
        return self.rng.sample(["a", "b", "ab", "name", "größe", 'q"', "c/d", "x~y", "\n"], self.rng.randrange(0, 5))

    def object(self, depth):
        names = self.names()
        out = {"type": "object", "properties": {name: self.schema(depth + 1) for name in names}, "required": [name for name in names if self.rng.random() < 0.5]}
        extra = self.rng.randrange(4)
        if extra < 2:
            out["additionalProperties"] = False
        elif extra == 2:
            out["additionalProperties"] = self.schema(depth + 1)
        return out

    def mapping(self, depth):
        return {"type": "object", "additionalProperties": self.schema(depth + 1)}

    def array(self, depth):
        least = self.rng.randrange(3)
        return {"type": "array", "items": self.schema(depth + 1), **self.rng.choice([{}, {"minItems": least}, {"minItems": least, "maxItems": least + self.rng.randrange(3)}])}

    def any_of(self, depth):
        return {"anyOf": [self.schema(depth + 1) for _ in range(self.rng.randrange(1, 4))]}

    def one_of(self, depth):
        tagged = [{"type": "object", "properties": {"kind": {"const": kind}, "value": self.schema(depth + 1)}, "required": ["kind"], "additionalProperties": False}
                  for kind in ("one", "two")]
        return {"oneOf": self.rng.choice([tagged, [self.integer(depth), self.string(depth), {"type": "null"}]])}

    def reference(self, depth):
        name = self.rng.choice("pqr")
        if name not in self.defs:
            self.defs[name] = {}
            self.defs[name] = {"anyOf": [{"type": "null"}, self.schema(depth + 1)]}
        return {"$ref": f"#/$defs/{name}"}


def schemas(count):
    rng = random.Random(SEED)
    return [Schemas(rng).document() for _ in range(count)]


def test_what_a_schema_lets_through_validates():
    print("seed", SEED)
    documents = schemas(400)
    compiled = refused = whole = cut = 0
    for document, texts in zip(documents, run([{"schema": json.dumps(document), "seed": i, "count": 25} for i, document in enumerate(documents)]), strict=True):
        if isinstance(texts, dict):
            refused += 1
            # Only what has no finite value, or refers to itself at once, may fail here.
            assert texts["error"] in ("no finite value fits the schema", "a schema refers to itself without a value between", "$ref goes round in a circle",
                                      "no string fits the pattern and its lengths"), (document, texts)
            continue
        compiled += 1
        validator = jsonschema.Draft202012Validator(document)
        for text in texts:
            whole, cut = whole + (text != ""), cut + (text == "")
            if text == "":
                continue
            try:
                validator.validate(json.loads(text))
            except (ValueError, jsonschema.ValidationError) as error:
                raise AssertionError(f"{json.dumps(document)} let {text!r} through: {error}") from error
    print("compiled", compiled, "refused", refused, "texts", whole, "without end", cut)
    assert compiled > 300 and cut < whole / 5


def test_values_that_validate_are_let_through_in_the_form_of_the_writer():
    rng = random.Random(SEED + 1)
    document = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
                                                 "tags": {"type": "array", "items": {"enum": ["a", "b", "x"]}, "maxItems": 3}, "score": {"type": "number", "minimum": -1, "maximum": 1},
                                                 "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["name", "parent"], "additionalProperties": False}

    def value(depth=0):
        out = {"name": "".join(rng.choice("aZ é漢😀\"\\\n/") for _ in range(rng.randrange(0, 11)))}
        if rng.random() < 0.5:
            out["age"] = rng.randint(-5, 125)
        if rng.random() < 0.5:
            out["tags"] = [rng.choice(["a", "b", "x", "c"]) if rng.random() < 0.3 else "a" for _ in range(rng.randrange(5))]
        if rng.random() < 0.5:
            out["score"] = round(rng.uniform(-1.2, 1.2), 4)
        out["parent"] = value(depth + 1) if depth < 3 and rng.random() < 0.4 else None
        return out

    values = [value() for _ in range(1500)]
    forms = [{"ensure_ascii": False}, {"ensure_ascii": True}, {"indent": 2}, {"separators": (",", ":")}]
    texts = [json.dumps(one, **rng.choice(forms)) for one in values]
    validator = jsonschema.Draft202012Validator(document)
    ours = run([{"schema": json.dumps(document), "texts": texts}])[0]
    expected = [validator.is_valid(one) for one in values]
    assert 200 < sum(expected) < 1300
    for text, got, want in zip(texts, ours, expected, strict=True):
        assert got == want, text


READERS = {"date": datetime.date, "time": datetime.time, "date-time": datetime.datetime, "duration": datetime.timedelta, "uuid": uuid.UUID, "ipv4": ipaddress.IPv4Address,
           "ipv6": ipaddress.IPv6Address}


@pytest.mark.parametrize("name", READERS)
def test_strings_of_a_format_are_read_by_pydantic(name):
    texts = run([{"schema": json.dumps({"type": "string", "format": name}), "seed": 5, "count": 400}])[0]
    reader = pydantic.TypeAdapter(READERS[name])
    for text in texts:
        # Months and years have no fixed length, and a timedelta has 999,999,999 days at most.
        if text and not (name == "duration" and re.search(r"^.P[^T]*[YM]|\d{6}", text)):
            reader.validate_python(json.loads(text))
    assert len(set(texts)) > 100


def test_a_model_of_pydantic_is_answered():
    class Left(pydantic.BaseModel):
        kind: typing.Literal["left"]
        day: datetime.date

    class Right(pydantic.BaseModel):
        kind: typing.Literal["right"]
        address: ipaddress.IPv4Address
        key: uuid.UUID

    class Model(pydantic.BaseModel):
        side: Left | Right = pydantic.Field(discriminator="kind")

    texts = [text for text in run([{"schema": json.dumps(Model.model_json_schema()), "seed": 6, "count": 100}])[0] if text]
    sides = {Model.model_validate_json(text).side.kind for text in texts}
    assert sides == {"left", "right"}


@pytest.mark.parametrize("keyword, value", [("not", {}), ("multipleOf", 2), ("format", "regex"), ("contains", {}), ("propertyNames", {}), ("dependentRequired", {}),
                                            ("unevaluatedProperties", False), ("minProperties", 1), ("patternProperties", {}), ("if", {}), ("$dynamicRef", "#a"), ("x-mine", 1)])
def test_an_unknown_keyword_is_refused_wherever_it_stands(keyword, value):
    inner = {"type": "string", keyword: value}
    for document in (inner, {"type": "array", "items": inner}, {"type": "object", "properties": {"a": inner}}, {"anyOf": [{"type": "null"}, inner]},
                     {"$defs": {"d": inner}, "$ref": "#/$defs/d"}, {"type": "object", "additionalProperties": inner}):
        assert f"'{keyword}'" in run([{"schema": json.dumps(document)}])[0]["error"]
