#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generation speed of redoubt-engine against llama.cpp: the same weights, prompts, streams and threads.

usage: decode_vs_llamacpp.py MODEL_FOLDER MODEL.gguf [--threads 2] [--rounds 3] [--engine build/redoubt-engine] [--only TEXT]

Runs under a Python that has gguf and llama-cpp-python (built with CMAKE_ARGS=-DGGML_NATIVE=ON; LLAMA_CPP_LIB_PATH names the folder of
another build of its library). MODEL.gguf is the file that MODEL_FOLDER was imported from: it is written anew with its matrices in BF16,
and llama.cpp makes Q8_0 of that. Each side runs in a process of its own, in turns, and its best of three runs counts. llama.cpp has
flash attention and a unified cache on or off, whichever is fastest, takes the prompts of all streams in one batch, and samples nothing;
the engine answers requests over its socket, text and all. Prints one JSON object: tokens a second (the medians of the rounds) and the
ratios engine : llama.cpp, for a prompt of 512 tokens and for 1, 8 and 32 streams.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT, TOKENS, SHORT = 512, 64, 16
WORK = [("prefill 512 bf16", "bf16", 0), ("1 stream bf16", "bf16", 1), ("8 streams bf16", "bf16", 8), ("32 streams bf16", "bf16", 32),
        ("prefill 512 8 bits", "int8", 0), ("1 stream 8 bits", "int8", 1), ("32 streams 8 bits", "int8", 32)]
Q8_0 = 7  # llama_ftype


def text_of(tokens):
    """A prompt of so many tokens: each " a" is one."""
    return "a" + " a" * (tokens - 1)


def rewrite(source, to):
    """The file with its matrices in BF16."""
    import gguf
    import numpy

    kind = gguf.GGMLQuantizationType.BF16
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(to, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type", "general.quantization_version"):
            continue
        writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        if values.ndim < 2:
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source, to, threads):
    import llama_cpp as cpp

    parameters = cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = Q8_0, threads
    assert cpp.llama_model_quantize(str(source).encode(), str(to).encode(), parameters) == 0


def run_engine(options, weights, streams):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "input/config").mkdir(parents=True)
        (root / "model").mkdir()
        (root / "model/base").symlink_to(pathlib.Path(options.model).resolve())
        values = {"slots": max(1, streams), "threads": options.threads, "weights": weights, "context": PROMPT + 1 if streams == 0 else SHORT + TOKENS + 1, "prefix_cache_mib": 0}
        (root / "input/config/hyperparameters.json").write_text(json.dumps(values))
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([options.engine, "serve", "--root", root], pass_fds=[theirs.fileno()], env={**os.environ, "REDOUBT_WORKER_FD": str(theirs.fileno())})
        theirs.close()
        lines = ours.makefile("r")
        lines.readline()
        tokens = PROMPT if streams == 0 else SHORT
        # logit_bias keeps the end token away.
        request = {"type": "generate", "prompt": text_of(tokens), "max_tokens": 1 if streams == 0 else TOKENS, "greedy": True, "logit_bias": {"2": -100, "0": -100}}
        best = 0
        for _ in range(3):
            begun = time.perf_counter()
            ours.sendall("".join(json.dumps({**request, "id": str(i)}) + "\n" for i in range(max(1, streams))).encode())
            first = done = made = 0
            started = 0
            while done < max(1, streams):
                event = json.loads(lines.readline())
                if event["type"] == "started":
                    assert event["prompt_tokens"] == tokens, event
                if event["type"] == "token":
                    started += 1
                    if started == max(1, streams):
                        first = time.perf_counter()
                if event["type"] == "done":
                    done, made = done + 1, made + event["completion_tokens"]
                assert event["type"] != "error", event
            end = time.perf_counter()
            best = max(best, PROMPT / (end - begun) if streams == 0 else streams * (TOKENS - 1) / (end - first) if streams == 1 else made / (end - begun))
        ours.close()
        lines.close()
        process.wait(60)
        return best


def run_peer(options, path, streams):
    import ctypes

    import llama_cpp as cpp

    cpp.llama_backend_init()
    model = cpp.llama_model_load_from_file(str(path).encode(), cpp.llama_model_default_params())
    vocabulary = cpp.llama_vocab_n_tokens(cpp.llama_model_get_vocab(model))
    sequences, length = max(1, streams), PROMPT if streams == 0 else SHORT
    text = text_of(length).encode()
    tokens = (cpp.llama_token * (length + 8))()
    assert cpp.llama_tokenize(cpp.llama_model_get_vocab(model), text, len(text), tokens, len(tokens), False, False) == length
    batch = cpp.llama_batch_init(PROMPT, 0, sequences)

    def decode(context, rows):
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = sequence
        assert cpp.llama_decode(context, batch) == 0

    def run(context):
        cpp.llama_memory_clear(cpp.llama_get_memory(context), True)
        begun = time.perf_counter()
        decode(context, [(tokens[i], i, sequence, i + 1 == length) for sequence in range(sequences) for i in range(length)])
        cpp.llama_get_logits_ith(context, length - 1)
        if streams == 0:
            return PROMPT / (time.perf_counter() - begun)
        if streams == 1:
            begun = time.perf_counter()
        for step in range(TOKENS - 1):
            decode(context, [(tokens[1], length + step, sequence, True) for sequence in range(streams)])
            for row in range(streams):
                logits = ctypes.cast(cpp.llama_get_logits_ith(context, row), ctypes.POINTER(ctypes.c_float * vocabulary)).contents
                assert logits[0] == logits[0]
        return streams * (TOKENS - (streams == 1)) / (time.perf_counter() - begun)

    best = 0, None, None
    for flash in (0, 1):
        for unified in (False, True) if streams > 1 else (False,):
            parameters = cpp.llama_context_default_params()
            parameters.n_ctx = 1024 if streams == 0 else sequences * 256
            parameters.n_batch = parameters.n_ubatch = PROMPT
            parameters.n_threads = parameters.n_threads_batch = options.threads
            parameters.n_seq_max, parameters.flash_attn_type, parameters.kv_unified = sequences, flash, unified
            context = cpp.llama_init_from_model(model, parameters)
            best = max(best, (run(context), f"flash attention {flash}, unified {int(unified)}", context), key=lambda one: one[0])
    return max(best[0], run(best[2]), run(best[2])), best[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="build/redoubt-engine")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--peer", nargs=2, metavar=("FILE", "STREAMS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(run_peer(options, options.peer[0], int(options.peer[1]))))
        return
    work = [one for one in WORK if options.only in one[0]]
    with tempfile.TemporaryDirectory() as folder:
        files = {"bf16": pathlib.Path(folder) / "bf16.gguf", "int8": pathlib.Path(folder) / "q8_0.gguf"}
        rewrite(options.gguf, files["bf16"])
        quantise(files["bf16"], files["int8"], options.threads)
        engine, peer, chosen = {name: [] for name, _, _ in work}, {name: [] for name, _, _ in work}, {}
        for _ in range(options.rounds):
            for name, weights, streams in work:
                engine[name].append(run_engine(options, weights, streams))
                done = subprocess.run([sys.executable, __file__, options.model, options.gguf, "--threads", str(options.threads), "--peer", files[weights], str(streams)],
                                      capture_output=True, text=True, check=True)
                speed, chosen[name] = json.loads(done.stdout.splitlines()[-1])
                peer[name].append(speed)
    middle = lambda values: {name: round(statistics.median(of), 1) for name, of in values.items()}
    print(json.dumps({"engine": middle(engine), "llama.cpp": middle(peer), "llama.cpp with": chosen,
                      "ratio": {name: round(statistics.median(engine[name]) / statistics.median(peer[name]), 2) for name in engine}}, indent=2))


if __name__ == "__main__":
    main()
