"""Predictions of cameras, pipes and URLs as they come."""
