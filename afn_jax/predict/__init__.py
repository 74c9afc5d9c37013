"""Videos in, labels and pictures out: `engine.py` predicts one video, `many.py` all of them."""
