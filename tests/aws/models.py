# SPDX-License-Identifier: Apache-2.0
"""Requests read back and judged by botocore's service models: every protocol, and what botocore's own validator leaves out."""
import base64
import functools
import json
import math
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.session

# Services that sign under another name than botocore's.
SIGNING_NAMES = {"monitoring": ["cloudwatch"], "email": ["ses"], "awsssoportal": ["sso"], "sso-oauth": ["sso-oidc"], "servicequotas": ["service-quotas"],
                 "sagemaker": ["sagemaker", "sagemaker-runtime"], "access-analyzer": ["accessanalyzer"], "states": ["stepfunctions"]}


@functools.cache
def model_of(service):
    return botocore.session.get_session().get_service_model(service)


def protocol_of(service):
    try:
        return model_of(service).metadata["protocol"]
    except Exception:  # a service that botocore does not know
        return "json"


def parse(request, scope):
    """The service, the operation, its members as JSON has them, and what is wrong with them."""
    signing_name = scope.service if scope else "?"
    candidates = SIGNING_NAMES.get(signing_name, [signing_name])
    for service in candidates:
        try:
            model = model_of(service)
        except Exception:
            return signing_name, None, {}, ["botocore knows no such service"]
        found = Reader(model, request).read()
        if found[0] is not None:
            return (service, *found)
    return (candidates[0], None, {}, [])


@functools.cache
def headers_of(service, operation):
    """The headers that carry the operation's members."""
    if operation is None:
        return set()
    shape = model_of(service).operation_model(operation).input_shape
    names = set()
    for member in (shape.members.values() if shape else ()):
        if member.serialization.get("location") == "header":
            names.add(member.serialization.get("name", "").lower())
    # Prefixed metadata can't be listed in advance; checksums are members of some operations and of all their parts.
    return names | {"x-amz-checksum-sha256", "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-algorithm", "x-amz-checksum-type"}


class Reader:
    def __init__(self, model, request):
        self.model, self.request, self.problems = model, request, []
        self.protocol = model.metadata["protocol"]
        self.query = urllib.parse.parse_qsl(request.query, keep_blank_values=True)

    def read(self):
        target = self.request.header("x-amz-target")
        if target:
            return self.read_json(target)
        if self.protocol in ("query", "ec2") or b"Action=" in self.request.body[:4096]:
            return self.read_query()
        if self.protocol.startswith("rest"):
            return self.read_rest()
        return None, {}, []

    def check(self, operation, members):
        shape = self.model.operation_model(operation).input_shape
        if shape is not None:
            Check(self.problems).value(shape, members, "")
        elif members:
            self.problems.append("the operation has no members")
        return operation, members, self.problems

    # JSON 1.0 and 1.1.
    def read_json(self, target):
        prefix, _, operation = target.partition(".") if target.count(".") == 1 else (target.rpartition(".")[0], ".", target.rpartition(".")[2])
        if prefix != self.model.metadata.get("targetPrefix"):
            self.problems.append(f"X-Amz-Target names {prefix}, the service is {self.model.metadata.get('targetPrefix')}")
        if operation not in self.model.operation_names:
            return None, {}, self.problems
        version = self.model.metadata.get("jsonVersion", "1.1")
        if self.request.header("content-type") != f"application/x-amz-json-{version}":
            self.problems.append(f"Content-Type is {self.request.header('content-type')}, not application/x-amz-json-{version}")
        try:
            members = json.loads(self.request.body or b"{}")
        except ValueError:
            self.problems.append("the body is not JSON")
            members = {}
        return self.check(operation, members)

    # Query and EC2.
    def read_query(self):
        if "application/x-www-form-urlencoded" not in self.request.header("content-type"):
            self.problems.append("Content-Type is not application/x-www-form-urlencoded")
        form = dict(urllib.parse.parse_qsl(self.request.body.decode(), keep_blank_values=True))
        operation = form.pop("Action", None)
        if form.pop("Version", None) != self.model.api_version:
            self.problems.append("Version is not the model's")
        if operation not in self.model.operation_names:
            return None, {}, self.problems
        shape = self.model.operation_model(operation).input_shape
        members = self.unflatten(shape, form, "") if shape is not None else {}
        for name in form:
            self.problems.append(f"no member is {name}")
        return self.check(operation, members)

    def unflatten(self, shape, form, prefix):
        """The value at a prefix; what is taken leaves the form."""
        if shape.type_name == "structure":
            out = {}
            for name, member in shape.members.items():
                key = self.query_name(name, member)
                value = self.unflatten(member, form, f"{prefix}.{key}" if prefix else key)
                if value is not None:
                    out[name] = value
            return out if out or not prefix else None
        if shape.type_name == "list":
            if shape.serialization.get("flattened") or self.protocol == "ec2":
                base = prefix
            else:
                base = f"{prefix}.{shape.member.serialization.get('name', 'member')}"
            return self.numbered(shape.member, form, base)
        if shape.type_name == "map":
            base = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
            out = {}
            for number in range(1, 1000):
                key = form.pop(f"{base}.{number}.{shape.key.serialization.get('name', 'key')}", None)
                if key is None:
                    break
                out[key] = self.unflatten(shape.value, form, f"{base}.{number}.{shape.value.serialization.get('name', 'value')}")
            return out or None
        text = form.pop(prefix, None)
        return text if text is None else scalar(shape, text)

    def query_name(self, name, member):
        if self.protocol == "ec2":
            own = member.serialization.get("queryName")
            if own:
                return own
            located = member.serialization.get("name", name)
            return located[0].upper() + located[1:]
        if member.type_name == "list" and member.serialization.get("flattened"):
            return member.member.serialization.get("name", member.serialization.get("name", name))
        return member.serialization.get("name", name)

    def numbered(self, member, form, base):
        out = []
        for number in range(1, 1000):
            value = self.unflatten(member, form, f"{base}.{number}")
            if value is None:
                break
            out.append(value)
        return out or None

    # REST-JSON and REST-XML.
    def read_rest(self):
        best = None
        for operation in self.model.operation_names:
            found = self.match(operation)
            if found is not None and (best is None or found[0] > best[0]):
                best = (*found, operation)
        if best is None:
            return None, {}, []
        _, labels, operation = best
        shape = self.model.operation_model(operation).input_shape
        members = dict(labels)
        if shape is not None:
            self.read_locations(shape, members)
            self.read_payload(shape, members)
        return self.check(operation, members)

    def match(self, operation):
        trait = self.model.operation_model(operation).http
        if trait["method"] != self.request.method:
            return None
        path, _, literals = trait["requestUri"].partition("?")
        pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/") or "/")))
        found = re.fullmatch(pattern + "/?", self.request.path)
        if found is None:
            return None
        given = dict(self.query)
        wanted = urllib.parse.parse_qsl(literals, keep_blank_values=True)
        if any(name not in given or (value and given[name] != value) for name, value in wanted):
            return None
        shape = self.model.operation_model(operation).input_shape
        score = len(wanted) * 10
        labels = {}
        for name in (shape.members if shape else ()):
            member = shape.members[name]
            where, key = member.serialization.get("location"), member.serialization.get("name", name)
            if where == "uri":
                labels[name] = scalar(member, urllib.parse.unquote(found.group(key)))
            needed = name in shape.required_members
            if where == "querystring" and key in given:
                score += 1
            if needed and where == "querystring" and key not in given:
                return None
            if needed and where == "header" and not self.request.header(key.lower()):
                return None
            score += 5 if needed and where in ("querystring", "header") else 0
        return score, labels

    def read_locations(self, shape, members):
        trait = urllib.parse.parse_qsl(self.model.operation_model(self.operation_of(shape)).http["requestUri"].partition("?")[2], keep_blank_values=True)
        known = {name for name, _ in trait} | {"x-id"}
        for name, member in shape.members.items():
            where, key = member.serialization.get("location"), member.serialization.get("name", name)
            if where == "querystring":
                if member.type_name == "map":
                    known |= {name for name, _ in self.query}
                    continue
                known.add(key)
                values = [value for given, value in self.query if given == key]
                if values:
                    members[name] = [scalar(member.member, value) for value in values] if member.type_name == "list" else scalar(member, values[0])
            if where == "header" and self.request.header(key.lower()):
                members[name] = scalar(member, self.request.header(key.lower()))
            if where == "headers":
                members[name] = {given[len(key):]: value for given, value in self.request.headers if given.lower().startswith(key.lower())}
        for name, _ in self.query:
            if name not in known and not name.startswith("X-Amz-"):
                self.problems.append(f"no member is the query's {name}")

    def operation_of(self, shape):
        for operation in self.model.operation_names:
            if self.model.operation_model(operation).input_shape is not None and self.model.operation_model(operation).input_shape.name == shape.name:
                return operation
        raise KeyError(shape.name)

    def read_payload(self, shape, members):
        payload = shape.serialization.get("payload")
        body = self.request.body
        if payload and shape.members[payload].type_name in ("blob", "string"):
            if body:
                members[payload] = body
            return
        if not body:
            return
        target = shape.members[payload] if payload else shape
        try:
            if self.protocol == "rest-xml":
                value = from_xml(target, ElementTree.fromstring(body))
            else:
                value = json.loads(body)
        except (ValueError, ElementTree.ParseError) as problem:
            self.problems.append(f"the body can't be read: {problem}")
            return
        if payload:
            members[payload] = value
        else:
            back = {member.serialization.get("name", name): name for name, member in shape.members.items() if "location" not in member.serialization}
            for key, given in value.items():
                if key not in back:
                    self.problems.append(f"no member is {key}")
                else:
                    members[back[key]] = given


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
            if name not in value:
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


# Unicode's classes inside of brackets: punctuation and symbols are those of ASCII.
CLASSES = {r"\p{L}": r"\w", r"\p{Z}": r"\s", r"\p{N}": r"\d", r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}", r"\p{S}": r"$+<=>^`|~", r"\p{M}": ""}


@functools.cache
def compiled(pattern):
    """Smithy's patterns are ECMA's; what Python can't read is left to the services."""
    if not pattern:
        return None
    try:
        for java, python in CLASSES.items():
            pattern = pattern.replace(java, python)
        return re.compile(pattern, re.DOTALL)
    except re.error:
        return None
