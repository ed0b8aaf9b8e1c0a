"""Connections of the API: who gives way, who is dropped, what TLS takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import SettingsError
from registry.api import connections
from registry.api.certificates import make_secret, secret_pem, self_signed
from tests.registry.api.serving import HOST, Client, Serving, serving, until
from tests.resolver.servers import LOOPS, run


async def is_open(client: Client) -> bool:
    """Whether a connection is answered."""
    try:
        return (await client.ask("GET", "/api/v1/status")).status == 200
    except (asyncio.IncompleteReadError, OSError):
        return False


@pytest.mark.parametrize("loop", LOOPS)
def test_strangers_make_room_for_who_comes(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)

    async def main() -> None:
        async with serving() as api:
            token = await api.token()
            async with Client(api.port, token) as writer, Client(api.port) as one, Client(api.port) as two:
                assert (await writer.ask("GET", "/api/v1/prefixes/88.118/records")).status == 200
                assert await is_open(two)
                async with Client(api.port) as late:
                    assert await is_open(late)
                    assert await is_open(writer)
                    assert [await is_open(one), await is_open(two)].count(False) >= 1

    run(main(), loop)


HOME = "GET /api/v1/status HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("raw", "stays_open"),
    [
        (f"{HOME}\r\n", True),
        (f"{HOME}Connection: close\r\n\r\n", False),
        ("GET /api/v1/status HTTP/1.0\r\n\r\n", False),
        ("GET /api/v1/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (HOME.replace("/api", "http://node.example:26412/api", 1) + "\r\n", True),
        (f"{HOME}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\n", True),
        (f"{HOME}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n", True),
        (f"{HOME}Content-Length: 0\r\n\r\n", True),
    ],
)
def test_what_http_allows_is_answered(raw: str, stays_open: bool) -> None:
    async def main() -> None:
        async with serving() as api, Client(api.port) as client:
            assert (await client.send(raw.encode())).status == 200
            assert await is_open(client) == stays_open

    run(main())


def test_requests_that_come_at_once_are_answered_in_order() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            head = f"Host: a\r\nAuthorization: Bearer {client.token}\r\n"
            body = '{"values":[{"index":1,"type":"T","data":"x"}]}'
            for number in range(100):
                path = f"/api/v1/records/88.118.1/{number}"
                client.writer.write(f"PUT {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                client.writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
            for number in range(100):
                assert (await client.read()).json["identifier"] == f"88.118.1/{number}"
                assert (await client.read()).json["version"] == 1

    run(main())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\n"])
def test_a_head_that_comes_too_slowly_is_not_waited_for(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.3)

    async def main() -> None:
        async with serving() as api, Client(api.port) as slow, Client(api.port) as ordinary:
            slow.writer.write(sent)
            for _ in range(4):
                await asyncio.sleep(0.1)
                if sent and not slow.reader.at_eof():
                    slow.writer.write(b"a")  # a drop now and then is no whole head
                assert await is_open(ordinary)
            async with asyncio.timeout(5):
                with contextlib.suppress(OSError):  # written to after it was closed
                    assert await slow.reader.read() == b""

    run(main())


def write_certificate(directory: Path, names: list[str]) -> None:
    """A secret key and its certificate."""
    key = make_secret()
    (directory / "api.pem").write_bytes(secret_pem(key))
    (directory / "api.crt").write_bytes(self_signed(key, names, datetime.now(UTC)))


def tls_client(directory: Path) -> ssl.SSLContext:
    """What trusts that certificate alone."""
    return ssl.create_default_context(cafile=directory / "api.crt")


async def ask_over_tls(api: Serving, context: ssl.SSLContext) -> int:
    """The status of an answer."""
    client = Client(api.port)
    client.reader, client.writer = await asyncio.open_connection(HOST, api.port, ssl=context)
    try:
        return (await client.ask("GET", "/api/v1/status")).status
    finally:
        client.writer.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_by_a_self_signed_certificate_that_is_renewed(loop: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"certificate": "api.crt", "secret": "api.pem"}
    write_certificate(tmp_path, [HOST])

    async def main() -> None:
        async with serving(directory=tmp_path, **options) as api:
            first = tls_client(tmp_path)
            assert await ask_over_tls(api, first) == 200
            assert api.certificate is not None
            write_certificate(tmp_path, [HOST])
            os.utime(tmp_path / "api.crt", ns=(1, 1))
            api.certificate.look()
            with pytest.raises(ssl.SSLError):
                await ask_over_tls(api, first)
            assert await ask_over_tls(api, tls_client(tmp_path)) == 200
            async with Client(api.port) as plain:
                plain.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b"HTTP/1.1 200" not in await plain.reader.read()
            (tmp_path / "api.crt").write_bytes(b"nonsense")
            with pytest.raises(SettingsError):
                api.certificate.look()

    run(main(), loop)


def test_a_certificate_that_is_missing_is_said_plainly(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(SettingsError, match="certificate"):
            async with serving(directory=tmp_path, certificate="api.crt", secret="api.pem"):
                pass

    run(main())


def test_bodies_take_no_more_room_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            room = api.api.dispatcher.room
            room._most = 1_000
            body = b'{"values":[{"index":1,"type":"T","data":"%b"}]}' % (b"x" * 2_000)
            for _ in range(3):
                reply = await client.ask("PUT", "/api/v1/records/88.118.1/x", body)
                assert (reply.status, reply.json["rule"], reply.headers["retry-after"]) == (503, "api.busy", "1")
            head = f"PUT /api/v1/records/88.118.1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {client.token}\r\n"
            async with Client(api.port) as slow:
                slow.writer.write(f"{head}Content-Length: 900\r\n\r\n".encode() + b"x" * 800)
                await until(lambda: room.held == 800)
                small = b'{"values":[{"index":1,"type":"T","data":"%b"}]}' % (b"x" * 200)
                assert (await client.ask("PUT", "/api/v1/records/88.118.1/x", small)).status == 503
            await until(lambda: room.held == 0)
            assert (await client.ask("PUT", "/api/v1/records/88.118.1/x", small)).status == 201

    run(main())
