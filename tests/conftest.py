"""What all tests share: no test downloads anything, and a public data set is used where this machine has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HATLIB_PROFILE", "quick")  # on a GPU too


@pytest.fixture(scope="session")
def empty_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror with nothing in it: with it in `HATLIB_MIRROR`, hatlib has only what was downloaded before."""
    return tmp_path_factory.mktemp("empty_mirror")


@pytest.fixture(autouse=True)
def no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures open no window. Only during a test: kernels of notebooks inherit the environment of this process, and
    need their own backend."""
    if "MPLBACKEND" not in os.environ:
        monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch, empty_mirror: Path) -> None:
    """Keeps every test off the network. A test of downloading deletes `HATLIB_MIRROR` and serves the files itself."""
    if not os.environ.get("HATLIB_MIRROR"):
        monkeypatch.setenv("HATLIB_MIRROR", str(empty_mirror))


@pytest.fixture
def needs_data(no_downloads: None, empty_mirror: Path) -> Callable[..., None]:
    """`needs_data("set5", "t91")` makes the sets ready, or skips the test, saying which one is missing.

    They come from `HATLIB_MIRROR`, or from an earlier `hatlib fetch`. An error with a set that the mirror does
    have is an error, not a reason to skip.
    """

    def fetch(*names: str) -> None:
        from hatlib import HatlibError, datasets, downloads

        mirror = Path(os.environ["HATLIB_MIRROR"])
        for name in names:
            try:
                datasets.fetch(name)
            except HatlibError:
                if (mirror / downloads.registry()[name][0].path).parent.is_dir():
                    raise
                where = "not downloaded" if mirror == empty_mirror else "not in HATLIB_MIRROR"
                pytest.skip(f"data set {name} is {where}; `hatlib fetch {name}` gets it")

    return fetch
