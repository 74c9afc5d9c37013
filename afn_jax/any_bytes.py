"""File names of any bytes in what a command prints.

Python holds a byte that is not UTF-8, such as one of Latin-1, as a surrogate, which UTF-8 cannot
encode. Text files have an escape such as `\\udce9` instead, see `write_atomically`.
"""

import sys


def print_any_name() -> None:
    """Makes `print` escape characters that the terminal's encoding lacks; otherwise it raises."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not all replacements of these have it
            stream.reconfigure(errors="backslashreplace")
