"""Sample records: what can be resolved in a new province."""

from __future__ import annotations

from biaoshi.topology.samples import registrations, sample
from protocol.identifiers import normal_text
from protocol.records import decode_body
from registry.store.memory import MemoryStore
from registry.store.writes import ascend


def test_samples_are_what_is_registered() -> None:
    store = MemoryStore()
    writes = list(registrations("88.101.20001", 100))
    assert ascend([write.identifier for write in writes])
    assert all(outcome.changed for outcome in store.bulk_load(writes, 1))
    assert not any(outcome.changed for outcome in store.bulk_load(writes, 2)), "loading again changes nothing"
    for number in (0, 7, 99):
        one = sample("88.101.20001", number)
        assert normal_text(one.identifier).decode() == one.identifier
        body = store.get(one.identifier.encode())
        assert body is not None
        record = decode_body(body)
        assert [(value.type, value.text) for value in record.values] == [("URL", one.url), ("NAME", one.name)]
    assert store.get(sample("88.101.20001", 100).identifier.encode()) is None


def test_identifiers_and_addresses_are_told_apart() -> None:
    samples = [sample(prefix, number) for prefix in ("88.101.20001", "88.102.20002") for number in (0, 1, 10**6)]
    assert len({one.identifier for one in samples}) == len({one.url for one in samples}) == len(samples)
    assert len({len(one.identifier) for one in samples}) == 1
