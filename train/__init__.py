"""Training: `python -m train RECIPE`. Start reading in `loop.py`."""
