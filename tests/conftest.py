"""What all tests share: no test downloads anything, and a public data set is used where this
machine has it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.helpers.serving import Server

os.environ.setdefault("HATLIB_PROFILE", "quick")  # on a GPU too
os.environ["HATLIB_PROGRESS"] = "off"  # which exercises are passed is the learner's business


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and nohup has them
    ignore the end of the terminal; some tests are about either."""
    defaults: dict[str, Any] = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    for name, handler in defaults.items():
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are marked `gpu` are skipped where there is no CUDA GPU that computes."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        from hatlib.system import devices  # torch takes a second, so only where it is asked for

        if devices.device().type != "cuda":
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


@pytest.fixture(scope="session")
def empty_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror with nothing in it: with it in `HATLIB_MIRROR`, hatlib has only what was downloaded
    before."""
    return tmp_path_factory.mktemp("empty_mirror")


@pytest.fixture(autouse=True)
def no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures open no window. Only during a test: kernels of notebooks inherit the environment of
    this process, and need their own backend."""
    if "MPLBACKEND" not in os.environ:
        monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch, empty_mirror: Path) -> None:
    """Keeps every test off the network. A test of downloading deletes `HATLIB_MIRROR` and serves
    the files itself; a test of pip has a package index of its own."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    if not os.environ.get("HATLIB_MIRROR"):
        monkeypatch.setenv("HATLIB_MIRROR", str(empty_mirror))


@pytest.fixture
def needs_data(no_downloads: None, empty_mirror: Path) -> Callable[..., None]:
    """`needs_data("set5", "t91")` makes the sets ready, or skips the test, saying which one is
    missing.

    They come from `HATLIB_MIRROR`, or from an earlier `hatlib fetch`. An error with a set that the
    mirror does have is an error, not a reason to skip.
    """

    def fetch(*names: str) -> None:
        from hatlib import HatlibError
        from hatlib.data import datasets, registry

        mirror = Path(os.environ["HATLIB_MIRROR"])
        for name in names:
            try:
                datasets.fetch(name)
            except HatlibError:
                if (mirror / registry.registry()[name][0].path).parent.is_dir():
                    raise
                where = "not downloaded" if mirror == empty_mirror else "not in HATLIB_MIRROR"
                pytest.skip(f"data set {name} is {where}; `hatlib fetch {name}` gets it")

    return fetch


@pytest.fixture
def needs_weights(no_downloads: None) -> Callable[[str], None]:
    """`needs_weights("dat-light-x4")` skips the test unless these released weights are here."""

    def look(name: str) -> None:
        from hatlib.weights import catalogue

        if name not in catalogue.present(catalogue.info(name).scale):
            pytest.skip(f"the weights {name} are not here; `hatlib fetch {name}` gets them")

    return look


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A web server of our own, an empty data folder, and no mirror."""
    from tests.helpers.serving import Server

    for variable in ("HATLIB_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "data"))
    server = Server()
    yield server
    server.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads give up soon."""
    from hatlib.system import downloads

    monkeypatch.setattr(downloads, "TIMEOUT", 0.4)
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 1.0)
    monkeypatch.setattr(downloads, "PAUSE", 0.05)
