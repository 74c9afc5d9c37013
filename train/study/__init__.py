"""The reproduction study: `python -m train.study`. It stands on top of training and evaluation."""
