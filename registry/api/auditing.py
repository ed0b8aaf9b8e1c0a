"""The audit log: pages, the whole of it as a file that proves itself, and its signed head."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from protocol.limits import MAX_LIST
from registry.api.changing import Changing
from registry.api.routing import NDJSON, Answer, Call, Route, lines_headers
from registry.audit.service import EntryView

LINES: Final = 500
"""Lines that are read and sent together: some milliseconds."""


class EntriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """From which entry on, and how many."""

    start: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST)] = 100


class EntriesShown(msgspec.Struct):
    """Entries in order. `next` is the number that continues, null at the end."""

    entries: list[EntryView]
    next: int | None


class AuditDesk:
    """The operations."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing
        self._log = changing.accounts.audit

    async def page(self, call: Call, body: None) -> Answer:
        """Some entries."""
        query: EntriesQuery = call.query
        return Answer(200, EntriesShown(*self._log.entries(call.caller, query.start, query.limit, self._changing.now)))

    async def export(self, call: Call, body: None) -> web.StreamResponse:
        """The whole log, as `biaoshi audit export` writes it. A download that does not end with a head is not whole."""
        lines = self._log.export(call.caller, self._changing.now)
        response = web.StreamResponse(headers=lines_headers(call))
        await response.prepare(call.request)
        if call.request.method != "HEAD":
            while part := b"".join(islice(lines, LINES)):
                await response.write(part)
                await asyncio.sleep(0)  # others are answered in between
        await response.write_eof()
        return response

    async def head(self, call: Call, body: None) -> web.StreamResponse:
        """Its head alone, to be kept elsewhere."""
        raw = b"".join(self._log.head(call.caller, self._changing.now))
        return web.Response(body=raw, headers=lines_headers(call))


def routes(changing: Changing) -> list[Route]:
    """The routes of this subject."""
    desk = AuditDesk(changing)
    line = {200: dict[str, Any]}
    return [
        Route("GET", "/api/v1/audit", "list_audit", "List entries of the audit log", desk.page, {200: EntriesShown},
              query=EntriesQuery),
        Route("GET", "/api/v1/audit:export", "export_audit", "Get the whole audit log, which proves itself",
              desk.export, line, answer_media=NDJSON),
        Route("GET", "/api/v1/audit:head", "get_audit_head", "Get the signed head of the audit log", desk.head, line,
              answer_media=NDJSON),
    ]  # fmt: skip
