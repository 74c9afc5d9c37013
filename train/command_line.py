"""Options that are taken from a command line before the fields of the settings. Without JAX."""

import sys
from typing import NoReturn


def take_option(
    arguments: list[str], option: str, default: str, example: str
) -> tuple[str, list[str]]:
    """Returns the value of an option, and the other arguments."""
    value, rest, position = default, [], 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == option:
            if position + 1 == len(arguments):
                fail(f"{option} needs a value, such as {example}.")
            value = arguments[position + 1]
            position += 2
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
            position += 1
        else:
            rest.append(argument)
            position += 1
    return value, rest


def fail(message: str) -> NoReturn:
    """Ends the program with a message and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
