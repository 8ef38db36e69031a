"""Printing where the console may lack a character."""

from __future__ import annotations

import sys


def show(text: str) -> None:
    """Prints a text; characters that the console's encoding lacks become question marks."""
    print(text if can_print(text) else text.encode("ascii", "replace").decode())


def can_print(text: str) -> bool:
    """Whether the console's encoding has all of the text's characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
