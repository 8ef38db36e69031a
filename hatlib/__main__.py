"""`python -m hatlib …` is `hatlib …`."""

import sys

from hatlib.cli.app import main

sys.exit(main())
