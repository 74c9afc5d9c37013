"""Functional training loops: `python -m train RECIPE`. Start reading in `loop.py`."""
