"""What writers ask about rules, and for the next numbers. No sockets.

Numbers are reserved at once in the memory of the one registry process and handed out when the store has them, in the
order in which they were asked for; so clients that mint at the same time do not wait for each other, and none gets what
another has. A write that fails leaves a gap. After a crash the store knows the last number that anybody can have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.identifiers import normal_prefix
from protocol.limits import MAX_CURSOR_BYTES, MAX_LIST, MAX_MESSAGE_BYTES, MAX_MINTED
from protocol.members import Members, check_kept
from protocol.messages import BAD_ARGUMENTS, Op, encode_failure, encode_response
from protocol.records import Head, State, encode_body
from protocol.series import Series
from protocol.status import Status
from registry.delegations import SystemBatch
from registry.gate import Gate
from registry.minting.kept import COUNTERS, KeptRule, read_rule, rule_identifier, rule_write
from registry.minting.rules import MintRule, make_rule
from registry.rights import DELEGATED
from registry.store.callers.permissions import Operation
from registry.store.interface import Store
from registry.store.system import scan_below
from registry.store.writes import ABSENT, ANY, Outcome, Write

MAX_RULES: Final = 100
"""Rules of one prefix: a new one is compared with all of them."""

_PASSED_OVER: Final = 500
"""Numbers that one request passes over as they are registered already; then it gives fewer than were asked for. Members
of a series with many values take 70 µs each, and everybody waits."""

NO_RULE: Final = Rule(
    "minting.no-rule",
    Status.NOT_FOUND,
    "'{prefix}' has no rule '{name}'; 'biaoshi rule set' makes it",
    "前缀“{prefix}”没有规则“{name}”，请用 biaoshi rule set 创建",
)
USED: Final = Rule(
    "minting.used",
    Status.EXISTS,
    "the rule '{name}' has minted already and stays as it is, so that nothing comes twice; make one of another name",
    "规则“{name}”已发放过标识，为避免重复不能更改，请以其他名称新建规则",
)
MEETS: Final = Rule(
    "minting.meets",
    Status.EXISTS,
    "this rule could mint what the rule '{other}' mints, too; have them differ in their fixed text",
    "该规则可能与规则“{other}”发放相同的标识，请使用不同的固定文本",
)
TOO_MANY_RULES: Final = Rule(
    "minting.too-many-rules",
    Status.TOO_LARGE,
    "'{prefix}' has {limit} rules already; more are not allowed",
    "前缀“{prefix}”已有 {limit} 条规则，不能再增加",
)
EXHAUSTED: Final = Rule(
    "minting.exhausted",
    Status.NOT_FOUND,
    "the rule '{name}' has given out its last number; make a further one",
    "规则“{name}”的号码已用完，请新建规则",
)
CHANGED: Final = Rule(
    "minting.changed",
    Status.CONFLICT,
    "the rule '{name}' was changed at the same time; send this again",
    "规则“{name}”正在被修改，请重新发送",
)


class Minted(NamedTuple):
    """Numbers that were reserved: the writes that keep that and register them, the identifiers, and how many of the
    rule are left today."""

    writes: list[Write]
    identifiers: list[bytes]
    left: int

    def given(self, outcomes: Sequence[Outcome]) -> list[bytes]:
        """The identifiers that are to be handed out, once the writes were carried out."""
        if len(outcomes) == 1:
            return self.identifiers
        # What somebody has registered by hand meanwhile is theirs.
        return [one for one, outcome in zip(self.identifiers, outcomes[1:], strict=True) if outcome.changed]


class Reserved(dict[bytes, int]):
    """By identifier of a rule the next number that nobody has asked for. All connections of a registry share it."""

    def __init__(self) -> None:
        super().__init__()
        self.being_set: dict[str, str] = {}
        """By prefix the name of its rule that is on the way to the disk: one at a time, so that two which could mint
        the same are never both unseen by the other."""


class MintDesk:
    """Minting on one connection, behind its ``gate``. ``clock`` gives seconds since 1970; ``reserved`` is shared by all
    connections."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        clock: Callable[[], float],
        reserved: Reserved,
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._reserved = reserved
        self.operations: dict[int, Callable[[int, tuple[object, ...]], bytes | SystemBatch]] = {
            Op.RULE: self._rule,
            Op.RULES: self._rules,
            Op.MINT: self._mint,
        }

    # Rules ----------------------------------------------------------------------------------------

    def _rule(self, rid: int, arguments: tuple[object, ...]) -> bytes | SystemBatch:
        match arguments:
            case (bytes(raw), bytes(name), bytes(text), bytes(zone)):
                prefix = normal_prefix(raw).decode()
                kept, write = self.set_rule(prefix, *(one.decode("utf-8", "replace") for one in (name, text, zone)))
            case _:
                reason = "expected [34, rid, prefix, name, rule, time zone]"
                raise MessageError(BAD_ARGUMENTS, operation="rule", reason=reason)
        if write is None:
            return encode_response(rid, Status.OK, kept.version)

        def response(result: Sequence[Outcome] | BiaoshiError) -> bytes:
            self.rule_settled(prefix)
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            if result[0].status is not Status.OK:
                return encode_failure(rid, Refused(CHANGED, CHANGED.status, name=kept.rule.name))
            return encode_response(rid, Status.OK, result[0].version)

        return SystemBatch([write], response)

    def set_rule(self, prefix: str, name: str, text: str, zone: str) -> tuple[KeptRule, Write | None]:
        """A rule of ``prefix`` (normal form) as it is to be, and the write that makes it so; None where it is so
        already. Who carries the write out says so by :meth:`rule_settled`; until then the prefix takes no other rule.
        Raises :class:`BiaoshiError`."""
        self._require(prefix)
        rule = make_rule(prefix, name, text, zone)
        kept = self._kept(rule.prefix, rule.name)
        if kept is not None and kept.rule == rule:
            return kept, None
        identifier = rule_identifier(rule.prefix, rule.name)
        if kept is not None and (kept.following or identifier in self._reserved):
            raise Refused(USED, USED.status, name=rule.name)
        if rule.prefix in self._reserved.being_set:
            raise Refused(CHANGED, CHANGED.status, name=self._reserved.being_set[rule.prefix])
        self._check_others(rule)
        self._reserved.being_set[rule.prefix] = rule.name
        version = kept.version if kept else ABSENT
        return KeptRule(rule, version + 1, 0), rule_write(rule, 0, version)

    def rule_settled(self, prefix: str) -> None:
        """The write of :meth:`set_rule` was carried out, or was not."""
        del self._reserved.being_set[prefix]

    def _check_others(self, rule: MintRule) -> None:
        # Those of the prefix itself, which lie behind all that are below it.
        page = scan_below(self._store, COUNTERS, rule.prefix, rule_identifier(rule.prefix, ""), MAX_LIST)
        others = [kept.rule for entry in page.entries if (kept := read_rule(*entry)) is not None]
        others = [one for one in others if one.name != rule.name]
        if len(others) >= MAX_RULES:
            raise Refused(TOO_MANY_RULES, TOO_MANY_RULES.status, prefix=rule.prefix, limit=MAX_RULES)
        meeting = next((one for one in others if one.may_meet(rule)), None)
        if meeting is not None:
            raise Refused(MEETS, MEETS.status, other=meeting.name)

    def _rules(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(raw), (None | bytes()) as cursor, int(limit)) if (
                0 < limit <= MAX_LIST and len(cursor or b"") <= MAX_CURSOR_BYTES
            ):
                prefix = normal_prefix(raw).decode()
            case _:
                reason = f"expected [35, rid, prefix, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="rules", reason=reason)
        found, following = self.rules(prefix, cursor, limit)
        items = [
            (one.rule.prefix, one.rule.name, one.rule.text, one.rule.zone, one.following, self.left(one))
            for one in found
        ]
        return encode_response(rid, Status.OK, [items, following])

    def rules(self, prefix: str, cursor: bytes | None, limit: int) -> tuple[list[KeptRule], bytes | None]:
        """A page of the rules of a prefix (normal form) and those below it, and the cursor that continues. Raises
        :class:`BiaoshiError`."""
        self._require(prefix)
        page = scan_below(self._store, COUNTERS, prefix, cursor, limit)
        return [kept for entry in page.entries if (kept := read_rule(*entry)) is not None], page.cursor

    # Numbers --------------------------------------------------------------------------------------

    def _mint(self, rid: int, arguments: tuple[object, ...]) -> SystemBatch:
        match arguments:
            case (bytes(raw), bytes(name), int(count), (None | bytes()) as values) if 0 < count <= MAX_MINTED:
                minted = self.mint(normal_prefix(raw).decode(), name.decode("utf-8", "replace"), count, values)
            case _:
                reason = f"expected [36, rid, prefix, rule, count up to {MAX_MINTED}, values or nil]"
                raise MessageError(BAD_ARGUMENTS, operation="mint", reason=reason)

        def response(result: Sequence[Outcome] | BiaoshiError) -> bytes:
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            return encode_response(rid, Status.OK, [minted.given(result), minted.left])

        return SystemBatch(minted.writes, response)

    def mint(self, prefix: str, name: str, count: int, values: bytes | None) -> Minted:
        """The next ``count`` numbers of a rule of ``prefix`` (normal form), to be registered with ``values`` where
        there are any. They are reserved by this: the writes are to be carried out at once. Raises
        :class:`BiaoshiError`."""
        self._require(prefix)
        kept = self._kept(prefix, name)
        if kept is None:
            raise Refused(NO_RULE, NO_RULE.status, prefix=prefix, name=name)
        if self._reserved.being_set.get(prefix) == name:
            raise Refused(CHANGED, CHANGED.status, name=name)
        series = kept.rule.series(self._clock())
        if values is not None:
            check_kept(series, values)
            # A request of a few bytes has the node write no more than a writer can send in one.
            count = min(count, MAX_MESSAGE_BYTES // _record_bytes(series, values))
        identifier = rule_identifier(prefix, name)
        start = max(kept.following, self._reserved.get(identifier, 0))
        places, following = self._free(series, start, count)
        if not places and following >= series.count:
            raise Refused(EXHAUSTED, EXHAUSTED.status, name=name)
        self._reserved[identifier] = following
        minted = [f"{prefix}/".encode() + series.member(place) for place in places]
        writes = [rule_write(kept.rule, following, ANY)]
        if values is not None:
            writes += _registrations(series, minted, values)
        return Minted(writes, minted, series.count - following)

    def _free(self, series: Series, start: int, count: int) -> tuple[list[int], int]:
        """Up to ``count`` places from ``start`` on that nobody has registered, and the place behind them."""
        places: list[int] = []
        place = start
        while place < series.count and len(places) < count and place - start - len(places) < _PASSED_OVER:
            if self._store.find(f"{series.prefix}/".encode() + series.member(place)) is None:
                places.append(place)
            place += 1
        return places, place

    def left(self, kept: KeptRule) -> int:
        """How many numbers a rule has left today."""
        return kept.rule.series(self._clock()).count - kept.following

    def _kept(self, prefix: str, name: str) -> KeptRule | None:
        identifier = rule_identifier(prefix, name)
        return read_rule(identifier, self._store.find(identifier))

    def _require(self, prefix: str) -> None:
        """Raise :class:`Refused` where the caller may not write below a prefix, or that is not served here."""
        self._gate.require_open(Operation.RECORD_WRITE, prefix)
        cut = self._store.cut(prefix)
        if cut is not None:
            raise Refused(DELEGATED, DELEGATED.status, prefix=prefix, child=cut.child)


def _registrations(series: Series, minted: list[bytes], values: bytes) -> list[Write]:
    """Registrations of what was minted, with computed text filled in."""
    fill, cut = _filling(series, values), len(series.prefix) + 1
    return [Write(one, ABSENT, fill(one[cut:])) for one in minted]


def _record_bytes(series: Series, values: bytes) -> int:
    """Bytes of the values of any member, all of which have the same number."""
    return len(_filling(series, values)(series.member(0)))


def _filling(series: Series, values: bytes) -> Callable[[bytes], bytes]:
    """What fills computed text in for a member's suffix."""
    members = Members(series, Head(1, State.ACTIVE, 0, values))
    begin = len(encode_body(1, State.ACTIVE, 0, b""))
    return lambda suffix: members.whole(suffix)[begin:]
