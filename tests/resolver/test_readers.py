"""Who sees which values: every kind of reader, every kind of value, every kind of record; without any connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.challenges import CHALLENGE_BYTES, READ_CONTEXT, reading_challenge
from protocol.messages import Op, Response, refusal
from protocol.records import Record, Value, decode_body, encode_values
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.identities.bodies import ChangeIdentity, NewGroup, NewKey, NewToken
from registry.rights import COPY_CONTEXT, PROVE_CONTEXT, challenge_bytes
from registry.store.callers.attempts import FREE
from registry.store.history import Policy, policy_write
from registry.store.interface import Reader
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.writes import ANY, SUSPEND, Write
from resolver.readers import Readers
from tests.registry.house import ADMINISTRATOR, NOW, WHY, ZONE, ZONE_KEY, code
from tests.registry.store.builders import delegate
from tests.registry.store.test_copying import take
from tests.resolver.readers_house import (
    FACTS,
    IDENTITIES,
    NODE,
    OTHER,
    OWN,
    PARTNERS,
    READS,
    RECORDS,
    TEMPLATE,
    VALUES,
    WRITERS,
    Door,
    ReadersHouse,
    body_of,
    unpacked,
)

DAY = 86_400


class Setting:
    """A store with readers and records, and a worker's view of it."""

    def __init__(self, house: ReadersHouse, reader: Reader) -> None:
        self.house = house
        self.reader = reader
        self.now = float(NOW)
        self.readers = self.worker()

    def worker(self, **options: bool) -> Readers:
        return Readers(
            self.reader, FACTS, WRITERS, [ZONE_KEY.public], clock=lambda: self.now, steady=lambda: self.now, **options
        )

    def door(self, kind: str = "stranger", **options: str) -> Door:
        door = Door(self.readers, self.reader, **options)  # type: ignore[arg-type]
        door.enter(self.house, kind)
        return door


def _memory(path: Path) -> Iterator[Setting]:
    store = MemoryStore()
    yield Setting(ReadersHouse(store), store)


def _light(path: Path) -> Iterator[Setting]:
    store = LmdbStore(path)
    yield Setting(ReadersHouse(store), store)
    store.close()


def _worker(path: Path) -> Iterator[Setting]:
    """As in a worker: what was read lately is in memory, and a snapshot is held for a turn."""
    store = LmdbStore(path)
    reader = LmdbReader(path, store._tables, cache_bytes=1 << 20)
    yield Setting(ReadersHouse(store), reader)
    reader.rest()
    store.close()


BACKENDS: dict[str, Callable[[Path], Iterator[Setting]]] = {"memory": _memory, "light": _light, "worker": _worker}


@pytest.fixture(params=list(BACKENDS))
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    yield from BACKENDS[request.param](tmp_path / "store")


def seen(body: bytes) -> set[str]:
    """Which kinds of values are in a body; each must be right in itself."""
    kinds = {value.index: kind for kind, value in VALUES.items()}
    record = decode_body(body)
    for value in record.values:
        wanted = VALUES[kinds[value.index]]
        assert (value.type, value.data, value.permissions) == (wanted.type, wanted.data, wanted.permissions)
        assert set(value.readers) <= set(wanted.readers)
        assert bool(value.readers) == bool(wanted.readers), "what is not for everybody says so"
    return {kinds[value.index] for value in record.values}


@pytest.mark.parametrize("kind", ["stranger", *READS])
def test_who_sees_what(setting: Setting, kind: str) -> None:
    wanted = READS.get(kind, {"public"})
    stranger, door = setting.door(), setting.door(kind)
    for identifier in RECORDS.values():
        public = body_of(stranger.ask(Op.RESOLVE, identifier.encode()).payload)
        assert seen(public) == {"public"}
        found = door.ask(Op.RESOLVE, identifier.encode())
        assert found.status == Status.OK
        assert seen(body_of(found.payload)) == wanted
        assert decode_body(body_of(found.payload))[:3] == decode_body(public)[:3]
        assert stranger.ask(Op.RESOLVE, identifier.encode()).payload == public
        assert door.ask(Op.AS_OF, identifier.encode(), NOW + 5).payload == found.payload
        [[latest], more] = door.ask(Op.HISTORY, identifier.encode(), None, 9).payload  # type: ignore[misc]
        assert (latest, more) == (found.payload, False)
    many = [one.encode() for one in (*RECORDS.values(), f"{OWN}/absent", *RECORDS.values())]
    bodies = door.ask(Op.RESOLVE_MANY, many).payload
    assert isinstance(bodies, tuple)
    assert bodies[3] == (Status.NOT_FOUND, 300)
    assert [seen(one) for one in (*bodies[:3], *bodies[4:])] == [wanted] * 6


def test_a_reader_is_not_told_of_the_others(setting: Setting) -> None:
    """Who is named sees by whom it is named; who may read records whole sees all readers."""
    for identifier in RECORDS.values():
        body = body_of(setting.door("identity that is named").ask(Op.RESOLVE, identifier.encode()).payload)
        readers = {value.index: value.readers for value in decode_body(body).values}
        assert readers[2002] == (f"{OTHER}/U.named",)
        body = body_of(setting.door("node administrator").ask(Op.RESOLVE, identifier.encode()).payload)
        assert decode_body(body).find("IDENTITY") == VALUES["identity"]


@pytest.mark.parametrize("which", ["plain", "member of a series"])
def test_to_a_stranger_there_are_no_other_values(setting: Setting, which: str) -> None:
    """Records with restricted values and without them answer in the same bytes but for version and time."""
    stranger = setting.door()
    with_them = body_of(stranger.ask(Op.RESOLVE, RECORDS[which].encode()).payload)
    setting.house.fill([VALUES["public"]])
    without = body_of(stranger.ask(Op.RESOLVE, RECORDS[which].encode()).payload)
    assert unpacked(with_them)[3] == unpacked(without)[3]
    assert with_them[2:] == without[2:], "the version is in the second byte"


def test_to_a_stranger_a_templated_record_is_as_one_without(setting: Setting) -> None:
    plain = Value(2000, "PUBLIC", b"a")
    stranger = setting.door()
    body = body_of(stranger.ask(Op.RESOLVE, RECORDS["templated"].encode()).payload)
    assert decode_body(body).values == (plain,)
    assert len(TEMPLATE.items) == len(VALUES)


def test_what_nobody_is_answered_a_reader_is_not_either(setting: Setting) -> None:
    """Withdrawn, suspended, closed, delegated, absent, malformed: the same answer as a stranger's."""
    store = setting.house.store
    store.apply([Write(f"{OWN}/gone".encode(), ANY, setting_values())], NOW)
    store.apply([Write(f"{OWN}/gone".encode(), ANY, None)], NOW)
    store.apply([Write(f"{OWN}/S-03".encode(), ANY, SUSPEND)], NOW)
    store.apply([Write(f"{OWN}.7/x".encode(), ANY, setting_values())], NOW)
    store.apply([delegate(f"{OWN}.7", b"\x93\xc4\x01x\xc4\x01y\x01")], NOW)
    store.apply([Write(f"{OTHER}/x".encode(), ANY, setting_values())], NOW)
    setting.house.do(setting.house.house.enterprises.suspend(ADMINISTRATOR, OTHER, WHY, NOW))
    stranger, door = setting.door(), setting.door("node administrator")
    for identifier in (
        f"{OWN}/gone",
        f"{OWN}/S-03",
        f"{OTHER}/x",
        f"{OWN}/absent",
        "88.119/x",
        "no slash",
        "\x01key/x",
    ):
        wire = identifier.encode()
        assert door.ask(Op.RESOLVE, wire) == stranger.ask(Op.RESOLVE, wire)
        assert door.ask(Op.AS_OF, wire, NOW + 1) == stranger.ask(Op.AS_OF, wire, NOW + 1)
    assert door.reader.get(f"{OWN}.7/x".encode()) is None


def setting_values() -> bytes:
    return encode_values(list(VALUES.values()))


def test_earlier_versions_are_shown_by_the_same_rule(setting: Setting) -> None:
    setting.house.store.apply([policy_write(OWN, Policy(9, 99), ANY)], NOW)
    setting.house.fill([VALUES["public"], VALUES["identity"]])
    for which in ("plain", "templated"):
        door, stranger = setting.door("identity that is named"), setting.door()
        shown, _ = door.ask(Op.HISTORY, RECORDS[which].encode(), None, 9).payload  # type: ignore[misc]
        assert [seen(one) - {"anybody"} for one in shown] == [
            {"public", "identity"},
            READS["identity that is named"] - {"anybody"},
        ]
        shown, _ = stranger.ask(Op.HISTORY, RECORDS[which].encode(), None, 9).payload  # type: ignore[misc]
        assert [seen(one) for one in shown] == [{"public"}] * 2


# What ends -------------------------------------------------------------------------------------------


def rule_of(found: Response) -> str:
    return refusal(found.status, found.payload).rule.name


def asks(door: Door) -> list[Response]:
    wire = RECORDS["plain"].encode()
    return [
        door.ask(Op.RESOLVE, wire),
        door.ask(Op.RESOLVE_MANY, [wire]),
        door.ask(Op.AS_OF, wire, NOW),
        door.ask(Op.HISTORY, wire, None, 1),
        door.ask(Op.RESOLVE, f"{OWN}/absent".encode()),
    ]


def revoke_key(house: ReadersHouse) -> None:
    name = house.names["identity that is named"]
    view = house.house.identities.identity(ADMINISTRATOR, name, NOW)
    [key] = [one for one in view.credentials if one.kind == "key"]
    house.do(house.house.identities.revoke(ADMINISTRATOR, name, key.id, NOW))


def disable(house: ReadersHouse) -> None:
    name = house.names["identity that is named"]
    house.do(house.house.identities.change(ADMINISTRATOR, name, ChangeIdentity(disabled=True), NOW))


def close_prefix(house: ReadersHouse) -> None:
    house.do(house.house.enterprises.close_prefix(ADMINISTRATOR, OTHER, WHY, NOW))


@pytest.mark.parametrize("end", [revoke_key, disable, close_prefix])
def test_what_is_revoked_ends_with_the_next_request(setting: Setting, end: Callable[[ReadersHouse], None]) -> None:
    """On all workers at once, and with an error: never with a public answer."""
    another = setting.worker()
    doors = [setting.door("identity that is named"), Door(another, setting.reader)]
    doors[1].enter(setting.house, "identity that is named")
    assert {found.status for door in doors for found in asks(door)[:4]} == {Status.OK}
    end(setting.house)
    for door in doors:
        for found in asks(door):
            assert found.status == Status.NOT_AUTHENTICATED
            assert rule_of(found) == "reading.revoked"
        assert rule_of(door.prove(setting.house.keys["identity that is named"])) == "reading.not-proven"
        assert asks(door)[0].status == Status.OK, "who is nobody is answered as everybody"


def test_a_token_ends(setting: Setting) -> None:
    name = setting.house.names["identity that is named"]
    identities = setting.house.house.identities
    issued = setting.house.do(identities.issue_token(ADMINISTRATOR, name, NewToken(days=2), NOW))
    door = setting.door()
    assert door.ask(Op.TOKEN, issued.secret.encode()).payload == name.encode()
    setting.now = NOW + 2 * DAY - 1
    assert seen(body_of(asks(door)[0].payload)) == READS["identity that is named"]
    setting.now = NOW + 2 * DAY
    assert {found.status for found in asks(door)} == {Status.NOT_AUTHENTICATED}
    assert door.ask(Op.TOKEN, issued.secret.encode()).status == Status.NOT_AUTHENTICATED


def test_a_group_that_changes(setting: Setting) -> None:
    door, other = setting.door("identity in a group"), setting.door("identity of a named enterprise")
    assert "group" in seen(body_of(asks(door)[0].payload))
    boss = setting.house.caller("administrator of the enterprise")
    members = NewGroup(members=[setting.house.names["identity of a named enterprise"]])
    setting.house.do(setting.house.house.identities.put_group(boss, PARTNERS, members, NOW))
    assert "group" not in seen(body_of(asks(door)[0].payload))
    assert "group" in seen(body_of(asks(other)[0].payload))
    setting.house.do(setting.house.house.identities.delete_group(boss, PARTNERS, NOW))
    assert "group" not in seen(body_of(asks(other)[0].payload))


def test_a_key_of_the_zone_that_is_replaced(setting: Setting) -> None:
    door = setting.door("key of the zone")
    assert asks(door)[0].status == Status.OK
    setting.readers.take_up([SigningKey(b"y" * 32).public])
    assert asks(door)[0].status == Status.NOT_AUTHENTICATED
    assert setting.door("writer's key") is not None


def test_a_copy_proves_readers_by_what_it_has_followed(tmp_path: Path) -> None:
    """Identities of the zone, and none of the keys that a configuration names."""
    source, copy = MemoryStore(), LmdbStore(tmp_path / "copy")
    house = ReadersHouse(source)
    take(source, copy)
    readers = Readers(copy, FACTS, {}, (), clock=lambda: NOW)
    for kind in READS:
        door = Door(readers, copy)
        if kind in ("key of the zone", "writer's key", "another writer's key"):
            assert rule_of(door.prove(house.keys[kind])) == "reading.not-proven"
            continue
        door.enter(house, kind)
        for identifier in RECORDS.values():
            assert seen(body_of(door.ask(Op.RESOLVE, identifier.encode()).payload)) == READS[kind]
    door = Door(readers, copy)
    door.enter(house, "identity that is named")
    revoke_key(house)
    assert asks(door)[0].status == Status.OK, "the copy does not know yet"
    take(source, copy)
    assert asks(door)[0].status == Status.NOT_AUTHENTICATED
    copy.close()


# Who proves nothing ----------------------------------------------------------------------------------


KEY = SigningKey(bytes([list(IDENTITIES).index("identity that is named") + 1]) * 32)
OTHER_NODE = SigningKey(b"m" * 32).public

WRONG_PROOFS: dict[str, Callable[[bytes], bytes]] = {
    "another key": lambda nonce: SigningKey(b"q" * 32).sign(reading_challenge(ZONE, NODE, nonce)),
    "the registry's door": lambda nonce: KEY.sign(challenge_bytes(ZONE, nonce)),
    "a copy's registry": lambda nonce: KEY.sign(challenge_bytes(ZONE, nonce, at_copy=True)),
    "another node of the zone": lambda nonce: KEY.sign(reading_challenge(ZONE, OTHER_NODE, nonce)),
    "another zone": lambda nonce: KEY.sign(reading_challenge("88.119", NODE, nonce)),
    "another challenge": lambda nonce: KEY.sign(reading_challenge(ZONE, NODE, bytes(CHALLENGE_BYTES))),
    "the nonce alone": lambda nonce: KEY.sign(nonce),
    "nothing": lambda nonce: b"",
    "half a signature": lambda nonce: KEY.sign(reading_challenge(ZONE, NODE, nonce))[:32],
}


@pytest.mark.parametrize("proof", WRONG_PROOFS.values(), ids=WRONG_PROOFS)
def test_a_proof_for_anything_else_is_none(setting: Setting, proof: Callable[[bytes], bytes]) -> None:
    door = setting.door()
    nonce = door.ask(Op.AUTHENTICATE, 1, KEY.public.raw).payload
    assert isinstance(nonce, bytes)
    assert len(nonce) == CHALLENGE_BYTES
    assert rule_of(door.ask(Op.PROVE, proof(nonce))) == "reading.not-proven"
    late = door.ask(Op.PROVE, KEY.sign(reading_challenge(ZONE, NODE, nonce)))
    assert rule_of(late) == "reading.not-proven", "a challenge serves once"
    assert seen(body_of(asks(door)[0].payload)) == {"public"}


def test_contexts_cannot_be_taken_for_one_another() -> None:
    contexts = (READ_CONTEXT, PROVE_CONTEXT, COPY_CONTEXT)
    assert not [(a, b) for a in contexts for b in contexts if a is not b and a.startswith(b)]
    assert reading_challenge("88", NODE, b"n") == READ_CONTEXT + b"\x0288" + NODE.id + b"n"
    assert reading_challenge("标识", NODE, b"") == READ_CONTEXT + b"\x06" + "标识".encode() + NODE.id


def test_an_unknown_key_is_told_what_a_wrong_signature_is_told(setting: Setting) -> None:
    door = setting.door()
    unknown = door.prove(SigningKey(b"u" * 32))
    nonce = door.ask(Op.AUTHENTICATE, 1, KEY.public.raw).payload
    assert isinstance(nonce, bytes)
    assert unknown == door.ask(Op.PROVE, KEY.sign(nonce))


def test_a_failed_proof_ends_what_was_proven(setting: Setting) -> None:
    door = setting.door("node administrator")
    assert seen(body_of(asks(door)[0].payload)) != {"public"}
    assert door.ask(Op.TOKEN, b"bst_" + b"a" * 43).status == Status.NOT_AUTHENTICATED
    assert seen(body_of(asks(door)[0].payload)) == {"public"}
    door.enter(setting.house, "node administrator")
    door.ask(Op.AUTHENTICATE, 1, KEY.public.raw)
    assert seen(body_of(asks(door)[0].payload)) == {"public"}


@pytest.mark.parametrize("secret", [b"", b"bst_", b"bst_" + b"a" * 43, b"\xff\xfe", b"x" * 9_999])
def test_what_is_no_token(setting: Setting, secret: bytes) -> None:
    assert rule_of(setting.door().ask(Op.TOKEN, secret)) == "reading.not-proven"


def test_wrong_proofs_have_to_wait_and_right_ones_do_not(setting: Setting) -> None:
    door, elsewhere = setting.door(), setting.door(peer="127.0.0.2")
    wrong = SigningKey(b"u" * 32)
    for _ in range(FREE):
        assert door.prove(wrong).status == Status.NOT_AUTHENTICATED
    assert door.prove(wrong).status == Status.TOO_MANY_ATTEMPTS
    assert door.ask(Op.TOKEN, b"bst_" + b"a" * 43).status == Status.TOO_MANY_ATTEMPTS
    assert setting.door().prove(wrong).status == Status.TOO_MANY_ATTEMPTS, "nor does another connection help"
    assert elsewhere.prove(wrong).status == Status.NOT_AUTHENTICATED
    assert door.prove(KEY).status == Status.OK
    setting.now += 3_601
    assert door.prove(wrong).status == Status.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    ("peer", "in_clear", "taken"),
    [
        ("127.0.0.1", False, True), ("127.8.9.1", False, True), ("::1", False, True), ("::ffff:127.0.0.1", False, True),
        ("::ffff:10.0.0.7", False, False), ("", False, False), ("10.0.0.7", False, False),
        ("2001:db8::1", False, False), ("fe80::1%eth0", False, False), ("10.0.0.7", True, True),
    ],
)  # fmt: skip
def test_tokens_beyond_this_machine(setting: Setting, peer: str, in_clear: bool, taken: bool) -> None:
    setting.readers = setting.worker(tokens_in_clear=in_clear)
    door = setting.door(peer=peer)
    found = door.ask(Op.TOKEN, setting.house.tokens["token of a named identity"].encode())
    assert found.status == (Status.OK if taken else Status.NOT_PERMITTED)
    assert taken or rule_of(found) == "reading.in-clear"
    assert door.prove(KEY).status == Status.OK, "keys are proven from anywhere"


@pytest.mark.parametrize("op", [Op.AUTHENTICATE, Op.PROVE, Op.TOKEN])
@pytest.mark.parametrize("arguments", [(), (1,), (b"x", b"y"), (1, b"short"), (99, bytes(32)), (None,), (b"x", 1, 2)])
def test_bad_arguments(setting: Setting, op: Op, arguments: tuple[object, ...]) -> None:
    found = setting.door().ask(op, *arguments)
    assert found.status in (Status.BAD_REQUEST, Status.NOT_AUTHENTICATED)


def test_a_key_of_the_configuration_names_nobody(setting: Setting) -> None:
    """A writer's key reads what its prefixes have; it is no identity that a value could name."""
    name = setting.door().prove(setting.house.keys["another writer's key"]).payload
    assert isinstance(name, bytes)
    assert name.startswith(b"ed25519:")
    record: Record = decode_body(body_of(asks(setting.door("another writer's key"))[0].payload))
    assert [value.type for value in record.values] == ["PUBLIC", "ANYBODY"]


def test_the_enterprise_of_a_reader_may_be_any(setting: Setting) -> None:
    assert code(1) != code(2)
    another = NewKey(key=str(SigningKey(b"o" * 32).public))
    name = setting.house.names["identity of an enterprise in a group"]
    setting.house.do(setting.house.house.identities.add_key(ADMINISTRATOR, name, another, NOW))
    door = setting.door()
    assert door.prove(SigningKey(b"o" * 32)).payload == name.encode()
    assert seen(body_of(asks(door)[0].payload)) == READS["identity of an enterprise in a group"]
