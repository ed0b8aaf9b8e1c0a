"""Import over HTTP: NDJSON of any size, in constant memory, with what is refused streamed back line by line.

A block of lines is one durable step; while it is on its way to the disk the next is read. Where the connection breaks,
whole blocks are registered and nothing of the line within which it broke; sending everything again is safe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import compress
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from protocol.errors import BiaoshiError, InvalidInput, Refused
from protocol.identifiers import normal_prefix
from protocol.status import Status
from registry.api import rules
from registry.api.items import refusal_of
from registry.api.lines import LineBlocks, Lines, Refusal, read_block
from registry.api.problems import Problem, http_status, problem
from registry.api.reading import CUT_OFF
from registry.api.routing import NDJSON, Call, Route, lines_headers
from registry.api.writing import Result, Writing, name_of
from registry.rights import OTHER_PREFIX
from registry.store.callers.permissions import Operation
from registry.store.writes import Outcome, Write, ascend

UNREAD_BYTES: Final = 4 << 20
"""Bytes of an answer that may wait for a client to read them, some 20,000 refusals: many send everything first."""

FLUSH_SECONDS: Final = 0.2
"""How long lines wait for more to come, before they are a block of their own."""

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class ImportQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Whether what is registered with other content is replaced."""

    update: bool = False


class RefusedLine(msgspec.Struct, tag_field="kind", tag="refused"):
    """A line of which nothing was registered, and why."""

    line: int
    identifier: str
    outcome: str
    rule: str
    detail: str


class DurableLines(msgspec.Struct, tag_field="kind", tag="durable"):
    """All lines up to this one are on the disk, or were refused."""

    lines: int


class ImportDone(msgspec.Struct, tag_field="kind", tag="done"):
    """The end: how many lines had an item, and what became of these."""

    items: int
    changed: int
    unchanged: int
    refused: int


class ImportFailed(msgspec.Struct, tag_field="kind", tag="failed"):
    """The import was broken off. What was reported as durable is; the whole may be sent again."""

    problem: Problem


ImportLine = RefusedLine | DurableLines | ImportDone | ImportFailed


class _Step(NamedTuple):
    """A block that is on its way to the disk."""

    writes: list[Write]
    lines: Sequence[int]
    refused: list[Refusal]
    last: int
    result: asyncio.Future[Result] | None


class _Upload:
    """One import, block by block, and what became of it so far."""

    def __init__(self, call: Call, writing: Writing, prefix: str, *, update: bool) -> None:
        self._call = call
        self._writing = writing
        self._prefix = prefix
        self._update = update
        self.done = ImportDone(0, 0, 0, 0)
        self.is_whole = True
        """Whether everything before the last block that was finished is on the disk."""

    def begin(self, block: Lines) -> _Step:
        """Have a block written. Raises :class:`BiaoshiError` where nothing may be written now."""
        caller = self._call.ask_again()  # what they may do may have changed since the import began
        self._writing.gate(caller).require(Operation.RECORD_WRITE, self._prefix)
        read = read_block(block.text, block.first, update=self._update)
        refused = read.refused + block.refused
        intake = self._writing.check(read.items, caller, self._prefix)
        writes, lines = intake.writes, read.lines
        if intake.refused:
            for i, payload in intake.refused.items():
                error = refusal_of(payload)
                if error.rule is OTHER_PREFIX:
                    error = Refused(rules.OTHER_PREFIX, Status.NOT_PERMITTED, prefix=self._prefix)
                refused.append(Refusal(read.lines[i], read.items[i][0].decode("utf-8", "replace"), error))
            lines = list(compress(lines, [i not in intake.refused for i in range(len(read.items))]))
        if not ascend([write.identifier for write in writes]):
            # In order of identifiers a block is written several times as fast; of one identifier the first comes first.
            order = sorted(range(len(writes)), key=[write.identifier for write in writes].__getitem__)
            writes, lines = [writes[i] for i in order], [lines[i] for i in order]
        result = self._writing.begin(writes, len(block.text)) if writes else None
        return _Step(writes, lines, refused, block.last, result)

    async def finish(self, step: _Step) -> list[ImportLine]:
        """Wait for a block to be on the disk; what is to be told of it. Raises :class:`BiaoshiError`."""
        outcomes = await step.result if step.result is not None else []
        if isinstance(outcomes, BiaoshiError):
            self.is_whole = False
            raise outcomes
        self._count(step, outcomes)
        step.refused.sort(key=lambda one: one.line)
        self.done.refused += len(step.refused)
        self.done.items += len(step.refused) + len(outcomes)
        told: list[ImportLine] = [self._refused(one) for one in step.refused]
        told.append(DurableLines(step.last))
        return told

    def _count(self, step: _Step, outcomes: list[Outcome]) -> None:
        if outcomes and outcomes.count(outcomes[0]) == len(outcomes) and outcomes[0].changed:
            self.done.changed += len(outcomes)  # nearly always, and found out without a look at each
            return
        for line, write, outcome in zip(step.lines, step.writes, outcomes, strict=True):
            error = self._writing.failure(write, outcome, self._call.caller)
            if error is not None:
                step.refused.append(Refusal(line, name_of(write), error))
            elif outcome.changed:
                self.done.changed += 1
            else:
                self.done.unchanged += 1
        self.done.items -= sum(outcome.status is not Status.OK for outcome in outcomes)  # counted as refused

    def _refused(self, one: Refusal) -> RefusedLine:
        error = one.error
        sentence = error.message(self._call.language)
        return RefusedLine(one.line, one.identifier, error.status.label, error.rule.name, sentence)


class ImportDesk:
    """The operation. ``stopping`` says whether the node goes down."""

    def __init__(self, writing: Writing, stopping: Callable[[], bool]) -> None:
        self._writing = writing
        self._stopping = stopping

    async def upload(self, call: Call, body: None) -> web.StreamResponse:
        """Import what the body has."""
        query: ImportQuery = call.query
        prefix = normal_prefix(call.parameters["prefix"]).decode()
        self._writing.gate(call.caller).require(Operation.RECORD_WRITE, prefix)
        upload = _Upload(call, self._writing, prefix, update=query.update)
        response = web.StreamResponse(headers=lines_headers(call))
        telling: asyncio.Task[None] | None = None
        untold: _Step | None = None
        try:
            async for lines in self._blocks(call):
                untold = upload.begin(lines)
                if telling is not None:
                    await telling
                telling, untold = asyncio.create_task(self._finish(call, response, upload, untold)), None
            if telling is not None:
                await telling
            await _tell(call, response, [upload.done])
        except BiaoshiError as error:
            await self._break_off(call, response, upload, telling, untold)
            if not response.prepared:
                raise
            failed = problem(error, http_status(error), call.id, call.language)
            await _tell(call, response, [ImportFailed(failed)])
            response.force_close()
        finally:
            if telling is not None:
                telling.cancel()
        await response.write_eof()
        return response

    @staticmethod
    async def _finish(call: Call, response: web.StreamResponse, upload: _Upload, step: _Step) -> None:
        await _tell(call, response, await upload.finish(step))

    async def _break_off(
        self,
        call: Call,
        response: web.StreamResponse,
        upload: _Upload,
        telling: asyncio.Task[None] | None,
        untold: _Step | None,
    ) -> None:
        """Wait for what was begun, which is carried out in any case, and tell of it as far as nothing is missing."""
        if telling is not None:
            with contextlib.suppress(BiaoshiError):  # told as what broke the import off, or after that
                await telling
        if untold is not None:
            outcomes = await untold.result if untold.result is not None else []
            if upload.is_whole and not isinstance(outcomes, BiaoshiError):
                await self._finish(call, response, upload, untold)

    async def _blocks(self, call: Call) -> AsyncIterator[Lines]:
        """The lines of the body, in blocks. Raises :class:`BiaoshiError`."""
        blocks = LineBlocks()
        content = call.request.content
        silent = 0.0
        while True:
            if self._stopping():
                raise Refused(rules.STOPPING, Status.SHUTTING_DOWN)
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    data = await content.readany()
            except TimeoutError:
                silent += FLUSH_SECONDS
                if blocks.has_lines:
                    yield blocks.take()
                elif silent >= rules.BODY_SECONDS:
                    raise InvalidInput(rules.BODY_TOO_SLOW, seconds=rules.BODY_SECONDS) from None
                continue
            except CUT_OFF:
                raise InvalidInput(rules.BODY_CUT) from None
            if not data:
                break
            silent = 0.0
            blocks.feed(data)
            while blocks.is_due:
                yield blocks.take()
        while blocks.has_lines:
            yield blocks.take()
        rest = blocks.end()
        if rest.last >= rest.first:
            yield rest


async def _tell(call: Call, response: web.StreamResponse, lines: list[ImportLine]) -> None:
    if not response.prepared:
        if call.request.transport is not None:
            call.request.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        await response.prepare(call.request)
    await response.write(_encode_lines(lines))


def routes(writing: Writing, stopping: Callable[[], bool]) -> list[Route]:
    """The routes of this subject."""
    desk = ImportDesk(writing, stopping)
    return [
        Route(
            "POST", "/api/v1/prefixes/{prefix}/records:import", "import_records",
            "Register records from NDJSON of any size, a line for each", desk.upload, {200: ImportLine},
            query=ImportQuery, media=NDJSON, answer_media=NDJSON,
        ),
    ]  # fmt: skip
