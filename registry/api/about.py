"""What the node says of itself and of the API: its status, the description, a page for whoever comes with a browser."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Final

import msgspec
from aiohttp import web

from registry.api.openapi import describe
from registry.api.routing import JSON, Answer, Call, Route

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Biaoshi 标识: {zone}</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 46em; margin: 3em auto; padding: 0 1em }}
code {{ background: #eee; padding: .1em .3em }}</style></head><body>
<h1>Biaoshi 标识</h1>
<p>This is the JSON API of the node for <strong>{zone}</strong>: programs register identifiers here.
<a href="/openapi.json">/openapi.json</a> describes it,
<a href="/api/v1/status">/api/v1/status</a> says how the node is.
Begin with a token: <code>biaoshi api token</code>, or <code>POST /api/v1/sessions</code>.</p>
<p lang="zh">这是区域 <strong>{zone}</strong> 节点的 JSON API，供程序注册标识。接口说明见
<a href="/openapi.json">/openapi.json</a>，节点状态见 <a href="/api/v1/status">/api/v1/status</a>。
首先获取令牌：<code>biaoshi api token</code>，或 <code>POST /api/v1/sessions</code>。</p>
</body></html>
"""


class StatusShown(msgspec.Struct):
    """What the node says of itself, as over the native protocol; further members may come."""

    role: str
    zone: str
    software: str
    registered: int
    prefixes: int
    changes: int
    store_bytes: int
    uptime_s: int
    more: dict[str, Any]


class AboutDesk:
    """The operations."""

    def __init__(self, status: Callable[[], dict[str, object]], zone: str) -> None:
        self._status = status
        self._page = _PAGE.format(zone=escape(zone or "(root)")).encode()
        self.description = b""

    async def status(self, call: Call, body: None) -> Answer:
        """How the node is."""
        told = dict(self._status())
        named = {name: told.pop(name) for name in StatusShown.__struct_fields__ if name != "more"}
        return Answer(200, msgspec.convert({**named, "more": told}, StatusShown))

    async def openapi(self, call: Call, body: None) -> web.StreamResponse:
        """The description of the API."""
        return web.Response(body=self.description, content_type=JSON)

    async def page(self, call: Call, body: None) -> web.StreamResponse:
        """For people."""
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=policy)


def routes(status: Callable[[], dict[str, object]], zone: str, version: str, others: list[Route]) -> list[Route]:
    """The routes of this subject. ``others`` are described as well."""
    desk = AboutDesk(status, zone)
    own = [
        Route("GET", "/api/v1/status", "get_status", "How the node is", desk.status, {200: StatusShown}, is_open=True)
    ]
    desk.description = msgspec.json.encode(describe([*others, *own], version, zone))
    return [
        *own,
        Route("GET", "/openapi.json", "get_description", "This", desk.openapi, {200: None}, is_open=True),
        Route("GET", "/", "get_page", "For people", desk.page, {200: None}, is_open=True),
    ]
