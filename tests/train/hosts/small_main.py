"""`python -m train` with the smallest network, which compiles in a second. Run as a program."""

import sys

import train.program
from tests.small_run import build_small_network
from train.__main__ import main

train.program.build_model = build_small_network

if __name__ == "__main__":
    sys.exit(main())
