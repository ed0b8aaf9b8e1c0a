"""The description of the API: what it lists is there, and requests made from it find no server error."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from registry.api.routing import Router
from registry.enterprises.bodies import Allot
from tests.registry.api.serving import NOW, Serving, carry_out, serving
from tests.registry.house import ADMINISTRATOR, AUDITOR, application, code
from tests.resolver.servers import run

MANY_REQUESTS = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""Requests for each operation: some seconds in all."""

HOME: Final = {"prefix": "88.118", "identifier": "88.118.1/P 1", "version": "1", "rule": "r", "code": code(1)}
OF: Final = {
    "prefixes": {"prefix": "88.118.1"},
    "series": {"identifier": "88.118.1/B-{01..99}"},
    **{name: {"identifier": "88.118.1/U.li"} for name in ("identities", "tokens", "keys", "passwords", "credentials")},
    "groups": {"identifier": "88.118.1/G.all"},
}
"""What is there, by what the path is about: so that requests come further than to a refusal."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@schemathesis.serializer("application/x-ndjson")
def as_it_is(context: object, value: object) -> bytes:
    """A body of lines, which the description has as a text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, str]]:
    """An API on a thread of its own, as schemathesis asks from another, and a token."""
    ready: list[tuple[Serving, str]] = []
    loops: list[asyncio.AbstractEventLoop] = []
    up, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving() as api:
            token = await api.token()
            await settle(api, token)
            ready.append((api, token))
            up.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert up.wait(20)
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)


async def settle(api: Serving, token: str) -> None:
    """An enterprise with a prefix, a series, a template, a rule and an identity."""
    house = api.accounts.enterprises
    for change in (
        lambda: house.apply(ADMINISTRATOR, application(1), NOW),
        lambda: house.approve(AUDITOR, code(1), NOW),
        lambda: house.allot(ADMINISTRATOR, code(1), Allot("88.118.1"), NOW),
        lambda: house.host(ADMINISTRATOR, "88.118.1", NOW),
    ):
        await carry_out(api, change())
    async with api.client(token) as client:
        values = {"values": [{"index": 1, "type": "TEXT", "data": "x"}]}
        for method, path, body in (
            ("PUT", "/api/v1/records/88.118.1/P%201", values),
            ("PUT", "/api/v1/series/88.118.1%2FB-%7B01..99%7D", values),
            ("PUT", "/api/v1/prefixes/88.118.1/rules/r", {"text": "M{000001..999999}"}),
            ("POST", "/api/v1/prefixes/88.118.1/templates",
             {"name": "pump", "items": [{"index": 2_000, "name": "LOT", "indexed": True}]}),
            ("POST", "/api/v1/identities", {"name": "88.118.1/U.li", "roles": ["enterprise-writer"]}),
        ):  # fmt: skip
            reply = await client.ask(method, path, body)
            assert reply.status in (200, 201), reply


def test_requests_made_from_the_description_find_no_fault(served: tuple[Serving, str]) -> None:
    api, token = served
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{api.port}/openapi.json")
    asked: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @MANY_REQUESTS
        @given(case=operation.as_strategy(), at_home=st.booleans())
        def ask(case: schemathesis.Case, at_home: bool, of: set[int]) -> None:
            own = HOME | OF.get(case.operation.path.split("/")[3], {}) if at_home else {}
            case.path_parameters = {name: own.get(name, given) for name, given in (case.path_parameters or {}).items()}
            if at_home:
                case.headers = {name: one for name, one in (case.headers or {}).items() if not name.startswith("If-")}
            if at_home and case.operation.label.startswith("PUT /api/v1/records"):
                case.body = {"values": [{"index": 1, "type": "TEXT", "data": str(case.body)[:99]}]}
            response = case.call(headers={"Authorization": f"Bearer {token}"})
            of.add(response.status_code)
            case.validate_response(response, checks=CHECKS)

        ask(of=asked.setdefault(operation.label, set()))
    assert len(asked) >= 60, len(asked)
    reached = [label for label, codes in asked.items() if codes & {200, 201, 204}]
    assert len(reached) >= 40, sorted(set(asked) - set(reached))
    assert {200, 201, 400, 404} <= set().union(*asked.values()), asked  # good ones and wrong ones were made


def test_every_route_is_described() -> None:
    async def main() -> None:
        async with serving() as api, api.client() as client:
            reply = await client.ask("GET", "/openapi.json")
            assert reply.status == 200
            described = reply.json
            assert described["openapi"] == "3.1.0"
            listed = {(path, method.upper()) for path, of in described["paths"].items() for method in of}
            assert len(listed) >= 60
            router: Router = api.api.router
            assert {(route.path, route.method) for route in router.routes} - listed == {
                ("/", "GET"),
                ("/openapi.json", "GET"),
            }
            text = json.dumps(described)
            for name in {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}:
                assert name in described["components"]["schemas"]
            for of in described["paths"].values():
                for operation in of.values():
                    assert operation["summary"]
                    assert "default" in operation["responses"]

    run(main())


def test_people_get_a_page_and_nothing_of_it_from_elsewhere() -> None:
    async def main() -> None:
        async with serving() as api, api.client() as client:
            reply = await client.ask("GET", "/")
            assert reply.headers["content-type"] == "text/html; charset=utf-8"
            assert "/openapi.json" in reply.body.decode()
            assert b"http://" not in reply.body
            assert b"src=" not in reply.body
            status = (await client.ask("GET", "/api/v1/status")).json
            assert (status["zone"], status["more"]) == ("88.118", {"worker": 7})

    run(main())
