"""The course: running notebooks, exercises, widgets. May import all of hatlib but the commands."""
