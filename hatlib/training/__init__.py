"""Training: recipes, the loop, checkpoints, callbacks. May import `evaluation` and what it
imports."""
