"""What is encoded decodes to itself."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IdentifierError, MessageError
from protocol.exchange import read_chain
from protocol.framing import decode_one, split
from protocol.identifiers import covers, normal, parse
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.merkle import leaf_hash, root_from_proof, tree
from protocol.messages import (
    Op,
    encode_failure,
    encode_request,
    encode_response,
    read_request,
    read_response,
    refusal,
)
from protocol.receipts import encode_receipt, verify_receipt
from protocol.records import (
    Record,
    State,
    Value,
    check_values,
    decode_body,
    encode_body,
    encode_values,
    public_body,
    split_body,
)
from protocol.seals import Seal, encode_seal, leaf, read_seal, seal_turn
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import Address, Delegation, OnlineKey, read_delegation, read_online_key
from protocol.status import Status
from protocol.trust import Chain
from tests.fuzz.decoders import same
from tests.property.strategies import FEW, MANY, anything, identifiers, prefixes, rids, u32, u63, value_lists
from tests.protocol import plain
from tests.protocol.test_messages import as_decoded
from tests.vectors.actors import ANCHOR, NOW_MS, SECONDARY, SECONDARY_CHAIN, answered

# Identifiers ---------------------------------------------------------------------------------------------


@MANY
@given(text=identifiers)
def test_identifiers(text: str) -> None:
    form = normal(text.encode())
    assert normal(form) == form
    prefix, suffix = parse(text)
    assert suffix == text.split("/", 1)[1]
    assert f"{prefix}/{suffix}".encode() == form
    assert covers(prefix, prefix)
    assert covers(prefix, prefix + ".1")


@MANY
@given(text=identifiers)
def test_the_spelling_of_ascii_letters_in_the_prefix_does_not_matter(text: str) -> None:
    prefix, suffix = text.split("/", 1)
    swapped = "".join(one.swapcase() if one.isascii() else one for one in prefix)
    assert normal(f"{swapped}/{suffix}".encode()) == normal(text.encode())


def slowly_legal(raw: bytes) -> bool:
    """The rules of docs/protocol.md, one by one."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    prefix, slash, suffix = text.partition("/")
    return (
        len(raw) <= 480
        and len(prefix.encode()) <= 64
        and bool(slash and suffix)
        and all(prefix.split("."))
        and not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in text)
    )


@MANY
@given(raw=st.binary(max_size=30) | st.text("a./泵\x00\x7f\x85é", max_size=12).map(str.encode))
def test_what_is_legal(raw: bytes) -> None:
    try:
        normal(raw)
        legal = True
    except IdentifierError:
        legal = False
    assert legal == slowly_legal(raw)


@MANY
@given(zone=prefixes, prefix=prefixes)
def test_covering_is_by_whole_segments(zone: str, prefix: str) -> None:
    segments, below = zone.split("."), prefix.split(".")
    assert covers(zone, prefix) == (below[: len(segments)] == segments)
    assert covers(zone, f"{zone}.{prefix}")
    assert not covers(f"{zone}.{prefix}", zone)


# Records -------------------------------------------------------------------------------------------------


@MANY
@given(values=value_lists, version=st.integers(1, (1 << 64) - 1), time=rids, state=st.sampled_from(State))
def test_records(values: list[Value], version: int, time: int, state: State) -> None:
    encoded = encode_values(values)
    assert check_values(encoded) == values
    body = encode_body(version, state, time, encoded)
    assert decode_body(body) == Record(version, state, time, tuple(values))
    assert split_body(body) == (version, state, time, encoded)
    public = public_body(body)
    assert decode_body(public).values == tuple(value for value in values if value.public)
    assert public_body(public) == public


@MANY
@given(values=value_lists)
def test_records_are_what_plain_messagepack_makes_of_them(values: list[Value]) -> None:
    rows = []
    for value in values:
        row = [value.index, value.type, value.data, value.ttl, value.permissions, value.timestamp, value.readers]
        for default in ((), 0, 14, 86_400):
            if row[-1] != default:
                break
            row.pop()
        rows.append(row)
    assert encode_values(values) == msgpack.packb(rows)


# Messages ------------------------------------------------------------------------------------------------


@MANY
@given(op=st.sampled_from(Op), rid=rids, arguments=st.lists(anything, max_size=6))
def test_requests(op: Op, rid: int, arguments: list[object]) -> None:
    wire = encode_request(op, rid, *arguments)
    assert same(read_request(decode_one(wire, MAX_MESSAGE_BYTES)), (int(op), rid, as_decoded(list(arguments))))
    assert same(msgpack.unpackb(wire, strict_map_key=False), [int(op), rid, *arguments])


@MANY
@given(rid=rids, status=st.integers(-(1 << 63), (1 << 64) - 1), payload=anything)
def test_responses(rid: int, status: int, payload: object) -> None:
    wire = encode_response(rid, status, payload)
    ((message, own),) = split(wire)
    assert own == wire
    assert same(tuple(read_response(message)), (rid, status, as_decoded(payload)))


@MANY
@given(raw=st.binary(max_size=20))
def test_errors_cross_the_wire(raw: bytes) -> None:
    try:
        normal(raw)
    except IdentifierError as error:
        response = read_response(decode_one(encode_failure(1, error)))
        again = refusal(response.status, response.payload)
        problem = (error.rule, error.details, error.status, str(error))
        assert problem == (again.rule, again.details, again.status, str(again))


# Seals and the tree --------------------------------------------------------------------------------------


@MANY
@given(
    n=st.integers(1, (1 << 32) - 1),
    time=u63,
    key_id=st.binary(min_size=8, max_size=8),
    size=st.integers(1, (1 << 32) - 1),
    index=u32,
    steps=st.integers(0, 32),
    signature=st.binary(min_size=64, max_size=64),
)
def test_seals(n: int, time: int, key_id: bytes, size: int, index: int, steps: int, signature: bytes) -> None:
    seal = Seal(n, time, key_id, index % size, size, bytes(32 * steps), signature)
    wire = encode_seal(seal)
    assert len(wire) == 105 + 32 * steps
    assert read_seal(decode_one(wire, MAX_MESSAGE_BYTES)) == seal
    assert msgpack.unpackb(wire) == [None, *seal]


@FEW
@given(leaves=st.lists(st.binary(max_size=5), min_size=1, max_size=70))
def test_trees(leaves: list[bytes]) -> None:
    hashes = [leaf_hash(one) for one in leaves]
    root, proofs = tree(hashes)
    assert root == plain.tree_hash(leaves)
    for i, proof in enumerate(proofs):
        assert proof == b"".join(plain.inclusion_proof(i, leaves))
        assert root_from_proof(hashes[i], i, len(leaves), proof) == root


@FEW
@given(
    bundles=st.lists(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), min_size=1, max_size=4),
                     min_size=1, max_size=9)
)  # fmt: skip
def test_a_turn_is_sealed_as_the_page_says(bundles: list[list[tuple[bytes, bytes]]]) -> None:
    leaves = [leaf(b"".join(one for one, _ in bundle), b"".join(one for _, one in bundle)) for bundle in bundles]
    seals = seal_turn([len(bundle) for bundle in bundles], leaves, SECONDARY.online, NOW_MS)
    public = SECONDARY.online.public.raw
    for bundle, seal in zip(bundles, seals, strict=True):
        asked, said = [one for one, _ in bundle], [one for _, one in bundle]
        assert plain.seal_holds(asked, said, seal, public)


# Statements and receipts ---------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("Cs",)), max_size=64)
public_keys = st.binary(min_size=32, max_size=32).map(lambda raw: PublicKey(1, raw))
signing_keys = st.binary(min_size=32, max_size=32).map(SigningKey)
ports = st.integers(0, 65_535)
addresses = st.builds(
    Address,
    host=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60),
    tcp_port=ports,
    udp_port=ports,
    tls=st.booleans(),
)


@FEW
@given(
    claim=st.builds(
        Delegation,
        parent=names,
        child=names.filter(bool),
        serial=st.integers(1, (1 << 63) - 1),
        not_before=u63,
        not_after=u63,
        keys=st.lists(public_keys, min_size=1, max_size=4).map(tuple),
        addresses=st.lists(addresses, max_size=6).map(tuple),
    ),
    signer=signing_keys,
)
def test_delegations(claim: Delegation, signer: SigningKey) -> None:
    statement = claim.sign(signer)
    unverified = read_delegation(statement)
    assert unverified.claim == claim
    assert unverified.signed_by(signer.public)
    assert plain.statement_body(statement, b"biaoshi delegation 1\x00", [signer.public.raw])[1] == claim.child


@FEW
@given(
    claim=st.builds(OnlineKey, zone=names, node=names.filter(bool), key=public_keys, not_before=u63, not_after=u63),
    signer=signing_keys,
)
def test_online_keys(claim: OnlineKey, signer: SigningKey) -> None:
    statement = claim.sign(signer)
    unverified = read_online_key(statement)
    assert unverified.claim == claim
    assert unverified.signed_by(signer.public)
    assert plain.statement_body(statement, b"biaoshi online key 1\x00", [signer.public.raw])[0] == claim.zone


@MANY
@given(public=public_keys)
def test_public_keys(public: PublicKey) -> None:
    assert PublicKey.parse(str(public)) == public
    assert plain.key_id(public.raw) == public.id


@MANY
@given(delegations=st.lists(st.binary(max_size=20), max_size=9), online=st.lists(st.binary(max_size=20), max_size=9))
def test_chains(delegations: list[bytes], online: list[bytes]) -> None:
    chain = Chain(tuple(delegations), tuple(online))
    wire = encode_response(5, Status.OK, chain)
    assert read_chain(read_response(decode_one(wire)).payload) == chain


@FEW
@given(suffix=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=50), ttl=st.integers(0, 900))
def test_receipts(suffix: str, ttl: int) -> None:
    identifier = f"88.118.1/{suffix}".encode()
    sealed = answered(identifier, Status.NOT_FOUND, ttl)
    receipt = encode_receipt(*sealed, SECONDARY_CHAIN)
    answer, _ = verify_receipt(receipt, ANCHOR)
    assert (answer.identifier.encode(), answer.ttl) == (identifier, ttl)
    assert plain.receipt_answer(receipt, ANCHOR.prefix, ANCHOR.key.raw) == (identifier, 100, ttl)


def test_messages_that_cannot_be_told_apart_are_the_same() -> None:
    """Decoding may be repeated on the own bytes of each message."""
    wire = b"".join(encode_request(Op.PING, rid) for rid in range(5))
    for message, own in split(wire):
        assert split(own) == [(message, own)]
    try:
        decode_one(wire)
    except MessageError:
        return
    raise AssertionError("five messages are not one")
