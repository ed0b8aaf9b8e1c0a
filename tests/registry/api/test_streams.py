"""Import and export over HTTP: any size, line by line, whole blocks or nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.errors import StoreError
from registry.api import connections, importing, lines, rules
from registry.api.lines import Block
from registry.followers import Followers
from registry.store.interface import STORE_FULL, Page
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.writes import Outcome, Write
from tests.registry.api.serving import ENTERPRISE, HOST, Client, serving, until
from tests.resolver.servers import LOOPS, run

IMPORT: Final = "/api/v1/prefixes/88.118.1/records:import"
EXPORT: Final = "/api/v1/prefixes/88.118.1/records:export"
NDJSON: Final = {"Content-Type": "application/x-ndjson"}


def line(suffix: str, text: str = "x", **other: Any) -> bytes:
    """One line."""
    values = [{"index": 1, "type": "TEXT", "data": text}]
    return json.dumps({"identifier": f"88.118.1/{suffix}", "values": values, **other}).encode() + b"\n"


def compact(suffix: str, text: str = "x") -> bytes:
    """One line as most programs write it."""
    return b'{"identifier":"88.118.1/%b","values":[{"index":1,"type":"TEXT","data":"%b"}]}\n' % (
        suffix.encode(), text.encode()
    )  # fmt: skip


def numbered(count: int) -> bytes:
    """Many lines."""
    return b"".join(compact(f"P{number:07d}", f"text {number}") for number in range(count))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.1)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_goes_in_comes_out(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        store = LmdbStore(tmp_path / "store")
        try:
            async with serving(store) as api, api.client(await api.token(ENTERPRISE)) as client:
                given = numbered(20_000)
                reply = await client.ask("POST", IMPORT, given, NDJSON)
                assert reply.status == 200
                assert reply.headers["content-type"] == "application/x-ndjson"
                *steps, done = reply.lines
                assert done == {"kind": "done", "items": 20_000, "changed": 20_000, "unchanged": 0, "refused": 0}
                told = [step["lines"] for step in steps]
                assert {step["kind"] for step in steps} == {"durable"}
                assert told == sorted(told)
                assert told[-1] == 20_000
                assert len(told) > 1
                assert (await client.ask("GET", EXPORT)).body == given
                again = (await client.ask("POST", IMPORT, given, NDJSON)).lines[-1]
                assert again == {"kind": "done", "items": 20_000, "changed": 0, "unchanged": 20_000, "refused": 0}
                assert store.counts().changes == 20_000
        finally:
            store.close()

    run(main(), loop)


def test_lines_that_are_refused_are_told_one_by_one() -> None:
    given = [
        compact("a"),
        b"\n",
        b"not json\n",
        compact("a", "other"),
        line("b", if_version=7),
        line("c", note="x"),
        b'{"identifier":"88.118.1/d","values":[],"values":[{"index":1,"type":"T","data":"x"}]}\n',
        b'{"identifier":"88.118.1/e","values":[{"index":1,"type":"T","data":"\xff"}]}\n',
        b'{"identifier":"88.118.2/f","values":[{"index":1,"type":"T","data":"x"}]}\n',
        b'{"identifier":"88.118.1","values":[{"index":1,"type":"T","data":"x"}]}\n',
        b'{"identifier":"88.118.1/g"}\n',
        b'{"identifier":"88.118.1/none","withdraw":true}\n',
        b'{"identifier":"88.118.1/a","withdraw":true}\r\n',
        compact("h")[:-1],
    ]

    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("POST", IMPORT, b"".join(given), NDJSON)
            *told, done = reply.lines
            assert [(one["line"], one["identifier"], one["rule"]) for one in told if one["kind"] == "refused"] == [
                (3, "not json", "api.bad-line"),
                (4, "88.118.1/a", "api.not-carried-out"),
                (5, "88.118.1/b", "api.not-registered"),
                (6, "88.118.1/c", "api.bad-line"),
                (7, "88.118.1/d", "api.key-twice"),
                (8, "88.118.1/e", "api.bad-line"),
                (9, "88.118.2/f", "api.other-prefix"),
                (10, "88.118.1", "identifier.no-slash"),
                (11, "88.118.1/g", "api.bad-item"),
                (12, "88.118.1/none", "api.not-registered"),
            ]
            assert done == {"kind": "done", "items": 13, "changed": 3, "unchanged": 0, "refused": 10}
            assert api.store.counts().active == {"88.118.1": 1}

    run(main())


def test_update_replaces_what_is_there() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            for path, changed, refused in ((IMPORT, 2, 0), (IMPORT, 0, 2), (IMPORT + "?update=true", 2, 0)):
                text = "b" if refused or "update" in path else "a"
                done = (await client.ask("POST", path, compact("x", text) + compact("y", text), NDJSON)).lines[-1]
                assert (done["changed"], done["refused"]) == (changed, refused)

    run(main())


@pytest.mark.parametrize("given", [b"", b"\n", b"\r\n \n\t\n"])
def test_nothing_is_imported_from_nothing(given: bytes) -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("POST", IMPORT, given, NDJSON)
            assert reply.lines[-1] == {"kind": "done", "items": 0, "changed": 0, "unchanged": 0, "refused": 0}

    run(main())


async def _begin(client: Client, token: str, head: str = "Transfer-Encoding: chunked") -> None:
    client.writer.write(
        f"POST {IMPORT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{head}\r\n\r\n".encode()
    )


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_refusals_come_while_more_is_sent(small_blocks: None) -> None:
    async def main() -> None:
        async with serving() as api, api.client() as client:
            await _begin(client, await api.token(ENTERPRISE))
            client.writer.write(chunk(b"bad\n" + numbered(200)))
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            async with asyncio.timeout(5):
                size = int(await client.reader.readline(), 16)
                told = (await client.reader.readexactly(size + 2)).splitlines()
            assert json.loads(told[0])["rule"] == "api.bad-line"
            client.writer.write(chunk(b"worse\n") + b"0\r\n\r\n")
            rest = await client._chunks()
            assert [json.loads(one)["line"] for one in rest.splitlines() if b'refused","l' in one] == [202]

    run(main())


@pytest.mark.parametrize("way", ["chunked", "length"])
def test_a_connection_that_breaks_leaves_whole_blocks(
    way: str, small_blocks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with serving() as api:
            token = await api.token(ENTERPRISE)
            async with api.client() as client:
                given = numbered(500)
                cut = given[: len(given) - 30]  # within the last line, which would be a wrong one and is not told
                announced = f"Content-Length: {len(given)}" if way == "length" else "Transfer-Encoding: chunked"
                await _begin(client, token, announced)
                client.writer.write(cut if way == "length" else chunk(cut))
                await until(lambda: sum(api.store.counts().active.values()) > 300)
                client.writer.transport.abort()
            await until(lambda: not api.api.connections.open)
            there = sum(api.store.counts().active.values())
            assert 300 < there < 500
            async with api.client(token) as client:
                done = (await client.ask("POST", IMPORT, given, NDJSON)).lines[-1]
                assert (done["changed"], done["unchanged"]) == (500 - there, there)

    run(main())
    assert "error" not in capsys.readouterr().out, "that a client goes away is no news"


class TornStore(MemoryStore):
    """It can be read for a page."""

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        if cursor is not None and not prefix.startswith("\x01"):
            raise StoreError(STORE_FULL, reason="it is gone")
        return super().scan(prefix, cursor, limit)


def test_an_export_that_fails_is_not_taken_for_whole() -> None:
    async def main() -> None:
        async with serving(TornStore()) as api, api.client(await api.token(ENTERPRISE)) as client:
            assert (await client.ask("POST", IMPORT, numbered(2_500), NDJSON)).lines[-1]["changed"] == 2_500
            with pytest.raises((asyncio.IncompleteReadError, ValueError)):
                await client.ask("GET", EXPORT)

    run(main())


def test_a_flood_of_wrong_lines_is_answered_in_constant_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read_block = importing.read_block

    def counted(text: bytes, first: int, *, update: bool) -> Block:
        read = read_block(text, first, update=update)
        held.append(len(read.refused))
        return read

    monkeypatch.setattr(importing, "read_block", counted)

    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("POST", IMPORT, b"x\n" * 50_000, NDJSON)
            assert reply.lines[-1] == {"kind": "done", "items": 50_000, "changed": 0, "unchanged": 0, "refused": 50_000}
            assert reply.lines[-2]["lines"] == 50_000

    run(main())
    assert max(held) <= lines.MAX_BLOCK_LINES


def test_a_line_without_end_is_skipped_in_constant_memory(small_blocks: None) -> None:
    async def main() -> None:
        async with serving() as api, api.client() as client:
            await _begin(client, await api.token(ENTERPRISE))
            client.writer.write(chunk(compact("a")))
            for _ in range(200):
                client.writer.write(chunk(b"x" * 10_000))
                await client.writer.drain()
            client.writer.write(chunk(b"\n" + compact("b") + b"bad\n") + b"0\r\n\r\n")
            *told, done = (await client.read()).lines
            refused = [(one["line"], one["rule"]) for one in told if one["kind"] == "refused"]
            assert refused == [(2, "api.line-too-long"), (4, "api.bad-line")]
            assert (done["changed"], done["refused"]) == (2, 2)
            assert told[-1] == {"kind": "durable", "lines": 4}

    run(main())


class FullStore(MemoryStore):
    """Its disk is full after so many writes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def apply(self, writes: Any, now: int) -> list[Outcome]:
        self._take(writes)
        return super().apply(writes, now)

    def bulk_load(self, writes: Any, now: int) -> list[Outcome]:
        self._take(writes)
        return super().bulk_load(writes, now)

    def _take(self, writes: list[Write]) -> None:
        self.room -= len(writes)
        if self.room < 0:
            raise StoreError(STORE_FULL, reason="no space left on device")


def test_a_disk_that_is_full_breaks_it_off(small_blocks: None) -> None:
    async def main() -> None:
        store = FullStore(8_000)
        async with serving(store) as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("POST", IMPORT, numbered(20_000), NDJSON)
            *steps, failed = reply.lines
            assert failed["kind"] == "failed"
            assert failed["problem"]["rule"] == "store.full"
            assert failed["problem"]["status"] == 507
            assert sum(store.counts().active.values()) == steps[-1]["lines"] <= 8_000
            assert await client.reader.read() == b""
        async with serving(FullStore(0)) as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("POST", IMPORT, numbered(1_000), NDJSON)
            assert (reply.status, reply.json["rule"]) == (507, "store.full")

    run(main())


def test_nothing_is_begun_where_nothing_may_be_written() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            api.put_back.has_more("copy")
            reply = await client.ask("POST", IMPORT, numbered(10), NDJSON)
            assert (reply.status, reply.json["rule"]) == (409, "registry.put-back")

    run(main())


def test_who_sends_nothing_more_is_told_so(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    monkeypatch.setattr(rules, "BODY_SECONDS", 0.2)

    async def main() -> None:
        async with serving() as api:
            token = await api.token(ENTERPRISE)
            async with api.client() as client:
                await _begin(client, token)
                client.writer.write(chunk(numbered(100)))
                *steps, failed = (await client.read()).lines
                assert failed["problem"]["rule"] == "api.body-too-slow"
                assert failed["problem"]["status"] == 408
                assert sum(api.store.counts().active.values()) == steps[-1]["lines"]
            async with api.client() as client:
                head = f"PUT /api/v1/records/88.118.1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
                head += "Content-Length: 9\r\n"
                reply = await client.send(f"{head}\r\n{{".encode())
                assert (reply.status, reply.json["rule"]) == (408, "api.body-too-slow")

    run(main())


def test_a_stopping_node_ends_imports_between_blocks(small_blocks: None) -> None:
    async def main() -> None:
        store = MemoryStore()
        async with serving(store) as api, api.client() as client:
            await _begin(client, await api.token(ENTERPRISE))
            client.writer.write(chunk(numbered(100)))
            await until(lambda: sum(store.counts().active.values()) > 0)
            api.api.is_stopping = True  # seen also while nothing comes
            *steps, failed = (await client.read()).lines
            assert failed["problem"]["rule"] == "api.stopping"
            assert sum(store.counts().active.values()) == steps[-1]["lines"]

    run(main())


def test_a_request_under_way_is_answered_when_the_node_stops() -> None:
    async def main() -> None:
        followers = Followers({ENTERPRISE.public: "copy"}, must_confirm=True)
        followers.heard("copy", 0, asyncio.get_running_loop().time())
        opened = serving(followers=followers)
        api = await opened.__aenter__()
        token = await api.token(ENTERPRISE)
        async with api.client() as idle, api.client(token) as client:
            body = {"values": [{"index": 1, "type": "TEXT", "data": "x"}]}
            asking = asyncio.create_task(client.ask("PUT", "/api/v1/records/88.118.1/x", body))
            await until(lambda: followers.waiting > 0)
            closing = asyncio.create_task(opened.__aexit__(None, None, None))
            assert await idle.reader.read() == b""  # nothing is under way there
            with pytest.raises(OSError, match=r"refused|failed"):
                await asyncio.open_connection(HOST, api.port)
            followers.heard("copy", 1, asyncio.get_running_loop().time())
            assert (await asking).status == 201
            await closing

    run(main())


def test_clients_that_do_not_read_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.0)

    async def main() -> None:
        async with serving() as api:
            token = await api.token(ENTERPRISE)
            async with api.client(token) as client:
                await client.ask("POST", IMPORT, b"".join(compact(f"P{i}", "x" * 16_000) for i in range(1_500)), NDJSON)
            async with api.client() as client:
                head = f"GET {EXPORT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
                client.writer.write(head.encode())
                await until(lambda: any(one.blocked_since for one in api.api.connections.open))
                await asyncio.sleep(0.01)
                api.api.connections.sweep()
                await until(lambda: not api.api.connections.open)

    run(main())
