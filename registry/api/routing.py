"""Routes: what there is under which path, and what a handler gets and gives."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from protocol.errors import InvalidInput
from registry.api.rules import BAD_PATH, NO_METHOD, NO_PATH
from registry.store.callers.permissions import Caller

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

FIXED: Final = {"Server": "biaoshi", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer: no browser takes one for anything else than it says it is."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
NOBODY: Final = Caller("", frozenset(), ())


class Answer(NamedTuple):
    """What a handler gives: an HTTP status, content that is encoded as JSON, further headers."""

    status: int
    content: msgspec.Struct | None
    headers: Mapping[str, str] = NOTHING


class Call:
    """One request as a handler gets it. ``parameters`` are those of the path, percent-decoded; ``query`` is of the
    route's type for it; ``raw`` is the body, ``held`` are the bytes of it that are held. ``caller`` is who called as
    the request came, ``ask_again`` gives them as of now, for requests that take long; it raises
    :class:`~protocol.errors.Refused` where their credential is not good any more."""

    __slots__ = ("ask_again", "caller", "held", "id", "language", "parameters", "query", "raw", "request")

    def __init__(self, request: web.BaseRequest, request_id: str, language: str) -> None:
        self.request = request
        self.id = request_id
        self.language = language
        self.caller = NOBODY
        self.ask_again: Callable[[], Caller] = lambda: NOBODY
        self.parameters: Mapping[str, bytes] = {}
        self.query: Any = None
        self.raw = b""
        self.held = 0


def lines_headers(call: Call) -> dict[str, str]:
    """The headers of an answer that is NDJSON."""
    return {**FIXED, "Content-Type": NDJSON, "X-Request-Id": call.id}


def text_of(call: Call, name: str) -> str:
    """A parameter of the path as text. Raises :class:`InvalidInput` where it is none."""
    try:
        return call.parameters[name].decode()
    except UnicodeDecodeError:
        raise InvalidInput(BAD_PATH) from None


Handler = Callable[[Call, Any], Awaitable[Answer | web.StreamResponse]]
"""Takes the call and its body (None where the route has none). Raises :class:`~protocol.errors.BiaoshiError`."""


class Route(NamedTuple):
    """One operation.

    ``path`` has parameters, one segment each, but ``{identifier}``, which may have slashes. ``body`` is the type of a
    JSON body; ``media`` is another content type, of a body that the handler reads by itself. ``answers`` are the types
    of what is answered, by HTTP status; ``answer_media`` is their content type. ``headers`` are those that mean
    something here.
    ``is_open``: no token is needed.
    """

    method: str
    path: str
    operation: str
    summary: str
    handler: Handler
    answers: Mapping[int, Any]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    headers: tuple[str, ...] = ()
    media: str = JSON
    answer_media: str = JSON
    is_open: bool = False


_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PARAMETER: Final = re.compile(r"\{([a-z]+)\}")
_WHOLE: Final = "identifier"
"""The parameter that may have slashes, as the rest of a path; all others are one segment."""


class Router:
    """Finds the route of a request. Nothing of a path is taken for a relative step or joined: ``//`` and ``..`` are
    parts of an identifier as any other."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._by_method: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        for route in self.routes:
            self._by_method.setdefault(route.method, []).append((_compile(route.path), route))

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, bytes]]:
        """The route for a path as it came, and its parameters. Raises :class:`InvalidInput`."""
        for pattern, route in self._by_method.get("GET" if method == "HEAD" else method, ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return route, {name: _unquote(text) for name, text in match.groupdict().items()}
        allowed = self.allowed(path)
        if not allowed:
            raise InvalidInput(NO_PATH, path=path[:200].encode("utf-8", "replace").decode())
        raise InvalidInput(NO_METHOD, method=method[:20], allowed=", ".join(allowed))

    def allowed(self, path: str) -> list[str]:
        """The methods that a path takes."""
        found = {
            method
            for method, listed in self._by_method.items()
            if any(pattern.fullmatch(path) for pattern, _ in listed)
        }
        return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _compile(path: str) -> re.Pattern[str]:
    fixed, *parts = _PARAMETER.split(path)
    pattern = re.escape(fixed)
    for name, behind in zip(parts[::2], parts[1::2], strict=True):
        pattern += f"(?P<{name}>{'.*' if name == _WHOLE else '[^/]+'}){re.escape(behind)}"
    return re.compile(pattern, re.DOTALL)


def _unquote(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if b"%" not in raw:
        return raw
    if _BAD_ESCAPE.search(raw):
        raise InvalidInput(BAD_PATH)
    return unquote_to_bytes(raw)
