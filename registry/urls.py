"""Whether what was given as a URL can lead anybody to a page. The registry takes any data (``docs/protocol.md``);
this is for telling people of what they hardly meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

URL: Final = "URL"
"""The type of a value that leads to a page."""

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+-]*:(?!/{0,2}$)[^ \t\n]+")
"""A scheme and something behind it (RFC 3986, section 3), without space. Dots, which a scheme may have, are left out:
``example.com:80`` is meant as a host."""


def is_url(text: str) -> bool:
    """Whether the text is an absolute URL, as far as can be told at a glance."""
    return _ABSOLUTE.fullmatch(text) is not None


def count_odd(cells: Sequence[str]) -> int:
    """How many of the cells have something that is no URL; an empty cell is no value at all."""
    text = "\n" + "\n".join(cells) + "\n"
    secure, count = text.count("\nhttps://"), len(cells)
    ordinary = secure == count or secure + text.count("\nhttp://") == count
    if ordinary and text.count("\n") == count + 1 and " " not in text and "\t" not in text and "://\n" not in text:
        return 0  # nearly always, and found out without a look at each
    return sum(1 for cell in cells if cell and not is_url(cell))
