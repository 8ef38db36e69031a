"""`python -m hatlib …` is `hatlib …`."""

import sys

from hatlib.cli import main

sys.exit(main())
