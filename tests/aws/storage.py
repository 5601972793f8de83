# SPDX-License-Identifier: Apache-2.0
"""A bucket, a key and the storage providers in a process of their own, behind the strict judge, which can spoil the line."""
import functools
import json
import os
import pathlib
import subprocess

import pytest

from aws_account import REGION, Account

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])
BUCKET, KEY = "redoubt-storage", "alias/redoubt-storage"
PART, BLOCK, START = 5 << 20, 1 << 20, 128 << 10


class StorageTool:
    def __init__(self, environment):
        home = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.process = subprocess.Popen([BUILD / "storage_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**home, "HOME": "/nonexistent", **environment})

    def ask(self, what, **order):
        self.process.stdin.write(json.dumps({"do": what, **{name: str(value) if isinstance(value, pathlib.Path) else value
                                                            for name, value in order.items()}}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the tool ended: {self.process.wait(10)}"
        return json.loads(line)

    def __call__(self, what, **order):
        answer = self.ask(what, **order)
        assert "error" not in answer, answer
        return answer

    def error(self, what, **order):
        return self.ask(what, **order)["error"]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0


@functools.cache
def boto(url, service):
    return Account(url).client(service)


@pytest.fixture
def storage(aws, judge):
    tool = StorageTool(judge.environment)
    tool.judge, tool.s3, tool.kms, tool.aws = judge, boto(aws.url, "s3"), boto(aws.url, "kms"), aws
    tool.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    tool.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    tool("create_key", uri="aws-kms:" + KEY)
    tool("s3", bucket=BUCKET, prefix="objects/", kms_key=KEY, part_bytes=PART, block_bytes=BLOCK, start_bytes=START)
    yield tool
    tool.close()
    assert judge.violations == []
