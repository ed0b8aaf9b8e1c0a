"""Headers, queries and bodies of a request, checked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from protocol.errors import InvalidInput, Refused
from protocol.status import Status
from registry.api import rules

Struct = TypeVar("Struct", bound=msgspec.Struct)

_encode: Final = msgspec.json.Encoder().encode
_decode_anything: Final = msgspec.json.Decoder().decode
_DISGUISED: Final = re.compile(rb'"[ \t\r\n]+:|\\u00(?:22|3[aA])')
"""What makes the end of a key look otherwise, or something else look like one."""

_MAX_PARAMETERS: Final = 16
CUT_OFF: Final = (RequestPayloadError, OSError)
"""What reading a body raises where it breaks off."""


def header(request: web.BaseRequest, name: str) -> str | None:
    """A header that may be there once. Raises :class:`InvalidInput`."""
    found = request.headers.getall(name, ())
    if not found:
        return None
    if len(found) > 1:
        raise InvalidInput(rules.HEADER_TWICE, name=name)
    return found[0].strip()


def address_of(request: web.BaseRequest) -> str:
    """The address from which a request came, by which attempts are counted."""
    return request.remote or ""


def bearer(request: web.BaseRequest) -> str:
    """The token that came along. Raises :class:`InvalidInput`, :class:`Refused`."""
    scheme, _, token = (header(request, "Authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(rules.NO_TOKEN, Status.NOT_AUTHENTICATED)
    return token.strip()


def check_content(request: web.BaseRequest, wanted: str) -> None:
    """Whether a body is of the type that is wanted; none named is taken for it. Raises :class:`InvalidInput`."""
    encoding = header(request, "Content-Encoding")
    if encoding not in (None, "", "identity"):
        raise InvalidInput(rules.OTHER_CONTENT, found=str(encoding)[:80], wanted=wanted)
    found = header(request, "Content-Type")
    if not found:
        return
    kind, _, parameters = found.partition(";")
    charset = re.fullmatch(r"\s*charset\s*=\s*\"?([^\";]*)\"?\s*;?\s*", parameters, re.IGNORECASE)
    unfit = parameters.strip() and (charset is None or charset.group(1).strip().lower() not in ("utf-8", "utf8"))
    if kind.strip().lower() not in _KINDS[wanted] or unfit:
        raise InvalidInput(rules.OTHER_CONTENT, found=found[:80].encode("utf-8", "replace").decode(), wanted=wanted)


_KINDS: Final = {
    "application/json": {"application/json"},
    "application/x-ndjson": {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
    },
}


class Room:
    """The bytes of bodies that are held at one time, over all connections."""

    def __init__(self, most: int = rules.MAX_HELD_BYTES) -> None:
        self._most = most
        self.held = 0

    def take(self, count: int) -> None:
        """Hold so many more; to be given back, also where this is refused. Raises :class:`Refused`."""
        self.held += count
        if self.held > self._most:
            raise Refused(rules.BUSY, Status.OVERLOADED)

    def give_back(self, count: int) -> None:
        """Hold so many less."""
        self.held -= count


async def read_body(request: web.BaseRequest, take: Callable[[int], None]) -> bytes:
    """The whole body. ``take`` is told how many bytes are held, as they come. Raises :class:`InvalidInput`, and what
    ``take`` does."""
    if (request.content_length or 0) > rules.MAX_BODY_BYTES:
        raise InvalidInput(rules.BODY_TOO_LARGE, limit=rules.MAX_BODY_BYTES)
    content = request.content
    parts: list[bytes] = []
    size = 0
    try:
        if content.is_eof():  # it came along with the head, as small ones do
            parts.append(content.read_nowait())
            size = len(parts[0])
            take(size)
        else:
            async with asyncio.timeout(rules.BODY_SECONDS):
                while size <= rules.MAX_BODY_BYTES and (part := await content.readany()):
                    size += len(part)
                    parts.append(part)
                    take(len(part))
    except TimeoutError:
        raise InvalidInput(rules.BODY_TOO_SLOW, seconds=rules.BODY_SECONDS) from None
    except CUT_OFF:
        raise InvalidInput(rules.BODY_CUT) from None
    if size > rules.MAX_BODY_BYTES:
        raise InvalidInput(rules.BODY_TOO_LARGE, limit=rules.MAX_BODY_BYTES)
    return b"".join(parts)


def read_json(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """A body of a decoder's type. Its shape bounds how deep it may nest. Raises :class:`InvalidInput`."""
    try:
        content = decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(rules.BAD_JSON, reason=str(error)[: rules.MAX_REASON_CHARACTERS]) from None
    check_keys(raw)
    return content


def check_keys(raw: bytes) -> None:
    """Whether no object of a well-formed text has a key twice: readers differ in which of the two they take. Raises
    :class:`InvalidInput`."""
    # Decoded and encoded anew, a text has each key once. Where a '":' can only be the end of a key, in both, as many
    # of them are as many keys.
    if _DISGUISED.search(raw) is None:
        again = _encode(_decode_anything(raw))
        if again.count(b'":') == raw.count(b'":'):
            return
    json.loads(raw, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidInput(rules.KEY_TWICE, key=key[:80])
        seen.add(key)


def read_query(text: str, type_: type[Struct] | None) -> Struct | None:
    """The query of a request as a struct; None where the route takes none. Raises :class:`InvalidInput`."""
    if not text and type_ is None:
        return None
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise InvalidInput(rules.BAD_QUERY, reason=_plain(str(error))) from None
    given = dict(pairs)
    if type_ is None or len(given) < len(pairs):
        reason = "nothing is asked for by it here" if type_ is None else "something stands there twice"
        raise InvalidInput(rules.BAD_QUERY, reason=reason)
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(rules.BAD_QUERY, reason=_plain(str(error))) from None


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[: rules.MAX_REASON_CHARACTERS]
