"""The same numbers as the readable forward passes of `hatlib.models`, faster. Nothing else lives
here."""
