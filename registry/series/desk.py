"""What writers ask about series: requests to writes and reads of their records. No sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from protocol.errors import BiaoshiError, IdentifierError, MessageError, Refused, Rule
from protocol.identifiers import NOT_TEXT, normal_prefix
from protocol.kept import encode_data, is_templated, read_data
from protocol.limits import MAX_CURSOR_BYTES, MAX_LIST, MAX_MESSAGE_BYTES, MAX_SERIES_WRITES
from protocol.members import check_kept, first_member, lay_out
from protocol.messages import BAD_ARGUMENTS, TOO_MANY, Op, encode_failure, encode_response, failure_payload
from protocol.series import Series, parse_series
from protocol.status import Status
from registry.delegations import SystemBatch
from registry.gate import Gate
from registry.intake import read_item
from registry.rights import DELEGATED
from registry.store.callers.permissions import Operation
from registry.store.interface import Store
from registry.store.series import MAX_SHAPES, list_series, series_identifier, series_of
from registry.store.templates import stored_template, template_identifier
from registry.store.writes import RESUME, SUSPEND, Outcome, Write
from registry.templates.checking import Checkers

STANDS: Final = Rule(
    "series.stands-in-the-way",
    Status.EXISTS,
    "'{series}' has an identifier in common with '{other}', which is registered or once was; choose another range",
    "“{series}”与已注册（或曾注册）的“{other}”有相同的标识，请改用其他范围",
)
TOO_MANY_SHAPES: Final = Rule(
    "series.too-many-shapes",
    Status.TOO_LARGE,
    "'{series}' would be one kind of series too many: those of one prefix have at most {limit} kinds of head length, "
    "counter and tail",
    "“{series}”的形式过多：同一前缀下序列的前段长度、计数器与后缀的组合最多 {limit} 种",
)


class SeriesDesk:
    """Series on one connection, behind its ``gate``."""

    def __init__(self, store: Store, checkers: Checkers, gate: Gate) -> None:
        self._store = store
        self._checkers = checkers
        self._gate = gate
        self.operations: dict[int, Callable[[int, tuple[object, ...]], bytes | SystemBatch]] = {
            Op.SERIES: self._write,
            Op.SERIES_OF: self._list,
        }

    def _write(self, rid: int, arguments: tuple[object, ...]) -> SystemBatch:
        self._gate.caller()
        match arguments:
            case (tuple(items),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="series", reason="expected [32, rid, [write, …]]")
        if len(items) > MAX_SERIES_WRITES:
            raise MessageError(TOO_MANY, operation="series", limit=MAX_SERIES_WRITES, count=len(items))
        writes: list[Write] = []
        refused: dict[int, object] = {}
        for i, item in enumerate(items):
            try:
                writes.append(self.read(item))
            except BiaoshiError as error:
                refused[i] = _refusal(error)

        def response(result: Sequence[Outcome] | BiaoshiError) -> bytes:
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            outcomes = map(self._answered, writes, result)
            answer = [refused[i] if i in refused else next(outcomes) for i in range(len(items))]
            return encode_response(rid, Status.OK, answer)

        return SystemBatch(writes, response)

    def read(self, item: object) -> Write:
        """The write that an item asks for, which has a pattern in place of an identifier. Raises
        :class:`BiaoshiError` that says what is wrong with it."""
        raw, compare, values = read_item(item)
        series = parse_series(_text(raw))
        self._gate.require_open(Operation.RECORD_WRITE, series.prefix)
        if values is not None:
            cut = self._store.cut(series.prefix)
            if cut is not None:
                raise Refused(DELEGATED, DELEGATED.status, prefix=series.prefix, child=cut.child)
            if is_templated(values):
                values = self._follow(series, values)
            if values not in (SUSPEND, RESUME):
                check_kept(series, values)
        return Write(series_identifier(series), compare, values)

    def _follow(self, series: Series, values: bytes) -> bytes:
        """The values that a series keeps whose members follow a template, held against it."""
        version, data = read_data(values)
        self._checkers.check(series.prefix, encode_data(version, first_member(series, data) if data else ()))
        _, template = stored_template(self._store.find(template_identifier(series.prefix, version)))
        assert template is not None  # they were held against it
        return lay_out(template, data)

    def _answered(self, write: Write, outcome: Outcome) -> object:
        """An item of the answer."""
        refused = self.refusal(write, outcome)
        return outcome if refused is None else _refusal(refused)

    def refusal(self, write: Write, outcome: Outcome) -> Refused | None:
        """Where a series was refused, what stands in its way."""
        if outcome.version or outcome.status not in (Status.EXISTS, Status.TOO_LARGE):
            return None
        series = series_of(write.identifier)
        if outcome.status is Status.TOO_LARGE:
            return Refused(TOO_MANY_SHAPES, outcome.status, series=str(series), limit=MAX_SHAPES)
        other = self._store.in_the_way_of(series)
        return Refused(STANDS, outcome.status, series=str(series), other=other or "?")

    def _list(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(raw), None, int()) if b"/" in raw:
                return encode_response(rid, Status.OK, [self._one(parse_series(_text(raw))), None])
            case (bytes(raw), (None | bytes()) as cursor, int(limit)) if (
                0 < limit <= MAX_LIST and len(cursor or b"") <= MAX_CURSOR_BYTES
            ):
                prefix = normal_prefix(raw).decode()
            case _:
                reason = f"expected [33, rid, prefix or pattern, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="series of", reason=reason)
        self._gate.require(Operation.RECORD_READ, prefix)
        while True:
            page = list_series(self._store, prefix, cursor, limit)
            response = encode_response(rid, Status.OK, page)
            if len(response) <= MAX_MESSAGE_BYTES:
                return response
            limit //= 2  # records are large: a shorter page, the cursor goes on from there

    def _one(self, series: Series) -> list[object]:
        self._gate.require(Operation.RECORD_READ, series.prefix)
        body = self._store.find(series_identifier(series))
        return [] if body is None else [(str(series), body, series.count)]


def _refusal(error: BiaoshiError) -> object:
    return int(error.status), failure_payload(error), False


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise IdentifierError(NOT_TEXT, position=error.start) from None
