"""The commands: `hatlib …` and `python -m hatlib …` alike."""

from hatlib.cli.app import main

__all__ = ["main"]
