"""A store that grows from a map of a megabyte to hundreds of them while other processes read it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.records import State, decode_body
from registry.store.lmdb import writer
from registry.store.lmdb.writer import LmdbStore
from registry.store.writes import ABSENT, ANY, Write
from tests.long import chance, share
from tests.registry.processes import expect_line, running
from tests.registry.store.builders import check_agreement
from tests.registry.store.follower import END, SMALL_MAP, content, name

FOLLOWER = Path(__file__).with_name("follower.py")
READERS = 3
RECORDS = share(150_000, 4_000)
BATCH = 500


@pytest.mark.long
@pytest.mark.parametrize("room", [0, 256 << 10], ids=["full in the middle of a write", "room before a write"])
def test_a_store_grows_under_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(writer, "LEAST_ROOM_BYTES", room)
    monkeypatch.setattr(writer, "ROOM_BYTES_A_WRITE", 0)
    draw = chance()
    store = LmdbStore(tmp_path, map_bytes=SMALL_MAP)
    versions: list[int] = []
    withdrawn: set[int] = set()

    def write(store: LmdbStore) -> None:
        """New records at the end in bulk, and changes of others all over."""
        first = len(versions)
        versions.extend([1] * BATCH)
        new = [Write(name(i), ABSENT, content(i, 1), restricted=False) for i in range(first, first + BATCH)]
        assert all(outcome.changed for outcome in store.bulk_load(new, 1))
        changes: list[Write] = []
        for i in draw.sample(range(first + BATCH), BATCH // 10):
            versions[i] += 1
            gone = i not in withdrawn and draw.random() < 0.3
            (withdrawn.add if gone else withdrawn.discard)(i)
            changes.append(Write(name(i), ANY, None if gone else content(i, versions[i]), restricted=False))
        outcomes = store.apply(changes, 2)
        assert [outcome.version for outcome in outcomes] == [versions[int(one.identifier[-8:])] for one in changes]

    write(store)
    with ExitStack() as stack:
        readers = [stack.enter_context(running(FOLLOWER, tmp_path)) for _ in range(READERS)]
        assert {expect_line(reader) for reader in readers} == {"following"}
        while len(versions) < RECORDS:
            write(store)
        store.apply([Write(END, ABSENT, content(0, 1), restricted=False)], 3)
        for reader in readers:
            word, changes, records = expect_line(reader).split()
            assert (word, int(records)) == ("followed", len(versions) + 1)
            assert len(versions) < int(changes) <= store.counts().changes
            assert reader.wait(timeout=60) == 0
    doublings = (store._tables.env.info()["map_size"] // SMALL_MAP).bit_length() - 1
    assert 2**doublings * SMALL_MAP >= store.counts().bytes_used > len(versions) * 1_900
    assert doublings >= 4
    found = check_agreement(store)
    del found[END]
    for i, (identifier, body) in enumerate(found.items()):
        record = decode_body(body)
        assert identifier == name(i)
        assert (record.version, record.state is State.WITHDRAWN) == (versions[i], i in withdrawn)
    store.close()
    print(f"{doublings} doublings, {len(versions):,} records")
