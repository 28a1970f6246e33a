"""Numbers as settings write them: plain ASCII digits.

Python's own `int()` and `float()` also take `8_080`, `+80`, `1e3`, `nan` and the digits of every
script, which nobody means who types them into a setting.
"""

import re

_DIGITS = re.compile(r"[0-9]{1,18}\Z")
_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?\Z")


def whole_number(text: str, low: int, high: int) -> int:
    """The number.

    Raises:
        ValueError: it is none, or is not in the range; the message goes on after its name.
    """
    if not (_DIGITS.match(text) and low <= int(text) <= high):
        raise ValueError(f"is not a whole number from {low} to {high}, in plain digits")
    return int(text)


def decimal_number(text: str) -> float | None:
    """The number, such as `30` or `0.5`; None: it is none."""
    return float(text) if _DECIMAL.match(text) else None
