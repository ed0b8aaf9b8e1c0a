"""The least that aiohttp can serve: the yardstick for whatever is served with it. Prints its port."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvloop
from aiohttp import web

from config.process import bind


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def serve() -> None:
    """Serve until standard input ends."""
    app = web.Application()
    app.router.add_get("/", _hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = bind("127.0.0.1", 0, socket.SOCK_STREAM)
    await web.SockSite(runner, sock).start()
    print(sock.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        _runner.run(serve())
