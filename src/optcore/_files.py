"""Optimizers in files: the safetensors format with a checksum, written so that the last good file always loads.

Owns what a file holds and how it reaches the disk. A file has one tensor for each array and, in the metadata, one
JSON text with everything else and the SHA-256 of the whole file. A schedule of schedules.py is written as its name
and arguments. Nothing is pickled or executed, and only a finished file ever gets the name that was asked for.
Whether what was read fits an optimizer is for load_state_dict to say.
"""
from __future__ import annotations

import errno
import importlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

import numpy as np

from optcore import schedules

VERSION = 2
READ = (1, VERSION)                     # version 1 had no schedules
DEEPEST = 100                           # levels of nesting, far fewer than the interpreter's limit lets a reader walk
METADATA = "optcore"                    # the only key: the library writes several in an order that changes by run

# The checksum is taken over every byte of the file with these in its own place. A checksum over arrays and settings
# would miss bytes that mean nothing, such as the spaces after the header.
BLANK = b"0" * 64
# How the JSON text begins inside the JSON of the header. A name with this text has its backslashes doubled.
MARK = b'{\\"sha256\\":\\"'

# The format's names of what can be written. Fixed, so that a file never decides what is looked up by name.
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool",
          "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
          "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"}


def save(path: str | os.PathLike[str], state_dict: Mapping[str, Any], optimizer: str) -> None:
    """Write what an optimizer's state_dict() gave; `optimizer` is the name of its class.

    Whatever happens on the way, `path` is afterwards the whole old file or the whole new one. A process that is
    killed may leave a file .optcore-*.tmp beside it, which may be deleted.
    Raises ValueError for what a file cannot hold, and what the system raises, before `path` is changed.
    """
    library = _library("safetensors.numpy")
    tensors: dict[str, Any] = {}
    tree = _encoded(state_dict, "", tensors)
    text = json.dumps({"sha256": BLANK.decode(), "version": VERSION, "class": optimizer, "state_dict": tree},
                      separators=(",", ":"))            # floats by repr: the shortest text with the same bits
    data = memoryview(library.save(tensors, metadata={METADATA: text}))
    at = bytes(data[:8 + int.from_bytes(data[:8], "little")]).index(MARK) + len(MARK)
    _replace(os.fsdecode(path), [data[:at], _checksum(data, at), data[at + len(BLANK):]])


def load(path: str | os.PathLike[str], optimizer: str) -> dict[str, Any]:
    """The state_dict that `save` wrote, bit for bit.

    Raises ValueError, naming the file, if it is cut short or altered, of another version or class, or no such
    file at all; OSError if it cannot be read.
    """
    library = _library("safetensors")
    name = os.fsdecode(path)
    data = _read(name)
    try:
        about = _opened(data)
        if about["class"] != optimizer:
            raise ValueError(f"it holds the state of {about['class']}, which {optimizer} cannot take over")
        tensors = {key: np.frombuffer(x["data"], _dtype(x["dtype"])).reshape(x["shape"])
                   for key, x in library.deserialize(data)}
        found: dict[str, Any] = _decoded(about["state_dict"], tensors)
        return found
    except ValueError as e:
        raise ValueError(f"{name}: {e}") from None
    except Exception as e:                              # a checksum can be computed of anything
        raise ValueError(f"{name}: it holds what no optimizer of optcore has saved: {e!r}") from None


def _read(name: str) -> bytes:
    """All of a regular file. A pipe is not waited for, and a device not read."""
    number = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise ValueError(f"{name}: it is no regular file")
    with open(number, "rb") as f:
        return f.read()


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ImportError("saving and loading need the safetensors library: pip install optcore[save]") from e


# ---------------------------------------------------------------------------------------------- what a file holds


def _encoded(x: Any, where: str, tensors: dict[str, Any], depth: int = 0) -> Any:
    """x for JSON, its arrays put into `tensors`. Dicts, tuples, arrays and schedules are tagged, so that they come back
    as what they were, with keys that are numbers."""
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or type(x) in (bool, int, float, str):
        return x
    if isinstance(x, np.ndarray):
        if x.dtype.name not in DTYPES.values():
            raise ValueError(f"{where}: arrays of {x.dtype} cannot be written to a file")
        if where in tensors:
            raise ValueError(f"{where}: two arrays would have this name in the file")
        # The library writes the memory as it lies.
        tensors[where] = np.asarray(x, x.dtype.newbyteorder("="), order="C")
        return {"array": where}
    if depth == DEEPEST:
        raise ValueError(f"{where}: it is nested too deeply for a file")
    depth += 1
    inside = f"{where}." if where else ""
    if type(x) in (list, tuple):
        items = [_encoded(v, f"{inside}{k}", tensors, depth) for k, v in enumerate(x)]
        return {"tuple": items} if type(x) is tuple else items
    if isinstance(x, Mapping) and all(type(k) in (int, str) for k in x):
        return {"dict": [[k, _encoded(v, f"{inside}{k}", tensors, depth)] for k, v in x.items()]}
    arguments = schedules.arguments(x)
    if arguments is not None:
        return {"schedule": [type(x).__name__, _encoded(arguments, where, tensors, depth)]}
    if callable(x):
        raise ValueError(f"{where} is a function of your own, which a file cannot hold: put a number in its place, "
                         "save, and set the function again here and after loading")
    raise ValueError(f"{where}: a {type(x).__name__} cannot be written to a file")


def _decoded(x: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(x, list):
        return [_decoded(v, tensors) for v in x]
    if not isinstance(x, dict):
        return x
    (kind, value), = x.items()
    if kind == "array":
        return tensors[value]
    if kind == "tuple":
        return tuple(_decoded(v, tensors) for v in value)
    if kind == "schedule":
        return _schedule(*value)
    if kind != "dict":
        raise ValueError(f"it holds what no optimizer of optcore has saved: {kind!r}")
    return {k: _decoded(v, tensors) for k, v in value}


def _schedule(name: str, arguments: Any) -> Any:
    """The schedule of this name. It checks its arguments, of which none is an array."""
    if name not in schedules.BY_NAME:
        raise ValueError(f"it names the schedule {name!r}; there are {', '.join(schedules.BY_NAME)}")
    try:
        return schedules.BY_NAME[name](**_decoded(arguments, {}))
    except (TypeError, ValueError) as e:
        raise ValueError(f"its schedule {name}: {e}") from None


def _dtype(name: str) -> Any:
    if name != "BF16":
        return np.dtype(DTYPES[name])
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        raise ValueError("it holds arrays of bfloat16, which need a library: pip install ml_dtypes") from None


def _checksum(data: bytes | memoryview, at: int) -> bytes:
    """SHA-256 of a file's bytes, in hexadecimal, as if BLANK stood at `at`."""
    view = memoryview(data)
    whole = sha256(view[:at])
    whole.update(BLANK)
    whole.update(view[at + len(BLANK):])
    return whole.hexdigest().encode()


def _opened(data: bytes) -> dict[str, Any]:
    """The JSON text of a file that is whole, or ValueError."""
    header = data[8:8 + int.from_bytes(data[:8], "little")]
    try:
        about = json.loads(json.loads(header.decode())["__metadata__"][METADATA])
        version = about["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is cut short or altered, or no file that an optimizer of optcore has saved") from None
    if version not in READ:
        raise ValueError(f"it is of version {version!r}; this optcore reads versions {' and '.join(map(str, READ))}")
    at = 8 + header.find(MARK) + len(MARK)
    if data[at:at + len(BLANK)] != _checksum(data, at):
        raise ValueError("its bytes do not agree with its checksum: it is cut short or altered")
    found: dict[str, Any] = about
    return found


# ------------------------------------------------------------------------------------------ how it reaches the disk


def _replace(path: str, pieces: list[Any]) -> None:
    """Make `path` a file of these bytes: all of them on the disk first, then the name."""
    target = os.path.realpath(path)                     # a link stays a link, to the new file
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):                      # a device would be replaced by a file
            raise ValueError(f"{path}: it exists and is no regular file")
    name = ""
    folder = os.open(os.path.dirname(target), os.O_RDONLY)
    try:
        # Beside the target, for a rename does not cross file systems. A new file is created as any is, under the umask;
        # one that replaces another has its mode before the first byte, and no bit that would run it as somebody else.
        name = os.path.join(os.path.dirname(target), f".optcore-{os.urandom(8).hex()}.tmp")
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        with open(made, "wb") as f:
            if mode is not None:
                os.fchmod(f.fileno(), mode & 0o777)
            for piece in pieces:
                f.write(piece)
            f.flush()
            os.fsync(f.fileno())                        # a name may reach the disk before the bytes it is for
        os.replace(name, target)
        name = ""
        try:
            os.fsync(folder)                            # else a loss of power may bring the old file back
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOTSUP):    # a file system without such a thing
                raise
    except OSError as e:
        if e.filename is None:
            e.filename = path                           # a full disk does not say which
        raise
    finally:
        os.close(folder)
        if name:
            with suppress(OSError):
                os.unlink(name)
