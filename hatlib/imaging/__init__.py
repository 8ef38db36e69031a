"""Images: reading and writing them, conversion, resizing, degradation, metrics. May import
`system`."""
