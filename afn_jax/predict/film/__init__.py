"""Annotated films: the frames with their labels, flow and timeline, as MP4."""
