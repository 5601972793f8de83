# SPDX-License-Identifier: Apache-2.0
"""Our container as SageMaker runs it, from a recorded job description: the image is unpacked and started by other people's tools
(skopeo, umoci, bubblewrap), with SageMaker's /opt/ml, its configuration files, read-only inputs and no network. The recorded
description is what our provider asks for (src/provider/aws/sagemaker_job_runner_test.cc), judged here by botocore's model."""
import json
import pathlib
import re
import subprocess

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from conftest import Redoubt, make_tiny_model, rows

RECORDED = pathlib.Path(__file__).parent / "data" / "training_job.json"


def java_matches(pattern, text):
    # Classes that Java has and Python's re writes otherwise.
    return re.fullmatch(pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s"), text) is not None


def check(shape, value, where):
    """Enums, lengths and patterns, which botocore leaves to the service."""
    limits = shape.metadata
    if shape.type_name == "structure":
        for name, member in value.items():
            check(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        assert limits.get("min", 0) <= len(value) <= limits.get("max", 1000), where
        for item in value:
            check(shape.member, item, where + "[]")
    elif shape.type_name == "map":
        assert len(value) <= limits.get("max", 1000), where
        for key, item in value.items():
            check(shape.key, key, where)
            check(shape.value, item, f"{where}[{key}]")
    elif shape.type_name == "string":
        assert limits.get("min", 0) <= len(value) <= limits.get("max", 10**6), where
        assert "enum" not in limits or value in limits["enum"], (where, value)
        assert "pattern" not in limits or java_matches(limits["pattern"], value), (where, value, limits["pattern"])
    elif shape.type_name == "integer":
        assert limits.get("min", 0) <= value <= limits.get("max", 2**31), where


def test_the_recorded_job_is_one_that_sagemaker_takes():
    shape = get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    recorded = json.loads(RECORDED.read_text())
    report = ParamValidator().validate(recorded, shape)
    assert not report.has_errors(), report.generate_report()
    check(shape, recorded, "CreateTrainingJob")


def test_the_metrics_are_found_in_our_own_lines():
    definitions = {metric["Name"]: metric["Regex"] for metric in json.loads(RECORDED.read_text())["AlgorithmSpecification"]["MetricDefinitions"]}
    step = '{"epoch":0,"event":"step","learning_rate":0.005,"loss":2.5e-1,"step":1,"steps":2,"tokens":80,"tokens_per_second":412.5}'
    epoch = '{"best":true,"epoch":1,"eval_loss":1.25,"event":"epoch","perplexity":3.49}'
    result = '{"accuracy":0.5,"byte_perplexity":1.5,"eval_loss":1.5,"event":"result","perplexity":4.48,"word_perplexity":9.5}'
    found = {name: [match.group(1) for line in (step, epoch, result) for match in re.finditer(regex, line)] for name, regex in definitions.items()}
    assert found == {"loss": ["2.5e-1"], "eval_loss": ["1.25", "1.5"], "perplexity": ["3.49", "4.48"], "accuracy": ["0.5"], "tokens_per_second": ["412.5"]}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image's root and its configuration, as Docker would have them."""
    folder = tmp_path_factory.mktemp("image")
    redoubt = Redoubt(folder)
    redoubt("init")
    built = redoubt.json("image", "build")
    tag = built["tag"].split(":")[1]
    subprocess.run(["skopeo", "copy", "--quiet", "--preserve-digests", f"oci:{built['layout']}:{built['tag']}", f"oci:{folder}/copy:{tag}"], check=True)
    subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{folder}/copy:{tag}", folder / "bundle"], check=True, capture_output=True)
    config = json.loads(subprocess.run(["skopeo", "inspect", "--config", f"oci:{folder}/copy:{tag}"], check=True, capture_output=True).stdout)["config"]
    return folder / "bundle" / "rootfs", config


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    make_tiny_model(folder, [json.dumps(row) for row in rows(60)])
    return folder


def prepare(job, ml, channels):
    """/opt/ml as SageMaker lays it out before the container starts."""
    (ml / "input" / "config").mkdir(parents=True)
    for folder in ("model", "output/data", "checkpoints"):
        (ml / folder).mkdir(parents=True)
    for channel in job["InputDataConfig"]:
        target = ml / "input" / "data" / channel["ChannelName"]
        target.mkdir(parents=True)
        for name, contents in channels[channel["ChannelName"]].items():
            (target / name).write_bytes(contents)
    instance = job["ResourceConfig"]["InstanceType"]
    (ml / "input/config/hyperparameters.json").write_text(json.dumps(job["HyperParameters"]))
    (ml / "input/config/inputdataconfig.json").write_text(json.dumps({
        channel["ChannelName"]: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"} for channel in job["InputDataConfig"]}))
    (ml / "input/config/resourceconfig.json").write_text(json.dumps({
        "current_host": "algo-1", "current_instance_type": instance, "current_group_name": "homogeneousCluster", "hosts": ["algo-1"],
        "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": ["algo-1"]}], "network_interface_name": "eth0"}))
    (ml / "input/config/init-config.json").write_text(json.dumps({"inputMode": "FILE"}))
    (ml / "input/config/upstreamoutputdataconfig.json").write_text("[]")


def run(job, image, ml):
    """docker run IMAGE train, or with the job's own entry point; who the container runs as is the image's to say."""
    root, config = image
    user = (config.get("User") or "0").split(":")[0]
    algorithm = job["AlgorithmSpecification"]
    command = algorithm.get("ContainerEntrypoint", config["Entrypoint"]) + algorithm.get("ContainerArguments", ["train"])
    environment = dict(variable.split("=", 1) for variable in config["Env"])
    environment |= {"TRAINING_JOB_NAME": job["TrainingJobName"], "AWS_REGION": "eu-central-1", "SM_HOSTS": '["algo-1"]'}
    bwrap = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
             "--bind", ml, "/opt/ml", "--ro-bind", ml / "input", "/opt/ml/input", "--uid", user, "--gid", user, "--chdir", config.get("WorkingDir", "/")]
    for name, value in environment.items():
        bwrap += ["--setenv", name, value]
    return subprocess.run([*bwrap, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def lines_of(messages):
    return "".join(json.dumps(message) + "\n" for message in messages).encode()


def test_the_image_runs_as_root_which_is_whose_folders_they_are(image):
    # SageMaker mounts /opt/ml/model, output and checkpoints for root; in our own sandbox the program is never root.
    assert (image[1].get("User") or "root").split(":")[0] in ("0", "root")


def test_an_evaluation_runs_as_the_recorded_job_says(image, model, tmp_path):
    job = json.loads(RECORDED.read_text())
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    prepare(job, tmp_path / "ml", {"model": files, "eval": {"eval.jsonl": lines_of(rows(12))}})
    done = run(job, image, tmp_path / "ml")
    assert done.returncode == 0, done.stdout
    evaluation = json.loads((tmp_path / "ml" / "output" / "data" / "evaluation.json").read_text())
    assert evaluation["examples"] == 12
    assert not (tmp_path / "ml" / "output" / "failure").exists()


def test_a_training_runs_under_the_word_train_and_goes_on_from_its_checkpoints(image, model, tmp_path):
    job = json.loads(RECORDED.read_text())
    for member in ("ContainerEntrypoint", "ContainerArguments"):
        del job["AlgorithmSpecification"][member]
    job["HyperParameters"] = {"epochs": "1", "batch_size": "4", "learning_rate": "0.005", "lora_r": "4", "target_modules": '["q_proj","v_proj"]',
                              "max_length": "64", "checkpoint_steps": "2", "dtype": "fp32", "seed": "7"}
    job["InputDataConfig"] = [{"ChannelName": name} for name in ("model", "train", "eval")]
    channels = {"model": {path.name: path.read_bytes() for path in model.iterdir()}, "train": {"train.jsonl": lines_of(rows(12))}, "eval": {"eval.jsonl": lines_of(rows(4, 2))}}
    prepare(job, tmp_path / "ml", channels)
    done = run(job, image, tmp_path / "ml")
    assert done.returncode == 0, done.stdout
    adapter = (tmp_path / "ml" / "model" / "adapter_model.safetensors").read_bytes()
    assert json.loads((tmp_path / "ml" / "model" / "adapter_config.json").read_text())["r"] == 4
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events][0] == "plan" and events[-1]["event"] == "result"
    kept = tmp_path / "ml" / "checkpoints"
    assert [path.name for path in kept.iterdir()] and not [path for path in kept.iterdir() if path.name.endswith(".tmp")]

    # What capacity that was taken away does: the next container finds what the checkpoints' folder in S3 holds.
    prepare(job, tmp_path / "again" / "ml", channels)
    for path in kept.iterdir():
        path.rename(tmp_path / "again" / "ml" / "checkpoints" / path.name)
    done = run(job, image, tmp_path / "again" / "ml")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "again" / "ml" / "model" / "adapter_model.safetensors").read_bytes() == adapter


def test_a_failure_is_written_where_sagemaker_reads_it(image, model, tmp_path):
    job = json.loads(RECORDED.read_text())
    job["HyperParameters"]["max_lenght"] = "64"
    prepare(job, tmp_path / "ml", {"model": {path.name: path.read_bytes() for path in model.iterdir()}, "eval": {"eval.jsonl": lines_of(rows(3))}})
    done = run(job, image, tmp_path / "ml")
    assert done.returncode == 2
    assert "max_lenght" in (tmp_path / "ml" / "output" / "failure").read_text()
