"""From a request to its answer: the same way for all routes."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from aiohttp import web

from protocol.errors import BiaoshiError, InvalidInput, Refused
from protocol.status import Status
from registry.api import rules
from registry.api.connections import Connection
from registry.api.credentials import Credentials
from registry.api.problems import PROBLEM_JSON, http_status, problem
from registry.api.reading import Room, address_of, bearer, check_content, header, read_body, read_json, read_query
from registry.api.replays import REPEATED, Kept, Replays
from registry.api.routing import FIXED, JSON, Answer, Call, Route, Router
from registry.store.callers.permissions import Caller, check_lasting

_encode: Final = msgspec.json.Encoder().encode
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ORIGIN: Final = re.compile(r"\Ahttps?://[^/?]*", re.IGNORECASE)
_CONDITIONS: Final = ("If-Match", "If-None-Match")


class Dispatcher:
    """Answers requests. ``realm`` is the zone, as a client is told that has no token; ``clock`` gives seconds since
    1970."""

    def __init__(
        self,
        router: Router,
        credentials: Sequence[Credentials],
        replays: Replays,
        realm: str,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._router = router
        self._credentials = credentials
        self._replays = replays
        self._realm = re.sub(r"[^\w.-]", "?", realm, flags=re.ASCII)
        self.room = Room()
        self._decoders = {
            route.operation: msgspec.json.Decoder(route.body) for route in router.routes if route.body is not None
        }
        self._ids = map("{}-{:x}".format, itertools.repeat(os.urandom(4).hex()), itertools.count(1))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request, which may be a problem."""
        call = self._new_call(request)
        try:
            return await self._answer(call)
        except BiaoshiError as error:
            if request.writer.output_size > 0:  # what is cut off is not taken for whole
                raise ConnectionError(error.message()) from None
            conditional = request.method != "GET" and any(name in request.headers for name in _CONDITIONS)
            return self._problem(call, error, http_status(error, conditional=conditional))
        finally:
            self.room.give_back(call.held)

    def problem_response(self, request: web.BaseRequest, error: BiaoshiError) -> web.Response:
        """An error before there is a call."""
        return self._problem(self._new_call(request), error, http_status(error))

    async def _answer(self, call: Call) -> web.StreamResponse:
        request = call.request
        path, query = _target(request)
        if request.method == "OPTIONS":
            allowed = self._router.allowed(path)
            if allowed:
                return _response(204, None, {**FIXED, "Allow": ", ".join([*allowed, "OPTIONS"])})
        route, call.parameters = self._router.find(request.method, path)
        if not route.is_open:
            token, who = bearer(request), address_of(request)
            call.ask_again = lambda: self._caller(token, who)
            call.caller = call.ask_again()
            if isinstance(request.protocol, Connection):
                request.protocol.is_known = True
        call.query = read_query(query, route.query)
        self._expect(call, route)
        if route.body is not None:
            return await self._with_body(call, route)
        answer = await route.handler(call, None)
        return self._respond(call, answer) if isinstance(answer, Answer) else answer

    def _caller(self, token: str, who: str) -> Caller:
        for one in self._credentials:
            caller = one.caller(token, who)
            if caller is not None:
                check_lasting(caller, int(self._clock()))
                return caller
        raise Refused(rules.BAD_TOKEN, Status.NOT_AUTHENTICATED)

    def _expect(self, call: Call, route: Route) -> None:
        """Whether there is a body just where one is wanted, and of the right type; who waits to be asked for it is."""
        request = call.request
        if route.body is None and route.media == JSON:
            if request.body_exists:
                raise InvalidInput(rules.UNEXPECTED_BODY, method=request.method)
            return
        check_content(request, route.media)
        expected = header(request, "Expect")
        if expected is None:
            return
        if expected.lower() != "100-continue":
            raise InvalidInput(rules.BAD_HEADER, name="Expect", reason="only 100-continue is known")
        if request.transport is not None and not request.content.is_eof():
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _with_body(self, call: Call, route: Route) -> web.StreamResponse:
        def take(count: int) -> None:
            call.held += count
            self.room.take(count)

        call.raw = await read_body(call.request, take)
        body = read_json(call.raw, self._decoders[route.operation])
        key = header(call.request, REPEATED) if REPEATED in route.headers else None
        if key is None:
            return self._respond(call, await self._carry_out(call, route, body))
        fingerprint = sha256(call.request.raw_path.encode("utf-8", "surrogateescape") + b"\n" + call.raw).digest()
        kept = self._replays.begin(call.caller.name, key, fingerprint)
        if kept is not None:
            return _response(kept.status, kept.body, {**self._headers(call), "Idempotent-Replayed": "true"})
        response: web.Response | None = None
        try:
            response = self._respond(call, await self._carry_out(call, route, body))
        finally:
            done = response is not None and isinstance(response.body, bytes)
            self._replays.end(call.caller.name, key, _kept(response) if done else None)
        return response

    @staticmethod
    async def _carry_out(call: Call, route: Route, body: Any) -> Answer:
        answer = await route.handler(call, body)
        assert isinstance(answer, Answer)
        return answer

    def _respond(self, call: Call, answer: Answer) -> web.Response:
        content = None if answer.content is None else _encode(answer.content)
        return _response(answer.status, content, {**self._headers(call), **answer.headers})

    def _problem(self, call: Call, error: BiaoshiError, status: int) -> web.Response:
        headers = {**self._headers(call), "Content-Type": PROBLEM_JSON, "Content-Language": call.language}
        if status == 401:
            headers["WWW-Authenticate"] = f'Bearer realm="{self._realm}"'
        if status == 405:
            headers["Allow"] = ", ".join(self._router.allowed(_target(call.request)[0]))
        if status in (429, 503):
            headers["Retry-After"] = str(error.details.get("seconds", 1))
        return _response(status, _encode(problem(error, status, call.id, call.language)), headers)

    def _headers(self, call: Call) -> dict[str, str]:
        return {**FIXED, "Content-Type": JSON, "X-Request-Id": call.id}

    def _new_call(self, request: web.BaseRequest) -> Call:
        given = request.headers.get("X-Request-Id", "")
        call_id = given if _REQUEST_ID.fullmatch(given) else next(self._ids)
        chinese = request.headers.get("Accept-Language", "").lower().startswith("zh")
        return Call(request, call_id, "zh" if chinese else "en")


def _target(request: web.BaseRequest) -> tuple[str, str]:
    """Path and query as they came. A proxy may put scheme and host in front (RFC 9112, 3.2.2)."""
    path, _, query = _ORIGIN.sub("", request.raw_path, count=1).partition("?")
    return path or "/", query


def _response(status: int, body: bytes | None, headers: Mapping[str, str]) -> web.Response:
    if body is None:
        headers = {name: value for name, value in headers.items() if name != "Content-Type"}
    return web.Response(status=status, body=body, headers=headers)


def _kept(response: web.Response | None) -> Kept:
    assert response is not None
    assert isinstance(response.body, bytes)
    return Kept(response.status, response.body)
