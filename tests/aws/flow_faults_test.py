# SPDX-License-Identifier: Apache-2.0
"""Whole flows over AWS's providers with a fault at each of their calls: each ends in success or in an error that names the resource and
the cure, nothing half made is left, a second try ends well, and nothing is there twice.

Calls and faults are drawn by a seed that a failure names, the same one each time; REDOUBT_FAULT_SEED draws others, REDOUBT_FAULT_RUNS=all runs every pair."""
import datetime
import os
import random
import urllib.request

import pytest

import answers
from aws_account import Account, judged
from faults import Fault, not_yet
from flows import FLOWS, QuickPlayer, World, is_error
from player import PlayerServer
from registry import Registry

SEED, RUNS = int(os.environ.get("REDOUBT_FAULT_SEED", 3)), os.environ.get("REDOUBT_FAULT_RUNS", "3")
# Once at call k; "away" and "denied" are all calls of its operation from there on, and so is "skewed" for all calls: the service's clock is
# not ours any more.
KINDS = ["throttling", "error_500", "error_503", "slow", "reset_before", "reset_after", "truncated", "expired_token", "access_denied", "not_yet", "stale", "away", "denied", "skewed"]
SKEW = datetime.timedelta(minutes=20)
# What is asked again whatever it is: the request was not carried out, and the service says so.
OVERCOME = {"throttling", "slow", "skewed"}


@pytest.fixture(scope="module")
def world(moto_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    urllib.request.urlopen(urllib.request.Request(moto_url + "/moto-api/reset", method="POST")).read()
    aws = Account(moto_url)
    player = QuickPlayer(aws.client, lambda repository, digest: folder, None)
    server = PlayerServer(aws.url, player)
    aws.environment = {**aws.environment, "AWS_ENDPOINT_URL": server.url}
    (folder / "registry").mkdir()
    registry = Registry(folder / "registry", "AWS", "123456789012-auth-token")
    with judged(aws, folder / "judge") as judge:
        world = World(aws, player, judge, registry)
        world.folder = folder
        yield world
        world.process.stdin.close()
        assert world.process.wait(30) == 0
    registry.stop()
    player.close()
    server.close()


class At(Fault):
    """At the flow's call of that number."""

    def __init__(self, number, kind, judge):
        super().__init__("*", "*", {"away": "error_503", "denied": "access_denied"}.get(kind, kind), 10**6, {"seconds": 0.3})
        self.number, self.lasts, self.calls, self.met, self.judge = number, kind in ("away", "denied"), 0, None, judge
        self.turn_clock()

    def meets(self, service, operation, members):
        self.calls += 1
        self.turn_clock()
        if self.calls == self.number:
            self.met = service, operation
            return self.kind != "skewed"  # the clock is wrong, and nothing else
        return self.lasts and self.met == (service, operation)

    def turn_clock(self):
        """The judge looks at a request's time before anything else: the clock is wrong once the call before has passed. Ahead or behind by turns."""
        if self.kind == "skewed" and self.calls == self.number - 1:
            self.judge.skew = SKEW if self.number % 2 else -SKEW


def can_be_missing(call):
    """Whether an operation says of something that it is not there: a listing of all there is never does."""
    status, headers, body = not_yet(call.service, call.operation)
    return answers.problems_of(call.service, call.operation, status, headers, body) == []


def pairs_of(calls):
    """Which faults make sense at which call."""
    for number, call in enumerate(calls, 1):
        reads = call.operation.startswith(("Describe", "Get", "List", "Head"))
        for kind in KINDS:
            if kind in ("not_yet", "stale") and (not reads or call.status != 200 or call.service in ("s3", "sts", "cloudwatch")):
                continue  # S3 is consistent, and CloudWatch's readers know what its writers said
            if kind == "not_yet" and not can_be_missing(call):
                continue
            if kind in ("slow", "reset_after", "truncated", "stale") and call.operation == "DescribeImageScanFindings":
                continue  # the flow answers this one itself, since moto knows no image that a registry holds: there is no answer to spoil
            yield number, kind


def check_clear(error):
    assert error["code"] not in ("internal", "tampered") and error["message"] and error["where"] and error["hint"], error


@pytest.mark.parametrize("name", FLOWS)
def test_a_fault_at_any_call_ends_well_or_clearly_and_the_second_try_ends_well(world, name):
    flow = FLOWS[name]
    world.judge.violations.clear()
    world.start_anew()
    answer = world.ask(flow.prepare(world))
    assert not is_error(answer), answer
    expected = flow.made(world, answer)
    pairs = list(pairs_of(world.judge.calls))
    drawn = pairs if RUNS == "all" else random.Random(f"{SEED}/{name}").sample(pairs, min(max(1, int(RUNS) // flow.weight), len(pairs)))
    wrong = []
    for number, kind in drawn:
        try:
            one_fault(world, flow, expected, number, kind)
        except AssertionError as problem:
            wrong.append(f"{kind} at call {number}: {str(problem)[:600]}")
    assert not wrong, f"seed {SEED}, {len(wrong)} of {len(drawn)}:\n" + "\n".join(wrong)
    assert world.judge.violations == []


def one_fault(world, flow, expected, number, kind):
    world.start_anew()
    orders = flow.prepare(world)
    fault = At(number, kind, world.judge)
    world.judge.faults.insert(0, fault)  # before what a flow injects itself
    try:
        answer = world.ask(orders)
    finally:
        world.judge.skew = datetime.timedelta()
    if fault.met is None:  # how often a flow looks depends on the time that it takes
        assert not is_error(answer) and flow.made(world, answer) == expected
        return
    what = ".".join(fault.met)
    try:
        check(world, flow, orders, answer, expected, fault, kind)
    except AssertionError as problem:
        raise AssertionError(f"{what}, after {answer}: {problem}") from problem


def check(world, flow, orders, answer, expected, fault, kind):
    if is_error(answer):
        assert kind not in OVERCOME, "it is to be overcome"
        check_clear(answer["error"])
        flow.check_error(world, fault.met[1])
    world.judge.faults.remove(fault)
    if is_error(answer) or flow.repeats:
        answer = world.ask(flow.again(orders, world))
    assert not is_error(answer), f"the second try: {answer}"
    made = flow.made(world, answer)
    assert made == expected, f"{made} instead of {expected}"
    flow.check_end(world, fault.met[1])
