# SPDX-License-Identifier: Apache-2.0
"""An account for tests: moto, which answers as AWS's services do."""
import contextlib
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import pytest

REGION, KEY_ID, SECRET = "eu-central-1", "AKIDEXAMPLEEXAMPLE00", "not-a-secret-of-anyone"


@pytest.fixture(scope="session")
def moto_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([pathlib.Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert server.poll() is None
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(20)


class Account:
    """What a test sees of it: how our programs reach it, and boto3 as a second reader."""

    def __init__(self, url):
        self.url = url
        self.environment = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
                            "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET)


def forget_routes(ec2, cidr):
    """moto never deletes a route table that a stack made, and then no network that has one."""
    network = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": [cidr]}])["Vpcs"][0]["VpcId"]
    for table in ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [network]}])["RouteTables"]:
        if not any(association.get("Main") for association in table["Associations"]):
            for association in table["Associations"]:
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])


def empty_account(moto_url):
    urllib.request.urlopen(urllib.request.Request(moto_url + "/moto-api/reset", method="POST")).read()
    return Account(moto_url)


@pytest.fixture
def aws(moto_url):
    return empty_account(moto_url)


@contextlib.contextmanager
def judged(account, folder):
    """A strict judge that speaks TLS before an account: what our programs send must leave its `violations` empty."""
    from conftest import make_certificate
    from judge import Judge

    folder.mkdir()
    certificate, key = make_certificate(folder)
    judge = Judge(account.environment["AWS_ENDPOINT_URL"], certificate, key, {KEY_ID: SECRET})
    judge.ca_file = str(certificate)
    judge.environment = {**account.environment, "AWS_ENDPOINT_URL": judge.url, "AWS_CA_BUNDLE": judge.ca_file}
    yield judge
    judge.close()


@pytest.fixture
def judge(aws, tmp_path):
    with judged(aws, tmp_path / "judge") as judge:
        yield judge
