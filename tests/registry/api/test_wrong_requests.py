"""Wrong requests: each gets its status, the rule that it breaks and a sentence that helps, and nothing is half done."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Final, NamedTuple

import pytest

from protocol.identifiers import parse
from protocol.records import Value, encode_values
from registry.api.credentials import proof_bytes
from registry.store.memory import MemoryStore
from registry.store.writes import ANY, Write
from tests.registry.api.serving import ENTERPRISE, NOW, OWNER, ZONE, Reply, Serving, serving
from tests.registry.store.builders import everything
from tests.resolver.servers import run

ONE: Final = "/api/v1/records/88.118.1/P1"
"""Registered, at version 2."""
NEW: Final = "/api/v1/records/88.118.1/new"
GONE: Final = "/api/v1/records/88.118.1/gone"
BATCH: Final = "/api/v1/records:batch"
IMPORT: Final = "/api/v1/prefixes/88.118.1/records:import"
LIST: Final = "/api/v1/prefixes/88.118.1/records"
EXPORT: Final = "/api/v1/prefixes/88.118.1/records:export"
SESSIONS: Final = "/api/v1/sessions"
OK_VALUE: Final = {"index": 1, "type": "URL", "data": "https://example.com/"}
OK_BODY: Final = {"values": [OK_VALUE]}
JSON: Final = {"Content-Type": "application/json"}


def values(*given: Any) -> dict[str, Any]:
    """The body of a PUT."""
    return {"values": list(given)}


def value(**other: Any) -> dict[str, Any]:
    """The body of a PUT of one value, a part of which is another."""
    return values({**OK_VALUE, **other})


class Wrong(NamedTuple):
    """A request of an enterprise that may write below 88.118.1, and what it gets. ``says`` stands in the sentence."""

    name: str
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    status: int
    rule: str
    says: str = ""


def wrong(
    name: str, method: str, path: str, status: int, rule: str, body: Any = None, says: str = "", **headers: str
) -> Wrong:
    """A row of the table."""
    return Wrong(name, method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}, status, rule, says)


TABLE: Final = [
    # Who calls
    wrong("no token", "GET", ONE, 401, "api.no-token", Authorization=""),
    wrong("another scheme", "GET", ONE, 401, "api.no-token", Authorization="Basic dTpw"),
    wrong("bearer without a token", "GET", ONE, 401, "api.no-token", Authorization="Bearer "),
    wrong("an unknown token", "GET", ONE, 401, "api.bad-token", Authorization="Bearer nonsense"),
    wrong("a token that is no ASCII", "GET", ONE, 401, "api.bad-token", Authorization="Bearer 泵\udcff"),
    wrong("a token with a right elsewhere reads", "GET", "/api/v1/records/88.118.2/P1", 403, "rights.other-prefix"),
    wrong("and writes", "PUT", "/api/v1/records/88.118.2/P1", 403, "rights.other-prefix", OK_BODY, "88.118.2"),
    wrong("and withdraws", "DELETE", "/api/v1/records/88.118.2/P1", 403, "rights.other-prefix"),
    wrong("and lists", "GET", "/api/v1/prefixes/88.118/records", 403, "rights.other-prefix"),
    wrong("and exports", "GET", "/api/v1/prefixes/88.118.2/records:export", 403, "rights.other-prefix"),
    wrong("and imports", "POST", "/api/v1/prefixes/88.118.11/records:import", 403, "rights.other-prefix", b"\n",
          Content_Type="application/x-ndjson"),
    wrong("a prefix that only begins alike", "PUT", "/api/v1/records/88.118.10/P1", 403, "rights.other-prefix",
          OK_BODY),
    # Paths
    wrong("no such path", "GET", "/api/v2/records/88.118.1/P1", 404, "api.no-path"),
    wrong("a slash too many at the end", "GET", LIST + "/", 404, "api.no-path"),
    wrong("doubled slashes in front", "GET", "//api/v1/status", 404, "api.no-path"),
    wrong("dots that climb", "GET", "/api/v1/../../etc/passwd", 404, "api.no-path"),
    wrong("encoded dots that climb", "GET", "/api/v1/%2e%2e/%2e%2e/etc/passwd", 404, "api.no-path"),
    wrong("an encoded slash in the fixed part", "GET", "/api%2Fv1/status", 404, "api.no-path"),
    wrong("a method that is not there", "PATCH", ONE, 405, "api.no-method", OK_BODY, "PUT"),
    wrong("POST where PUT is meant", "POST", ONE, 405, "api.no-method", OK_BODY),
    wrong("a method nobody knows", "BREW", ONE, 400, "api.bad-http", says="method"),
    wrong("TRACE", "TRACE", "/", 405, "api.no-method"),
    wrong("an escape that is none", "GET", "/api/v1/records/88.118.1/100%", 400, "api.bad-path", says="%25"),
    wrong("another", "PUT", "/api/v1/records/88.118.1/%zz", 400, "api.bad-path", OK_BODY),
    wrong("bytes that are no UTF-8", "PUT", "/api/v1/records/88.118.1/%ff", 400, "identifier.not-utf8", OK_BODY),
    wrong("UTF-8 that is longer than need be", "PUT", "/api/v1/records/88.118.1%c0%afx", 400, "identifier.not-utf8",
          OK_BODY),
    wrong("an encoded surrogate", "PUT", "/api/v1/records/88.118.1/%ed%a0%80", 400, "identifier.not-utf8", OK_BODY),
    wrong("no identifier", "PUT", "/api/v1/records/", 400, "identifier.no-slash", OK_BODY),
    wrong("no slash", "PUT", "/api/v1/records/88.118.1", 400, "identifier.no-slash", OK_BODY, "88.118.32001/P001"),
    wrong("no suffix", "PUT", "/api/v1/records/88.118.1/", 400, "identifier.empty-suffix", OK_BODY),
    wrong("no prefix", "PUT", "/api/v1/records//P1", 400, "identifier.empty-prefix", OK_BODY),
    wrong("an empty segment", "PUT", "/api/v1/records/88..1/P1", 400, "identifier.empty-segment", OK_BODY),
    wrong("a line end within", "PUT", "/api/v1/records/88.118.1/a%0ab", 400, "identifier.control-character", OK_BODY),
    wrong("a zero byte within", "GET", "/api/v1/records/88.118.1/%00", 400, "identifier.control-character"),
    wrong("a system record", "GET", "/api/v1/records/%01delegation/88.118.1", 400, "identifier.control-character"),
    wrong("a system prefix", "GET", "/api/v1/prefixes/%01delegation/records", 400, "identifier.control-character"),
    wrong("too long", "PUT", "/api/v1/records/88.118.1/" + "x" * 480, 400, "identifier.too-long", OK_BODY, "480"),
    wrong("a prefix too long", "PUT", "/api/v1/records/" + "8" * 65 + "/x", 400, "identifier.prefix-too-long", OK_BODY),
    wrong("a prefix with an encoded slash", "GET", "/api/v1/prefixes/88.118.1%2Fx/records", 400,
          "identifier.slash-in-prefix"),
    # Queries
    wrong("a query where there is none", "GET", ONE + "?verbose=1", 400, "api.bad-query", says="%3F"),
    wrong("an unknown parameter", "GET", LIST + "?page=2", 400, "api.bad-query", says="page"),
    wrong("a limit of none", "GET", LIST + "?limit=0", 400, "api.bad-query"),
    wrong("a limit too high", "GET", LIST + "?limit=1001", 400, "api.bad-query", says="1000"),
    wrong("a limit that is no number", "GET", LIST + "?limit=all", 400, "api.bad-query"),
    wrong("a limit twice", "GET", LIST + "?limit=1&limit=2", 400, "api.bad-query", says="twice"),
    wrong("a parameter without a value", "GET", LIST + "?limit", 400, "api.bad-query"),
    wrong("too many parameters", "GET", LIST + "?" + "&".join(f"a{i}=1" for i in range(100)), 400, "api.bad-query"),
    wrong("a query that is no UTF-8", "GET", LIST + "?cursor=%ff", 400, "api.bad-query"),
    wrong("a cursor that is none", "GET", LIST + "?cursor=abc", 400, "api.bad-cursor"),
    wrong("a cursor with foreign signs", "GET", LIST + "?cursor=%21%21", 400, "api.bad-cursor"),
    wrong("a cursor that is too long", "GET", LIST + "?cursor=" + "QQ" * 600, 400, "api.bad-query"),
    # Bodies
    wrong("no body", "PUT", NEW, 400, "api.bad-json", b""),
    wrong("no JSON", "PUT", NEW, 400, "api.bad-json", b"index=1"),
    wrong("JSON cut off", "PUT", NEW, 400, "api.bad-json", b'{"values":[{"index":1'),
    wrong("something behind it", "PUT", NEW, 400, "api.bad-json", json.dumps(OK_BODY).encode() + b"{}"),
    wrong("a byte order mark", "PUT", NEW, 400, "api.bad-json", b"\xef\xbb\xbf" + json.dumps(OK_BODY).encode()),
    wrong("UTF-16", "PUT", NEW, 400, "api.bad-json", json.dumps(OK_BODY).encode("utf-16")),
    wrong("broken UTF-8 in a text", "PUT", NEW, 400, "api.bad-json",
          b'{"values":[{"index":1,"type":"T","data":"\xff\xfe"}]}'),
    wrong("half a surrogate pair", "PUT", NEW, 400, "api.bad-json",
          b'{"values":[{"index":1,"type":"T","data":"\\ud800"}]}'),
    wrong("an array", "PUT", NEW, 400, "api.bad-json", [OK_BODY], "object"),
    wrong("nested a hundred thousand times", "PUT", NEW, 400, "api.bad-json", b'{"values":' + b"[" * 100_000),
    wrong("the same behind an unknown key", "PUT", NEW, 400, "api.bad-json", b'{"x":' + b'{"x":' * 100_000, "x"),
    wrong("an unknown key", "PUT", NEW, 400, "api.bad-json", {**OK_BODY, "ttl": 5}, "ttl"),
    wrong("an unknown key of a value", "PUT", NEW, 400, "api.bad-json", value(name="x"), "name"),
    wrong("a key twice", "PUT", NEW, 400, "api.key-twice",
          b'{"values":[],"values":[{"index":1,"type":"T","data":"x"}]}', "values"),
    wrong("twice in a value", "PUT", NEW, 400, "api.key-twice",
          b'{"values":[{"index":1,"index":2,"type":"T","data":"x"}]}', "index"),
    wrong("twice in disguise", "PUT", NEW, 400, "api.key-twice",
          b'{"values":[{"index":1,"index" :2,"type":"T","data":"\\u0022:"}]}'),
    wrong("no values", "PUT", NEW, 422, "record.no-values", values()),
    wrong("values that are null", "PUT", NEW, 400, "api.bad-json", {"values": None}),
    wrong("no index", "PUT", NEW, 400, "api.bad-json", values({"type": "T", "data": "x"}), "index"),
    wrong("index 0", "PUT", NEW, 400, "api.bad-json", value(index=0), "values[0].index"),
    wrong("an index too high", "PUT", NEW, 400, "api.bad-json", value(index=1 << 32)),
    wrong("an index of a thousand digits", "PUT", NEW, 400, "api.bad-json",
          b'{"values":[{"index":' + b"9" * 1_000 + b"}]}"),
    wrong("an index that is text", "PUT", NEW, 400, "api.bad-json", value(index="1")),
    wrong("an index that is a fraction", "PUT", NEW, 400, "api.bad-json", value(index=1.5)),
    wrong("an index twice", "PUT", NEW, 422, "record.same-index", values(OK_VALUE, OK_VALUE), "index 1"),
    wrong("an empty type", "PUT", NEW, 400, "api.bad-json", value(type="")),
    wrong("a type too long", "PUT", NEW, 400, "api.bad-json", value(type="T" * 129), "128"),
    wrong("data that is a number", "PUT", NEW, 400, "api.bad-json", value(data=5)),
    wrong("no data", "PUT", NEW, 422, "record.one-data", values({"index": 7, "type": "T"}), "7"),
    wrong("data twice", "PUT", NEW, 422, "record.one-data", value(data_base64="aGk=")),
    wrong("base64 that is none", "PUT", NEW, 400, "api.bad-json", values({"index": 1, "type": "T",
          "data_base64": "???"})),
    wrong("data too long", "PUT", NEW, 422, "record.data-too-long", value(data="x" * 16_385), "16384"),
    wrong("a record too large", "PUT", NEW, 422, "record.too-large",
          values(*({**OK_VALUE, "index": i, "data": "x" * 16_000} for i in (1, 2, 3))), "32768"),
    wrong("too many values", "PUT", NEW, 400, "api.bad-json", values(*({**OK_VALUE, "index": i} for i in range(1,
          1_002)))),
    wrong("a ttl below none", "PUT", NEW, 400, "api.bad-json", value(ttl=-1)),
    wrong("a ttl too long", "PUT", NEW, 400, "api.bad-json", value(ttl=172_801), "172800"),
    wrong("permissions that are none", "PUT", NEW, 400, "api.bad-json", value(permissions=16)),
    wrong("a body too large", "PUT", NEW, 413, "api.body-too-large", b"[" + b" " * (4 << 20) + b"]", "import"),
    wrong("a body that says it is too large", "PUT", NEW, 413, "api.body-too-large", b"", Content_Length=str(1 << 40)),
    wrong("a form", "PUT", NEW, 415, "api.other-content", b"a=1", "application/json",
          Content_Type="application/x-www-form-urlencoded"),
    wrong("XML", "PUT", NEW, 415, "api.other-content", b"<a/>", Content_Type="text/xml"),
    wrong("NDJSON where one object is wanted", "PUT", NEW, 415, "api.other-content", b"{}",
          Content_Type="application/x-ndjson"),
    wrong("another character set", "PUT", NEW, 415, "api.other-content", OK_BODY, "UTF-8",
          Content_Type="application/json; charset=gb18030"),
    wrong("a compressed body", "PUT", NEW, 415, "api.other-content", b"\x1f\x8b\x08", Content_Encoding="gzip"),
    wrong("a type of no text", "PUT", NEW, 415, "api.other-content", OK_BODY, Content_Type="text/\udcff"),
    wrong("a compression of no text", "PUT", NEW, 415, "api.other-content", OK_BODY, Content_Encoding="\udcff"),
    wrong("a character set of no text", "PUT", NEW, 415, "api.other-content", OK_BODY,
          Content_Type="application/json; charset=\udcff"),
    wrong("an expectation of no text", "PUT", NEW, 400, "api.bad-header", OK_BODY, Expect="\udcff"),
    wrong("a condition of no text", "PUT", ONE, 400, "api.bad-condition", OK_BODY, If_Match="\udcff"),
    wrong("a key of no text", "POST", BATCH, 400, "api.bad-header", {"records": []}, Idempotency_Key="\udcff"),
    wrong("a path of no text", "GET", "/\udcff", 400, "api.bad-http", says="path"),
    wrong("an identifier of raw bytes", "GET", "/api/v1/records/88.118.1/\udcff", 400, "api.bad-http", says="path"),
    wrong("a query of raw bytes", "GET", LIST + "?cursor=\udcff", 400, "api.bad-http", says="query"),
    wrong("a body for a read", "GET", ONE, 400, "api.unexpected-body", OK_BODY),
    wrong("a body for a withdrawal", "DELETE", ONE, 400, "api.unexpected-body", OK_BODY),
    # Headers
    wrong("an expectation nobody knows", "PUT", NEW, 400, "api.bad-header", OK_BODY, "100-continue", Expect="coffee"),
    wrong("an Idempotency-Key with a space", "POST", BATCH, 400, "api.bad-header", {"records": []},
          Idempotency_Key="a b"),
    wrong("one that is too long", "POST", BATCH, 400, "api.bad-header", {"records": []}, Idempotency_Key="k" * 256),
    # Conditions
    wrong("another version", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, "version 2", If_Match='"1"'),
    wrong("a version to come", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, If_Match='"3"'),
    wrong("a version beyond all", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, If_Match='"' + "9" * 19 + '"'),
    wrong("a foreign tag", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, If_Match='"abc"'),
    wrong("a weak tag", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, If_Match='W/"2"'),
    wrong("a version of what is not there", "PUT", NEW, 412, "api.not-registered", OK_BODY, If_Match='"1"'),
    wrong("anything where nothing is", "PUT", NEW, 412, "api.not-registered", OK_BODY, If_Match="*"),
    wrong("nothing where something is", "PUT", ONE, 412, "api.not-carried-out", OK_BODY, If_None_Match="*"),
    wrong("two versions", "PUT", ONE, 400, "api.bad-condition", OK_BODY, If_Match='"1", "2"'),
    wrong("two conditions", "PUT", ONE, 400, "api.bad-condition", OK_BODY, If_Match='"2"', If_None_Match="*"),
    wrong("any but a version", "PUT", ONE, 400, "api.bad-condition", OK_BODY, If_None_Match='"2"'),
    wrong("a version without quotation marks", "PUT", ONE, 400, "api.bad-condition", OK_BODY, If_Match="2"),
    wrong("withdrawing another version", "DELETE", ONE, 412, "api.not-carried-out", If_Match='"1"'),
    # What is not there
    wrong("reading what is not there", "GET", NEW, 404, "api.not-registered", says="88.118.1/new"),
    wrong("withdrawing what is not there", "DELETE", NEW, 404, "api.not-registered"),
    wrong("reading what was withdrawn", "GET", GONE, 410, "api.withdrawn"),
    # Batches
    wrong("a batch that is too large", "POST", BATCH, 413, "message.too-many",
          {"records": [{"identifier": "88.118.1/x", "values": []}] * 2_001}, "2000"),
    wrong("a batch without its key", "POST", BATCH, 400, "api.bad-json", [], "object"),
    wrong("an item that is none", "POST", BATCH, 400, "api.bad-json", {"records": [{"identifier": "88.118.1/n",
          **OK_BODY}, 5]},
          "records[1]"),
    wrong("a version below none", "POST", BATCH, 400, "api.bad-json",
          {"records": [{"identifier": "88.118.1/n", "if_version": -1, **OK_BODY}]}),
    wrong("an update that is neither", "POST", BATCH + "?update=maybe", 400, "api.bad-query", {"records": []}),
    # Imports
    wrong("an import of CSV", "POST", IMPORT, 415, "api.other-content", b"a,b\n", "ndjson", Content_Type="text/csv"),
    wrong("a compressed import", "POST", IMPORT, 415, "api.other-content", b"\x1f\x8b", Content_Encoding="gzip"),
    wrong("an import of JSON", "POST", IMPORT, 415, "api.other-content", OK_BODY),
    # Sessions
    wrong("a key that is none", "POST", SESSIONS, 400, "key.malformed", {"key": "ed25519:abc"}),
    wrong("a key of another kind", "POST", SESSIONS, 400, "key.malformed", {"key": "rsa:AAAA"}),
    wrong("a key that may do nothing here", "POST", SESSIONS, 403, "rights.unknown-key",
          {"key": "ed25519:" + "A" * 43 + "="}),
    wrong("a signature without a challenge", "PUT", SESSIONS + "/nobody", 404, "api.no-session", {"signature": "AAAA"}),
    wrong("a signature that is no base64", "PUT", SESSIONS + "/nobody", 400, "api.bad-json", {"signature": "!"}),
]  # fmt: skip


def seeded() -> MemoryStore:
    """A store in which one record is at version 2 and another withdrawn."""
    store = MemoryStore()
    for text in ("a", "b"):
        store.apply([Write(b"88.118.1/P1", ANY, encode_values([Value(1, "TEXT", text.encode())]), False)], NOW)
    store.apply([Write(b"88.118.1/gone", ANY, encode_values([Value(1, "TEXT", b"x")]), False)], NOW)
    store.apply([Write(b"88.118.1/gone", ANY, None, False)], NOW)
    return store


def check(reply: Reply, status: int, rule: str, says: str = "") -> None:
    """Whether an answer is the problem that it should be."""
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    problem = reply.json
    assert problem["rule"] == rule, problem
    assert problem["type"] == f"https://biaoshi.example/rules/{rule}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["request"] == reply.headers["x-request-id"]
    assert len(problem["detail"]) > 10
    assert says in problem["detail"], problem
    assert "Traceback" not in problem["detail"]
    assert (status == 401) == ("www-authenticate" in reply.headers)
    assert (status == 405) == ("allow" in reply.headers)


def test_the_table_is_long_and_names_each_row_once() -> None:
    assert len(TABLE) >= 100
    assert len({(row.name, row.path) for row in TABLE}) == len(TABLE)


def test_every_wrong_request_gets_what_it_should_and_changes_nothing() -> None:
    async def main() -> None:
        store = seeded()
        before = everything(store)
        async with serving(store) as api:
            token = await api.token(ENTERPRISE)
            failed = []
            for row in TABLE:
                async with api.client(token) as client:
                    reply = await client.ask(row.method, row.path, row.body, row.headers)
                    try:
                        check(reply, row.status, row.rule, row.says)
                        assert everything(store) == before
                    except AssertionError as error:
                        failed.append(f"{row.name}: {reply} {error}")
            assert not failed, "\n".join(failed)

    run(main(), seconds=60)


def test_the_same_connection_goes_on_after_wrong_requests() -> None:
    """A refusal leaves nothing behind that the next request would be taken for."""

    async def main() -> None:
        async with serving(seeded()) as api, api.client(await api.token(ENTERPRISE)) as client:
            for row in TABLE:
                if row.method in ("GET", "DELETE") or isinstance(row.body, dict):
                    if "Authorization" in row.headers or row.status == 413 or row.rule == "api.bad-http":
                        continue
                    reply = await client.ask(row.method, row.path, row.body, row.headers)
                    assert reply.status == row.status, row.name
            assert (await client.ask("GET", ONE)).json["version"] == 2

    run(main(), seconds=60)


def test_sentences_are_chinese_for_who_asks_for_it() -> None:
    async def main() -> None:
        async with serving(seeded()) as api, api.client(await api.token(ENTERPRISE)) as client:
            reply = await client.ask("GET", NEW, headers={"Accept-Language": "zh-CN,zh;q=0.9"})
            assert reply.json["detail"] == "88.118.1/new 尚未注册"
            assert reply.headers["content-language"] == "zh"

    run(main())


# What is no HTTP, or asks for something dangerous of it ----------------------------------------------------------

HEAD: Final = b"PUT /api/v1/records/88.118.1/new HTTP/1.1\r\nHost: api\r\n"
RAW: Final = {
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no HTTP at all": b"hello there\r\n\r\n",
    "a binary protocol": bytes(range(1, 64)) + b"\r\n\r\n",
    "a version nobody knows": b"GET / HTTP/9.9\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost api\r\n\r\n",
    "a header with a space before the colon": b"GET / HTTP/1.1\r\nHost : api\r\n\r\n",
    "a header folded over two lines": b"GET / HTTP/1.1\r\nHost: api\r\nX-A: b\r\n c\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length below none": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length that is no number": HEAD + b"Content-Length: 1e3\r\n\r\n",
    "a length and chunks (smuggling)": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a header that is too long": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 10_000 + b"\r\n\r\n",
    "a path that is too long": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(100)) + b"\r\n",
    "a zero byte in a header": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_http_gets_a_problem_and_is_closed(name: str) -> None:
    async def main() -> None:
        store = seeded()
        before = everything(store)
        async with serving(store) as api, api.client() as client:
            reply = await client.send(RAW[name])
            check(reply, 400, "api.bad-http")
            assert await client.reader.read() == b""
            assert everything(store) == before

    run(main())


async def _ask_raw(api: Serving, head: str, body: bytes = b"") -> Reply:
    async with api.client() as client:
        token = await api.token(ENTERPRISE)
        return await client.send(head.replace("TOKEN", token).encode() + body)


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "If-Match", "Idempotency-Key"])
def test_a_header_that_means_something_stands_once(name: str) -> None:
    given = {
        "Authorization": "Bearer TOKEN",
        "Content-Type": "application/json",
        "If-Match": "*",
        "Idempotency-Key": "k",
    }

    async def main() -> None:
        async with serving(seeded()) as api:
            batch = name == "Idempotency-Key"
            body = b'{"records":[]}' if batch else json.dumps(OK_BODY).encode()
            lines = [f"{one}: {text}\r\n" for one, text in given.items() if batch or one != "Idempotency-Key"]
            head = f"{'POST ' + BATCH if batch else 'PUT ' + ONE} HTTP/1.1\r\nHost: a\r\n{''.join(lines)}"
            head += f"{name}: {given[name]}\r\nContent-Length: {len(body)}\r\n\r\n"
            # Of some aiohttp itself takes one alone.
            rule = "api.bad-http" if name == "Content-Type" else "api.header-twice"
            check(await _ask_raw(api, head, body), 400, rule, name)

    run(main())


def test_chunks_that_are_none_are_refused() -> None:
    async def main() -> None:
        store = seeded()
        before = everything(store)
        async with serving(store) as api:
            head = f"PUT {NEW} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n"
            async with api.client() as client:
                token = await api.token(ENTERPRISE)
                client.writer.write(head.replace("TOKEN", token).encode() + b'2\r\n{"\r\n')
                await asyncio.sleep(0.05)
                check(await client.send(b"zz\r\nxx\r\n"), 400, "api.body-cut")
            assert everything(store) == before

    run(main())


def test_replays_of_a_proof_and_foreign_ones_get_no_token() -> None:
    """A challenge serves once, for one key."""

    async def main() -> None:
        async with serving(seeded()) as api, api.client() as client:

            async def begin() -> tuple[str, bytes]:
                begun = (await client.ask("POST", SESSIONS, {"key": str(OWNER.public)})).json
                return f"{SESSIONS}/{begun['session']}", base64.b64decode(begun["challenge"])

            def signed(key: Any, zone: str, challenge: bytes) -> dict[str, str]:
                return {"signature": base64.b64encode(key.sign(proof_bytes(zone, challenge))).decode()}

            for key, zone in ((ENTERPRISE, ZONE), (OWNER, "88.119")):
                path, challenge = await begin()
                check(await client.ask("PUT", path, signed(key, zone, challenge)), 401, "rights.no-proof")
                check(await client.ask("PUT", path, signed(OWNER, ZONE, challenge)), 404, "api.no-session")
            path, challenge = await begin()
            assert (await client.ask("PUT", path, signed(OWNER, ZONE, challenge))).status == 200
            check(await client.ask("PUT", path, signed(OWNER, ZONE, challenge)), 404, "api.no-session")

    run(main())


def test_a_prefix_in_mixed_case_is_one_prefix() -> None:
    async def main() -> None:
        async with serving() as api, api.client(await api.token()) as client:
            made = await client.ask("PUT", "/api/v1/records/88.118.ab/P1", OK_BODY)
            assert (made.status, made.json["identifier"]) == (201, "88.118.AB/P1")
            again = await client.ask("PUT", "/api/v1/records/88.118.Ab/P1", OK_BODY)
            assert (again.status, again.json["changed"]) == (200, False)
            assert (await client.ask("GET", "/api/v1/records/88.118.aB/p1")).status == 404  # suffixes have their case
            assert parse("88.118.ab/P1").prefix == "88.118.AB"

    run(main())
