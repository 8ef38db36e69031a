"""Data sets, built-in pictures and training patches. May import `imaging` and `system`, not
`models`."""
