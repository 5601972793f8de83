# SPDX-License-Identifier: Apache-2.0
"""Where credentials are found: our chain against botocore's, over a table of files and environments. One server plays STS, SSO,
the container's host and the instance's metadata, and makes keys that tell how they were asked for."""
import datetime
import hashlib
import http.server
import json
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import threading
import urllib.parse

import pytest

BUILD = pathlib.Path(os.environ["REDOUBT_BUILD"])
LATER = "2099-01-01T00:00:00Z"


def key_for(*facts):
    return "ASIA" + hashlib.sha256(repr(facts).encode()).hexdigest()[:16].upper()


class World(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, kind="text/xml"):
        body = body.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-amzn-requestid", "request-1")
        self.end_headers()
        self.wfile.write(body)

    def asker(self):
        found = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        return found.group(1) if found else None

    def give(self, key, token_name="Token"):
        self.answer(json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": "s" + key, token_name: "t" + key, "Expiration": LATER}), kind="application/json")

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        if self.path.startswith("/federation/credentials"):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            token = self.headers["x-amz-sso_bearer_token"]
            if token != "good":
                return self.answer('{"message": "Session token not found or invalid"}', 401, "application/json")
            key = key_for("sso", query["role_name"], query["account_id"])
            return self.answer(json.dumps({"roleCredentials": {"accessKeyId": key, "secretAccessKey": "s" + key, "sessionToken": "t" + key, "expiration": 4070908800000}}),
                               kind="application/json")
        if self.path.startswith("/container"):
            if self.headers.get("Authorization") not in (None, "container token"):
                return self.answer("{}", 403, "application/json")
            return self.give(key_for("container", self.path, self.headers.get("Authorization")))
        if self.path.startswith("/latest/meta-data/iam/security-credentials/"):
            if self.headers.get("x-aws-ec2-metadata-token") != "imds token":
                return self.answer("", 401)
            role = self.path.rsplit("/", 1)[1]
            return self.give(key_for("instance", role)) if role else self.answer("the-role", kind="text/plain")
        self.answer("", 404)

    def do_PUT(self):
        self.server.asked.append((self.command, self.path))
        self.answer("imds token", kind="text/plain")

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        self.server.asked.append((self.command, form.get("Action")))
        action = form["Action"]
        if action == "GetCallerIdentity":
            token = self.headers.get("x-amz-security-token", "")
            return self.answer(f"<R><GetCallerIdentityResult><Account>1</Account><Arn>{self.asker()}|{token}</Arn></GetCallerIdentityResult></R>")
        if form["RoleArn"].endswith("/refused"):
            return self.answer("<ErrorResponse><Error><Code>AccessDenied</Code><Message>User is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>", 403)
        session = form["RoleSessionName"] if not re.match("(botocore|redoubt)-", form["RoleSessionName"]) else "default"
        key = key_for(action, form["RoleArn"], session, form.get("ExternalId"), form.get("DurationSeconds"), form.get("WebIdentityToken"), self.asker())
        self.answer(f"<R><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s{key}</SecretAccessKey><SessionToken>t{key}</SessionToken>"
                    f"<Expiration>{LATER}</Expiration></Credentials></{action}Result></R>")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def world():
    server = Server(("127.0.0.1", 0), World)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


BOTOCORE = """
import sys, botocore.session
found = botocore.session.Session(profile=sys.argv[1] or None).get_credentials()
frozen = found.get_frozen_credentials() if found else None
print(f"{frozen.access_key}|{frozen.token or ''}" if frozen else "none")
"""


class Home:
    def __init__(self, folder, world, config="", credentials="", environment=None, files=None):
        self.folder = folder
        (folder / ".aws").mkdir()
        (folder / ".aws" / "config").write_text(config.replace("HOME", str(folder)))
        (folder / ".aws" / "credentials").write_text(credentials)
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        given = {name: value.replace("HOME", str(folder)).replace("WORLD", world.url) for name, value in (environment or {}).items()}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": world.url,
                            "AWS_EC2_METADATA_DISABLED": "true", "AWS_EC2_METADATA_SERVICE_ENDPOINT": world.url, **given}

    def ours(self, profile=""):
        orders = [{"do": "client", "profile": profile}, {"do": "call", "service": "sts", "operation": "GetCallerIdentity"}]
        done = subprocess.run([BUILD / "aws_tool"], input="".join(json.dumps(order) + "\n" for order in orders), env=self.environment, capture_output=True, text=True, timeout=60, cwd=self.folder)
        first, second = [json.loads(line) for line in done.stdout.splitlines()]
        return first["error"] if "error" in first else second["answer"]["Arn"]

    def botocores(self, profile=""):
        done = subprocess.run([sys.executable, "-c", BOTOCORE, profile], env=self.environment, capture_output=True, text=True, timeout=60, cwd=self.folder)
        return done.stdout.strip() if done.returncode == 0 else "error: " + done.stderr.strip().splitlines()[-1]


KEYS = "aws_access_key_id = AKIA{0}\naws_secret_access_key = secret{0}\n"
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "secretenv"}
ROLE = "role_arn = arn:aws:iam::1:role/{0}\n"


def sso_file(name):
    return f".aws/sso/cache/{hashlib.sha1(name.encode()).hexdigest()}.json"


def sso_token(**changes):
    return json.dumps({"startUrl": "https://x.awsapps.com/start", "region": "eu-west-1", "accessToken": "good", "expiresAt": LATER, **changes})


SSO = "sso_account_id = 1\nsso_role_name = r\n"
CASES = {
    "environment": dict(environment=ENV_KEYS),
    "environment with a session": dict(environment={**ENV_KEYS, "AWS_SESSION_TOKEN": "token"}),
    "environment before the default profile": dict(environment=ENV_KEYS, credentials="[default]\n" + KEYS.format("D")),
    "environment before a profile of the environment": dict(environment={**ENV_KEYS, "AWS_PROFILE": "p"}, credentials="[p]\n" + KEYS.format("P")),
    "a profile of the option before the environment": dict(environment=ENV_KEYS, credentials="[p]\n" + KEYS.format("P"), profile="p"),
    "default of the credentials file": dict(credentials="[default]\n" + KEYS.format("D")),
    "default of the config file": dict(config="[default]\n" + KEYS.format("C")),
    "profile of the config file": dict(config="[profile p]\n" + KEYS.format("C"), profile="p"),
    "a profile with blanks and quotes": dict(config='[profile "p q"]\n' + KEYS.format("C"), profile="p q"),
    "credentials file before config file": dict(config="[default]\n" + KEYS.format("C"), credentials="[default]\n" + KEYS.format("D")),
    "comments, blanks and tabs": dict(config="# one\n; two\n[default]\n  \n" + "aws_access_key_id=AKIAX\naws_secret_access_key\t=\tsecret\naws_session_token = a=b=\n"),
    "files of the environment": dict(environment={"AWS_CONFIG_FILE": "HOME/c", "AWS_SHARED_CREDENTIALS_FILE": "HOME/s"}, files={"c": "[default]\nregion=x\n", "s": "[default]\n" + KEYS.format("S")}),
    "a role over another profile": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\n" + KEYS.format("B"), profile="a"),
    "a role with everything": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\nexternal_id = e-1\nrole_session_name = me\nduration_seconds = 900\n[profile b]\n" + KEYS.format("B"), profile="a"),
    "a role over its own keys": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = a\n" + KEYS.format("A"), profile="a"),
    "a chain of roles": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\n" + ROLE.format("b") + "source_profile = c\n[profile c]\n" + KEYS.format("C"), profile="a"),
    "a source with keys and a role uses its keys": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\n" + ROLE.format("b") + "source_profile = c\n" + KEYS.format("B") + "[profile c]\n" + KEYS.format("C"), profile="a"),
    "a role over the environment": dict(config="[profile a]\n" + ROLE.format("a") + "credential_source = Environment\n", environment=ENV_KEYS, profile="a"),
    "a role over the instance": dict(config="[profile a]\n" + ROLE.format("a") + "credential_source = Ec2InstanceMetadata\n", environment={"AWS_EC2_METADATA_DISABLED": "false"}, profile="a"),
    "a role over the container": dict(config="[profile a]\n" + ROLE.format("a") + "credential_source = EcsContainer\n", environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container"}, profile="a"),
    "a role over a process": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\ncredential_process = cat HOME/out\n", files={"out": '{"Version": 1, "AccessKeyId": "AKIAP", "SecretAccessKey": "s"}'}, profile="a"),
    "a role over SSO": dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n" + SSO, files={sso_file("https://x.awsapps.com/start"): sso_token()}, profile="a"),
    "web identity of the environment": dict(environment={"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/jwt", "AWS_ROLE_ARN": "arn:aws:iam::1:role/w", "AWS_ROLE_SESSION_NAME": "pod"}, files={"jwt": "a.b.c"}),
    "web identity of a profile": dict(config="[profile a]\n" + ROLE.format("w") + "web_identity_token_file = HOME/jwt\n", files={"jwt": "a.b.c"}, profile="a"),
    "web identity before the default profile": dict(environment={"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/jwt", "AWS_ROLE_ARN": "arn:aws:iam::1:role/w"}, files={"jwt": "a.b.c"}, credentials="[default]\n" + KEYS.format("D")),
    "SSO, the older form": dict(config="[profile a]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n" + SSO, files={sso_file("https://x.awsapps.com/start"): sso_token()}, profile="a"),
    "SSO with a session": dict(config="[profile a]\nsso_session = corp\n" + SSO + "[sso-session corp]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n", files={sso_file("corp"): sso_token()}, profile="a"),
    "a process": dict(config="[default]\ncredential_process = sh -c 'cat \"HOME/o ut\"'\n", files={"o ut": json.dumps({"Version": 1, "AccessKeyId": "AKIAP", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": LATER})}),
    "keys of the credentials file before a process": dict(config="[default]\ncredential_process = false\n", credentials="[default]\n" + KEYS.format("D")),
    "a process before keys of the config file": dict(config="[default]\ncredential_process = cat HOME/out\n" + KEYS.format("C"), files={"out": '{"Version": 1, "AccessKeyId": "AKIAP", "SecretAccessKey": "s"}'}),
    "the container": dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container?x=1"}),
    "the container with a token": dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container token"}),
    "the container with a token's file": dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "HOME/t"}, files={"t": "container token"}),
    "the instance": dict(environment={"AWS_EC2_METADATA_DISABLED": "false"}),
    "the container before the instance": dict(environment={"AWS_EC2_METADATA_DISABLED": "false", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container"}),
    "a profile without credentials leads on": dict(config="[default]\nregion = eu-west-1\n", environment={"AWS_EC2_METADATA_DISABLED": "false"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_chain_finds_what_botocore_finds(name, world, tmp_path):
    case = dict(CASES[name])
    profile = case.pop("profile", "")
    home = Home(tmp_path, world, **case)
    ours, theirs = home.ours(profile), home.botocores(profile)
    assert isinstance(ours, str), ours
    assert ours == theirs and "none" not in theirs


BROKEN = {
    "nothing anywhere": (dict(), "no AWS credentials were found", "", "AWS_PROFILE"),
    "half of the environment": (dict(environment={"AWS_ACCESS_KEY_ID": "AKIAENV"}, credentials="[default]\n" + KEYS.format("D")), "only one half", "AWS_SECRET_ACCESS_KEY", "set both"),
    "a profile that is not there": (dict(environment={"AWS_PROFILE": "nope"}, credentials="[default]\n" + KEYS.format("D")), 'no profile "nope"', "credentials", "profiles"),
    "half of a profile": (dict(credentials="[default]\naws_access_key_id = AKIAD\n"), "has no aws_secret_access_key", "credentials:2", "give both"),
    "a role without a source": (dict(config="[profile a]\n" + ROLE.format("a"), profile="a"), "without source_profile", "config:2", "add source_profile"),
    "a role over nothing": (dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n", profile="a"), 'source_profile "b"', "config:3", "name a profile"),
    "roles in a circle": (dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\n[profile b]\n" + ROLE.format("b") + "source_profile = a\n", profile="a"), "lead back", "config:6", "of its own"),
    "a role that refuses": (dict(config="[profile a]\n" + ROLE.format("refused") + "source_profile = b\n[profile b]\n" + KEYS.format("B"), profile="a"), "role/refused could not be taken on", "config:2", "trust policy"),
    "an unknown source": (dict(config="[profile a]\n" + ROLE.format("a") + "credential_source = Magic\n", profile="a"), "unknown credential_source", "config:3", "Environment"),
    "a second factor": (dict(config="[profile a]\n" + ROLE.format("a") + "source_profile = b\nmfa_serial = x\n[profile b]\n" + KEYS.format("B"), profile="a"), "second factor", "config:4", "aws sso login"),
    "a token that is not there": (dict(environment={"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/none", "AWS_ROLE_ARN": "arn:aws:iam::1:role/w"}, credentials="[default]\n" + KEYS.format("D")), "can't be read", "/none", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "a web identity without a role": (dict(environment={"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/none"}), "without a role", "AWS_ROLE_ARN", "AWS_ROLE_ARN"),
    "no sign-in": (dict(config="[profile a]\nsso_session = corp\n" + SSO + "[sso-session corp]\nsso_start_url = u\nsso_region = eu-west-1\n", profile="a"), "nobody has signed in", ".aws/sso/cache", "aws sso login --sso-session corp"),
    "a session that is over": (dict(config="[profile a]\nsso_start_url = u\nsso_region = eu-west-1\n" + SSO, files={sso_file("u"): sso_token(expiresAt="2020-01-01T00:00:00UTC")}, profile="a"), "is over", ".aws/sso/cache", "aws sso login --profile a"),
    "a session that was taken back": (dict(config="[profile a]\nsso_start_url = u\nsso_region = eu-west-1\n" + SSO, files={sso_file("u"): sso_token(accessToken="bad")}, profile="a"), "gave no credentials for the role r", "config:4", "sign in"),
    "SSO without a region": (dict(config="[profile a]\nsso_start_url = u\n" + SSO, profile="a"), "without sso_region", "config:3", "sso_region"),
    "an sso-session that is not there": (dict(config="[profile a]\nsso_session = corp\n" + SSO, profile="a"), "which is not there", "config:2", "[sso-session corp]"),
    "a process that fails": (dict(config="[default]\ncredential_process = sh -c 'echo hidden; exit 3'\n"), "failed (exit 3)", "config:2", "by hand"),
    "a process that babbles": (dict(config="[default]\ncredential_process = echo hidden\n"), "does not write the JSON", "config:2", "Version"),
    "a process that is not there": (dict(config="[default]\ncredential_process = /nonexistent/x\n"), "can't be started", "config:2", "path"),
    "a process with half a quote": (dict(config="[default]\ncredential_process = sh -c 'x\n"), "quote", "config:2", ""),
    "a container that refuses": (dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}), "status 403", "/container", "AWS_CONTAINER"),
    "a container elsewhere over plain HTTP": (dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}), "plain HTTP from 192.0.2.1", "FULL_URI", "https"),
    "a container's token with a line break": (dict(environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "WORLD/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "HOME/t"}, files={"t": "hidden\r\nx: y"}), "line break", "TOKEN", ""),
    "an instance that has no service": (dict(environment={"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}), "no AWS credentials were found", "127.0.0.1", "AWS_PROFILE"),
    "a file that is none": (dict(credentials="[default]\n" + KEYS.format("D") + "hidden line\n"), "neither", "credentials:4", ""),
    "a setting before a section": (dict(credentials="aws_access_key_id = hidden\n"), "before the first", "credentials:1", "[default]"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_source_is_named_and_never_passed_over(name, world, tmp_path):
    given, message, where, hint = BROKEN[name]
    given = dict(given)
    profile = given.pop("profile", "")
    error = Home(tmp_path, world, **given).ours(profile)
    assert isinstance(error, dict), f"credentials were found: {error}"
    assert error["code"] in ("permission_denied", "invalid_argument")
    assert message in error["message"] and where in error["where"] and hint in error["hint"], error
    assert not re.search("hidden|secret[A-Zde]|token t", json.dumps(error)), "an error shows what may be a secret"


def test_the_instance_is_never_asked_without_a_token(world, tmp_path):
    world.asked.clear()
    assert isinstance(Home(tmp_path, world, environment={"AWS_EC2_METADATA_DISABLED": "false"}).ours(), str)
    assert world.asked[0] == ("PUT", "/latest/api/token")
