"""Series: one registration for many members, listed, withdrawn; and what is registered suspended and resumed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from protocol.errors import BiaoshiError
from protocol.identifiers import normal
from protocol.records import State
from protocol.series import is_pattern, parse_series
from protocol.status import Status
from registry.api.items import not_carried_out
from registry.api.pages import PageShown, RecordShown, WholeRecords, cursor_text, fitting, read_system_cursor
from registry.api.prefixes import prefix_of
from registry.api.records import PageQuery, RecordInput, Written
from registry.api.routing import Answer, Call, Handler, Route, text_of
from registry.api.writing import Writing, name_of
from registry.json_records import encode_json_values
from registry.store.callers.permissions import Operation
from registry.store.series import list_series, series_identifier
from registry.store.writes import ABSENT, ANY

_WORDS: Final = {"suspend": int(State.SUSPENDED), "resume": int(State.ACTIVE)}


class SeriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the values of a series that is registered with others are replaced."""

    update: bool = False


class SeriesDesk:
    """The operations."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._whole = WholeRecords(writing.store)

    async def put(self, call: Call, body: RecordInput) -> Answer:
        """Register a series."""
        query: SeriesQuery = call.query
        values = encode_json_values(body.values, body.template)
        return await self._write(call, text_of(call, "identifier"), ANY if query.update else ABSENT, values)

    async def delete(self, call: Call, body: None) -> Answer:
        """Withdraw a series: no member of it answers any more, but for those with a record of their own."""
        return await self._write(call, text_of(call, "identifier"), ANY, None)

    async def get(self, call: Call, body: None) -> Answer:
        """A series whole."""
        series = parse_series(text_of(call, "identifier"))
        self._writing.gate(call.caller).require(Operation.RECORD_READ, series.prefix)
        found = self._writing.store.find(series_identifier(series))
        return Answer(200, self._whole.standing(str(series), found, series.count))

    async def list(self, call: Call, body: None) -> Answer:
        """A page of the series of a prefix and those below it."""
        query: PageQuery = call.query
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require(Operation.RECORD_READ, prefix)
        cursor = read_system_cursor(query.cursor)
        page = fitting(lambda limit: list_series(self._writing.store, prefix, cursor, limit), query.limit)
        shown = [self._whole.shown(*entry) for entry in page.entries]
        active = [one for one in shown if query.withdrawn or one.state != State.WITHDRAWN.name.lower()]
        return Answer(200, PageShown(active, cursor_text(page.cursor) if page.cursor else None))

    def switch(self, word: str) -> Handler:
        """The handler that suspends, or resumes, an identifier or a series."""

        async def handle(call: Call, body: None) -> Answer:
            name = text_of(call, "identifier")
            if is_pattern(name):
                return await self._write(call, name, ANY, _WORDS[word])
            identifier = normal(call.parameters["identifier"])
            outcome = await self._writing.one(call, (identifier, ANY, _WORDS[word]))
            if outcome.status is not Status.OK:
                raise not_carried_out(identifier.decode(), outcome)
            return Answer(200, Written(identifier.decode(), outcome.version, outcome.changed))

        return handle

    async def _write(self, call: Call, pattern: str, compare: int | None, values: Any) -> Answer:
        write = self._writing.series(call.caller).read((pattern.encode(), compare, values))
        result = await self._writing.begin([write], len(call.raw))
        if isinstance(result, BiaoshiError):
            raise result
        [outcome] = result
        error = self._writing.failure(write, outcome, call.caller)
        if error is not None:
            raise error
        status = 201 if outcome.changed and outcome.version == 1 else 200
        return Answer(status, Written(name_of(write), outcome.version, outcome.changed))


def routes(writing: Writing) -> list[Route]:
    """The routes of this subject."""
    desk = SeriesDesk(writing)
    one, written = "/api/v1/series/{identifier}", {200: Written}
    return [
        Route("PUT", one, "put_series", "Register a series under its pattern", desk.put, written | {201: Written},
              body=RecordInput, query=SeriesQuery),
        Route("GET", one, "get_series", "Get a series", desk.get, {200: RecordShown}),
        Route("DELETE", one, "withdraw_series", "Withdraw a series", desk.delete, written),
        Route("GET", "/api/v1/prefixes/{prefix}/series", "list_series", "List the series of a prefix", desk.list,
              {200: PageShown}, query=PageQuery),
        Route("POST", "/api/v1/suspend/{identifier}", "suspend", "Have an identifier, or a series, not shown for now",
              desk.switch("suspend"), written),
        Route("POST", "/api/v1/resume/{identifier}", "resume", "Have what was suspended shown again",
              desk.switch("resume"), written),
    ]  # fmt: skip
