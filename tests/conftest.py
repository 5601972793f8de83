# SPDX-License-Identifier: Apache-2.0
"""What tests of the built programs share: the programs, a small model that the test makes, a hub that serves it over TLS, and
workspaces whose keys lie in a folder of the test."""
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from aws_account import aws, judge, moto_url  # noqa: F401  (fixtures)
from module_folders import pytest_fixture_setup  # noqa: F401  (hook)

# Threads that wait for work must not spin: tests run beside builds and beside each other. Before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A runner in the background of a shell ignores SIGINT, and every program below it would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("REDOUBT_BUILD", ROOT / "build"))
TOKEN = "hf_test" + "Q7w2" * 8
API_WORDS = ["list", "copy", "move", "archive", "compress", "search", "count", "sort", "print", "remove"]
TRAINING_ROWS = 300


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """A private authority and a leaf for localhost, as a company's mirror would have."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "tls.key", "-out", folder / "tls.crt"], check=True, capture_output=True)
    return folder / "tls.crt", folder / "tls.key"


def rows(count, seed=1):
    """Questions and commands with no personal data; easy enough that a tiny model learns something."""
    order = random.Random(seed)
    out = []
    for number in range(count):
        verb, thing = order.choice(API_WORDS), f"{order.choice('abcdefgh')}{number}"
        out.append({"messages": [{"role": "user", "content": f"How do I {verb} {thing}?"},
                                 {"role": "assistant", "content": f"{verb} --all {thing}"}]})
    return out


CHAT_TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def make_tiny_model(folder, texts):
    """A Llama of 2 layers with random weights and a byte-level BPE trained on the texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=512, special_tokens=special, show_progress=False,
                                                             initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
                         bos_token_id=1, eos_token_id=2, pad_token_id=2)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    folder.mkdir(parents=True)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "pad_token": "<|im_end|>",
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}))
    return folder


class Redoubt:
    """The command line with a workspace and a home of its own."""

    def __init__(self, folder, workspace=None, options=()):
        self.folder, self.options = folder, options
        self.workspace = workspace or folder / "workspace"
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache"),
                            "HOME": str(folder), "REDOUBT_WORKSPACE": str(self.workspace)}
        self.environment.pop("REDOUBT_BUILD", None)

    def command(self, *arguments, identity=None):
        return [str(BUILD / "redoubt"), *(["--as", identity] if identity else []), *map(str, self.options), *map(str, arguments)]

    def __call__(self, *arguments, identity=None, expect=0, stdin="", timeout=300):
        done = subprocess.run(self.command(*arguments, identity=identity), env=self.environment, input=stdin, capture_output=True,
                              text=True, timeout=timeout, cwd=self.folder)
        if expect is not None:
            assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def json(self, *arguments, **options):
        return json.loads(self("--json", *arguments, **options).stdout)


class SilentReceiver:
    """Takes connections and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"


class Hub:
    def __init__(self, root, folder):
        self.certificate, key = make_certificate(folder)
        token = folder / "hub-token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.port = free_port()
        self.log = open(folder / "hub.log", "w")
        self.process = subprocess.Popen(
            [BUILD / "redoubt", "hub", "serve", "--root", root, "--listen", f"127.0.0.1:{self.port}", "--tls-cert", self.certificate,
             "--tls-key", key, "--token-file", token], stdout=self.log, stderr=self.log)
        self.url = f"https://localhost:{self.port}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, open(folder / "hub.log").read()
            time.sleep(0.05)
        raise AssertionError("the hub does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def pytest_collection_modifyitems(items):
    """What takes longest first: side by side, none of it is left over at the end."""
    folders = ["pipeline", "aws"]
    items.sort(key=lambda item: folders.index(item.path.parent.name) if item.path.parent.name in folders else len(folders))


@pytest.fixture(scope="session")
def tiny_hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    texts = [json.dumps(row) for row in rows(300)] + [message["content"] for row in rows(300) for message in row["messages"]]
    make_tiny_model(folder / "root" / "test" / "tiny", texts)
    hub = Hub(folder / "root", folder)
    hub.root = folder / "root"
    yield hub
    hub.stop()


def write_pipeline(folder, hub, count=TRAINING_ROWS, **changes):
    """A pipeline over the tiny model whose thresholds it can meet; `changes` go over the top level of redoubt.yaml."""
    import yaml  # transformers brings it

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    (folder / "training_config.yaml").write_text(yaml.safe_dump({
        "version": 1, "epochs": 2, "batch_size": 8, "learning_rate": 0.005, "lora_r": 4, "lora_alpha": 8, "max_length": 128,
        "checkpoint_steps": 5}))
    (folder / "thresholds.yaml").write_text(yaml.safe_dump({"version": 1, "perplexity_max": 1000, "eval_loss_max": 7, "examples_min": 10}))
    (folder / "policy.yaml").write_text(yaml.safe_dump({"version": 1}))
    config = {"version": 1, "name": "tiny", "model": {"repository": "test/tiny", "endpoint": hub.url, "ca_file": str(hub.certificate),
                                                      "token_secret": "huggingface/api-token", "license": "Apache-2.0"},
              "data": {"file": "data.jsonl", "seed": 3}, "evaluate": {"generations": 1}, "deploy": {"port": 0, "environment": "dev"}}
    config.update(changes)
    (folder / "redoubt.yaml").write_text(yaml.safe_dump(config))
    return folder / "redoubt.yaml"


def run_approved(redoubt, pipeline, version):
    """Through all seven steps, with the review in between."""
    redoubt("run", pipeline, expect=6)
    redoubt("registry", "approve", version, "--reason", "read the card", identity="reviewer")
    redoubt("run", pipeline)


def deploy_tiny(folder, hub, secrets=(), options=(), **changes):
    """A workspace whose tiny model is served in dev; with a key of its own. Every command has the options."""
    redoubt = Redoubt(folder, options=options)
    redoubt("init")
    redoubt("secret", "put", "huggingface/api-token", stdin=TOKEN)
    for name in secrets:
        redoubt("secret", "put", name, stdin=secrets[name])
    redoubt.pipeline = write_pipeline(folder / "pipeline", hub, **changes)
    run_approved(redoubt, redoubt.pipeline, "tiny/0.1.0")
    redoubt.key = redoubt.json("key", "create", "--name", "test", "--environment", "dev", "--requests-per-minute", "100000")["key"]
    return redoubt


@pytest.fixture(scope="session")
def deployed(tiny_hub, tmp_path_factory):
    """A workspace that has been taken through all seven steps, for tests that leave it as it is."""
    redoubt = deploy_tiny(tmp_path_factory.mktemp("deployed"), tiny_hub)
    redoubt.hub_root = tiny_hub.root
    redoubt.endpoint = redoubt.json("endpoint", "status", "--environment", "dev")
    yield redoubt
    redoubt("endpoint", "stop", "--environment", "dev")


class Endpoint:
    """The served model as a client sees it."""

    def __init__(self, redoubt, key=None):
        self.status = redoubt.json("endpoint", "status", "--environment", "dev")
        self.url, self.key = self.status["url"], key or redoubt.key
        self.context = ssl.create_default_context(cafile=self.status["ca_file"])

    def open(self, path, body=None, key=None, headers=None, timeout=120):
        """The open answer, whatever its status; a body that is no text is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key if key is None else key}"} if key != "" else {}),
                **(headers or {})}
        try:
            return urllib.request.urlopen(urllib.request.Request(self.url + path, data, sent), context=self.context, timeout=timeout)
        except urllib.error.HTTPError as refused:
            return refused

    def post(self, path, body, **options):
        with self.open(path, body, **options) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None

    def stream(self, content, **fields):
        """The events of a streamed answer, one by one; the last is {"done": True} where the stream ended well."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "stream": True, **fields}
        with self.open("/v1/chat/completions", body) as answer:
            assert answer.status == 200, answer.read()
            for line in answer:
                text = line.decode().removeprefix("data: ").strip()
                if text:
                    yield {"done": True} if text == "[DONE]" else json.loads(text)

    def chat(self, content, key=None, **fields):
        body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 8, **fields}
        return self.post("/v1/chat/completions", body, key=key)


class Process:
    """Another process, by its number and start, so that a number given anew is not mistaken for it."""

    def __init__(self, pid):
        self.pid, self.start = pid, self.stat(pid)[19]

    @staticmethod
    def stat(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

    def is_gone(self):
        try:
            state = self.stat(self.pid)
            return state[19] != self.start or state[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    def kill(self, number):
        if not self.is_gone():
            os.kill(self.pid, number)


def workers_of(redoubt):
    """The engine processes that the endpoint of this workspace has started."""
    endpoint = redoubt.json("endpoint", "status", "--environment", "dev")["pid"]
    parents, engines = {}, []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(Process.stat(folder.name)[1])
            if b"redoubt-engine" in (folder / "cmdline").read_bytes().partition(b"\0")[0]:
                engines.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue

    def is_below(pid):
        return pid == endpoint or (pid in parents and is_below(parents[pid]))

    return [Process(pid) for pid in engines if is_below(pid)]


def until(what, seconds=float(os.environ.get("REDOUBT_DEADLINE_S", "240")), every=0.2):
    """Waits on a state, with a deadline that no healthy machine needs; answers what `what` answered."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, "the state never came"
        time.sleep(every)
