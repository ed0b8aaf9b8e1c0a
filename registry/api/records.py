"""Records: one by its identifier, many in a batch, all of a prefix page by page."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from protocol.errors import BiaoshiError, InvalidInput, MessageError
from protocol.identifiers import normal, normal_prefix
from protocol.limits import MAX_LIST, MAX_VALUES
from protocol.messages import TOO_MANY
from protocol.records import State, split_body
from protocol.status import Status
from registry.api import rules
from registry.api.items import (
    Item,
    ItemResult,
    SeriesItem,
    WriteItem,
    item_write,
    not_carried_out,
    refusal_of,
    refused_result,
    result_of,
)
from registry.api.pages import PageShown, RecordShown, WholeRecords, cursor_text, fitting_page, read_cursor
from registry.api.reading import header
from registry.api.routing import Answer, Call, Route
from registry.api.writing import Writing, name_of
from registry.intake import MAX_VERSION
from registry.json_records import JsonValue, TemplateVersion, encode_json_values
from registry.store.callers.permissions import Operation
from registry.store.writes import ABSENT, ANY, Outcome

_ETAG: Final = re.compile(r'"([1-9][0-9]{0,18})"')
_NO_VERSION: Final = MAX_VERSION
"""Compared where a condition names what can be no version of ours: so that it does not hold."""


class RecordInput(msgspec.Struct, forbid_unknown_fields=True):
    """The values that a record is to have, all of them; with `template`, the data that follow this version of it."""

    values: Annotated[list[JsonValue], msgspec.Meta(max_length=MAX_VALUES)]
    template: TemplateVersion | None = None


class Written(msgspec.Struct):
    """What became of a write: the record's version now; `changed` is false where the content was there already."""

    identifier: str
    version: int
    changed: bool


class BatchInput(msgspec.Struct, forbid_unknown_fields=True):
    """Items to be carried out in order, in one durable step; at most 2,000."""

    records: list[Item]


class BatchQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Whether what is registered with other content is replaced."""

    update: bool = False


class BatchShown(msgspec.Struct):
    """One result for each item, in order; and how many of them changed something, changed nothing, were refused."""

    results: list[ItemResult]
    changed: int
    unchanged: int
    refused: int


class PageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which page of a list. `cursor` is that of the page before; a page looks at up to `limit` records."""

    cursor: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST)] = 100
    withdrawn: bool = False


class RecordsDesk:
    """The operations."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._store = writing.store
        self._whole = WholeRecords(writing.store)

    async def get(self, call: Call, body: None) -> Answer:
        """A whole record."""
        identifier = normal(call.parameters["identifier"])
        self._writing.gate(call.caller).require(Operation.RECORD_READ, identifier.partition(b"/")[0].decode())
        shown = self._whole.standing(identifier.decode(), self._store.find(identifier))
        etag = _etag(shown.version)
        known = header(call.request, "If-None-Match") or ""
        if known == "*" or etag in [one.strip().removeprefix("W/") for one in known.split(",")]:
            return Answer(304, None, {"ETag": etag})
        return Answer(200, shown, {"ETag": etag})

    async def put(self, call: Call, body: RecordInput) -> Answer:
        """Register a record, or replace all values of one."""
        identifier = normal(call.parameters["identifier"])
        values = encode_json_values(body.values, body.template)
        outcome = await self._write(call, identifier, values)
        status = 201 if outcome.changed and outcome.version == 1 else 200
        return _written(status, identifier, outcome)

    async def delete(self, call: Call, body: None) -> Answer:
        """Withdraw a record."""
        identifier = normal(call.parameters["identifier"])
        return _written(200, identifier, await self._write(call, identifier, None))

    async def batch(self, call: Call, body: BatchInput) -> Answer:
        """Carry out many writes in one durable step."""
        query: BatchQuery = call.query
        if len(body.records) > rules.MAX_BATCH:
            raise MessageError(TOO_MANY, operation="batch", limit=rules.MAX_BATCH, count=len(body.records))
        results: list[ItemResult | None] = [None] * len(body.records)
        items: list[WriteItem | SeriesItem] = []
        places: list[int] = []
        for place, item in enumerate(body.records):
            try:
                items.append(item_write(item, update=query.update))
                places.append(place)
            except BiaoshiError as error:
                results[place] = refused_result(item.name, error, call.language)
        intake = self._writing.check(items, call.caller)
        for i, payload in intake.refused.items():
            name = body.records[places[i]].name
            results[places[i]] = refused_result(name, refusal_of(payload), call.language)
        outcomes = await self._writing.begin(intake.writes, len(call.raw)) if intake.writes else []
        if isinstance(outcomes, BiaoshiError):
            raise outcomes
        accepted = [place for i, place in enumerate(places) if i not in intake.refused]
        for place, write, outcome in zip(accepted, intake.writes, outcomes, strict=True):
            failed = self._writing.failure(write, outcome, call.caller)
            results[place] = result_of(name_of(write), outcome, failed, call.language)
        shown = [result for result in results if result is not None]
        changed = sum(result.changed is True for result in shown)
        unchanged = sum(result.changed is False for result in shown)
        return Answer(200, BatchShown(shown, changed, unchanged, len(shown) - changed - unchanged))

    async def list(self, call: Call, body: None) -> Answer:
        """A page of the records of a prefix and those below it."""
        query: PageQuery = call.query
        prefix = normal_prefix(call.parameters["prefix"]).decode()
        self._writing.gate(call.caller).require(Operation.RECORD_READ, prefix)
        page = fitting_page(self._store, prefix, read_cursor(query.cursor), query.limit)
        shown = [self._whole.shown(*entry) for entry in page.entries]
        active = [one for one in shown if query.withdrawn or one.state == State.ACTIVE.name.lower()]
        return Answer(200, PageShown(active, cursor_text(page.cursor) if page.cursor else None))

    async def _write(self, call: Call, identifier: bytes, values: bytes | None) -> Outcome:
        compare = self._condition(call, identifier)
        outcome = await self._writing.one(call, (identifier, compare, values))
        if outcome.status is not Status.OK:
            raise not_carried_out(identifier.decode(), outcome)
        return outcome

    def _condition(self, call: Call, identifier: bytes) -> int | None:
        """What a write is to compare. Raises :class:`InvalidInput`."""
        match, none_match = header(call.request, "If-Match"), header(call.request, "If-None-Match")
        if match is None and none_match is None:
            return ANY
        if match is None and none_match == "*":
            return ABSENT
        if match is None or none_match is not None or "," in match:
            raise InvalidInput(rules.BAD_CONDITION)
        if match == "*":
            found = self._store.find(identifier)
            head = None if found is None else split_body(found)
            return head.version if head is not None and head.state is State.ACTIVE else _NO_VERSION
        version = _ETAG.fullmatch(match)
        if version is None and not match.endswith('"'):
            raise InvalidInput(rules.BAD_CONDITION)
        return min(int(version[1]), _NO_VERSION) if version else _NO_VERSION


def _written(status: int, identifier: bytes, outcome: Outcome) -> Answer:
    shown = Written(identifier.decode(), outcome.version, outcome.changed)
    return Answer(status, shown, {"ETag": _etag(outcome.version)})


def _etag(version: int) -> str:
    return f'"{version}"'


def routes(writing: Writing) -> list[Route]:
    """The routes of this subject."""
    desk = RecordsDesk(writing)
    one, written = "/api/v1/records/{identifier}", {200: Written, 201: Written}
    return [
        Route("PUT", one, "put_record", "Register a record, or replace all its values", desk.put, written,
              body=RecordInput, headers=("If-Match", "If-None-Match")),
        Route("GET", one, "get_record", "Get a whole record", desk.get, {200: RecordShown, 304: None},
              headers=("If-None-Match",)),
        Route("DELETE", one, "withdraw_record", "Withdraw a record", desk.delete, {200: Written},
              headers=("If-Match",)),
        Route("POST", "/api/v1/records:batch", "write_batch", "Register, update and withdraw up to 2,000 records",
              desk.batch, {200: BatchShown}, body=BatchInput, query=BatchQuery, headers=("Idempotency-Key",)),
        Route("GET", "/api/v1/prefixes/{prefix}/records", "list_records", "List the records of a prefix", desk.list,
              {200: PageShown}, query=PageQuery),
    ]  # fmt: skip
