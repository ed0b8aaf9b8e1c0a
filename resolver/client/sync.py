"""The client without ``await``: an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self, TypeVar

from protocol.answers import Answer
from protocol.limits import MAX_LIST
from protocol.records import Record
from protocol.trust import TrustAnchor
from resolver.client.client import Client
from resolver.client.resolving import MANY_AT_ONCE, WINDOW

Result = TypeVar("Result")


class SyncClient:
    """:class:`Client` for code that does not use asyncio; the same arguments, methods and errors."""

    def __init__(self, servers: str | Sequence[str] = "127.0.0.1", *, anchor: TrustAnchor, **options: Any) -> None:
        self._client = Client(servers, anchor=anchor, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="biaoshi-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread."""
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def resolve(self, identifier: str) -> Answer:
        """The verified answer for one identifier."""
        return self._run(self._client.resolve(identifier))

    def resolve_as_of(self, identifier: str, at: int) -> Answer:
        """What the answer was at a time, in seconds since 1970."""
        return self._run(self._client.resolve_as_of(identifier, at))

    def history(self, identifier: str) -> list[Record]:
        """The versions of a record that are kept, the newest first."""
        return self._run(self._collect_history(identifier))

    def resolve_many(self, identifiers: Iterable[str]) -> Iterator[Answer]:
        """The verified answers for any number of identifiers, in order, in bounded memory."""
        source = iter(identifiers)
        while batch := list(islice(source, MANY_AT_ONCE * WINDOW)):
            yield from self._run(self._collect(batch))

    def receipt(self, identifier: str) -> tuple[Answer, bytes]:
        """The answer and a receipt of it."""
        return self._run(self._client.receipt(identifier))

    def list_page(
        self, prefix: str, cursor: bytes | None = None, limit: int = MAX_LIST
    ) -> tuple[list[str], bytes | None]:
        """A page of the identifiers below a prefix, and the cursor of the next."""
        return self._run(self._client.list_page(prefix, cursor, limit))

    def status(self) -> dict[str, str | int]:
        """What the node says of itself."""
        return self._run(self._client.status())

    async def _collect(self, identifiers: Iterable[str]) -> Sequence[Answer]:
        return [answer async for answer in self._client.resolve_many(identifiers)]

    async def _collect_history(self, identifier: str) -> list[Record]:
        return [record async for record in self._client.history(identifier)]

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
