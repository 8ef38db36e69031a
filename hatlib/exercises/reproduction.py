"""Notebook 10: the published measurements, made again. Its part on buildings and faces is in `faces`."""

from __future__ import annotations

from hatlib.exercises.faces import paired_interval

__all__ = ["paired_interval"]
