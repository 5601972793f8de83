# SPDX-License-Identifier: Apache-2.0
"""Two versions of a model, and who asks while one takes the other's place."""
import concurrent.futures
import random
import threading

import yaml

from conftest import TRAINING_ROWS, deploy_tiny, rows


def train_again(redoubt, **changes):
    """The pipeline with other hyperparameters, which is another version."""
    file = redoubt.pipeline.parent / "training_config.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))


def deploy_two(folder, hub, **changes):
    """0.1.0 is served, 0.2.0 is approved."""
    redoubt = deploy_tiny(folder, hub, **changes)
    train_again(redoubt, epochs=1, learning_rate=0.001)
    redoubt("run", redoubt.pipeline, expect=6)
    redoubt("registry", "approve", "tiny/0.2.0", "--reason", "better", identity="reviewer")
    return redoubt


def usual_prompts(count, seed=9):
    """Out of the training data: a look may take any number of them as its window, and only prompts of the same distribution drift in none."""
    return random.Random(seed).sample([row["messages"][0]["content"] for row in rows(TRAINING_ROWS)], count)


def strange_prompts(count):
    """Of another language, length and punctuation than the training data's."""
    return [f"Écris {number} vers sur la mer, s'il te plaît; en français!" * 3 for number in range(count)]


def ask_all(endpoint, prompts):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {answer[0] for answer in pool.map(lambda prompt: endpoint.chat(prompt, max_tokens=1), prompts)} == {200}


def states(redoubt):
    return {version["version"]: version["state"] for version in redoubt.json("registry", "list")}


class Load:
    """Calls `ask` all the time, from three threads, and keeps what it answers."""

    def __init__(self, ask):
        self.ask, self.answers, self.ending = ask, [], threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(3)]

    def run(self):
        while not self.ending.is_set():
            self.answers.append(self.ask())

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()
