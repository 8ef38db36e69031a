"""Where things are kept: downloads, the mirror, the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from hatlib.errors import HatlibError


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ~ and ~user replaced by the home folder.

    Raises:
        HatlibError: the path is empty; there is no such user, or no home folder is known.
    """
    if not os.fspath(path).strip():
        raise HatlibError("a path is empty (. is the working folder)")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise HatlibError(f"no home folder is known for {path}: write the whole path") from None


def checkout() -> Path | None:
    """The folder of the git checkout that this package is imported from, or None for an installed
    package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def data_folder() -> Path:
    """Where downloads are kept: `HATLIB_DATA`, else `data/` in a checkout, else the user's cache
    folder."""
    if chosen := os.environ.get("HATLIB_DATA"):
        folder = expanded(chosen)
        if os.path.exists(folder) and not folder.is_dir():
            raise HatlibError(f"HATLIB_DATA is '{chosen}', which is not a folder")
        return folder
    if root := checkout():
        return root / "data"
    import pooch

    return Path(pooch.os_cache("hatlib"))


def mirror() -> Path | None:
    """The folder named by `HATLIB_MIRROR`, which stands in for the network; None when it is not
    set.

    Raises:
        HatlibError: the variable names something that is not a folder.
    """
    chosen = os.environ.get("HATLIB_MIRROR")
    if not chosen:
        return None
    folder = expanded(chosen).absolute()
    if not folder.is_dir():
        raise HatlibError(
            f"HATLIB_MIRROR is '{chosen}', which is not a folder; unset it to use the network"
        )
    return folder
