"""The vectors are what the generator writes, and hold for an implementation that shares no code with it."""

from __future__ import annotations

import re
from base64 import b32encode
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgpack
import pytest

from protocol.messages import Op
from tests.protocol import plain
from tests.vectors import generate
from tests.vectors.load import load, unshown


@pytest.mark.parametrize("name", generate.FILES)
def test_generating_again_gives_the_committed_file(name: str) -> None:
    committed = (generate.HERE / name).read_text(encoding="utf-8")
    assert generate.rendered(name) == committed, "python -m tests.vectors.generate"


def test_there_is_no_file_without_a_generator() -> None:
    assert {path.name for path in Path(generate.HERE).glob("*.json")} == set(generate.FILES)


@pytest.mark.parametrize("operation", load("messages")["operations"], ids=lambda one: one["name"])
def test_requests_and_responses_are_the_messagepack_that_they_say(operation: Any) -> None:
    rid = operation["rid"]
    request = bytes.fromhex(operation["request"])
    assert msgpack.unpackb(request) == [operation["op"], rid, *unshown(operation["arguments"])]
    assert request[2:11] == b"\xcf" + rid.to_bytes(8, "big")
    for said in operation["responses"]:
        response = bytes.fromhex(said["response"])
        assert msgpack.unpackb(response) == [rid, said["status"], unshown(said["payload"])]
        assert response[:10] == b"\x93\xcf" + rid.to_bytes(8, "big")


def test_every_operation_has_a_vector() -> None:
    assert {one["op"] for one in load("messages")["operations"]} >= set(Op)


def test_requests_over_udp_are_padded_to_what_lets_a_full_datagram_back() -> None:
    lengths = {
        one["name"]: len(one["request"]) // 2 for one in load("messages")["operations"] if "over UDP" in one["name"]
    }
    assert set(lengths.values()) == {411}, lengths


def test_the_proof_of_a_key_is_a_signature_over_context_zone_and_nonce() -> None:
    vector = load("messages")["authentication"]
    zone = vector["zone"].encode()
    signed = b"biaoshi prove 1\x00" + bytes([len(zone)]) + zone + bytes.fromhex(vector["nonce"])
    assert signed.hex() == vector["signed"]
    assert plain.public_of(bytes.fromhex(vector["seed"])).hex() == vector["public"]
    assert plain.sign(bytes.fromhex(vector["seed"]), signed).hex() == vector["signature"]


def test_a_readers_proof_names_the_zone_and_the_key_that_sealed_the_nonce() -> None:
    vector = load("messages")["reading"]
    zone, online = vector["zone"].encode(), bytes.fromhex(vector["online_key"])
    key_id = sha256(b"\x01" + online).digest()[:8]
    signed = b"biaoshi read 1\x00" + bytes([len(zone)]) + zone + key_id + bytes.fromhex(vector["nonce"])
    assert signed.hex() == vector["signed"]
    assert plain.public_of(bytes.fromhex(vector["seed"])).hex() == vector["public"]
    assert plain.sign(bytes.fromhex(vector["seed"]), signed).hex() == vector["signature"]
    assert sha256(vector["token"].encode()).hexdigest() == vector["kept"]


@pytest.mark.parametrize("turn", load("merkle")["trees"], ids=lambda one: f"{one['size']} bundles")
def test_trees_proofs_and_seals(turn: Any) -> None:
    merkle = load("merkle")
    public = bytes.fromhex(merkle["key"]["public"])
    data = []
    for bundle in turn["bundles"]:
        asked = bytes.fromhex("".join(bundle["requests"]))
        said = bytes.fromhex("".join(bundle["responses"]))
        data.append(sha256(asked).digest() + sha256(said).digest())
    assert plain.tree_hash(data).hex() == turn["root"]
    signed = b"biaoshi seal 1\x00" + merkle["time"].to_bytes(8, "big") + turn["size"].to_bytes(8, "big")
    assert (signed + bytes.fromhex(turn["root"])).hex() == turn["signed"]
    for i, bundle in enumerate(turn["bundles"]):
        assert sha256(b"\x00" + data[i]).hexdigest() == bundle["leaf"]
        assert b"".join(plain.inclusion_proof(i, data)).hex() == bundle["proof"]
        requests = [bytes.fromhex(one) for one in bundle["requests"]]
        responses = [bytes.fromhex(one) for one in bundle["responses"]]
        assert plain.seal_holds(requests, responses, bytes.fromhex(bundle["seal"]), public)
        assert not plain.seal_holds(requests[::-1], responses[::-1], bytes.fromhex(bundle["seal"]), public) or i == 0
    for one, other in pairwise(turn["bundles"]):
        asked = [bytes.fromhex(request) for request in one["requests"]]
        said = [bytes.fromhex(response) for response in one["responses"]]
        assert not plain.seal_holds(asked, said, bytes.fromhex(other["seal"]), public)


@pytest.mark.parametrize("vector", load("statements")["delegations"], ids=lambda one: one["name"])
def test_delegations(vector: Any) -> None:
    public = plain.public_of(bytes.fromhex(vector["signer"]["seed"]))
    assert public.hex() == vector["signer"]["public"]
    body = plain.statement_body(bytes.fromhex(vector["statement"]), b"biaoshi delegation 1\x00", [public])
    assert body == [
        vector["parent"],
        vector["child"],
        vector["serial"],
        vector["not_before"],
        vector["not_after"],
        [[algorithm, bytes.fromhex(raw)] for algorithm, raw in vector["keys"]],
        vector["addresses"],
    ]


@pytest.mark.parametrize("vector", load("statements")["online_keys"], ids=lambda one: one["name"])
def test_online_keys(vector: Any) -> None:
    public = plain.public_of(bytes.fromhex(vector["signer"]["seed"]))
    body = plain.statement_body(bytes.fromhex(vector["statement"]), b"biaoshi online key 1\x00", [public])
    algorithm, raw = vector["key"]
    assert body == [
        vector["zone"],
        vector["node"],
        [algorithm, bytes.fromhex(raw)],
        vector["not_before"],
        vector["not_after"],
    ]


@pytest.mark.parametrize("vector", load("statements")["requests"], ids=lambda one: one["name"])
def test_delegation_requests(vector: Any) -> None:
    first = bytes.fromhex(vector["keys"][0][1])
    assert first == plain.public_of(bytes.fromhex(vector["signer"]["seed"]))
    body = plain.statement_body(bytes.fromhex(vector["statement"]), b"biaoshi delegation request 1\x00", [first])
    keys = [[algorithm, bytes.fromhex(raw)] for algorithm, raw in vector["keys"]]
    assert body == [vector["child"], keys, vector["addresses"], vector["made"]]


@pytest.mark.parametrize("vector", load("statements")["successions"], ids=lambda one: one["name"])
def test_successions(vector: Any) -> None:
    key, following = ([algorithm, bytes.fromhex(raw)] for algorithm, raw in (vector["key"], vector["next_key"]))
    assert key[1] == plain.public_of(bytes.fromhex(vector["signer"]["seed"]))
    body = plain.statement_body(bytes.fromhex(vector["statement"]), b"biaoshi succession 1\x00", [key[1]])
    assert body == [vector["prefix"], key, following, vector["made"], vector["until"]]


def test_the_key_of_a_code_signs_a_request() -> None:
    vector = load("messages")["code"]
    code = bytes.fromhex(vector["bytes"])
    text = b32encode(code).decode()
    assert "-".join(text[at : at + 4] for at in range(0, 16, 4)) == vector["text"]
    seed = sha256(b"biaoshi code 1\x00" + code).digest()
    assert seed.hex() == vector["seed"]
    assert plain.public_of(seed).hex() == vector["public"]
    signed = b"biaoshi ask 1\x00" + bytes.fromhex(vector["request"])
    assert signed.hex() == vector["signed"]
    assert plain.sign(seed, signed).hex() == vector["signature"]
    assert vector["request"] == load("statements")["requests"][0]["statement"]


def relayed(name: str) -> list[tuple[bytes, str, list[bytes]]]:
    """The answers to a question of the vectors that come with proof, and the identifier that was asked for."""
    (one,) = [one for one in load("messages")["operations"] if one["name"] == name]
    asked = unshown(one["arguments"])[0]
    return [(asked, said["name"], unshown(said["payload"])) for said in one["responses"] if said["status"] in (0, 104)]


@pytest.mark.parametrize("name", ["resolve with proof", "resolve with proof over UDP"])
def test_a_proof_makes_a_receipt_with_its_chain(name: str) -> None:
    (shown,) = [one for one in load("messages")["operations"] if one["name"] == "chain to a proof"]
    delegations, online_keys = unshown(shown["responses"][0]["payload"])
    anchor = load("receipt")["anchor"]
    statuses = {"found": 0, "stale": 0, "absent": 100, "withdrawn": 101}
    for asked, said, proof in relayed(name):
        receipt = msgpack.packb([1, *proof, delegations, online_keys])
        identifier, status, _ = plain.receipt_answer(receipt, anchor["prefix"], bytes.fromhex(anchor["key"]))
        assert (identifier, status) == (asked, statuses[said])


def test_key_ids() -> None:
    for vector in [load("merkle")["key"], *load("statements")["keys"].values()]:
        public = plain.public_of(bytes.fromhex(vector["seed"]))
        assert (public.hex(), plain.key_id(public).hex()) == (vector["public"], vector["id"])


@pytest.mark.parametrize("vector", load("receipt")["good"], ids=lambda one: one["name"])
def test_receipts(vector: Any) -> None:
    anchor = load("receipt")["anchor"]
    raw = bytes.fromhex(vector["receipt"])
    identifier, status, payload = plain.receipt_answer(raw, anchor["prefix"], bytes.fromhex(anchor["key"]))
    assert (identifier.decode(), status) == (vector["identifier"], vector["status"])
    if status == 0:
        version, state, _, values = msgpack.unpackb(payload)
        assert (version, state) == (3, 0)
        assert values[0] == [1, "URL", b"https://example.cn/p/123456"]
    parts = [bytes.fromhex(vector[name]) for name in ("request", "response", "seal")]
    chain = [[bytes.fromhex(one) for one in vector[name]] for name in ("delegations", "online_keys")]
    assert msgpack.unpackb(raw) == [1, *parts, *chain]


PROVEN_BUT_NO_ANSWER = {"message.refused", "record.malformed"}


@pytest.mark.parametrize(
    "vector",
    [one for one in load("receipt")["bad"] if one["rule"] not in PROVEN_BUT_NO_ANSWER],
    ids=lambda one: one["name"],
)
def test_receipts_that_prove_nothing(vector: Any) -> None:
    anchor = load("receipt")["anchor"]
    with pytest.raises((AssertionError, ValueError)):
        plain.receipt_answer(bytes.fromhex(vector["receipt"]), anchor["prefix"], bytes.fromhex(anchor["key"]))


PLAIN_TEXT = r"(?:[^{}]|\{\{|\}\})*"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def members_of(pattern: str) -> tuple[int, Any]:
    """How many members a pattern has, and what gives the suffix of the n-th: from the documentation alone."""
    whole = rf"[^/]+/({PLAIN_TEXT})\{{([^{{}}]+)\}}({PLAIN_TEXT})"
    head, counters, tail = re.fullmatch(whole, pattern).groups()  # type: ignore[union-attr]
    span, *options = counters.split(";")
    first, last = span.split("..")
    base = 16 if "hex" in options else 36 if "base36" in options else 10
    head, tail = (part.replace("{{", "{").replace("}}", "}") for part in (head, tail))

    def member(n: int) -> str:
        number, counter = int(first, base) + n, ""
        for _ in first:
            number, digit = divmod(number, base)
            counter = DIGITS[digit] + counter
        check = ""
        if "gs1" in options:
            check = next(c for c in DIGITS[:10] if weighed(counter + c) % 10 == 0)
        return head + counter + check + tail

    return int(last, base) - int(first, base) + 1, member


def weighed(digits: str) -> int:
    return sum(int(one) * (3 if i % 2 else 1) for i, one in enumerate(reversed(digits)))


@pytest.mark.parametrize("vector", load("series")["patterns"], ids=lambda one: one["pattern"])
def test_members_of_a_pattern(vector: Any) -> None:
    count, member = members_of(vector["pattern"])
    assert count == vector["count"]
    assert [one["suffix"] for one in vector["members"]] == [member(one["n"]) for one in vector["members"]]


@pytest.mark.parametrize("vector", load("series")["members"], ids=lambda one: f"{one['pattern']} {one['suffix']}")
def test_bodies_of_members(vector: Any) -> None:
    prefix, suffix = vector["pattern"].partition("/")[0], vector["suffix"]
    count, member = members_of(vector["pattern"])
    first, last = re.search(r"\{(\w+)\.\.(\w+)", vector["pattern"]).groups()  # type: ignore[union-attr]
    counter = {member(0): first, member(count - 1): last}[suffix]
    fields = {"identifier": f"{prefix}/{suffix}", "prefix": prefix, "suffix": suffix, "counter": counter}
    kept = msgpack.unpackb(bytes.fromhex(vector["kept"]))
    for value in kept[3]:
        data = value[2]
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        url = value[1] == "URL"
        filled = {name: quote(one, safe="/-._~") if url else one for name, one in fields.items()}
        value[2] = text.format(**filled).encode()
    assert msgpack.unpackb(bytes.fromhex(vector["body"])) == kept
    kept[3] = [value for value in kept[3] if len(value) < 5 or value[4] & 2]
    assert msgpack.unpackb(bytes.fromhex(vector["public_body"])) == kept


LISTED = [one for one in load("series")["pairs"] if min(members_of(one[side])[0] for side in ("one", "other")) <= 1_000]
"""Pairs of series of which the smaller can be listed, member by member."""


@pytest.mark.parametrize("vector", LISTED, ids=lambda one: f"{one['one']} and {one['other']}")
def test_pairs_of_series(vector: Any) -> None:
    """The smaller of the two is listed."""
    one, other = vector["one"], vector["other"]
    if members_of(one)[0] > members_of(other)[0]:
        one, other = other, one
    count, member = members_of(one)
    total, far = members_of(other)
    listed = {member(n) for n in range(count)}
    if total <= 1_000:
        met = bool(listed & {far(n) for n in range(total)})
    else:  # the other is all decimals of a width with their check digits
        met = any(len(each) == 13 and weighed(each) % 10 == 0 for each in listed)
    assert vector["meet"] == (met and one.partition("/")[0] == other.partition("/")[0])
