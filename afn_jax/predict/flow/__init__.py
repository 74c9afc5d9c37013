"""Flow of pictures and videos: methods, and the files that they write."""
