"""The life of enterprises and their prefixes against a model of two dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from protocol.errors import BiaoshiError
from protocol.status import Status
from registry.audit.chain import first_link, walk
from registry.audit.log import kept_entries
from registry.enterprises.bodies import Allot, Why
from registry.store.callers.permissions import Operation, where
from registry.store.system import DELEGATIONS, system_write
from tests.registry.house import ADMINISTRATOR, AUDITOR, NOW, ZONE, House, application, code
from tests.registry.store.builders import put

PREFIXES = ("88.118.1", "88.118.00001", "88.118.00002", "88.118.1.5", "88.118.X")
numbers = st.integers(1, 2)
prefixes = st.sampled_from(PREFIXES)
places = st.integers(0, 9)

OPEN = {"allotted", "hosted", "delegated"}


class Lives(RuleBasedStateMachine):
    """Every rule asks the service, and says in its own words what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.enterprises: dict[int, str] = {}
        self.owned: dict[int, list[str]] = {}
        self.stages: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.delegated: set[str] = set()
        self.records: set[str] = set()
        self.entries = 0

    def attempt(self, ask: object, expected: bool, entries: int = 1) -> object:
        """Carry out what is asked for; whether it works must be as expected, and where not, nothing has changed."""
        assert callable(ask)
        before = self.house.store.standing().end
        result: object = None
        try:
            result = self.house.do(ask())
        except BiaoshiError as error:
            failure = error
        assert (result is not None) == expected, result or failure
        if result is None:
            assert self.house.store.standing().end == before
        else:
            self.entries += entries
        return result

    @initialize(some=st.lists(prefixes, unique=True, max_size=3))
    def begin(self, some: list[str]) -> None:
        """Mostly with an enterprise that has prefixes, so that the life of these is seen to its end."""
        if some:
            self.apply(1)
            self.review(1, approve=True)
        for prefix in some:
            self.allot(1, prefix)

    @rule(number=numbers)
    def apply(self, number: int) -> None:
        fits = self.enterprises.get(number) not in ("applied", "approved")
        body = application(number)
        if self.attempt(lambda: self.house.enterprises.apply(ADMINISTRATOR, body, NOW), fits):
            self.enterprises[number] = "applied"
            self.owned[number] = []

    @rule(number=numbers, approve=st.booleans())
    def review(self, number: int, approve: bool) -> None:
        fits = self.enterprises.get(number) == "applied"
        service = self.house.enterprises
        if approve:
            found = self.attempt(lambda: service.approve(AUDITOR, code(number), NOW), fits)
        else:
            found = self.attempt(lambda: service.refuse(AUDITOR, code(number), Why("no"), NOW), fits)
        if found:
            self.enterprises[number] = "approved" if approve else "refused"

    @rule(number=numbers)
    def close(self, number: int) -> None:
        ended = all(self.stages[one] in ("closed", "transferred") for one in self.owned.get(number, []))
        fits = self.enterprises.get(number) == "approved" and ended
        if self.attempt(lambda: self.house.enterprises.close(ADMINISTRATOR, code(number), Why("over"), NOW), fits):
            self.enterprises[number] = "closed"

    def near(self, prefix: str, others: object) -> bool:
        assert isinstance(others, (dict, set))
        return any((one + ".").startswith(prefix + ".") or (prefix + ".").startswith(one + ".") for one in others)

    @rule(number=numbers, prefix=prefixes)
    def allot(self, number: int, prefix: str) -> None:
        free = not self.near(prefix, self.stages) and not self.near(prefix, self.delegated)
        fits = self.enterprises.get(number) == "approved" and len(self.owned[number]) < 16 and free
        ask = lambda: self.house.enterprises.allot(ADMINISTRATOR, code(number), Allot(prefix), NOW)  # noqa: E731
        if self.attempt(ask, fits, entries=2):
            self.stages[prefix] = "allotted"
            self.owned[number].append(prefix)

    @rule(number=numbers)
    def allot_next(self, number: int) -> None:
        fits = self.enterprises.get(number) == "approved" and len(self.owned[number]) < 16
        ask = lambda: self.house.enterprises.allot(ADMINISTRATOR, code(number), Allot(), NOW)  # noqa: E731
        found = self.attempt(ask, fits, entries=2)
        if found:
            prefix = str(getattr(found, "prefix", ""))
            assert not self.near(prefix, self.stages)
            assert not self.near(prefix, self.delegated)
            self.stages[prefix] = "allotted"
            self.owned[number].append(prefix)

    @rule(which=places, how=st.sampled_from(["host", "delegate"]))
    def open(self, which: int, how: str) -> None:
        self.step(which, how)

    @rule(which=places, resume=st.booleans())
    def suspend(self, which: int, resume: bool) -> None:
        self.step(which, "suspend")
        if resume:
            self.step(which, "resume")

    @rule(which=places)
    def resume(self, which: int) -> None:
        self.step(which, "resume")

    @rule(which=places, arrive=st.booleans())
    def transfer(self, which: int, arrive: bool) -> None:
        self.step(which, "arrive" if arrive else "transfer")

    @rule(which=places)
    def close_prefix(self, which: int) -> None:
        self.step(which, "close")

    def step(self, which: int, step: str) -> None:
        some = sorted(self.stages) or list(PREFIXES)
        prefix = PREFIXES[0] if which == 9 else some[which % len(some)]
        stage = self.stages.get(prefix)
        cut = any((prefix + ".").startswith(one + ".") for one in self.delegated)
        filled = any((one + ".").startswith(prefix + ".") for one in self.records)
        after, fits = {
            "host": ("hosted", stage in ("allotted", "delegated", "transferring") and not cut),
            "delegate": ("delegated", stage in ("allotted", "hosted") and cut and not filled),
            "suspend": ("suspended", stage in OPEN),
            "resume": (self.before.get(prefix, ""), stage == "suspended"),
            "close": ("closed", stage not in (None, "closed")),
            "transfer": ("transferring", stage == "hosted" and not cut),
            "arrive": ("transferred", stage == "transferring" and cut),
        }[step]
        if self.attempt(lambda: self.house.enterprises.step(ADMINISTRATOR, prefix, step, NOW, "why"), fits):
            if step == "suspend" and stage is not None:
                self.before[prefix] = stage
            self.stages[prefix] = after

    @rule(prefix=prefixes, there=st.booleans())
    def zone_delegates(self, prefix: str, there: bool) -> None:
        """The zone's keys delegate and revoke by themselves."""
        statement = {"DELEGATION": b"statement"} if there else None
        self.house.store.apply([system_write(DELEGATIONS, prefix, statement)], NOW)
        self.delegated.discard(prefix)
        if there:
            self.delegated.add(prefix)

    @rule(prefix=prefixes)
    def register(self, prefix: str) -> None:
        self.house.store.apply([put(f"{prefix}/P1")], NOW)
        self.records.add(prefix)

    @invariant()
    def answers_are_as_the_prefix_stands(self) -> None:
        for prefix in PREFIXES:
            above = [self.stages[one] for one in self.stages if (prefix + ".").startswith(one + ".")]
            closed = [one for one in above if one in ("suspended", "closed")]
            expected = None if not closed else Status.SUSPENDED if closed[0] == "suspended" else Status.WITHDRAWN
            assert self.house.store.closure(prefix) == expected
            cut = any((prefix + ".").startswith(one + ".") for one in self.delegated)
            answered = self.house.store.get(f"{prefix}/P1".encode()) is not None
            assert answered == (prefix in self.records and expected is None and not cut)
            barrier = self.house.rights.barrier(prefix)
            assert (barrier is None) == all(one in ("hosted", "delegated", "transferred") for one in above)

    @invariant()
    def the_log_tells_it_all(self) -> None:
        entries = list(walk(ZONE, kept_entries(self.house.store)))
        assert len(entries) == self.entries
        end = entries[-1][1] if entries else first_link(ZONE)
        assert end == self.house.accounts.journal.end

    @invariant()
    def states_are_shown(self) -> None:
        for number, state in self.enterprises.items():
            view = self.house.enterprises.enterprise(AUDITOR, code(number), NOW)
            assert (view.state, list(view.prefixes)) == (state, self.owned[number])


def test_lives_are_as_the_model_says() -> None:
    assert where(AUDITOR, Operation.ENTERPRISE_REVIEW, NOW) == (ZONE,)
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("stage", ["applied", "refused", "closed"])
def test_an_enterprise_that_was_not_approved_gets_no_prefix(stage: str) -> None:
    house = House()
    house.do(house.enterprises.apply(ADMINISTRATOR, application(), NOW))
    if stage == "refused":
        house.do(house.enterprises.refuse(AUDITOR, code(1), Why("no"), NOW))
    if stage == "closed":
        house.do(house.enterprises.approve(AUDITOR, code(1), NOW))
        house.do(house.enterprises.close(ADMINISTRATOR, code(1), Why("no"), NOW))
    with pytest.raises(BiaoshiError, match=stage):
        house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW)
