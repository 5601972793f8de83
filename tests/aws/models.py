# SPDX-License-Identifier: Apache-2.0
"""Requests read back and judged by botocore's service models: every protocol, and what botocore's own validator leaves out."""
import collections
import functools
import json
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.exceptions
import botocore.session

from shapes import Check, from_xml, scalar

# Services that sign under another name than botocore's.
SIGNING_NAMES = {"monitoring": ["cloudwatch"], "email": ["ses"], "awsssoportal": ["sso"], "sso-oauth": ["sso-oidc"], "servicequotas": ["service-quotas"],
                 "sagemaker": ["sagemaker", "sagemaker-runtime"], "access-analyzer": ["accessanalyzer"], "states": ["stepfunctions"]}


@functools.cache
def model_of(service):
    return botocore.session.get_session().get_service_model(service)


def protocol_of(service):
    try:
        protocol = model_of(service).metadata["protocol"]
    except Exception:  # a service that botocore does not know
        return "json"
    return "json" if protocol == "smithy-rpc-v2-cbor" else protocol  # our client speaks its JSON


@functools.cache
def is_listing(service, operation):
    """Whether an operation tells what there is, page by page, and not of one named thing."""
    try:
        botocore.session.get_session().get_paginator_model(service).get_paginator(operation)
        return True
    except (botocore.exceptions.DataNotFoundError, ValueError):
        return False


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


Route = collections.namedtuple("Route", "operation method path literals shape members")


@functools.cache
def routes_of(service):
    """How the operations of a REST service are told apart; each member with its place, its key there, and whether it is required."""
    routes = []
    for operation in model_of(service).operation_names:
        model = model_of(service).operation_model(operation)
        path, _, literals = model.http["requestUri"].partition("?")
        pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/") or "/")))
        shape = model.input_shape
        members = [(name, member, member.serialization.get("location"), member.serialization.get("name", name), name in shape.required_members)
                   for name, member in (shape.members.items() if shape else ())]
        routes.append(Route(operation, model.http["method"], re.compile(pattern + "/?"), urllib.parse.parse_qsl(literals, keep_blank_values=True), shape, members))
    return routes


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
        for route in routes_of(self.model.service_name):
            found = self.match(route)
            if found is not None and (best is None or found[0] > best[0]):
                best = (*found, route)
        if best is None:
            return None, {}, []
        _, members, route = best
        if route.shape is not None:
            self.read_locations(route, members)
            self.read_payload(route.shape, members)
        return self.check(route.operation, members)

    def match(self, route):
        if route.method != self.request.method:
            return None
        found = route.path.fullmatch(self.request.path)
        if found is None:
            return None
        given = dict(self.query)
        if any(name not in given or (value and given[name] != value) for name, value in route.literals):
            return None
        score = len(route.literals) * 10
        labels = {}
        for name, member, where, key, needed in route.members:
            if where == "uri":
                labels[name] = scalar(member, urllib.parse.unquote(found.group(key)))
            if where == "querystring" and key in given:
                score += 1
            if needed and where == "querystring" and key not in given:
                return None
            if needed and where == "header" and not self.request.header(key.lower()):
                return None
            score += 5 if needed and where in ("querystring", "header") else 0
        return score, labels

    def read_locations(self, route, members):
        known = {name for name, _ in route.literals} | {"x-id"}
        for name, member, where, key, _ in route.members:
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
