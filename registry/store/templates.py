"""Templates in the store, and the expanding of the records that follow them.

``\\x01template/‹prefix›/‹version, six digits›`` keeps one (``protocol.templates``). A record that follows it has the
second form of values (``protocol.kept``); ``get`` and ``get_many`` of a store answer it expanded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import Rule, StoreError
from protocol.kept import is_templated
from protocol.records import public_body, split_body
from protocol.status import Status
from protocol.templated import Expander, split_templated
from protocol.templates import Template, encode_template, read_template
from registry.store.system import TEMPLATES, read_system, system_identifier, system_write
from registry.store.writes import Write

NO_TEMPLATE: Final = Rule(
    "store.no-template",
    Status.STORE_FAILED,
    "{identifier} follows version {version} of the template of its prefix, which is not here (yet); ask another "
    "server, or later",
    "{identifier} 遵循其前缀的模板版本 {version}，但该模板（尚）不在此处，请询问其他服务器或稍后再试",
)

MAX_EXPANDERS: Final = 4_096
"""Templates that a reader has compiled at one time, some 5 kB each. Where records follow more, all are forgotten and
compiled anew, a tenth of a millisecond each."""

_DATA: Final = "TEMPLATE"


def template_identifier(prefix: str, version: int) -> bytes:
    """Where a version of a prefix's template stands."""
    return system_identifier(TEMPLATES, f"{prefix}/{version:06d}")


def template_write(template: Template, compare: int | None) -> Write:
    """The write that keeps a template."""
    child = f"{template.prefix}/{template.version:06d}"
    return system_write(TEMPLATES, child, {_DATA: encode_template(template)}, compare)


def stored_template(body: bytes | None) -> tuple[int, Template | None]:
    """Version of the record (0: there is none) and the template in it."""
    version, contents = read_system(body)
    return version, read_template(contents[_DATA]) if contents else None


class Expanders:
    """Expands records by the templates that ``find``, a store's, gives."""

    def __init__(self, find: Callable[[bytes], bytes | None]) -> None:
        self._find = find
        self._known: dict[tuple[bytes, int], tuple[bytes, Expander]] = {}  # with the body of the template's record

    def answered(self, identifier: bytes, body: bytes) -> bytes:
        """The public body of an active record whose values are of the second form, under an identifier in normal
        form. Raises :class:`StoreError` where its template is not there, :class:`~protocol.errors.RecordError` where
        the body is damaged."""
        head, template, data = split_templated(body)
        _, expander = self._known.get((identifier.partition(b"/")[0], template)) or self._learn(identifier, template)
        return head + expander.values(data, identifier)

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        """The same for values of either form."""
        return self.answered(identifier, body) if is_templated(split_body(body).values) else public_body(body)

    def expanded(self, identifier: bytes, body: bytes) -> bytes:
        """The same with the values that are not for everybody."""
        if not is_templated(split_body(body).values):
            return body
        head, template, data = split_templated(body)
        _, expander = self._known.get((identifier.partition(b"/")[0], template)) or self._learn(identifier, template)
        return head + expander.all_values(data, identifier)

    def refresh(self) -> bool:
        """Forget the templates whose records are not as they were, or cannot be read any more; whether there are
        such."""
        changed = [key for key, (body, _) in self._known.items() if not self._is(*key, body)]
        for key in changed:
            del self._known[key]
        return bool(changed)

    def _is(self, prefix: bytes, version: int, body: bytes) -> bool:
        try:
            return self._body(prefix, version) == body
        except StoreError:  # it is said to those who ask for what follows it, and to nobody else
            return False

    def _learn(self, identifier: bytes, version: int) -> tuple[bytes, Expander]:
        prefix = identifier.partition(b"/")[0]
        body = self._body(prefix, version)
        _, template = stored_template(body)
        if body is None or template is None:
            raise StoreError(NO_TEMPLATE, identifier=identifier.decode("utf-8", "replace"), version=version)
        if len(self._known) >= MAX_EXPANDERS:
            self._known.clear()
        known = self._known[prefix, version] = body, Expander(template)
        return known

    def _body(self, prefix: bytes, version: int) -> bytes | None:
        return self._find(template_identifier(prefix.decode(), version))
