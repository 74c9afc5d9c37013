"""From a file, folder, camera, pipe or URL to frames, and from frames to windows."""
