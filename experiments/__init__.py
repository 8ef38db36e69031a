"""Experiments: what produces the recorded results. Each runs as `python -m experiments.NAME`."""
