"""Numbers that the user sets as environment variables."""

import os

from gpuad.errors import ArgumentError


def number_set(name: str, of: str, least: int = 0) -> int | None:
    """The whole number that an environment variable is set to; None if it is not set, or empty.

    Raises
    ------
    ArgumentError
        If it is set to anything else, or to less than `least`. `of`, for the message, says what
        the number counts.
    """
    given = os.environ.get(name)
    if not given:
        return None
    if not given.isdecimal() or int(given) < least:
        raise ArgumentError(f"{name}={given}: set it to a number of {of}, or unset it.")
    return int(given)
