"""Files of weights, ours and others', read without running any code and in memory that is
proportional to the file.

What a file is, is told by its content, not by its suffix. Trainers wrap the tensors in mappings
("params_ema", "state_dict") and put prefixes before their names ("module.", "net_g."): both are
taken off.
"""

from __future__ import annotations

import mmap
import os
import pickletools
import re
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from hatlib.errors import HatlibError
from hatlib.system.console import printable

# what a pickle of tensors alone has to call
HARMLESS = re.compile(r"torch\._utils\._rebuild_\w+|torch\.\w+Storage|collections\.OrderedDict")
# torch allows it, and it takes as much memory as the file says
ALLOCATES = b"bytearray"

# The first bytes of what is often taken for weights; compared in lower case.
OTHER_FILES = {
    b"<!doctype html": "a web page, such as one of a download that asks to sign in",
    b"<html": "a web page, such as one of a download that asks to sign in",
    b"<?xml": "an XML text, such as a server's error",
    b"version https://git-lfs": "a pointer of Git LFS, which stands for the file: run git lfs pull",
    b"\x89hdf": "an HDF5 file (Keras, MATLAB); hatlib reads PyTorch's files and safetensors",
    b"gguf": "a GGUF file; hatlib reads PyTorch's files and safetensors",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"rar!": "a RAR archive: unpack it first",
    b"{": "a JSON text",
}
ZIP = b"PK\x03\x04"

# The last part of a name that each network has once: what stands before it is a wrapping.
LANDMARK = re.compile(r"(?:^|(?<=\.))(?:conv_first|head\.0)\.weight$")
SECOND_LANDMARK = re.compile(r"(?:^|(?<=\.))(?:conv_first|head|body|layers)\.")
AVERAGED = re.compile(r"(?:^|[._])(?:ema|averaged|swa)(?:[._]|$)", re.IGNORECASE)
OPTIMISER = re.compile(r"(?:^|\.)(?:optimi[sz]ers?|param_groups|exp_avg|lr_schedulers?)", re.I)
MAX_NESTING = 8  # mappings inside mappings; trainers have up to three
MAX_NAME = 200  # letters of a tensor's name; the longest of a released file has 76
MAX_TENSORS = 20_000  # HAT-L has 1,710
# The bytes of all tensors, in bytes of the file: tensors may share memory, which copies do not.
MAX_SHARING = 8


def read(path: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    """(tensors by name, text of the card) of a file; the card is None where it has none.

    Raises:
        HatlibError: the file can't be read, is something else, is damaged, holds code, or asks for
            more memory than its size explains; in one line.
    """
    start = _start(path)
    card = None
    if start[:4] != ZIP and (start[8:9] == b"{" or path.suffix == ".safetensors"):
        content, card = _read_safetensors(path)
    else:
        content = _read_pickle(path, is_zip=start[:4] == ZIP)
    tensors = unwrap(path, content)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > MAX_SHARING * path.stat().st_size:
        raise HatlibError(
            f"{path} is refused: its tensors would take {size:,} bytes, and the file has "
            f"{path.stat().st_size:,}"
        )
    return tensors, card


def _start(path: Path) -> bytes:
    """The first bytes of a file of weights.

    Raises:
        HatlibError: it can't be read, or these are the first bytes of something else.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise HatlibError(f"{path} is a folder; one file of weights was expected")
        if not stat.S_ISREG(mode):  # reading a pipe would wait for ever
            raise HatlibError(f"{path} is not a regular file")
        with open(path, "rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise HatlibError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise HatlibError(f"{path} can't be read: {getattr(error, 'strerror', error)}") from None
    if not start:
        raise HatlibError(f"{path} is not a file of weights, but empty")
    for signature, what in OTHER_FILES.items():
        if start.lstrip().lower().startswith(signature):
            raise HatlibError(f"{path} is not a file of weights, but {what}")
    return start


def _check_count(path: Path, what: str, count: int) -> None:
    if count > MAX_TENSORS:
        raise HatlibError(f"{path} is refused: it has {count:,} {what}, more than {MAX_TENSORS:,}")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            _check_count(path, "tensors", len(names))
            card = (file.metadata() or {}).get("hatlib")
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise HatlibError(
            f"{path} is not a safetensors file, or a damaged one: {shown(str(error))}"
        ) from None
    return tensors, card


# --- pickles --------------------------------------------------------------------------------------


def _read_pickle(path: Path, is_zip: bool) -> Any:
    """What torch.save wrote, if it is data alone."""
    if is_zip:
        _check_zip(path)
    if _mentions(path, ALLOCATES):
        _refuse_code(path, is_zip)
    try:
        # opened here: torch goes by the suffix of a path
        with warnings.catch_warnings(), open(path, "rb") as file:
            # torch's advice on pickles, which we refuse anyway
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        _refuse_code(path, is_zip)
        reason = str(error).partition(". ")[0].splitlines()
        said = f": {shown(reason[0])}" if isinstance(error, RuntimeError) and reason else ""
        raise HatlibError(
            f"{path} is not a file of weights that torch can read, or a damaged one{said}"
        ) from None


def _check_zip(path: Path) -> None:
    """Raises HatlibError for an archive that would unpack to more than the file has.

    torch.save stores and never compresses, so there is no reason for a file that grows.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch says what is wrong with it
    _check_count(path, "entries", len(entries))
    size = sum(entry.file_size for entry in entries)
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or size > path.stat().st_size:
        raise HatlibError(
            f"{path} is refused: it is compressed and unpacks to {size:,} bytes; torch.save "
            "compresses nothing, so unpack it and save the tensors again"
        )


def _mentions(path: Path, word: bytes) -> bool:
    """Whether the bytes are anywhere in a file (which is not empty)."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0


def _refuse_code(path: Path, is_zip: bool) -> None:
    """Raises HatlibError for a pickle that asks for a function or class that tensors do not
    need."""
    for name in _called_by(path, is_zip):
        if not HARMLESS.fullmatch(name):
            raise HatlibError(
                f"{path} is refused: it holds code ({shown(name)}), and weights need none"
            ) from None


def _called_by(path: Path, is_zip: bool) -> list[str]:
    """The functions and classes that the pickles of a file ask for, in the order of first use; the
    pickles are read, not run. As far as they can be read: torch says what is wrong with the
    rest."""
    names: dict[str, None] = {}
    strings: list[str] = []
    try:
        for name, argument in _operations(path, is_zip):
            if name == "GLOBAL":
                names[str(argument).replace(" ", ".")] = None
            elif name == "STACK_GLOBAL":
                names[".".join(strings[-2:])] = None
            if isinstance(argument, str):
                strings = [*strings[-1:], argument]
    except Exception:  # no pickle, or no longer one
        pass
    return list(names)


def _operations(path: Path, is_zip: bool) -> Iterator[tuple[str, object]]:
    """(name, argument) of each operation of the pickles in a file of torch's."""
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as file:
                yield from ((op.name, argument) for op, argument, _ in pickletools.genops(file))
        return
    with open(path, "rb") as file:
        while True:  # the old form is several pickles one after the other, then numbers
            yield from ((op.name, argument) for op, argument, _ in pickletools.genops(file))


# --- wrappings ------------------------------------------------------------------------------------


def unwrap(path: Path, content: Any) -> dict[str, torch.Tensor]:
    """The tensors of the one network in what a file holds, without wrappings and prefixes.

    Averaged weights, those that papers evaluate, come before the others.

    Raises:
        HatlibError: no tensors, two networks, or something else among the tensors.
    """
    if not isinstance(content, Mapping) or not content:
        kind = f"an empty {type(content).__name__}" if content == {} else type(content).__name__
        raise HatlibError(f"{path} holds no tensors by name, but {kind}")
    leaves = dict(_leaves(path, content))
    prefix = _prefix(path, list(leaves))
    tensors = {
        key.removeprefix(prefix): value for key, value in leaves.items() if key.startswith(prefix)
    }
    for key, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            if any(OPTIMISER.search(name) for name in leaves):
                raise HatlibError(
                    f"{path} holds the state of an optimiser and no network: trainers keep the "
                    "weights in another file"
                )
            raise HatlibError(
                f"{path} holds something else than tensors: '{shown(key)}' is "
                f"{type(value).__name__}"
            )
        if problem := _problem(value):
            raise HatlibError(f"{path} can't be used: its tensor {shown(key)} is {problem}")
    return tensors


def _leaves(
    path: Path, content: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """(name, value) of all that is in nested mappings, the names joined by dots."""
    for key, value in content.items():
        # an optimiser's file has numbers, which say nothing of a network
        name = f"{prefix}{key}"
        if not isinstance(key, str | int):
            raise HatlibError(f"{path} holds no tensors by name: a name is {type(key).__name__}")
        if not name.isprintable() or len(name) > MAX_NAME:
            raise HatlibError(
                f"{path} is refused: the name of a tensor has {len(name):,} letters, "
                f"'{shown(name)}', and names have up to {MAX_NAME}, all of them visible"
            )
        if isinstance(value, Mapping) and value and depth < MAX_NESTING:
            yield from _leaves(path, value, f"{name}.", depth + 1)
        else:
            yield name, value


def _prefix(path: Path, names: list[str]) -> str:
    """What stands before the names of the network's tensors."""
    for landmark in (LANDMARK, SECOND_LANDMARK):
        found = [(name, landmark.search(name)) for name in names]
        prefixes = list(dict.fromkeys(name[: match.start()] for name, match in found if match))
        best = [prefix for prefix in prefixes if AVERAGED.search(prefix)] or prefixes
        if len(best) > 1:
            listed = ", ".join(f"'{prefix.rstrip('.')}'" for prefix in best[:3])
            raise HatlibError(
                f"{path} holds {len(best)} networks ({listed}): save the one to use alone"
            )
        if best:
            return best[0]
    return ""


def _problem(tensor: torch.Tensor) -> str | None:
    """Why a tensor can't be a weight, if it can't."""
    if tensor.is_nested:
        return "nested (of rows with different lengths)"
    if tensor.is_quantized:
        return f"quantized ({tensor.dtype})"
    if tensor.layout != torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"without values (on the device {tensor.device})"
    if not tensor.numel():
        return f"empty, of shape {tuple(tensor.shape)}"
    return None


def shown(name: str) -> str:
    """A name or text of a file's, short and without control characters, for a message."""
    text = printable(name[: MAX_NAME + 1]).replace("\n", " ")
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
