"""Export over HTTP: all active records of a prefix as NDJSON, of any number, in constant memory."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from protocol.identifiers import normal_prefix
from protocol.kept import decode_kept
from protocol.limits import MAX_LIST
from protocol.records import State
from registry.api.pages import fitting_page
from registry.api.routing import NDJSON, Call, Route, lines_headers
from registry.api.writing import Writing
from registry.json_records import JsonRecord, json_record
from registry.replies import ListedRecord
from registry.store.callers.permissions import Operation
from registry.store.series import Listed

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class ExportDesk:
    """The operation."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._store = writing.store

    async def download(self, call: Call, body: None) -> web.StreamResponse:
        """Give all records, page by page: each as it is when its page is read. A download that does not end as HTTP
        has it is not whole."""
        prefix = normal_prefix(call.parameters["prefix"]).decode()
        self._writing.gate(call.caller).require(Operation.RECORD_READ, prefix)
        page = fitting_page(self._store, prefix, None, MAX_LIST)
        response = web.StreamResponse(headers=lines_headers(call))
        await response.prepare(call.request)
        if call.request.method != "HEAD":
            while True:
                await response.write(_lines(page.entries))
                if page.cursor is None:
                    break
                await asyncio.sleep(0)  # others are answered between two pages
                self._writing.gate(call.ask_again()).require(Operation.RECORD_READ, prefix)
                page = fitting_page(self._store, prefix, page.cursor, MAX_LIST)
        await response.write_eof()
        return response


def _lines(entries: list[Listed]) -> bytes:
    records = [ListedRecord(entry.name, decode_kept(entry.body), entry.members) for entry in entries]
    return _encode_lines([json_record(one) for one in records if one.record.state is State.ACTIVE])


def routes(writing: Writing) -> list[Route]:
    """The routes of this subject."""
    return [
        Route(
            "GET", "/api/v1/prefixes/{prefix}/records:export", "export_records",
            "Get all active records of a prefix as NDJSON, a line for each", ExportDesk(writing).download,
            {200: JsonRecord}, answer_media=NDJSON,
        ),
    ]  # fmt: skip
