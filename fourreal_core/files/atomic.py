"""Files and folders written all or nothing, and what a process that was killed while writing left behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import socket
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from ..side_by_side import ask

HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"  # process numbers are this machine's alone
PART = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part(\.\w+)?")
PIECE = 2**26  # bytes that are written or summed up at once
MOST_SAID = 200  # characters of an error that a message repeats
ABANDONED_S = 24 * 3600  # age of a part of a process that cannot be asked for
KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@contextmanager
def whole_file(path: str | os.PathLike, suffix: str = "", tidy: bool = True) -> Iterator[Path]:
    """A name beside `path` to write to, which becomes `path` when the block ends and is removed when anything is raised in it.

    suffix: of the part, for writers that go by it. tidy: remove what killed processes left in the folder first. Raises OSError.
    """
    path = Path(path)
    if tidy:
        remove_left_behind(path.parent)
    part = part_of(path, suffix)
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk does not say whose
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """A text file in UTF-8, all or nothing. Raises OSError."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def save_picture(picture: Image.Image, path: str | os.PathLike, tidy: bool = True, **options: Any) -> None:
    """A picture, all or nothing, in the format that the name says. tidy: as of `whole_file`; options: Pillow's. Raises OSError.

    It is encoded in memory: Pillow does not notice when a full disk takes only a part of a JPEG.
    """
    encoded = _Encoded()
    picture.save(encoded, format=Image.registered_extensions()[Path(path).suffix.lower()], **options)
    with whole_file(path, tidy=tidy) as part:
        part.write_bytes(encoded.getvalue())


class _Encoded(io.BytesIO):
    """A PNG of many millions of pixels takes seconds, and comes bit by bit."""

    def write(self, data) -> int:
        ask()
        return super().write(data)


def part_of(path: Path, suffix: str = "") -> Path:
    """A hidden name beside `path` that tells which process writes it."""
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part{suffix}")


def remove_left_behind(folder: Path) -> None:
    """Remove the parts, files and folders, of processes that ended while they were writing into `folder`."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = PART.fullmatch(entry.name)
            if found and _abandoned(found[1], int(found[2]), entry):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)


def _abandoned(host: str, process: int, entry: os.DirEntry) -> bool:
    if host == HOST and process == os.getpid():
        return False
    if host != HOST or os.name == "nt":  # Windows has no way to ask that does no harm
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_S
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` with string metadata to `path` in the safetensors format; an older file stays as it was when writing fails.

    Equal tensors and metadata give equal bytes, which the library does not promise. The file gets the user's usual permissions. Raises
    OSError when the folder or the disk refuses, ValueError for kinds of numbers that the format has no name for.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    described: dict[str, object] = {"__metadata__": {key: str(value) for key, value in sorted((header or {}).items())}}
    offset = 0
    for name, tensor in ordered:
        if tensor.dtype not in KINDS:
            raise ValueError(f"expected a number type that safetensors can store, got {tensor.dtype} in {name}.")
        end = offset + tensor.numel() * tensor.element_size()
        described[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path) as part, open(part, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            for piece in _pieces(tensor):
                file.write(piece)


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, header) of any file in the safetensors format.

    Raises OSError where it cannot be read, SafetensorError where it is cut short or something else.
    """
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def brief(error: Exception) -> str:
    """What it says, at most so much of it as a sentence bears: safetensors repeats what a header holds, which may be megabytes."""
    text = str(error)
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]} ..."


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The tensor's numbers as they lie in memory, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256, in hexadecimal digits, of tensors, their names and shapes, and a text."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        for piece in _pieces(tensors[name]):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    """`tensor_bytes` bit by bit, asking in between whether to go on: a disk may take seconds for a gigabyte."""
    whole = tensor_bytes(tensor)
    for first in range(0, len(whole), PIECE):
        ask()
        yield whole[first : first + PIECE]
