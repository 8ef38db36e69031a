"""hatlib explore: the course's explorers without code."""

from __future__ import annotations

from typing import Annotated

import typer


def explore(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="degradation, metrics, windows, query, lam, …; all to choose from without one.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page on this machine; 0: a free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")
    ] = True,
) -> int:
    """Open an explorer of the course in the browser, without its code, until Ctrl-C."""
    from hatlib.course import explore as pages

    return pages.run(name, port, browser)
