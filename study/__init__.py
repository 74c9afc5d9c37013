"""The reproduction study: `python -m study`. It stands on top of training and evaluation."""
