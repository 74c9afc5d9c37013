"""`python -m train RECIPE --plan TARGET`: what a training step needs on devices that are not here.

Read `command.py` first. Nothing here reads a dataset or touches a run folder.
"""
