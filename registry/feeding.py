"""CHANGES: pages of the feed for who may follow it, at once or when there is news. No sockets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final, NamedTuple

from protocol.errors import MessageError, Rule
from protocol.limits import MAX_CHANGES, MAX_CURSOR_BYTES, MAX_IDENTIFIER_BYTES, MAX_MESSAGE_BYTES, MAX_WAIT_MS
from protocol.messages import BAD_ARGUMENTS, encode_response
from protocol.status import Status
from registry.store.feed import MARK_BYTES, FeedPage, Part
from registry.store.interface import Reader

BAD_PAGE: Final = Rule(
    "feed.bad-page",
    Status.BAD_REQUEST,
    "a page of changes is [[[number, mark, size, bounds, [[identifier, body], …]], …], cursor, more, head]",
    "变更页应为 [[[编号, 标记, 条数, 边界或 nil, [[标识, 内容或 nil], …]], …], 游标, 是否还有, 末端游标]",
)

_BYTES: Final = {bytes}
_BODIES: Final = {bytes, type(None)}


class Question(NamedTuple):
    """What a follower asks: the changes behind ``cursor``, at most ``limit`` records, within ``wait_ms``; it has
    ``held`` changes on its disk, and has ``seen`` the feed up to there."""

    cursor: bytes | None
    limit: int
    wait_ms: int = 0
    held: int = 0
    seen: bytes | None = None


def read_question(arguments: tuple[object, ...]) -> Question:
    """Check the arguments of CHANGES. Raises :class:`MessageError`."""
    match (*arguments, *(0, 0, None)[len(arguments) - 2 :]) if 2 <= len(arguments) <= 5 else ():
        case ((None | bytes()) as cursor, int(limit), int(wait_ms), int(held), (None | bytes()) as seen) if (
            bool not in map(type, (limit, wait_ms, held))
            and 0 < limit <= MAX_CHANGES
            and 0 <= wait_ms <= MAX_WAIT_MS
            and 0 <= held < 1 << 64
            and max(len(cursor or b""), len(seen or b"")) <= MAX_CURSOR_BYTES
        ):
            return Question(cursor, limit, wait_ms, held, seen)
    reason = f"expected [21, rid, cursor or nil, limit up to {MAX_CHANGES}, ms up to {MAX_WAIT_MS}, held, seen]"
    raise MessageError(BAD_ARGUMENTS, operation="changes", reason=reason)


class Poll(NamedTuple):
    """A question that may wait for news. ``follower`` is the name of the follower that asks, None for a caller of whom
    ``check`` raises once it may not ask any more: that may be so before there are news."""

    rid: int
    question: Question
    store: Reader
    follower: str | None
    check: Callable[[], None] = lambda: None

    def response(self, *, final: bool) -> bytes | None:
        """The response; None where there is no news yet and it is not ``final``. Raises
        :class:`~protocol.errors.BiaoshiError`."""
        self.check()
        question = self.question
        limit = question.limit
        while True:
            page = self.store.changes(question.cursor, limit, question.seen)
            if not page.parts and not final:
                return None
            response = encode_response(self.rid, Status.OK, page)
            if len(response) <= MAX_MESSAGE_BYTES:
                return response
            limit //= 2  # where the records are many times as large as their room


def read_page(payload: object) -> FeedPage:
    """Check the payload of CHANGES to be a page of the feed. Raises :class:`MessageError`."""
    match payload:
        case (tuple(parts), bytes(cursor), bool(more), bytes(head)):
            return FeedPage(list(map(_read_part, parts)), cursor, more, head)
    raise MessageError(BAD_PAGE)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_part(part: object) -> Part:
    match part:
        case (int(number), bytes(mark), int(size), (None | tuple()) as bounds, tuple(records)) if (
            number >= 0 and size > 0 and len(mark) == MARK_BYTES
        ):
            try:
                identifiers, bodies = zip(*records, strict=True) if records else ((), ())
            except (TypeError, ValueError):
                raise MessageError(BAD_PAGE) from None
            named = [*identifiers, *chain(bounds or ())]
            if not (
                (bounds is None or len(bounds) == 2)
                and set(map(type, named)) <= _BYTES
                and set(map(type, bodies)) <= _BODIES
                and (bounds is None or None not in bodies)
                and max(map(len, named), default=0) <= MAX_IDENTIFIER_BYTES
                and all(b"/" in one for one in named)
                and _is_text(b"\n".join(named))
            ):
                raise MessageError(BAD_PAGE)
            if bounds is None and size != len(records):
                raise MessageError(BAD_PAGE)
            return Part(number, mark, size, bounds, list(records))
    raise MessageError(BAD_PAGE)
