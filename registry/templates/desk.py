"""What writers ask about templates: requests to reads and writes of system records. No sockets.

A template is one record, and each change of it is written under a compare, so nothing has to be serialised here: of two
changes that cross, the second is sent away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from protocol.errors import BiaoshiError, MessageError, RecordError, Refused, Rule
from protocol.identifiers import normal_prefix
from protocol.limits import MAX_CURSOR_BYTES, MAX_LIST, MAX_MESSAGE_BYTES, MAX_TEMPLATE_VERSION
from protocol.messages import BAD_ARGUMENTS, Op, encode_failure, encode_response
from protocol.status import Status
from protocol.templates import Template, check_change, check_template, encode_template, read_template
from registry.delegations import SystemBatch
from registry.gate import Gate
from registry.rights import DELEGATED
from registry.store.callers.permissions import Operation
from registry.store.feed import BAD_CURSOR
from registry.store.interface import Store
from registry.store.system import TEMPLATES, system_identifier
from registry.store.templates import stored_template, template_identifier, template_write
from registry.store.writes import ABSENT, Outcome, Write
from registry.templates.checking import NO_SUCH, Checkers

MEANWHILE: Final = Rule(
    "template.meanwhile",
    Status.CONFLICT,
    "version {version} of the template of {prefix} was changed at the same time; look at it, then send this again",
    "前缀 {prefix} 的模板版本 {version} 同时被修改，请查看后重新发送",
)

NO_ITEM: Final = Rule(
    "template.no-item",
    Status.BAD_REQUEST,
    "version {version} of the template of {prefix} has no item '{item}'; it has {items}",
    "前缀 {prefix} 的模板版本 {version} 没有项“{item}”，现有：{items}",
)


class Templates:
    """The templates in a store, for whoever may do what is asked."""

    def __init__(self, store: Store, checkers: Checkers) -> None:
        self._store = store
        self._checkers = checkers

    def keep(self, template: Template) -> Write | None:
        """The write that keeps a template; None where it is kept already. Raises
        :class:`~protocol.errors.BiaoshiError`."""
        prefix, version = template.prefix, template.version
        cut = self._store.cut(prefix)
        if cut is not None:
            raise Refused(DELEGATED, DELEGATED.status, prefix=prefix, child=cut.child)
        check_template(template)
        compare, before = stored_template(self._store.find(template_identifier(prefix, version)))
        if before == template:
            return None
        if before is not None:
            check_change(before, template)
        return template_write(template, compare or ABSENT)

    def forget(self, template: Template) -> None:
        """Note that a template was changed, or may have been."""
        self._checkers.forget(template.prefix, template.version)

    def find(self, prefix: str, version: int) -> Template | None:
        """One version of a prefix's template."""
        return stored_template(self._store.find(template_identifier(prefix, version)))[1]

    def template(self, prefix: str, version: int) -> Template:
        """The same. Raises :class:`Refused` where there is none."""
        template = self.find(prefix, version)
        if template is None:
            raise Refused(NO_SUCH, Status.NOT_FOUND, prefix=prefix, version=version)
        return template

    def page(self, prefix: str, after: int | None, limit: int) -> tuple[list[Template], int | None]:
        """Up to ``limit`` templates of just this prefix behind version ``after``, and the version that continues; None
        at the end."""
        begin = system_identifier(TEMPLATES, f"{prefix}/")
        cursor = begin if after is None else template_identifier(prefix, after)
        page = self._store.scan(TEMPLATES.decode(), cursor, limit)
        own = [entry for entry in page.entries if entry.identifier.startswith(begin)]
        templates = [one for entry in own if (one := stored_template(entry.body)[1]) is not None]
        if page.cursor is None or len(own) < len(page.entries) or not templates:
            return templates, None
        return templates, templates[-1].version

    def last(self, prefix: str) -> int:
        """The highest version of a prefix's template; 0 where it has none."""
        after: int | None = None
        last = 0
        while True:
            templates, after = self.page(prefix, after, MAX_LIST)
            last = templates[-1].version if templates else last
            if after is None:
                return last


def indexes_of(template: Template, names: Iterable[str]) -> list[int]:
    """The indexes of items, by names or indexes. Raises :class:`RecordError`."""
    indexes = []
    for name in names:
        item = template.find(name)
        if item is None:
            items = ", ".join(one.shown() for one in template.items)
            raise RecordError(NO_ITEM, prefix=template.prefix, version=template.version, item=name, items=items)
        indexes.append(item.index)
    return indexes


class TemplateDesk:
    """Templates on one connection, behind its ``gate``."""

    def __init__(self, store: Store, checkers: Checkers, gate: Gate) -> None:
        self._store = store
        self._templates = Templates(store, checkers)
        self._gate = gate
        self.operations: dict[int, Callable[[int, tuple[object, ...]], bytes | SystemBatch]] = {
            Op.TEMPLATE: self._put,
            Op.TEMPLATES: self._show,
        }

    def _put(self, rid: int, arguments: tuple[object, ...]) -> bytes | SystemBatch:
        match arguments:
            case (bytes(raw),):
                template = read_template(raw)
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="template", reason="expected [44, rid, template]")
        prefix, version = template.prefix, template.version
        self._gate.require_open(Operation.TEMPLATE_CHANGE, prefix)
        write = self._templates.keep(template)
        if write is None:
            return encode_response(rid, Status.OK, False)

        def answer(result: Sequence[Outcome] | BiaoshiError) -> bytes:
            self._templates.forget(template)
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            if result[0].status is not Status.OK:
                return encode_failure(rid, Refused(MEANWHILE, MEANWHILE.status, prefix=prefix, version=version))
            return encode_response(rid, Status.OK, result[0].changed)

        return SystemBatch([write], answer)

    def _show(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(raw), int(version)) if 0 < version <= MAX_TEMPLATE_VERSION:
                prefix = normal_prefix(raw).decode()
                self._gate.require(Operation.TEMPLATE_READ, prefix)
                template = self._templates.find(prefix, version)
                return encode_response(rid, Status.OK, [[encode_template(template)] if template else [], None])
            case (bytes(raw), (None | bytes()) as cursor, int(limit)) if (
                0 < limit <= MAX_LIST and len(cursor or b"") <= MAX_CURSOR_BYTES
            ):
                prefix = normal_prefix(raw).decode()
                self._gate.require(Operation.TEMPLATE_READ, prefix)
                return self._page(rid, prefix, cursor, limit)
        reason = f"expected [45, rid, prefix, version] or [45, rid, prefix, cursor or nil, limit up to {MAX_LIST}]"
        raise MessageError(BAD_ARGUMENTS, operation="templates", reason=reason)

    def _page(self, rid: int, prefix: str, cursor: bytes | None, limit: int) -> bytes:
        """The templates of a prefix, and of it alone, behind ``cursor``."""
        begin = system_identifier(TEMPLATES, f"{prefix}/")
        if cursor is not None and not cursor.startswith(begin):
            raise Refused(BAD_CURSOR, BAD_CURSOR.status)
        while True:
            page = self._store.scan(TEMPLATES.decode(), cursor or begin, limit)
            own = [entry for entry in page.entries if entry.identifier.startswith(begin)]
            found: list[Template | None] = [stored_template(entry.body)[1] for entry in own]
            following = page.cursor if len(own) == len(page.entries) else None
            templates = [encode_template(one) for one in found if one is not None]
            response = encode_response(rid, Status.OK, [templates, following])
            if len(response) <= MAX_MESSAGE_BYTES:
                return response
            limit //= 2  # templates are long: a shorter page, the cursor goes on from there
