"""The templates by which records are checked, compiled once. One of these serves all sessions of a registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import RecordError, Rule
from protocol.kept import read_data
from protocol.status import Status
from protocol.templated import Checker
from registry.store.templates import stored_template, template_identifier

NO_SUCH: Final = Rule(
    "template.no-such",
    Status.BAD_RECORD,
    "{prefix} has no template of version {version}; 'biaoshi template put' makes one",
    "前缀 {prefix} 没有版本为 {version} 的模板，请先用 biaoshi template put 创建",
)

MAX_CHECKERS: Final = 4_096
"""Templates compiled at one time, some 10 kB each. Where there are more, all are forgotten and compiled anew."""


class Checkers:
    """Checks values of the second form by the templates that ``find``, a store's, gives. The registry is the only
    writer: it says by :meth:`forget` when one has changed."""

    def __init__(self, find: Callable[[bytes], bytes | None]) -> None:
        self._find = find
        self._known: dict[tuple[str, int], Checker] = {}

    def check(self, prefix: str, values: bytes) -> None:
        """Check values of a record below ``prefix`` against its template. Raises
        :class:`~protocol.errors.RecordError`."""
        version, data = read_data(values)
        checker = self._known.get((prefix, version)) or self._learn(prefix, version)
        checker.check_data(data, len(values))

    def forget(self, prefix: str, version: int) -> None:
        """Compile a template anew at its next use."""
        self._known.pop((prefix, version), None)

    def _learn(self, prefix: str, version: int) -> Checker:
        _, template = stored_template(self._find(template_identifier(prefix, version)))
        if template is None:
            raise RecordError(NO_SUCH, prefix=prefix, version=version)
        if len(self._known) >= MAX_CHECKERS:
            self._known.clear()
        checker = self._known[prefix, version] = Checker(template)
        return checker
