"""Weights: the catalogue, reading and writing files, and which network a file belongs to. May
import `models`."""
