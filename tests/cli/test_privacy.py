"""No command that fetches nothing opens a connection: what docs/promises.md says of privacy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hatlib
from hatlib.cli import app

SENT = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
heard: list[str] = []


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event in SENT:
        heard.append(f"{event} {arguments[1:]}")


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(listen)  # for the rest of the process: Python has no way to take one away


@pytest.fixture(autouse=True)
def connections() -> Iterator[list[str]]:
    """What was asked of the network during a test."""
    heard.clear()
    yield heard


def test_it_would_be_heard(connections: list[str]) -> None:
    import socket

    with socket.socket() as free, pytest.raises(OSError):
        free.connect(("127.0.0.1", 1))
    assert connections


@pytest.mark.parametrize("model", ["bicubic", "srcnn-x4", "hat-nano-x4"])
def test_upscaling_opens_no_connection(model: str, tmp_path: Path, connections: list[str]) -> None:
    hatlib.save_image(tmp_path / "a.png", hatlib.builtin_image("cat")[:16, :16])
    command = ["upscale", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--model", model]
    assert app.main(command) == 0 and (tmp_path / "b.png").is_file()
    assert connections == []


@pytest.mark.parametrize(
    "command",
    [
        ["--version"],
        ["doctor"],
        ["datasets"],
        ["models"],
        ["evaluate", "--model", "bicubic", "--data", "builtin", "--scale", "4", "--limit", "1"],
        ["degrade", "a.png", "b.png", "--scale", "2"],
        ["lam", "a.png", "map.png", "--model", "srcnn-x4", "--window", "4", "4", "4"],
    ],
    ids=lambda command: command[0],
)
def test_commands_without_a_fetch_open_no_connection(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hatlib.save_image("a.png", hatlib.builtin_image("cat")[:24, :24])
    assert app.main(command) == 0
    assert connections == []
