"""Records, batches and lists over HTTP, as a client meets them."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote

import pytest

from protocol.records import Value, decode_body, encode_values
from registry.followers import Followers
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from registry.store.writes import ANY, Write
from tests.registry.api.serving import ENTERPRISE, NOW, OWNER, Client, serving, until
from tests.registry.store.builders import ADMIN_ONLY
from tests.resolver.servers import LOOPS, run

BATCH: Final = "/api/v1/records:batch"
URL: Final = {"index": 1, "type": "URL", "data": "https://example.com/p1"}


def body(text: str = "a") -> dict[str, Any]:
    """A record with one value."""
    return {"values": [{"index": 1, "type": "TEXT", "data": text}]}


@pytest.mark.parametrize("loop", LOOPS)
def test_the_life_of_a_record(loop: str) -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            path = "/api/v1/records/88.118.1/P1"
            made = await client.ask("PUT", path, body(), {"If-None-Match": "*"})
            assert (made.status, made.headers["etag"]) == (201, '"1"')
            assert made.json == {"identifier": "88.118.1/P1", "version": 1, "changed": True}
            same = await client.ask("PUT", path, body(), {"If-None-Match": "*"})
            assert (same.status, same.json["changed"]) == (200, False)
            changed = await client.ask("PUT", path, body("b"), {"If-Match": '"1"'})
            assert (changed.status, changed.headers["etag"]) == (200, '"2"')
            again = await client.ask("PUT", path, body("c"), {"If-Match": "*"})
            assert again.json["version"] == 3
            got = await client.ask("GET", path)
            assert got.headers["etag"] == '"3"'
            assert got.json == {
                "identifier": "88.118.1/P1", "version": 3, "state": "active", "time": NOW, **body("c")
            }  # fmt: skip
            known = await client.ask("GET", path, headers={"If-None-Match": 'W/"3", "x"'})
            assert (known.status, known.body) == (304, b"")
            head = await client.ask("HEAD", path)
            assert (head.status, head.headers["content-length"]) == (200, got.headers["content-length"])
            gone = await client.ask("DELETE", path, headers={"If-Match": '"3"'})
            assert (gone.status, gone.json["version"]) == (200, 4)
            assert (await client.ask("DELETE", path)).json["changed"] is False
            lost = await client.ask("GET", path)
            assert (lost.status, lost.json["parameters"]) == (410, {"version": 4})
            back = await client.ask("PUT", path, body("d"))
            assert (back.status, back.json["version"]) == (200, 5)

    run(main(), loop)


@pytest.mark.parametrize(
    "suffix",
    ["P 1", "a//b", "/", "//", "..", "../../x", "a/../b", "a?b=c", "a#b", "a%b", "a%2Fb", "泵-1", "é", "a+b",
     "x\u00a0y", "a:b@c;d", "😀", "x" * 400],
)  # fmt: skip
def test_any_identifier_survives_its_path(suffix: str) -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            identifier = f"88.118.1/{suffix}"
            for safe in ("", "/", "/:@;+"):
                path = "/api/v1/records/" + quote(identifier, safe=safe)
                put = await client.ask("PUT", path, body(safe))
                assert put.json["identifier"] == identifier
                assert (await client.ask("GET", path)).json["values"][0]["data"] == safe
            assert api.store.find(identifier.encode()) is not None
            assert sum(api.store.counts().active.values()) == 1

    run(main())


def test_values_come_back_as_they_went_in() -> None:
    given = [
        {"index": 3, "type": "BLOB", "data_base64": "gIGC"},
        {"index": 1, "type": "URL", "data": 'https://例.com/\u0000"\\ü', "ttl": 60},
        {"index": 2, "type": "内部", "data": "", "permissions": 12},
    ]

    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            path = "/api/v1/records/88.118.1/P1"
            assert (await client.ask("PUT", path, {"values": given})).status == 201
            assert (await client.ask("GET", path)).json["values"] == given
            kept = api.store.find(b"88.118.1/P1")
            assert kept is not None
            assert [value.index for value in decode_body(kept).values] == [3, 1, 2]
            public = api.store.get(b"88.118.1/P1")
            assert public is not None
            assert [value.index for value in decode_body(public).values] == [3, 1]

    run(main())


def test_a_batch_has_a_result_for_each_item_and_one_durable_step() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token(ENTERPRISE)) as client:
            await client.ask("PUT", "/api/v1/records/88.118.1/old", body("old"))
            items = [
                {"identifier": "88.118.1/a", **body()},
                {"identifier": "88.118.1/a", **body("other")},
                {"identifier": "88.118.1/old", **body("old")},
                {"identifier": "88.118.1/old", **body("new"), "if_version": 1},
                {"identifier": "88.118.1/old", "withdraw": True, "if_version": 1},
                {"identifier": "88.118.2/x", **body()},
                {"identifier": "88.118.1/", **body()},
                {"identifier": "88.118.1/b", "values": []},
                {"identifier": "88.118.1/b", "values": [URL, URL]},
                {"identifier": "88.118.1/b"},
                {"identifier": "88.118.1/b", **body(), "withdraw": True},
                {"identifier": "88.118.1/none", "withdraw": True},
                {"identifier": "88.118.1/a", "withdraw": True},
            ]
            reply = await client.ask("POST", BATCH, {"records": items})
            assert reply.status == 200
            results = reply.json["results"]
            assert [(one["outcome"], one.get("rule")) for one in results] == [
                ("ok", None),
                ("exists", "api.not-carried-out"),
                ("ok", None),
                ("ok", None),
                ("conflict", "api.not-carried-out"),
                ("not_permitted", "rights.other-prefix"),
                ("bad_identifier", "identifier.empty-suffix"),
                ("bad_record", "record.no-values"),
                ("bad_record", "record.same-index"),
                ("bad_record", "api.bad-item"),
                ("bad_record", "api.bad-item"),
                ("not_found", "api.not-registered"),
                ("ok", None),
            ]
            assert [one["identifier"] for one in results] == [one["identifier"] for one in items]
            assert [one.get("version") for one in results[:5]] == [1, 1, 1, 2, 2]
            assert {name: reply.json[name] for name in ("changed", "unchanged", "refused")} == {
                "changed": 3, "unchanged": 1, "refused": 9,
            }  # fmt: skip
            assert api.store.counts().active == {"88.118.1": 1}
            updated = await client.ask("POST", BATCH + "?update=true", {"records": [{**items[0], **body("z")}]})
            assert updated.json["changed"] == 1
            assert (await client.ask("POST", BATCH, {"records": []})).json["results"] == []

    run(main())


def test_a_list_is_paged_to_its_end() -> None:
    async def main() -> None:
        store = MemoryStore()
        names = [f"88.118.{prefix}/{number:02d}" for prefix in (1, 2) for number in range(7)]
        encoded = encode_values([Value(1, "TEXT", b"x", permissions=ADMIN_ONLY)])
        store.apply([Write(name.encode(), ANY, encoded) for name in [*names, "88.119/x"]], NOW)
        store.apply([Write(names[3].encode(), ANY, None, False)], NOW)
        async with serving(store) as api, api.client(await api.token()) as client:
            for query, expected in (("", [*names[:3], *names[4:]]), ("&withdrawn=true", names)):
                found: list[str] = []
                cursor = ""
                while True:
                    path = f"/api/v1/prefixes/88.118/records?limit=3{query}&cursor={cursor}"
                    page = (await client.ask("GET", path)).json
                    found += [one["identifier"] for one in page["records"]]
                    if page["cursor"] is None:
                        break
                    cursor = page["cursor"]
                assert found == expected
            states = {one["state"] for one in page["records"]}
            assert states == {"active"}

    run(main())


def test_a_page_has_fewer_records_where_they_are_large() -> None:
    async def main() -> None:
        store = MemoryStore()
        encoded = encode_values([Value(index, "TEXT", b"x" * 16_000) for index in (1, 2)])
        store.apply([Write(f"88.118.1/{number:03d}".encode(), ANY, encoded) for number in range(100)], NOW)
        async with serving(store) as api, api.client(await api.token()) as client:
            page = (await client.ask("GET", "/api/v1/prefixes/88.118/records?limit=1000")).json
            assert 10 < len(page["records"]) < 40
            assert page["cursor"]
            exported = await client.ask("GET", "/api/v1/prefixes/88.118/records:export")
            assert len(exported.lines) == 100

    run(main())


def test_below_a_delegated_prefix_nothing_is_registered() -> None:
    async def main() -> None:
        store = MemoryStore()
        store.apply([system_write(DELEGATIONS, "88.118.5", {"DELEGATION": b"signed"})], NOW)
        async with serving(store) as api, api.client(await api.token()) as client:
            reply = await client.ask("PUT", "/api/v1/records/88.118.5.1/P1", body())
            assert (reply.status, reply.json["rule"]) == (421, "rights.delegated")

    run(main())


def test_the_same_key_gives_the_same_answer_once_and_for_all() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            items = {"records": [{"identifier": "88.118.1/a", **body()}]}
            key = {"Idempotency-Key": "order-17"}
            first = await client.ask("POST", BATCH, items, key)
            assert (await client.ask("DELETE", "/api/v1/records/88.118.1/a")).status == 200
            second = await client.ask("POST", BATCH, items, key)
            assert second.body == first.body
            assert second.headers["idempotent-replayed"] == "true"
            assert (await client.ask("GET", "/api/v1/records/88.118.1/a")).status == 410  # it was not carried out again
            other = await client.ask("POST", BATCH, {"records": []}, key)
            assert (other.status, other.json["rule"]) == (422, "api.same-key-other-body")
            path = await client.ask("POST", BATCH + "?update=true", items, key)
            assert path.json["rule"] == "api.same-key-other-body"
            async with api.client(await api.token(ENTERPRISE)) as another:
                own = await another.ask("POST", BATCH, items, key)
                assert "idempotent-replayed" not in own.headers  # keys are each caller's own

    run(main())


def test_the_same_key_at_the_same_time_is_told_so() -> None:
    async def main() -> None:
        followers = Followers({ENTERPRISE.public: "copy"}, must_confirm=True)
        followers.heard("copy", 0, asyncio.get_running_loop().time())
        async with serving(followers=followers) as api:
            token = await api.token()
            async with api.client(token) as one, api.client(token) as two:
                items, key = {"records": [{"identifier": "88.118.1/a", **body()}]}, {"Idempotency-Key": "k"}
                first = asyncio.create_task(one.ask("POST", BATCH, items, key))
                await until(lambda: followers.waiting > 0)
                second = await two.ask("POST", BATCH, items, key)
                assert (second.status, second.json["rule"]) == (409, "api.same-key-under-way")
                followers.heard("copy", 1, asyncio.get_running_loop().time())
                assert (await first).json["changed"] == 1
                followers.expire(float("inf"))

    run(main())


def test_where_a_follower_must_have_it_an_answer_waits_for_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        followers = Followers({ENTERPRISE.public: "copy"}, must_confirm=True)
        async with serving(followers=followers) as api, api.client(await api.token()) as client:
            path = "/api/v1/records/88.118.1/P1"
            none = await client.ask("PUT", path, body())
            assert (none.status, none.json["rule"], none.headers["retry-after"]) == (503, "registry.no-follower", "1")
            assert api.store.find(b"88.118.1/P1") is None
            followers.heard("copy", 0, loop.time())
            writing = asyncio.create_task(client.ask("PUT", path, body()))
            await until(lambda: followers.waiting > 0)
            followers.heard("copy", 1, loop.time())
            assert (await writing).status == 201
            writing = asyncio.create_task(client.ask("PUT", path, body("b")))
            await until(lambda: followers.waiting > 0)
            followers.give_up()
            unknown = await writing
            assert (unknown.status, unknown.json["outcome"]) == (504, "unknown")

    run(main())


def test_a_store_that_was_put_back_takes_no_writes() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            api.put_back.has_more("copy")
            reply = await client.ask("PUT", "/api/v1/records/88.118.1/P1", body())
            assert (reply.status, reply.json["rule"]) == (409, "registry.put-back")

    run(main())


def test_a_right_that_ends_ends_the_tokens_of_its_key() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token(OWNER)) as client:
            path = "/api/v1/records/88.118.1/P1"
            assert (await client.ask("PUT", path, body())).status == 201
            api.rights._writers = {}
            api.rights.take_up(())
            reply = await client.ask("PUT", path, body("b"))
            assert (reply.status, reply.json["rule"]) == (403, "rights.unknown-key")

    run(main())


def test_a_token_is_ended_by_who_has_it() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            assert (await client.ask("DELETE", "/api/v1/session")).status == 204
            assert (await client.ask("GET", "/api/v1/records/88.118.1/x")).json["rule"] == "api.bad-token"

    run(main())


def test_a_request_keeps_the_id_that_it_came_with() -> None:
    async def main() -> None:
        async with serving() as api, api.client() as client:
            reply = await client.ask("GET", "/nowhere", headers={"X-Request-Id": "order-17.a"})
            assert reply.json["request"] == reply.headers["x-request-id"] == "order-17.a"
            drawn = [
                (await client.ask("GET", "/nowhere", headers={"X-Request-Id": "<x>"})).json["request"] for _ in "ab"
            ]
            assert drawn[0] != drawn[1]
            assert "<" not in drawn[0]

    run(main())


def test_who_waits_to_be_asked_for_a_body_is() -> None:
    async def main() -> None:
        async with serving() as api:
            async with Client(api.port) as client:
                head = "PUT /api/v1/records/88.118.1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                head += "Expect: 100-continue\r\n"
                refused = await client.send(f"{head}\r\n".encode())
                assert refused.status == 401  # without the body
            async with Client(api.port) as client:
                go_on = await client.send(f"{head}Authorization: Bearer {await api.token()}\r\n\r\n".encode())
                assert go_on.status == 100
                assert (await client.send(b"{}")).status == 400

    run(main())
