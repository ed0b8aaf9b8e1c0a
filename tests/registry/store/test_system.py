"""What a zone keeps about itself, without a store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.records import State, encode_body
from protocol.referrals import Cut
from registry.store.system import (
    CODES,
    DELEGATIONS,
    REQUESTS,
    child_of,
    find_cut,
    is_system,
    read_system,
    system_identifier,
    system_write,
)

prefixes = st.lists(st.sampled_from(["8", "88", "1", "É"]), min_size=1, max_size=5).map(".".join)


def body(version: int, statement: bytes | None) -> bytes:
    write = system_write(DELEGATIONS, "x", None if statement is None else {"DELEGATION": statement})
    state = State.WITHDRAWN if statement is None else State.ACTIVE
    return encode_body(version, state, 1, write.values or b"\x90")


@given(children=st.dictionaries(prefixes, st.booleans(), max_size=8), prefix=prefixes)
def test_the_highest_cut(children: dict[str, bool], prefix: str) -> None:
    """Against a model that looks at all delegations there are; those that are False were revoked."""
    bodies = {
        system_identifier(DELEGATIONS, child): body(len(child), child.encode() if active else None)
        for child, active in children.items()
    }
    above = [
        child for child, active in children.items() if active and (child == prefix or prefix.startswith(child + "."))
    ]
    expected = min(above, key=len, default=None)
    cut = find_cut(bodies.get, prefix)
    assert cut == (None if expected is None else Cut(expected, len(expected), expected.encode()))


def test_names() -> None:
    for prefix in (DELEGATIONS, REQUESTS, CODES):
        identifier = system_identifier(prefix, "88.118.É")
        assert is_system(prefix)
        assert is_system(identifier)
        assert child_of(identifier) == "88.118.É"
    assert not is_system(b"88.118/\x01")


def test_contents() -> None:
    write = system_write(CODES, "88.1", {"KEY": b"k", "UNTIL": b"u"}, 3)
    assert (write.identifier, write.compare, write.restricted) == (b"\x01code/88.1", 3, True)
    assert read_system(encode_body(4, State.ACTIVE, 1, write.values or b"")) == (4, {"KEY": b"k", "UNTIL": b"u"})
    assert read_system(body(5, None)) == (5, None)
    assert read_system(None) == (0, None)
    assert system_write(CODES, "88.1", None).values is None
