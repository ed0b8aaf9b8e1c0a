"""What the registry process says beside its store to those who read it: that it was put back to an earlier state.

It stands in a file of the store's directory, so it goes when the store is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class PutBackNotice:
    """The names of those whose copies have more than the store in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "put-back"

    def read(self) -> list[str]:
        """Whose copies have more; none for a store that has all. Raises :class:`OSError`."""
        try:
            return self._file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def write(self, who: Iterable[str]) -> None:
        """Say whose copies have more. Raises :class:`OSError`."""
        names = list(who)
        if not names:
            self._file.unlink(missing_ok=True)
            return
        begun = self._file.with_suffix(".new")
        begun.write_text("".join(f"{name}\n" for name in names), "utf-8")
        os.replace(begun, self._file)
