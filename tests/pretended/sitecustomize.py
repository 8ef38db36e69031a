"""Python runs this first where this folder is on PYTHONPATH, in the kernels of notebooks too:

    PYTHONPATH=tests/pretended HATLIB_DEVICE=pretended python …

Then hatlib takes the pretended device as its own.
"""

import os
import re

if os.environ.get("HATLIB_DEVICE") == "pretended":
    import pretended_device  # type: ignore[import-not-found]

    from hatlib.system import devices

    devices.DEVICE_NAMES = re.compile(pretended_device.NAME)
    os.environ["ACCELERATE_TORCH_DEVICE"] = pretended_device.NAME
