"""Earlier versions of a record, and records found by what they have."""

from __future__ import annotations

from typing import Annotated

import msgspec

from protocol.errors import Refused
from protocol.identifiers import normal
from protocol.limits import MAX_DATA_BYTES, MAX_INDEX, MAX_LIST
from protocol.status import Status
from registry.api import rules
from registry.api.pages import PageShown, RecordShown, WholeRecords, cursor_text, fitting, read_cursor
from registry.api.prefixes import prefix_of
from registry.api.routing import Answer, Call, Route
from registry.api.writing import Writing
from registry.store.callers.permissions import Operation
from registry.store.history import as_of


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`at` asks for what stood then alone, in seconds since 1970 UTC."""

    at: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)] | None = None


class HistoryShown(msgspec.Struct):
    """A record now and as it was before, as far as that is kept, the newest version first."""

    versions: list[RecordShown]


class SearchQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The index of an item of a template that is indexed, and the very data that records have there; which page."""

    item: Annotated[int, msgspec.Meta(ge=1, le=MAX_INDEX)]
    data: Annotated[str, msgspec.Meta(max_length=MAX_DATA_BYTES)]
    cursor: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST)] = 100


class HistoryDesk:
    """The operations."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._store = writing.store
        self._whole = WholeRecords(writing.store)

    async def history(self, call: Call, body: None) -> Answer:
        """The versions of a record."""
        query: HistoryQuery = call.query
        identifier = normal(call.parameters["identifier"])
        self._writing.gate(call.caller).require(Operation.RECORD_READ, identifier.partition(b"/")[0].decode())
        bodies = self._store.history(identifier)
        if query.at is not None:
            found = as_of(identifier, bodies, query.at)
            bodies = [] if found is None else [found]
        if not bodies:
            raise Refused(rules.NOT_REGISTERED, Status.NOT_FOUND, identifier=identifier.decode())
        shown = [self._whole.shown(identifier.decode(), one) for one in bodies]
        return Answer(200, HistoryShown(shown))

    async def search(self, call: Call, body: None) -> Answer:
        """Records of just one prefix that have this there."""
        query: SearchQuery = call.query
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require(Operation.RECORD_READ, prefix)
        data, cursor = query.data.encode(), read_cursor(query.cursor)
        page = fitting(lambda limit: self._store.search(prefix, query.item, data, cursor, limit), query.limit)
        shown = [self._whole.shown(entry.identifier.decode(), entry.body) for entry in page.entries]
        return Answer(200, PageShown(shown, cursor_text(page.cursor) if page.cursor else None))


def routes(writing: Writing) -> list[Route]:
    """The routes of this subject."""
    desk = HistoryDesk(writing)
    return [
        Route("GET", "/api/v1/history/{identifier}", "get_history", "Get the versions of a record that are kept",
              desk.history, {200: HistoryShown}, query=HistoryQuery),
        Route("GET", "/api/v1/prefixes/{prefix}/records:search", "search_records",
              "Find records of a prefix by an indexed item of their template", desk.search, {200: PageShown},
              query=SearchQuery),
    ]  # fmt: skip
