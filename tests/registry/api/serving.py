"""An API in one process, on loopback, and a client that sends just the bytes it is told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import structlog

from config.settings import ApiSettings, NodeSettings, Settings
from protocol.signatures import SigningKey
from registry.accounts import Accounts
from registry.acknowledging import Acknowledging
from registry.api.changing import Changing
from registry.api.credentials import proof_bytes
from registry.api.server import Api, Services, open_api
from registry.changes import Change
from registry.committer import Committer
from registry.followers import Followers
from registry.minting.desk import Reserved
from registry.putback import PutBack
from registry.rights import Rights
from registry.store.interface import Store
from registry.store.memory import MemoryStore
from registry.templates.checking import Checkers
from tests.registry.house import sign_log

ZONE: Final = "88.118"
HOST: Final = "127.0.0.1"
OWNER: Final = SigningKey(b"w" * 32)
"""May write the whole zone."""
ENTERPRISE: Final = SigningKey(b"e" * 32)
"""May write below one prefix of it."""
STRANGER: Final = SigningKey(b"s" * 32)
NOW: Final = 1_700_000_000
STATUS: Final = {
    "role": "secondary", "zone": ZONE, "software": "biaoshi/test", "registered": 0, "prefixes": 0, "changes": 0,
    "store_bytes": 0, "uptime_s": 1, "worker": 7,
}  # fmt: skip


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects of an NDJSON answer."""
        return [json.loads(line) for line in self.body.splitlines()]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


class Client:
    """One connection."""

    def __init__(self, port: int, token: str = "") -> None:
        self._port = port
        self.token = token
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(HOST, self._port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self.writer.close()
            await self.writer.wait_closed()

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Reply:
        """One request; ``body`` is sent as it is or, where it is no bytes, as JSON."""
        sent = dict(headers or {})
        if token := self.token if token is None else token:
            sent.setdefault("Authorization", f"Bearer {token}")
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            sent.setdefault("Content-Length", str(len(raw)))
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "api", **sent}.items())
        return await self.send(
            f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + raw, method
        )

    async def send(self, raw: bytes, method: str = "") -> Reply:
        """Send bytes, and read an answer."""
        self.writer.write(raw)
        return await self.read(method)

    async def read(self, method: str = "") -> Reply:
        """Read an answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
        status = int(first.split()[1])
        if status == 100:
            return Reply(status, headers, b"")
        if method == "HEAD" or status in (204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, await self._chunks())
        return Reply(status, headers, await self.reader.readexactly(int(headers["content-length"])))

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self.reader.readline(), 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readline()
        await self.reader.readline()
        return b"".join(parts)


class Clock:
    """Seconds since 1970, as a test has them."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Serving:
    """An API and what is behind it."""

    def __init__(
        self, store: Store, port: int, api: Api, rights: Rights, put_back: PutBack, accounts: Accounts, clock: Clock
    ) -> None:
        self.store = store
        self.accounts = accounts
        self.clock = clock
        self.port = port
        self.api = api
        self.rights = rights
        self.put_back = put_back
        self.certificate = api.certificate

    def client(self, token: str = "") -> Client:
        """A connection, to be entered."""
        return Client(self.port, token)

    async def token(self, key: SigningKey = OWNER) -> str:
        """A token for a key."""
        async with self.client() as client:
            begun = (await client.ask("POST", "/api/v1/sessions", {"key": str(key.public)})).json
            signature = key.sign(proof_bytes(ZONE, base64.b64decode(begun["challenge"])))
            path = f"/api/v1/sessions/{begun['session']}"
            proven = await client.ask("PUT", path, {"signature": base64.b64encode(signature).decode()})
            assert proven.status == 200, proven
            token: str = proven.json["token"]
            return token


async def carry_out(api: Serving, change: Change[Any]) -> Any:
    """Have a change carried out; its result. Raises the error for which it was not."""
    return await Changing(api.accounts, api.clock).carry_out(change)


def settings(**options: Any) -> Settings:
    """Settings of a node that serves the API."""
    node = NodeSettings(role="secondary", prefix=ZONE, name="test")
    return Settings(node=node, api=ApiSettings(enabled=True, port=0, **options))


@contextlib.asynccontextmanager
async def serving(
    store: Store | None = None, directory: Path | None = None, followers: Followers | None = None, **options: Any
) -> AsyncIterator[Serving]:
    """Serve until the end of the block."""
    loop = asyncio.get_running_loop()
    store = store or MemoryStore()
    rights = Rights({OWNER.public: [ZONE], ENTERPRISE.public: ["88.118.1"]}, ZONE)
    followers = followers or Followers({})
    put_back = PutBack()
    clock = Clock()
    committer = Committer(store, loop.call_soon_threadsafe, lambda: NOW)
    acknowledging = Acknowledging(committer.submit, store, followers, put_back, loop.time)
    accounts = Accounts(
        store, ZONE, rights, committer.submit, clock, sign_log, check=acknowledging.check
    )  # fmt: skip
    accounts.journal.start()
    checkers = Checkers(store.find)
    services = Services(
        ZONE, "biaoshi/test", store, acknowledging, rights, lambda: dict(STATUS), accounts, checkers, Reserved(), clock
    )
    chosen = settings(**options)
    chosen.directory = str(directory or ".")
    log = structlog.get_logger()
    try:
        async with open_api(services, chosen, 0, log) as api:
            yield Serving(store, api.port, api, rights, put_back, accounts, clock)
    finally:
        await asyncio.to_thread(committer.stop)
