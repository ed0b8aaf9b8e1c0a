"""Export over HTTP: all active records of a prefix as NDJSON, of any number, in constant memory."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from protocol.identifiers import normal_prefix
from protocol.limits import MAX_LIST
from protocol.records import State
from registry.api.pages import fitting_page, record_of
from registry.api.routing import NDJSON, Call, Route
from registry.api.writing import require_right
from registry.json_records import JsonRecord, json_values
from registry.store.interface import Entry, Store

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class ExportDesk:
    """The operation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def download(self, call: Call, body: None) -> web.StreamResponse:
        """Give all records, page by page: each as it is when its page is read. A download that does not end as HTTP
        has it is not whole."""
        prefix = normal_prefix(call.parameters["prefix"]).decode()
        require_right(call, prefix)
        page = fitting_page(self._store, prefix, None, MAX_LIST)
        response = web.StreamResponse(headers={"Content-Type": NDJSON, "X-Request-Id": call.id})
        await response.prepare(call.request)
        if call.request.method != "HEAD":
            while True:
                await response.write(_lines(page.entries))
                if page.cursor is None:
                    break
                await asyncio.sleep(0)  # others are answered between two pages
                page = fitting_page(self._store, prefix, page.cursor, MAX_LIST)
        await response.write_eof()
        return response


def _lines(entries: list[Entry]) -> bytes:
    records = [(entry.identifier.decode(), record_of(entry)) for entry in entries]
    return _encode_lines([
        JsonRecord(name, json_values(record.values)) for name, record in records if record.state is State.ACTIVE
    ])  # fmt: skip


def routes(store: Store) -> list[Route]:
    """The routes of this subject."""
    return [
        Route(
            "GET", "/api/v1/prefixes/{prefix}/records:export", "export_records",
            "Get all active records of a prefix as NDJSON, a line for each", ExportDesk(store).download,
            {200: JsonRecord}, answer_media=NDJSON,
        ),
    ]  # fmt: skip
