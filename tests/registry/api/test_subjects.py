"""Enterprises, identities, templates, history, series and minting over HTTP, as a client meets them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from registry.audit.export import verify
from registry.store.memory import MemoryStore
from tests.registry.api.serving import until
from tests.registry.api.settled import FRESH, PUMPS, SHUT, VALVES, Town, settled
from tests.registry.api.test_wrong_requests import OK_VALUE, check
from tests.registry.house import code
from tests.resolver.servers import run
from tests.vectors.actors import ANCHOR

PREFIX: Final = f"/api/v1/prefixes/{PUMPS}"
TEMPLATE: Final = {
    "name": "pump",
    "items": [
        {"index": 2_000, "name": "LOT", "zh": "批次", "required": True, "indexed": True},
        {"index": 2_001, "name": "PAGE", "value_type": "URL", "computed": "https://example.com/{suffix}"},
        {"index": 2_002, "name": "COST", "permissions": 12},
        {"index": 2_003, "name": "TEST", "readers": [VALVES]},
    ],
}


def record(suffix: str) -> str:
    """The path of a record."""
    return f"/api/v1/records/{PUMPS}/{suffix}"


def body(text: str = "a", **more: Any) -> dict[str, Any]:
    """A record with one value."""
    return {"values": [{"index": 1, "type": "TEXT", "data": text, **more}]}


def data(*pairs: tuple[int, str]) -> dict[str, Any]:
    """A record that follows the template."""
    return {"template": 1, "values": [{"index": index, "data": one} for index, one in pairs]}


def test_lists_go_on_by_their_cursors() -> None:
    async def main() -> None:
        async with settled() as town:
            assert await _all(town, "auditor", "enterprises", "enterprises", "credit_code") == sorted(
                code(number) for number in (1, 2, 3, 4)
            )
            prefixes = await _all(town, "admin", "prefixes", "prefixes", "prefix")
            assert prefixes == [PUMPS, VALVES, SHUT, FRESH]
            names = await _all(town, "boss", f"prefixes/{PUMPS}/identities", "identities", "name")
            assert names == [f"{PUMPS}/U.{who}" for who in ("boss", "disabled", "reader", "writer")]
            for version in (1, 2, 3):
                made = await town.ask("boss", "POST", f"{PREFIX}/templates", TEMPLATE)
                assert made["version"] == version
            assert await _all(town, "reader", f"prefixes/{PUMPS}/templates", "templates", "version") == [1, 2, 3]
            own = await town.ask("boss", "GET", f"/api/v1/enterprises/{code(1)}")
            assert (own["prefixes"], own["section_name"]) == ([PUMPS], "制造业")

    run(main())


async def _all(town: Town, who: str, path: str, key: str, member: str) -> list[Any]:
    """Everything in a list, one entry at a time."""
    found: list[Any] = []
    cursor = ""
    for _ in range(20):
        page = await town.ask(who, "GET", f"/api/v1/{path}?limit=1{cursor}")
        assert len(page[key]) <= 1
        found += [one[member] for one in page[key]]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor'].replace('/', '%2F')}"
    raise AssertionError("there is no end")


def test_a_record_that_follows_a_template_is_shown_whole_and_exported_as_it_is() -> None:
    async def main() -> None:
        async with settled() as town:
            await town.ask("boss", "POST", f"{PREFIX}/templates", TEMPLATE)
            kept = data((2_003, "passed"), (2_000, "B1"), (2_002, "9.5"))
            made = await town.ask("writer", "PUT", record("P1"), kept)
            assert (made["version"], made["changed"]) == (1, True)
            shown = await town.ask("reader", "GET", record("P1"))
            assert shown["template"] == 1
            values = {one["index"]: (one["type"], one["data"]) for one in shown["values"]}
            assert values == {
                2_000: ("LOT", "B1"), 2_001: ("URL", "https://example.com/P1"), 2_002: ("COST", "9.5"),
                2_003: ("TEST", "passed"),
            }  # fmt: skip
            anybody = town.api.store.get(f"{PUMPS}/P1".encode())
            assert anybody is not None
            assert b"9.5" not in anybody
            assert b"passed" not in anybody
            async with town.client("reader") as client:
                [line] = (await client.ask("GET", f"{PREFIX}/records:export")).lines
            assert line == {"identifier": f"{PUMPS}/P1", "template": 1, "values": [
                {"index": 2_000, "data": "B1"}, {"index": 2_002, "data": "9.5"}, {"index": 2_003, "data": "passed"},
            ]}  # fmt: skip
            lines = [{**line, "identifier": f"{PUMPS}/P{n}"} for n in (1, 2, 3)]
            lines.append({"identifier": f"{PUMPS}/P4", "template": 1, "values": []})
            raw = "".join(json.dumps(one) + "\n" for one in lines).encode()
            kind = {"Content-Type": "application/x-ndjson"}
            async with town.client("writer") as client:
                told = (await client.ask("POST", f"{PREFIX}/records:import", raw, kind)).lines
            assert told[-1] == {"kind": "done", "items": 4, "changed": 2, "unchanged": 1, "refused": 1}
            assert (told[0]["line"], "LOT" in told[0]["detail"]) == (4, True)
            found = await town.ask("reader", "GET", f"{PREFIX}/records:search?item=2000&data=B1&limit=2")
            assert [one["identifier"] for one in found["records"]] == [f"{PUMPS}/P1", f"{PUMPS}/P2"]
            rest = f"{PREFIX}/records:search?item=2000&data=B1&cursor={found['cursor']}"
            assert [one["template"] for one in (await town.ask("reader", "GET", rest))["records"]] == [1]
            gone = await town.ask("boss", "POST", f"{PREFIX}/templates/1/disable", {"items": ["COST", "2003"]})
            assert [item.get("disabled", False) for item in gone["items"]] == [False, False, True, True]
            async with town.client("writer") as client:
                check(await client.ask("PUT", record("P9"), kept), 422, "template.not-followed", "COST is disabled")

    run(main())


def test_values_may_name_readers_and_come_back() -> None:
    async def main() -> None:
        async with settled() as town:
            given = body(readers=[VALVES, f"{PUMPS}/G.x"])
            await town.ask("writer", "PUT", record("P1"), given)
            assert (await town.ask("reader", "GET", record("P1")))["values"] == given["values"]
            assert (await town.ask("writer", "PUT", record("P1"), given))["changed"] is False

    run(main())


def test_history_and_what_stood_then() -> None:
    async def main() -> None:
        async with settled() as town:
            policy = await town.ask("boss", "PUT", f"{PREFIX}/policy", {"versions": 2, "days": 100})
            assert (policy["versions"], policy["own"]) == (2, True)
            # The committer of these tests has one time for all: versions tell themselves apart, times do not.
            for text in "abcd":
                await town.ask("writer", "PUT", record("P1"), body(text))
            await town.ask("writer", "DELETE", record("P1"))
            found = await town.ask("reader", "GET", f"/api/v1/history/{PUMPS}/P1")
            assert [(one["version"], one["state"]) for one in found["versions"]] == [
                (5, "withdrawn"), (4, "active"), (3, "active"),
            ]  # fmt: skip
            now = found["versions"][0]["time"]
            at = await town.ask("reader", "GET", f"/api/v1/history/{PUMPS}/P1?at={now}")
            assert [one["version"] for one in at["versions"]] == [5]
            async with town.client("reader") as client:
                check(await client.ask("GET", f"/api/v1/history/{PUMPS}/P1?at=5"), 410, "history.forgotten")
            assert (await town.ask("boss", "DELETE", f"{PREFIX}/policy"))["own"] is False

    run(main())


def test_a_series_is_one_entry_and_its_members_are_records() -> None:
    async def main() -> None:
        async with settled() as town:
            pattern, path = f"{PUMPS}/B-{{001..999}}", f"/api/v1/series/{PUMPS}/B-%7B001..999%7D"
            made = await town.ask("writer", "PUT", path, body("{suffix}"))
            assert made == {"identifier": pattern, "version": 1, "changed": True}
            assert (await town.ask("writer", "PUT", path, body("{suffix}")))["changed"] is False
            assert (await town.ask("reader", "GET", record("B-007")))["values"] == body("B-007")["values"]
            await town.ask("writer", "PUT", record("B-008"), body("own"))
            listed = (await town.ask("reader", "GET", f"{PREFIX}/records"))["records"]
            assert [(one["identifier"], one.get("members")) for one in listed] == [
                (pattern, 999), (f"{PUMPS}/B-008", None),
            ]  # fmt: skip
            [alone] = (await town.ask("reader", "GET", f"{PREFIX}/series"))["records"]
            assert alone == await town.ask("reader", "GET", path)
            async with town.client("reader") as client:
                lines = (await client.ask("GET", f"{PREFIX}/records:export")).lines
            assert [line.get("series") for line in lines] == [pattern, None]
            raw = "".join(json.dumps(one) + "\n" for one in (
                *reversed(lines), {"series": f"{PUMPS}/B-{{500..600}}", **body()},
                {"series": f"{VALVES}/B-{{500..600}}", **body()}, {"series": f"{PUMPS}/C-{{01..99}}", **body()},
                {"series": "x", "identifier": "y", **body()}, {"series": f"{PUMPS}/B-1", "withdraw": True},
            )).encode()  # fmt: skip
            kind = {"Content-Type": "application/x-ndjson"}
            async with town.client("writer") as client:
                told = (await client.ask("POST", f"{PREFIX}/records:import", raw, kind)).lines
                assert [(one["line"], one["rule"]) for one in told[:-2]] == [
                    (3, "series.stands-in-the-way"), (4, "api.other-prefix"), (6, "api.one-name"),
                    (7, "series.no-pattern"),
                ]  # fmt: skip
                assert told[-1] == {"kind": "done", "items": 7, "changed": 1, "unchanged": 2, "refused": 4}
                batch = {"records": [{"series": f"{PUMPS}/C-{{01..99}}", "withdraw": True},
                                     {"series": f"{PUMPS}/B-{{000..002}}", **body()}]}  # fmt: skip
                [gone, meets] = (await client.ask("POST", "/api/v1/records:batch", batch)).json["results"]
                assert (gone["identifier"], gone["changed"]) == (f"{PUMPS}/C-{{01..99}}", True)
                assert (meets["rule"], pattern in meets["detail"]) == ("series.stands-in-the-way", True)

            assert (await town.ask("writer", "POST", f"/api/v1/suspend/{PUMPS}/B-009"))["changed"] is True
            assert (await town.ask("reader", "GET", record("B-009")))["state"] == "suspended"
            assert town.api.store.get(f"{PUMPS}/B-009".encode()) is None
            await town.ask("writer", "POST", f"/api/v1/resume/{PUMPS}/B-009")
            assert town.api.store.get(f"{PUMPS}/B-009".encode()) is not None
            await town.ask("writer", "POST", path.replace("series", "suspend"))
            assert town.api.store.get(f"{PUMPS}/B-010".encode()) is None
            await town.ask("writer", "POST", path.replace("series", "resume"))
            updated = await town.ask("writer", "PUT", f"{path}?update=true", body("new"))
            assert updated["changed"] is True
            await town.ask("writer", "DELETE", path)
            async with town.client("reader") as client:
                check(await client.ask("GET", path), 410, "api.withdrawn")
            assert (await town.ask("reader", "GET", f"{PREFIX}/series"))["records"] == []

    run(main())


def test_numbers_are_given_out_once_and_a_request_that_comes_again_gets_the_same() -> None:
    async def main() -> None:
        async with settled() as town:
            rule = f"{PREFIX}/rules/pumps"
            shown = await town.ask("writer", "PUT", rule, {"text": "M{0001..9999}"})
            assert (shown["minted"], shown["left"]) == (0, 9_999)
            mint = f"{rule}/mint"
            many = [town.ask("writer", "POST", mint, {"count": 30, **body("{suffix}")}) for _ in range(5)]
            given = [name for one in await asyncio.gather(*many) for name in one["identifiers"]]
            assert len(set(given)) == len(given) == 150
            assert (await town.ask("reader", "GET", record("M0001")))["values"] == body("M0001")["values"]
            first = await town.ask("writer", "POST", mint, {"count": 2}, Idempotency_Key="order-17")
            assert await town.ask("writer", "POST", mint, {"count": 2}, Idempotency_Key="order-17") == first
            assert first["identifiers"] == [f"{PUMPS}/M0151", f"{PUMPS}/M0152"]
            [listed] = (await town.ask("writer", "GET", f"{PREFIX}/rules"))["rules"]
            assert (listed["name"], listed["minted"], listed["left"]) == ("pumps", 152, 9_847)

    run(main())


def test_what_is_revoked_ends_at_once_also_an_import_under_way() -> None:
    async def main() -> None:
        async with settled() as town, town.client("writer") as client:
            line = json.dumps({"identifier": f"{PUMPS}/S1", **body()}).encode() + b"\n"
            head = f"POST {PREFIX}/records:import HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {town['writer']}\r\n"
            head += "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunk = f"{len(line):x}\r\n".encode() + line + b"\r\n"
            client.writer.write(head.encode() + chunk)
            await until(lambda: town.api.store.get(f"{PUMPS}/S1".encode()) is not None)
            shown = await town.ask("boss", "GET", f"/api/v1/identities/{PUMPS}/U.writer")
            for credential in shown["credentials"]:
                await town.ask("boss", "DELETE", f"/api/v1/credentials/{credential['id']}/{PUMPS}/U.writer")
            async with town.client("writer") as other:
                check(await other.ask("GET", record("S1")), 401, "identity.not-proven")
            client.writer.write(chunk.replace(b"S1", b"S2"))
            told = (await client.read()).lines
            assert told[-1]["kind"] == "failed"
            assert told[-1]["problem"]["rule"] == "identity.not-proven"
            assert town.api.store.get(f"{PUMPS}/S2".encode()) is None

    run(main())


def test_a_token_is_shown_once_and_kept_as_a_digest() -> None:
    async def main() -> None:
        store = MemoryStore()
        async with settled(store) as town:
            path = f"/api/v1/tokens/{PUMPS}/U.writer"
            issued = [await town.ask("writer", "POST", path, {}, Idempotency_Key="k") for _ in range(2)]
            assert issued[0]["secret"] != issued[1]["secret"]  # no answer with a secret is kept to be given again
            shown = json.dumps(await town.ask("writer", "GET", f"/api/v1/identities/{PUMPS}/U.writer"))
            assert issued[0]["id"] in shown
            assert issued[0]["secret"] not in shown
            everything = b"".join(entry.body for entry in store.feed(None, 1_000_000).entries)
            assert issued[0]["secret"].encode() not in everything

    run(main())


def test_who_tries_tokens_out_waits_and_no_right_one_feels_it() -> None:
    async def main() -> None:
        async with settled() as town, town.client("writer") as client:
            wrong = town["writer"][:-4] + "AAAA"
            for _ in range(5):
                check(await client.ask("GET", record("P1"), token=wrong), 401, "identity.not-proven")
            refused = await client.ask("GET", record("P1"), token=wrong)
            check(refused, 429, "identity.too-many-attempts")
            assert int(refused.headers["retry-after"]) == refused.json["parameters"]["seconds"]
            assert (await client.ask("PUT", record("P1"), body())).status == 201
            town.api.clock.now += int(refused.headers["retry-after"]) + 1
            check(await client.ask("GET", record("P1"), token=wrong), 401, "identity.not-proven")

    run(main())


def test_passwords_are_set_and_taken_away() -> None:
    async def main() -> None:
        async with settled() as town:
            path = f"/api/v1/passwords/{PUMPS}/U.writer"
            set_ = await town.ask("boss", "PUT", path, {"password": "correct horse battery"})
            assert set_["has_password"] is True
            assert (await town.ask("boss", "PUT", path, {"password": None}))["has_password"] is False

    run(main())


def test_the_audit_log_over_http_proves_itself() -> None:
    async def main() -> None:
        async with settled() as town, town.client("auditor") as client:
            page = (await client.ask("GET", "/api/v1/audit?start=2&limit=3")).json
            assert [one["number"] for one in page["entries"]] == [2, 3, 4]
            assert page["next"] == 5
            exported = await client.ask("GET", "/api/v1/audit:export")
            head = verify(exported.body.splitlines(keepends=True), ANCHOR)
            assert head.entries == len(exported.lines) - 2 > 20
            alone = await client.ask("GET", "/api/v1/audit:head")
            assert alone.lines[-1]["link"] == exported.lines[-1]["link"]
            assert (await client.ask("HEAD", "/api/v1/audit:export")).status == 200

    run(main())


def test_what_a_spreadsheet_would_take_for_a_formula_leaves_as_the_data_it_is() -> None:
    """Exports are JSON, said to be nothing else: no program opens them as a sheet, and no data is changed."""

    async def main() -> None:
        async with settled() as town, town.client("writer") as client:
            for place, formula in enumerate(
                ('=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\tx", "=cmd|' /C'!A0")
            ):
                assert (await client.ask("PUT", record(f"={place}"), body(formula))).status == 201
                reply = await client.ask("GET", f"{PREFIX}/records:export")
                assert reply.headers["content-type"] == "application/x-ndjson"
                assert reply.headers["x-content-type-options"] == "nosniff"
                assert reply.lines[-1]["values"][0]["data"] == formula

    run(main())


def test_prefixes_in_small_letters_are_the_same_prefix() -> None:
    async def main() -> None:
        async with settled() as town:
            given = await town.ask("admin", "POST", f"/api/v1/enterprises/{code(1)}/prefixes", {"prefix": "88.118.ab"})
            assert given["prefix"] == "88.118.AB"
            await town.ask("admin", "POST", "/api/v1/prefixes/88.118.Ab/host")
            made = await town.ask("boss", "PUT", "/api/v1/records/88.118.aB/x", body())
            assert made["identifier"] == "88.118.AB/x"
            listed = await town.ask("boss", "GET", "/api/v1/prefixes/88.118.ab/records")
            assert [one["identifier"] for one in listed["records"]] == ["88.118.AB/x"]
            name = {"name": "88.118.ab/U.x", "roles": ["reader"]}
            assert (await town.ask("boss", "POST", "/api/v1/identities", name))["name"] == "88.118.AB/U.x"

    run(main())


def test_duplicated_indexes_are_refused_at_every_door_of_the_api() -> None:
    async def main() -> None:
        async with settled() as town, town.client("writer") as client:
            twice = {"values": [OK_VALUE, OK_VALUE]}
            check(await client.ask("PUT", record("P1"), twice), 422, "record.same-index")
            check(await client.ask("PUT", f"/api/v1/series/{PUMPS}/B-%7B1..9%7D", twice), 422, "record.same-index")
            await client.ask("PUT", f"{PREFIX}/rules/r", {"text": "M{00..99}"})
            check(await client.ask("POST", f"{PREFIX}/rules/r/mint", {"count": 1, **twice}), 422, "record.same-index")
            batch = {"records": [{"identifier": f"{PUMPS}/P1", **twice}]}
            [result] = (await client.ask("POST", "/api/v1/records:batch", batch)).json["results"]
            assert result["rule"] == "record.same-index"

    run(main())
