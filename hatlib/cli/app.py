"""The commands: `hatlib …` and `python -m hatlib …` alike. Each is thin: it parses, calls the
package and prints.

Exit codes: 0; 1 where part of the work failed (an image of a folder, a notebook); 2 for bad input,
with one line on stderr that says what is wrong and what would be right; 130 after Ctrl-C, 143 after
SIGTERM, 129 after SIGHUP. Whatever is heavy to import is imported inside a command, so that
`--help` answers at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer

from hatlib.cli import course, data, doctor, explore, export, images, lam, measure, train
from hatlib.cli.batch import reason
from hatlib.errors import HatlibError
from hatlib.system import console, devices
from hatlib.version import __version__

COMMANDS: dict[str, Callable[..., int | None]] = {
    "doctor": doctor.doctor,
    "datasets": data.datasets,
    "models": measure.models,
    "fetch": data.fetch,
    "degrade": images.degrade,
    "upscale": images.upscale,
    "lam": lam.lam,
    "evaluate": measure.evaluate,
    "train": train.train,
    "export": export.export,
    "reproduce": measure.reproduce,
    "course": course.course,
    "explore": explore.explore,
}
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
INTERRUPTED = {128 + number for number in (signal.SIGINT, *SIGNALS)}  # as shells have it

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Single-image super-resolution: a trusted evaluation protocol, networks, the course.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; no exception gets out that a user can do something
    about."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, which decides nothing
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: the next file would take its place
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # not a text file: somebody captures it
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # for ×, on Windows
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    devices.prepare_cpu()  # before torch is imported
    try:
        _check_empty(arguments)
        with _stop_signals():
            code = app(arguments, prog_name="hatlib", standalone_mode=False)
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except HatlibError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(reason(error) + (f": {error.filename}" if error.filename else ""))
    except Exception as error:
        if explain := getattr(error, "format_message", None):  # what was typed fits no command
            return _complain(f"{explain()} (see hatlib --help)")
        if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
            return _complain(reason(error))
        raise
    if code in INTERRUPTED:
        with contextlib.suppress(OSError):  # the terminal may be gone
            console.warn("interrupted")
    return code if isinstance(code, int) else 0


def _check_empty(arguments: Sequence[str]) -> None:
    """Raises HatlibError for an empty argument, which would otherwise mean the working folder."""
    for argument in arguments:
        if not argument or (argument.startswith("--") and argument.endswith("=")):
            raise HatlibError(
                f"an argument is empty: {argument or repr(argument)} (. is the working folder)"
            )


def _complain(message: str) -> int:
    """Says in one line what was wrong; gives the exit code for bad input."""
    console.warn(message)
    return 2


class _Stopped(KeyboardInterrupt):
    """A signal that ends a command as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP end a command as Ctrl-C does, with no file half-written.

    SIGTERM is what schedulers and `docker stop` send; SIGHUP comes when the terminal is closed,
    and stays ignored under nohup. `fit` has handlers of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be set by the main thread only
        return

    def stop(number: int, frame: Any) -> None:
        raise _Stopped(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number in SIGNALS if before[number] is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _stoppable(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command, with an exit code for each signal that ends it (typer knows Ctrl-C only)."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> int | None:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt as stop:
            return 128 + getattr(stop, "signal", signal.SIGINT)

    return run


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hatlib {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options that come before a command."""


for _name, _command in COMMANDS.items():
    app.command(_name)(_stoppable(_command))
