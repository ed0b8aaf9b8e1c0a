"""Connections of the API: how many there may be, who gives way, and what becomes of silent and slow ones.

Whoever is silent before or between requests, or sends the head of one too slowly, is closed by aiohttp after
``SILENT_SECONDS``; bodies have a time of their own (``reading``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestPayloadError

from protocol.errors import BiaoshiError, InvalidInput, Refused
from protocol.status import Status
from registry.api import rules
from registry.api.reading import CUT_OFF

SILENT_SECONDS: Final = 60.0
"""How long a connection may go without a whole head of a request."""

UNREAD_SECONDS: Final = 30.0
"""How long answers may wait for a client to read them."""

LINGER_SECONDS: Final = 2.0
"""How long what comes after a refusal is still read, so that the client sees the refusal and no reset."""

MAX_CONNECTIONS: Final = 1_000
"""Connections at one time. Where there are as many, the stranger that has been silent for longest makes room."""

READ_BYTES: Final = 1 << 18
"""Bytes of a body that are read ahead of its handler."""

ProblemResponse = Callable[[web.BaseRequest, BiaoshiError], web.Response]


class Connection(web.RequestHandler):
    """One connection. ``is_known``: a token was shown here; ``blocked_since``: since when the client does not read."""

    __slots__ = ("blocked_since", "heard", "is_known", "server")

    def __init__(self, server: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self.server = server
        self.is_known = False
        self.heard = self._loop.time()
        self.blocked_since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self._current_request is None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        request = self._current_request
        broken = bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)
        if broken and request is not None and not request.content.is_eof():
            # What came is no continuation of the body, which aiohttp would have its reader wait for.
            request.content.set_exception(RequestPayloadError("not in chunks as announced"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.blocked_since = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.blocked_since = 0.0

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What could not be read as HTTP, and what nobody expected, as a problem."""
        if request.writer.output_size > 0 or isinstance(exc, CUT_OFF):
            raise ConnectionError("an answer is under way already")
        error: BiaoshiError
        if status == 400:
            # What follows the first colon is the line as it came, for Python's eyes.
            error = InvalidInput(rules.BAD_HTTP, reason=(message or "").partition(":")[0].strip()[:200])
        else:
            self.server.log.error("a request failed", exc_info=exc)
            error = Refused(rules.FAILED, Status.INTERNAL)
        response = self.server.problem_response(request, error)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What aiohttp would say with a traceback; that a client went away is no news."""
        error = kw.get("exc_info")
        if not isinstance(error, CUT_OFF):
            self.server.log.error("a connection failed", exc_info=error)


class Connections(web.Server):
    """All connections, for ``loop.create_server``."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        problem_response: ProblemResponse,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        super().__init__(handler)
        self.problem_response = problem_response
        self.log = log

    def __call__(self) -> web.RequestHandler:
        if len(self.connections) >= MAX_CONNECTIONS:
            self._make_room()
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=SILENT_SECONDS,
            access_log=None,
            max_line_size=rules.MAX_HEADER_BYTES,
            max_field_size=rules.MAX_HEADER_BYTES,
            max_headers=rules.MAX_HEADERS,
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
        )

    @property
    def open(self) -> list[Connection]:
        """The connections that are open."""
        return [one for one in self.connections if isinstance(one, Connection)]

    def sweep(self) -> None:
        """Drop clients that have not read for ``UNREAD_SECONDS``; to be called every few seconds."""
        now = asyncio.get_running_loop().time()
        for connection in self.open:
            if connection.blocked_since and now - connection.blocked_since > UNREAD_SECONDS:
                connection.abort()

    def _make_room(self) -> None:
        """Drop the stranger that has been silent for longest; where there is none, whoever has."""
        idle = [one for one in self.open if one.is_idle]
        silent = min(idle, key=lambda one: (one.is_known, one.heard), default=None)
        if silent is not None:
            silent.abort()
