# SPDX-License-Identifier: Apache-2.0
"""IAM's decision as its documentation states it: an explicit deny wins, what no statement allows is refused, a permissions boundary
and a resource's own policy count as well."""
import collections
import functools
import re

# context: condition keys in lower case, each with a list of values.
Request = collections.namedtuple("Request", "action resource context")
# name: where it stands in the template, such as "StoreAccess/DataKeys".
Statement = collections.namedtuple("Statement", "name effect actions resources conditions principals")


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements_of(name, document):
    found = []
    for number, item in enumerate(document["Statement"]):
        unread = set(item) - {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
        assert not unread, f"{name}: this evaluator does not know {unread}"
        found.append(Statement(f"{name}/{item.get('Sid', number)}", item["Effect"], as_list(item["Action"]), as_list(item["Resource"]), item.get("Condition", {}), item.get("Principal")))
    return found


@functools.cache
def likeness(pattern):
    """`*` and `?` alone are special."""
    return re.compile("".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern), re.DOTALL)


def is_like(pattern, value):
    return likeness(pattern).fullmatch(value) is not None


def is_arn_like(pattern, value):
    theirs, ours = value.split(":", 5), pattern.split(":", 5)
    return len(theirs) == len(ours) == 6 and all(map(is_like, ours, theirs))


COMPARE = {
    "StringEquals": lambda wanted, value: wanted == value, "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": is_like, "ArnLike": is_arn_like, "ArnEquals": is_arn_like, "Bool": lambda wanted, value: wanted.lower() == value.lower(),
    "NumericLessThan": lambda wanted, value: float(value) < float(wanted), "NumericEquals": lambda wanted, value: float(value) == float(wanted)}
NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "ArnNotLike": "ArnLike"}


def holds(operator, wanted, values):
    """One key of a condition; `values` are those of the request, None where it has none."""
    wanted = [str(item) for item in as_list(wanted)]
    if operator == "Null":
        return (values is None) == (wanted[0].lower() == "true")
    quantifier, _, operator = operator.rpartition(":")
    if operator.endswith("IfExists"):
        if values is None:
            return True
        operator = operator.removesuffix("IfExists")
    positive = NEGATED.get(operator, operator)
    assert positive in COMPARE, f"this evaluator does not know {operator}"

    def matches(value):
        return any(COMPARE[positive](item, value) for item in wanted) != (operator in NEGATED)

    if values is None:
        return quantifier == "ForAllValues" or (operator in NEGATED and quantifier == "")
    if quantifier == "ForAllValues":
        return all(map(matches, values))
    assert quantifier in ("", "ForAnyValue")
    return any(map(matches, values))


def applies(statement, request):
    return (any(is_like(action.lower(), request.action.lower()) for action in statement.actions)
            and any(is_like(resource, request.resource) for resource in statement.resources)
            and all(holds(operator, wanted, request.context.get(key.lower())) for operator, keys in statement.conditions.items() for key, wanted in keys.items()))


def names_principal(statement, account, service=None):
    """Whether a resource's policy speaks of the account's roles, or of a service."""
    principals = statement.principals
    if principals == "*":
        return True
    if service is not None:
        return service in as_list(principals.get("Service", []))
    return any(one in ("*", account, f"arn:aws:iam::{account}:root") for one in as_list(principals.get("AWS", [])))


Decision = collections.namedtuple("Decision", "allowed why used")


def decide(request, identity, boundary=(), resource_policy=(), account=None, needs_resource_policy=False):
    """`used` are the statements that allowed it. A key's policy has to allow as well (`needs_resource_policy`); a bucket's only refuses."""
    spoken = [statement for statement in resource_policy if names_principal(statement, account)]
    for statement in [*identity, *boundary, *spoken]:
        if statement.effect == "Deny" and applies(statement, request):
            return Decision(False, f"{statement.name} refuses it", [])
    used = [statement for statement in identity if statement.effect == "Allow" and applies(statement, request)]
    if not used:
        return Decision(False, "no statement of the role allows it", [])
    for who, policy in (("the boundary", boundary if boundary else None), ("the key's policy", spoken if needs_resource_policy else None)):
        if policy is None:
            continue
        found = [statement for statement in policy if statement.effect == "Allow" and applies(statement, request)]
        if not found:
            return Decision(False, f"{who} does not allow it", [])
        used += found
    return Decision(True, "", used)
