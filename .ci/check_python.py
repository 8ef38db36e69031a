"""Whether this Python will do, before an hour of downloads; runs in whatever Python there is."""
# ruff: noqa: UP031  (an old Python should read as far as its version is asked for)

import platform
import sys

FIRST = (3, 11)
LAST = (3, 14)  # the newest one that all of constraints.txt has wheels for
ANOTHER = "Name another one: make PYTHON=/path/to/python3.13"

here = "%s is %d.%d" % (sys.executable, sys.version_info[0], sys.version_info[1])
if sys.version_info[:2] < FIRST:
    sys.exit("hatlib needs Python 3.11 or newer; %s. %s" % (here, ANOTHER))
if sys.platform == "darwin" and platform.machine() == "x86_64":
    sys.exit(
        "hatlib needs torch 2.10 or newer, which is not built for Intel Macs (2.2 was the last), "
        "and %s for one. On Apple silicon take an arm64 Python; on an Intel Mac, Colab or Docker"
        % sys.executable
    )
if sys.version_info[:2] > LAST:
    print(
        "%s: the pinned packages have wheels for Python 3.11 to %d.%d, and others may have to be "
        "compiled. %s" % (here, LAST[0], LAST[1], ANOTHER)
    )
