"""What `afn-jax predict` writes for a video, and the folder that it writes to."""
