"""Functional training loops: `python -m train RECIPE`. Start reading at `loop.py`."""
