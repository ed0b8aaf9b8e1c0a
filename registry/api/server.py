"""The parts of the API put together, behind a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from config.process import bind
from config.settings import Settings
from protocol.errors import SettingsError
from registry.accounts import Accounts
from registry.acknowledging import Acknowledging
from registry.api import (
    about,
    auditing,
    enterprises,
    exporting,
    history,
    identities,
    importing,
    minting,
    prefixes,
    records,
    series,
    sessions,
    templates,
)
from registry.api.changing import Changing
from registry.api.connections import Connections
from registry.api.credentials import IdentityTokens, KeySessions
from registry.api.dispatch import Dispatcher
from registry.api.replays import Replays
from registry.api.routing import Route, Router
from registry.api.rules import CERTIFICATE
from registry.api.writing import Writing
from registry.minting.desk import Reserved
from registry.policies import Policies
from registry.rights import Rights
from registry.store.interface import Store
from registry.templates.checking import Checkers
from registry.templates.desk import Templates

DRAIN_SECONDS: Final = 5.0
"""How long a stopping API waits for requests to be answered."""

SWEEP_SECONDS: Final = 5.0
"""How often slow clients, and a renewed certificate, are looked for."""


class Services(NamedTuple):
    """What the API is a door to."""

    zone: str
    software: str
    store: Store
    acknowledging: Acknowledging
    rights: Rights
    status: Callable[[], dict[str, object]]
    accounts: Accounts
    checkers: Checkers
    reserved: Reserved
    clock: Callable[[], float] = time.time


class Api:
    """The API of one registry."""

    def __init__(self, services: Services, log: structlog.stdlib.BoundLogger) -> None:
        self.is_stopping = False
        self.certificate: Certificate | None = None
        """That by which TLS is spoken, if it is."""
        self.port = 0
        """Where it is served, once it is."""
        zone, clock = services.zone, services.clock
        rights, directory = services.rights, services.accounts.directory
        writing = Writing(services.store, services.acknowledging, rights.barrier, services.checkers, clock)
        keys = KeySessions(rights, zone, time.monotonic, clock)
        changing = Changing(services.accounts, clock)
        subjects: list[Route] = [
            *records.routes(writing),
            *series.routes(writing),
            *minting.routes(writing, clock, services.reserved),
            *history.routes(writing),
            *templates.routes(writing, Templates(services.store, services.checkers)),
            *enterprises.routes(changing),
            *prefixes.routes(changing, Policies(services.store)),
            *identities.routes(changing),
            *auditing.routes(changing),
            *importing.routes(writing, lambda: self.is_stopping),
            *exporting.routes(writing),
            *sessions.routes(keys, zone),
        ]
        routes = [*subjects, *about.routes(services.status, zone, services.software, subjects)]
        self.router = Router(routes)
        self.dispatcher = Dispatcher(
            self.router, [IdentityTokens(directory, clock), keys], Replays(time.monotonic), zone, clock
        )
        self.connections = Connections(self.dispatcher.handle, self.dispatcher.problem_response, log)


@contextlib.asynccontextmanager
async def open_api(
    services: Services, settings: Settings, port: int, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[Api]:
    """Serve on ``port`` until the end of the block; requests that were begun are then answered first. Raises
    :class:`OSError`, :class:`SettingsError`."""
    api = Api(services, log)
    api.certificate = certificate = Certificate(settings) if settings.api.secure else None
    host = settings.api.host
    server = await asyncio.get_running_loop().create_server(
        api.connections, sock=bind(host, port, socket.SOCK_STREAM), ssl=certificate.context if certificate else None
    )
    api.port = server.sockets[0].getsockname()[1]
    sweeping = asyncio.create_task(_sweep(api.connections, certificate, log))
    log.info("serving the API", host=host, port=api.port, tls=certificate is not None)
    try:
        yield api
    finally:
        sweeping.cancel()
        api.is_stopping = True
        server.close()
        api.connections.pre_shutdown()
        await api.connections.shutdown(DRAIN_SECONDS)


class Certificate:
    """The certificate by which TLS is spoken, taken up anew when its file changes."""

    def __init__(self, settings: Settings) -> None:
        self._certificate = settings.path(settings.api.certificate)
        self._secret = settings.path(settings.api.secret)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = 0
        self.look()

    def look(self) -> None:
        """Read the files where they have changed. Raises :class:`SettingsError`."""
        try:
            changed = _changed_at(self._certificate) ^ _changed_at(self._secret)
            if changed != self._seen:
                self.context.load_cert_chain(self._certificate, self._secret)
                self._seen = changed
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(CERTIFICATE, path=str(self._certificate), reason=error.strerror or str(error)) from None


def _changed_at(path: Path) -> int:
    return os.stat(path).st_mtime_ns


async def _sweep(connections: Connections, certificate: Certificate | None, log: structlog.stdlib.BoundLogger) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.sweep()
        if certificate is not None:
            try:
                certificate.look()
            except SettingsError as error:
                log.warning("the renewed certificate cannot be used; the one in use stays", reason=str(error))
