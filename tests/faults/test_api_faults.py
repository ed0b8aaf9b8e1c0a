"""The registry killed in the midst of an upload over HTTP: what was told to be durable is there, nothing is torn."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from typing import Any, Final

from protocol.records import decode_body
from registry.store.lmdb.reader import LmdbReader
from tests.conftest import MakeNode
from tests.e2e.nodes import Node, change
from tests.registry.store.builders import check_agreement

HOST: Final = "127.0.0.34"
PATH: Final = "/api/v1/prefixes/88.118.1/records:import"
LINES: Final = 60_000


def line(number: int) -> bytes:
    """A line of the upload."""
    return b'{"identifier":"88.118.1/P%08d","values":[{"index":1,"type":"TEXT","data":"product %d"}]}\n' % (
        number,
        number,
    )


def connect(node: Node) -> tuple[http.client.HTTPConnection, str]:
    """A connection to the API, and a token."""
    url = json.loads((node.directory / "run.json").read_text("utf-8"))["api"]
    outcome = node.run("api", "token")
    assert outcome.code == 0, outcome.err
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=30), outcome.out.strip()


def upload(connection: http.client.HTTPConnection, token: str, count: int) -> list[dict[str, Any]]:
    """Upload whole; what is told."""
    body = b"".join(map(line, range(count)))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    assert response.status == 200
    return [json.loads(one) for one in response.read().splitlines()]


def last_told(response: http.client.HTTPResponse) -> dict[str, Any]:
    """The last line of an answer that breaks off."""
    told: dict[str, Any] = {}
    try:
        while text := response.readline():
            told = json.loads(text)
    except (OSError, http.client.HTTPException):
        return told
    raise AssertionError(f"it did not break off: {told}")


def test_an_upload_that_is_killed_is_sent_again(make_node: MakeNode) -> None:
    node = make_node(HOST)
    change(node.config, "enabled", "true")
    node.start()
    connection, token = connect(node)
    connection.putrequest("POST", PATH)
    for name, value in {"Authorization": f"Bearer {token}", "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    sent = 0
    for number in range(0, LINES // 2, 500):
        chunk = b"".join(map(line, range(number, number + 500)))
        connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        sent = number + 500
    response = connection.getresponse()
    told = json.loads(response.readline())
    assert told["kind"] == "durable"
    last = line(sent)[:40]  # and within a line
    connection.send(b"%x\r\n%b\r\n" % (len(last), last))
    os.kill(node.process("registry"), signal.SIGKILL)
    told = last_told(response) or told
    durable = told["lines"]
    assert 0 < durable <= sent

    reader = LmdbReader(node.directory / "store")
    records = check_agreement(reader)
    reader.close()
    assert durable <= len(records) <= sent
    assert sorted(records) == [f"88.118.1/P{number:08d}".encode() for number in range(len(records))]
    assert {decode_body(body).version for body in records.values()} == {1}

    deadline = time.monotonic() + 20
    while True:  # the supervisor starts it again, at the same address
        try:
            connection, token = connect(node)
            *_, done = upload(connection, token, LINES)
        except (AssertionError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            break
    assert done["kind"] == "done"
    assert (done["changed"], done["unchanged"], done["refused"]) == (LINES - len(records), len(records), 0)
    connection.close()
    assert node.stop() == 0
