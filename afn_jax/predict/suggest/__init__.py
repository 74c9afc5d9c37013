"""Which windows to label next."""
