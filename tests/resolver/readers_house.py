"""Readers of every kind, and records with a value of every kind: plain, by a template, in a series."""

from __future__ import annotations

from typing import Final

import msgpack

from protocol.challenges import reading_challenge
from protocol.framing import split
from protocol.kept import encode_data
from protocol.messages import Op, Response, encode_request, read_response
from protocol.node import NodeFacts
from protocol.records import Permission, Value, encode_values
from protocol.series import parse_series
from protocol.signatures import PublicKey, SigningKey
from protocol.status import Status
from protocol.templates import Item, Template
from protocol.trust import Chain
from registry.identities.bodies import NewGroup, NewKey, NewToken
from registry.store.callers.permissions import Caller, Operation, Role
from registry.store.interface import Reader, Store
from registry.store.series import series_identifier
from registry.store.templates import template_write
from registry.store.writes import ANY, Write
from resolver.answering import Answerer
from resolver.authenticating import Authentication
from resolver.readers import Readers
from tests.registry.house import ADMINISTRATOR, NOW, ZONE, ZONE_KEY, House

OWN, OTHER, THIRD = f"{ZONE}.00001", f"{ZONE}.00002", f"{ZONE}.00003"
NAMED, PARTNERS = f"{OTHER}/U.named", f"{OWN}/G.partners"
NODE: Final = SigningKey(b"n" * 32).public
"""The online key by which the node under test seals."""

FACTS: Final = NodeFacts("secondary", ZONE, "biaoshi/1", Chain((b"d",), (b"k",)))

ADMIN: Final = int(Permission.ADMIN_READ | Permission.ADMIN_WRITE)
NOBODY: Final = int(Permission.ADMIN_WRITE)
NOT_ADMIN: Final = int(Permission.PUBLIC_READ | Permission.ADMIN_WRITE)

VALUES: Final = {
    "public": Value(2000, "PUBLIC", b"a"),
    "anybody": Value(2001, "ANYBODY", b"b", readers=("*",)),
    "identity": Value(2002, "IDENTITY", b"c", readers=(NAMED, f"{THIRD}/U.nobody")),
    "group": Value(2003, "GROUP", b"d", readers=(PARTNERS,)),
    "prefix": Value(2004, "PREFIX", b"e", readers=(OTHER,)),
    "administrators": Value(2005, "ADMINISTRATORS", b"f", permissions=ADMIN),
    "nobody": Value(2006, "NOBODY", b"g", permissions=NOBODY),
    "not administrators": Value(2007, "NOT_ADMINISTRATORS", b"h", permissions=NOT_ADMIN, readers=(NAMED,)),
}
"""A value of each kind."""

TEMPLATE: Final = Template(OWN, 1, "pump", "C34", tuple(
    Item(index=one.index, name=one.type, permissions=one.permissions, readers=one.readers, computed=computed)
    for one, computed in ((value, "b" if value.type == "ANYBODY" else "") for value in VALUES.values())
))  # fmt: skip
"""The same as items; one of them is computed."""

RECORDS: Final = {"plain": f"{OWN}/plain", "templated": f"{OWN}/templated", "member of a series": f"{OWN}/S-07"}

ADMINISTRATES: Final = {"public", "anybody", "identity", "group", "prefix", "administrators"}
READS: Final[dict[str, set[str]]] = {
    "administrator of the enterprise": ADMINISTRATES,
    "writer of the enterprise": ADMINISTRATES,
    "reader of the enterprise": ADMINISTRATES,
    "node administrator": ADMINISTRATES,
    "auditor": {"public", "anybody"},
    "identity that is named": {"public", "anybody", "identity", "prefix", "not administrators"},
    "identity in a group": {"public", "anybody", "group", "prefix"},
    "identity of a named enterprise": {"public", "anybody", "prefix"},
    "identity of an enterprise in a group": {"public", "anybody", "group"},
    "key of the zone": ADMINISTRATES,
    "writer's key": ADMINISTRATES,
    "another writer's key": {"public", "anybody"},
    "token of a named identity": {"public", "anybody", "identity", "prefix", "not administrators"},
    "token of it for reading": {"public", "anybody", "identity", "prefix", "not administrators"},
    "token of it for writing": {"public"},
    "token of it for its own prefix": {"public"},
    "token of the enterprise for its prefix": ADMINISTRATES,
}
"""Which kinds of values each kind of reader sees."""

IDENTITIES: Final = {
    "administrator of the enterprise": (f"{OWN}/U.boss", Role.ENTERPRISE_ADMINISTRATOR),
    "writer of the enterprise": (f"{OWN}/U.writer", Role.ENTERPRISE_WRITER),
    "reader of the enterprise": (f"{OWN}/U.reader", Role.READER),
    "node administrator": (f"{ZONE}/U.root", Role.NODE_ADMINISTRATOR),
    "auditor": (f"{ZONE}/U.audit", Role.AUDITOR),
    "identity that is named": (NAMED, Role.READER),
    "identity in a group": (f"{OTHER}/U.grouped", Role.ENTERPRISE_WRITER),
    "identity of a named enterprise": (f"{OTHER}/U.other", Role.ENTERPRISE_ADMINISTRATOR),
    "identity of an enterprise in a group": (f"{THIRD}/U.third", Role.READER),
}

TOKENS: Final = {
    "token of a named identity": (NAMED, NewToken()),
    "token of it for reading": (NAMED, NewToken(operations=[Operation.RECORD_READ])),
    "token of it for writing": (NAMED, NewToken(operations=[Operation.RECORD_WRITE])),
    "token of it for its own prefix": (NAMED, NewToken(prefixes=[OTHER])),
    "token of the enterprise for its prefix": (f"{OWN}/U.boss", NewToken(prefixes=[OWN])),
}

WRITER, OTHER_WRITER = SigningKey(b"w" * 32), SigningKey(b"v" * 32)
WRITERS: Final = {WRITER.public: [OWN], OTHER_WRITER.public: [OTHER]}


class ReadersHouse:
    """A store with all of them; ``now`` is when credentials begin."""

    def __init__(self, store: Store, now: int = NOW) -> None:
        self.store = store
        self.now = now
        self.house = house = House(store)
        assert [house.allot(number) for number in (1, 2, 3)] == [OWN, OTHER, THIRD]
        self.keys = {"key of the zone": ZONE_KEY, "writer's key": WRITER, "another writer's key": OTHER_WRITER}
        self.names: dict[str, str] = {}
        for number, (kind, (name, role)) in enumerate(IDENTITIES.items()):
            house.identity(name, role)
            self.names[kind] = name
            self.keys[kind] = SigningKey(bytes([number + 1]) * 32)
            self.do(house.identities.add_key(ADMINISTRATOR, name, NewKey(key=str(self.keys[kind].public)), now))
        boss = self.caller("administrator of the enterprise")
        members = sorted([self.names["identity in a group"], THIRD])
        self.do(house.identities.put_group(boss, PARTNERS, NewGroup(members=members), now))
        self.tokens = {
            kind: house.do(house.identities.issue_token(ADMINISTRATOR, name, body, now)).secret
            for kind, (name, body) in TOKENS.items()
        }
        self.fill(VALUES.values())

    do = property(lambda self: self.house.do)

    def caller(self, kind: str) -> Caller:
        found = self.house.directory.by_name(self.names[kind])
        assert found is not None
        return found

    def fill(self, values: object) -> None:
        """Register the records with these values."""
        wanted = list(values)  # type: ignore[call-overload]
        data = [(one.index, one.data) for one in wanted if one.type != "ANYBODY"]
        series = series_identifier(parse_series(f"{OWN}/S-{{01..20}}"))
        self.store.apply([template_write(TEMPLATE, ANY)], self.now)
        self.store.apply([
            Write(RECORDS["plain"].encode(), ANY, encode_values(wanted)),
            Write(RECORDS["templated"].encode(), ANY, encode_data(1, data)),
            Write(series, ANY, encode_values(wanted)),
        ], self.now)  # fmt: skip


def response(wire: bytes) -> Response:
    [(message, whole)] = split(wire)
    assert whole == wire
    return read_response(message)


def message(op: Op, *arguments: object) -> object:
    """A request as a door hands it on."""
    [(decoded, _)] = split(encode_request(op, 9, *arguments))
    return decoded


class Door:
    """One connection to a worker, as the door sees it."""

    def __init__(self, readers: Readers, reader: Reader, peer: str = "127.0.0.1", node: PublicKey = NODE) -> None:
        self.reader = reader
        self.node = node
        self._everybodys = Answerer(reader, FACTS)
        self._authentication = Authentication(readers, peer)

    def ask(self, op: Op, *arguments: object) -> Response:
        self.reader.rest()
        request = message(op, *arguments)
        if op in (Op.AUTHENTICATE, Op.PROVE, Op.TOKEN):
            return response(self._authentication.answer(request, self.node))
        return response((self._authentication.answerer or self._everybodys).one(request))

    def prove(self, key: SigningKey) -> Response:
        nonce = self.ask(Op.AUTHENTICATE, key.public.algorithm, key.public.raw).payload
        assert isinstance(nonce, bytes)
        return self.ask(Op.PROVE, key.sign(reading_challenge(ZONE, self.node, nonce)))

    def enter(self, house: ReadersHouse, kind: str) -> None:
        """Prove to be a reader of some kind; nobody in particular where there is none."""
        if kind in house.tokens:
            assert self.ask(Op.TOKEN, house.tokens[kind].encode()).status == Status.OK
        elif kind in house.keys:
            assert self.prove(house.keys[kind]).status == Status.OK


def body_of(payload: object) -> bytes:
    assert isinstance(payload, bytes)
    return payload


def unpacked(body: bytes) -> list[object]:
    found: list[object] = msgpack.unpackb(body)
    return found
