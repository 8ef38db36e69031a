"""One image or a folder of images, one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hatlib.errors import HatlibError
from hatlib.system.console import check_file, make_folder, progress, say, warn

if TYPE_CHECKING:
    import numpy as np


def each_image(
    source: Path, target: Path, convert: Callable[[Path, Path], str], resume: bool = False
) -> int:
    """Converts an image file, or each image file of a folder; a bad one there does not stop the
    rest.

    Args:
        source: an image file or a folder.
        target: a file name or a folder for an image, a folder for a folder; it is made if needed.
            In a folder the results are PNG files with the names of the originals.
        convert: called as convert(file, result); writes the result and says in a few words what it
            did.
        resume: whether results in a folder that are newer than their originals are left as they
            are.
    Returns:
        The exit code: 1 if an image of a folder failed, else 0.
    """
    from hatlib.imaging.io import SUFFIXES, list_images

    if not source.is_dir():
        path = target / f"{source.stem}.png" if target.is_dir() else target
        if path.exists() and source.exists() and source.samefile(path):
            raise HatlibError(f"IN and OUT are both {source}: the original would be lost")
        if path.suffix.lower() not in SUFFIXES:
            raise HatlibError(
                f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}"
            )
        check_file(path)
        say(f"{path}: {convert(source, path)}")
        return 0
    files = list_images(source)
    if target.exists() and source.samefile(target):
        raise HatlibError(f"IN and OUT are both {source}: the originals would be lost")
    make_folder(target)
    stems = Counter(path.stem for path in files)
    results = {
        path: target / f"{path.stem if stems[path.stem] == 1 else path.name}.png" for path in files
    }
    left = [path for path in files if not (resume and _newer(results[path], path))]
    failed = 0
    for path in progress(left, source.name):
        try:
            convert(path, results[path])
        except HatlibError as error:
            failed += 1
            warn(f"{path.name} left out: {error}")
    there = len(files) - len(left)
    kept = f"; there already: {there} (--overwrite makes them anew)" if there else ""
    say(f"{target}: {len(left) - failed} of {len(files)} images written{kept}")
    return 1 if failed else 0


def _newer(result: Path, original: Path) -> bool:
    return result.is_file() and result.stat().st_mtime >= original.stat().st_mtime


def sizes(before: np.ndarray, after: np.ndarray) -> str:
    """Width×height of two images."""
    return " → ".join(f"{image.shape[1]}×{image.shape[0]}" for image in (before, after))
