"""Plausible wrong answers to the exercises of notebook 10; those of its part on buildings and faces are in `faces`."""

from . import faces

WRONG = {**faces.WRONG}
