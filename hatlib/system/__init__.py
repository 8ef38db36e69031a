"""The computer: files written whole, downloads, devices, paths, the terminal. Imports nothing else
of hatlib."""
