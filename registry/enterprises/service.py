"""What can be asked about enterprises and prefixes: who may, what it changes, what it gives.

Methods take the caller, a typed body and ``now`` in seconds; they read the store and write nothing. What is to be
changed comes as a :class:`~registry.changes.Change`, to be handed to :class:`~registry.audit.journal.Journal` at once,
as it rests on what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from protocol.errors import Refused, Rule
from protocol.identifiers import covers, normal_prefix_text
from protocol.limits import MAX_LIST
from protocol.status import Status
from registry.changes import Change, Event
from registry.enterprises.bodies import (
    FORMAT,
    Allot,
    Allotment,
    AllotmentView,
    Application,
    Contact,
    Enterprise,
    EnterpriseView,
    Numbering,
    State,
    Transfer,
    Why,
)
from registry.enterprises.credit_codes import check_credit_code
from registry.enterprises.industries import SECTIONS, check_industry
from registry.enterprises.life import HAS_PREFIXES, NO_ENTERPRISE, Ground, add_prefix, move, review
from registry.enterprises.prefixes import FIRST_NUMBER, NUMBER_DIGITS, check_free, next_free
from registry.store.allotments import ALLOTMENTS, Stage
from registry.store.callers.kept import ENTERPRISES
from registry.store.callers.permissions import Caller, Operation, allows, check
from registry.store.shelf import Found, Reading, Shelf
from registry.store.system import DELEGATIONS, at_and_above, child_of, find_cut, read_system, system_identifier

NUMBERINGS: Final = b"\x01numbering"

NOT_ALLOTTED: Final = Rule(
    "prefix.unknown",
    Status.NOT_FOUND,
    "'{prefix}' was not given to any enterprise",
    "前缀“{prefix}”尚未分配给任何企业",
)

_NEAR: Final = 10
"""Records looked at together for one below a prefix: there may be withdrawn ones before it."""

_OPERATIONS: Final = {
    "host": Operation.PREFIX_OPEN,
    "delegate": Operation.PREFIX_OPEN,
    "suspend": Operation.PREFIX_SUSPEND,
    "resume": Operation.PREFIX_SUSPEND,
    "close": Operation.PREFIX_CLOSE,
    "transfer": Operation.PREFIX_TRANSFER,
    "arrive": Operation.PREFIX_TRANSFER,
}


class Enterprises:
    """The enterprises of ``zone``. Numbers are given out from ``first`` on, in ``digits`` digits; ``active`` says how
    many records are registered by prefix (``Store.counts``)."""

    def __init__(
        self,
        store: Reading,
        zone: str,
        active: Callable[[], dict[str, int]],
        *,
        first: int = FIRST_NUMBER,
        digits: int = NUMBER_DIGITS,
    ) -> None:
        self._store = store
        self._zone = zone
        self._active = active
        self._first = first
        self._digits = digits
        self._enterprises = Shelf(store, ENTERPRISES, Enterprise)
        self._allotments = Shelf(store, ALLOTMENTS, Allotment)
        self._numberings = Shelf(store, NUMBERINGS, Numbering)

    # Enterprises ----------------------------------------------------------------------------------

    def apply(self, caller: Caller, body: Application, now: int) -> Change[EnterpriseView]:
        """Take an application. One that was refused, or an enterprise that was closed, may apply again."""
        check(caller, Operation.ENTERPRISE_APPLY, self._zone, now)
        code = check_credit_code(body.credit_code)
        check_industry(body.section, body.division)
        prefix = normal_prefix_text(body.prefix) if body.prefix else ""
        found = self._enterprises.find(code)
        state = review(code, found.value, "apply")
        application = msgspec.structs.replace(body, credit_code=code, prefix=prefix)
        return self._put(caller, code, found, Enterprise(state=state, application=application, applied=now), "apply")

    def approve(self, caller: Caller, code: str, now: int) -> Change[EnterpriseView]:
        """Accept an application."""
        return self._review(caller, Operation.ENTERPRISE_REVIEW, code, "approve", "", now)

    def refuse(self, caller: Caller, code: str, body: Why, now: int) -> Change[EnterpriseView]:
        """Turn an application down, with the reason."""
        return self._review(caller, Operation.ENTERPRISE_REVIEW, code, "refuse", body.reason, now)

    def close(self, caller: Caller, code: str, body: Why, now: int) -> Change[EnterpriseView]:
        """End with an enterprise that has no open prefix any more."""
        return self._review(caller, Operation.PREFIX_CLOSE, code, "close", body.reason, now)

    def change_contact(self, caller: Caller, code: str, body: Contact, now: int) -> Change[EnterpriseView]:
        """Replace the contact."""
        check(caller, Operation.ENTERPRISE_APPLY, self._zone, now)
        found, enterprise = self._find(code)
        application = msgspec.structs.replace(enterprise.application, contact=body)
        changed = msgspec.structs.replace(enterprise, application=application)
        return self._put(caller, check_credit_code(code), found, changed, "change-contact")

    def enterprise(self, caller: Caller, code: str, now: int) -> EnterpriseView:
        """One enterprise, for the node's staff and for its own identities."""
        _, enterprise = self._find(code)
        at = [self._zone, *enterprise.prefixes]
        if not any(allows(caller, Operation.ENTERPRISE_READ, prefix, now) for prefix in at):
            check(caller, Operation.ENTERPRISE_READ, self._zone, now)  # raises
        return _view(enterprise)

    def enterprises(
        self, caller: Caller, cursor: str | None, limit: int, now: int
    ) -> tuple[list[EnterpriseView], str | None]:
        """A page of all enterprises, in the order of their codes."""
        check(caller, Operation.ENTERPRISE_READ, self._zone, now)
        rows, following = self._enterprises.page(cursor, min(limit, MAX_LIST))
        return [_view(enterprise) for _, enterprise in rows], following

    def _review(
        self, caller: Caller, operation: Operation, code: str, step: str, reason: str, now: int
    ) -> Change[EnterpriseView]:
        check(caller, operation, self._zone, now)
        found, enterprise = self._find(code)
        code = enterprise.application.credit_code
        state = review(code, enterprise, step)
        if state is State.CLOSED:
            for prefix in enterprise.prefixes:
                allotment = self._allotments.find(prefix).value
                if allotment is not None and allotment.stage not in (Stage.CLOSED, Stage.TRANSFERRED):
                    raise Refused(HAS_PREFIXES, HAS_PREFIXES.status, code=code, prefix=prefix)
        changed = msgspec.structs.replace(enterprise, state=state, reviewed=now, reason=reason)
        return self._put(caller, code, found, changed, step, reason)

    def _find(self, code: str) -> tuple[Found[Enterprise], Enterprise]:
        code = check_credit_code(code)
        found = self._enterprises.find(code)
        if found.value is None:
            raise Refused(NO_ENTERPRISE, NO_ENTERPRISE.status, code=code)
        return found, found.value

    def _put(
        self, caller: Caller, code: str, found: Found[Enterprise], changed: Enterprise, step: str, reason: str = ""
    ) -> Change[EnterpriseView]:
        event = Event(caller.name, f"enterprise.{step}", 0, found.version + 1, reason)
        return Change((event,), (self._enterprises.write(code, found, changed),), _view(changed))

    # Prefixes -------------------------------------------------------------------------------------

    def allot(self, caller: Caller, code: str, body: Allot, now: int) -> Change[AllotmentView]:
        """Give an approved enterprise a prefix: the one asked for here, that of its application, or the next number."""
        check(caller, Operation.PREFIX_ALLOT, self._zone, now)
        found, enterprise = self._find(code)
        code = enterprise.application.credit_code
        wanted = body.prefix or (enterprise.application.prefix if not enterprise.prefixes else "")
        numbering, number = self._numberings.find("next"), None
        allotted, delegated = self._allotted, self._delegated
        if wanted:
            prefix = normal_prefix_text(wanted)
            left = self._allotments.find(prefix)
            if _is_half(left.value, code) and prefix not in enterprise.prefixes:
                changed = add_prefix(code, enterprise, prefix)
                event = Event(caller.name, "prefix.allot", 0, found.version + 1, details={"prefix": prefix})
                write = self._enterprises.write(code, found, changed)
                return Change((event,), (write,), self.allotment(caller, prefix, now))
            check_free(self._zone, prefix, allotted, delegated)
        else:
            start = max(self._first, numbering.value.next if numbering.value else 0)
            prefix, number = next_free(self._zone, start, self._digits, allotted, delegated)
        changed = add_prefix(code, enterprise, prefix)
        allotment = Allotment(stage=Stage.ALLOTTED, enterprise=code, since=now, changed=now)
        there = self._allotments.find(prefix)
        writes = [self._allotments.write(prefix, there, allotment), self._enterprises.write(code, found, changed)]
        if number is not None:
            writes.append(self._numberings.write("next", numbering, Numbering(FORMAT, number + 1)))
        events = (
            Event(caller.name, "prefix.allot", 0, there.version + 1, details={"enterprise": code}),
            Event(caller.name, "enterprise.prefix", 1, found.version + 1, details={"prefix": prefix}),
        )
        return Change(events, tuple(writes), _allotment_view(prefix, allotment))

    def step(
        self, caller: Caller, prefix: str, step: str, now: int, reason: str = "", to: str = ""
    ) -> Change[AllotmentView]:
        """Have a prefix take a step of its life (``life``)."""
        prefix = normal_prefix_text(prefix)
        operation = _OPERATIONS[step]
        check(caller, operation, prefix, now)
        found = self._allotments.find(prefix)
        if found.value is None:
            raise Refused(NOT_ALLOTTED, NOT_ALLOTTED.status, prefix=prefix)
        cut = find_cut(self._store.find, prefix)
        records = 0
        if step == "delegate":
            records = sum(count for below, count in self._active().items() if covers(prefix, below))
        changed = move(prefix, found.value, step, Ground(cut is not None, records), now, reason, to)
        details = {"to": to} if to else {}
        event = Event(caller.name, f"prefix.{step}", 0, found.version + 1, reason, details)
        return Change((event,), (self._allotments.write(prefix, found, changed),), _allotment_view(prefix, changed))

    def host(self, caller: Caller, prefix: str, now: int) -> Change[AllotmentView]:
        """Serve a prefix from this node."""
        return self.step(caller, prefix, "host", now)

    def delegate(self, caller: Caller, prefix: str, now: int) -> Change[AllotmentView]:
        """Note that a prefix, delegated by now, is served by the enterprise's own node."""
        return self.step(caller, prefix, "delegate", now)

    def suspend(self, caller: Caller, prefix: str, body: Why, now: int) -> Change[AllotmentView]:
        """Have everything below a prefix answer SUSPENDED, and refuse writes."""
        return self.step(caller, prefix, "suspend", now, body.reason)

    def resume(self, caller: Caller, prefix: str, body: Why, now: int) -> Change[AllotmentView]:
        """Have a suspended prefix be as it was."""
        return self.step(caller, prefix, "resume", now, body.reason)

    def close_prefix(self, caller: Caller, prefix: str, body: Why, now: int) -> Change[AllotmentView]:
        """Have everything below a prefix answer WITHDRAWN, for good."""
        return self.step(caller, prefix, "close", now, body.reason)

    def transfer(self, caller: Caller, prefix: str, body: Transfer, now: int) -> Change[AllotmentView]:
        """Begin to move a prefix: from now on nothing is written to it here, so that what is exported is all there
        is."""
        return self.step(caller, prefix, "transfer", now, body.reason, body.to)

    def arrive(self, caller: Caller, prefix: str, now: int) -> Change[AllotmentView]:
        """End a move: the prefix is delegated to its new node, and what is still here is cut off."""
        return self.step(caller, prefix, "arrive", now)

    def allotment(self, caller: Caller, prefix: str, now: int) -> AllotmentView:
        """One prefix."""
        prefix = normal_prefix_text(prefix)
        check(caller, Operation.ENTERPRISE_READ, prefix, now)
        allotment = self._allotments.find(prefix).value
        if allotment is None:
            raise Refused(NOT_ALLOTTED, NOT_ALLOTTED.status, prefix=prefix)
        return _allotment_view(prefix, allotment)

    def allotments(
        self, caller: Caller, cursor: str | None, limit: int, now: int
    ) -> tuple[list[AllotmentView], str | None]:
        """A page of all prefixes that were given, in the order of their bytes."""
        check(caller, Operation.ENTERPRISE_READ, self._zone, now)
        rows, following = self._allotments.page(cursor, min(limit, MAX_LIST))
        return [_allotment_view(prefix, allotment) for prefix, allotment in rows], following

    def _allotted(self, prefix: str) -> str | None:
        return near(self._store, ALLOTMENTS, prefix)

    def _delegated(self, prefix: str) -> str | None:
        return near(self._store, DELEGATIONS, prefix)


def near(store: Reading, records: bytes, prefix: str) -> str | None:
    """A prefix at, above or below ``prefix`` that has an active system record of this kind; None where none has."""
    for above in at_and_above(prefix):
        if read_system(store.find(system_identifier(records, above)))[1] is not None:
            return above
    cursor: bytes | None = system_identifier(records, f"{prefix}.")
    while cursor is not None:
        page = store.scan(records.decode(), cursor, _NEAR)
        for entry in page.entries:
            below = child_of(entry.identifier)
            if not below.startswith(f"{prefix}."):
                return None
            if read_system(entry.body)[1] is not None:
                return below
        cursor = page.cursor
    return None


def _is_half(allotment: Allotment | None, code: str) -> bool:
    """Whether an allotment may be what a crash has left: made, and not yet in its enterprise's list."""
    return allotment is not None and allotment.enterprise == code and allotment.stage is Stage.ALLOTTED


def _view(enterprise: Enterprise) -> EnterpriseView:
    application = enterprise.application
    section = SECTIONS[application.section]
    return EnterpriseView(
        credit_code=application.credit_code, organisation=application.organisation, nature=application.nature,
        section=application.section, section_name=section.name,
        division=application.division, division_name=section.divisions[application.division],
        contact=application.contact, address=application.address, wanted_prefix=application.prefix,
        state=enterprise.state.name.lower(), reason=enterprise.reason, applied=enterprise.applied,
        reviewed=enterprise.reviewed, prefixes=enterprise.prefixes,
    )  # fmt: skip


def _allotment_view(prefix: str, allotment: Allotment) -> AllotmentView:
    return AllotmentView(
        prefix=prefix, enterprise=allotment.enterprise, stage=allotment.stage.name.lower(), since=allotment.since,
        changed=allotment.changed, reason=allotment.reason, to=allotment.to,
    )  # fmt: skip
