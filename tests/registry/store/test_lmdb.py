"""What is LMDB's own: dictionaries, the growing map, other processes, and what is on disk."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import lmdb
import pytest

import protocol.identifiers
from protocol.errors import Rule, StoreError
from protocol.records import State, Value, encode_body, encode_values, public_body, split_body
from protocol.status import Status
from registry.store.allotments import Stage
from registry.store.interface import DAMAGED, STORE_FAILED
from registry.store.lmdb import writer
from registry.store.lmdb.codec import (
    MAX_DICTIONARY,
    PUBLIC_TAG,
    RESTRICTED,
    RESTRICTED_TAG,
    TEMPLATED,
    WITHDRAWN,
    WITHDRAWN_TAG,
    Codec,
    MustExpand,
    tag,
    train,
)
from registry.store.lmdb.layout import (
    IN_USE,
    META_KEY,
    NOT_THERE,
    OTHER_FORMAT,
    Meta,
    PrefixRow,
    decode_meta,
    decode_row,
    encode,
)
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.templates import template_identifier, template_write
from registry.store.writes import ABSENT, ANY, Write
from tests.registry.processes import expect_line, running
from tests.registry.store import other_process
from tests.registry.store.builders import (
    ADMIN_ONLY,
    allot,
    ascending,
    check_agreement,
    delegate,
    everything,
    follow,
    machine,
    noise,
    product,
    put,
    revoke,
    template,
    templated,
    values,
    withdraw,
)

OTHER_PROCESS: Final = Path(other_process.__file__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(path)
    yield opened
    opened.close()


def row(store: LmdbStore, prefix: str) -> PrefixRow:
    with store._tables.env.begin(db=store._tables.prefixes) as txn:
        return decode_row(txn.get(prefix.encode()) or b"")


def meta(store: LmdbStore) -> Meta:
    with store._tables.env.begin(db=store._tables.meta) as txn:
        return decode_meta(txn.get(META_KEY) or b"")


def key(store: LmdbStore, identifier: bytes) -> bytes:
    prefix, _, suffix = identifier.partition(b"/")
    return row(store, prefix.decode()).number.to_bytes(3, "big") + suffix


def stored(store: LmdbStore, identifier: bytes) -> bytes:
    """The bytes on disk under an identifier."""
    with store._tables.env.begin(db=store._tables.records) as txn:
        return txn.get(key(store, identifier)) or b""


def damage(store: LmdbStore, identifier: bytes, raw: bytes) -> None:
    """Put other bytes on disk under an identifier."""
    with store._tables.env.begin(write=True, db=store._tables.records) as txn:
        txn.put(key(store, identifier), raw)


def refusal(call: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value


# How a body is stored --------------------------------------------------------------------------------

BODIES: Final = [encode_body(1, State.ACTIVE, 1_700_000_000, product(number)) for number in range(1_000)]
NUMBERS: Final = [1, 2, 0x7F, 0xDE, 0xDF, 0xE0, 0xE1, 0xFD, 0xFE, 0xFF, 0x100, 0x1FE, 0x1FF, 0xABC, 0xEFF, 0xFFF]


@pytest.fixture(scope="module")
def dictionary() -> bytes:
    trained = train(BODIES)
    assert trained is not None
    return trained


@pytest.mark.parametrize("number", NUMBERS)
def test_codec_round_trip_with_every_kind_of_dictionary_number(dictionary: bytes, number: int) -> None:
    asked: list[int] = []

    def load(wanted: int) -> bytes:
        asked.append(wanted)
        return dictionary

    made = Codec(load).store(BODIES[7], number, PUBLIC_TAG)
    assert len(made) < len(BODIES[7]) // 2
    assert made.endswith(tag(number))
    codec = Codec(load)
    for _ in range(3):
        assert codec.public[made[-1]](made) == BODIES[7]
        assert codec.whole(made) == BODIES[7]
    assert asked == [number, number], "asked for once by each codec"


@pytest.mark.parametrize("number", [0, *NUMBERS])
def test_many_bodies_are_stored_as_each_is(dictionary: bytes, number: int) -> None:
    codec = Codec(lambda number: dictionary)
    mixed = [*BODIES[:50], os.urandom(300), b"x", b"", bytes(32_768)]
    for bodies in (BODIES, mixed, [os.urandom(200)] * 3, BODIES[:1], []):
        stored = codec.store_many(bodies, number)
        assert [codec.whole(one) for one in stored] == bodies
        if bodies is BODIES:
            assert stored == [codec.store(body, number, PUBLIC_TAG) for body in bodies]


def test_tags_of_dictionaries_are_unique_and_are_no_flags() -> None:
    tags = [tag(number) for number in range(1, MAX_DICTIONARY + 1)]
    assert len(set(tags)) == len(tags)
    assert [len(one) for one in tags] == [1] * 223 + [2] * (MAX_DICTIONARY - 223)
    assert not {one[-1] for one in tags} & {0, TEMPLATED, RESTRICTED, WITHDRAWN}


def test_table_of_openers_has_every_last_byte(dictionary: bytes) -> None:
    """Each of the 256 gives the body, or nothing, or fails as a damaged body does; none is forgotten."""
    codec = Codec(lambda number: dictionary)
    assert len(codec.public) == 256
    frame = Codec(lambda number: dictionary).compressor(1).compress(BODIES[3])
    opened = [codec.public[last](frame + bytes((0, last))) for last in range(1, 0xF0)]
    assert opened == [BODIES[3]] * 0xEF
    with pytest.raises(MustExpand):
        codec.public[TEMPLATED](frame + b"\x01\xfd")
    assert codec.whole(frame + b"\x01\xfd") == BODIES[3]
    assert codec.public[0](BODIES[3] + b"\x00") == BODIES[3]
    assert codec.public[RESTRICTED](frame + b"\x01\xfe") == public_body(BODIES[3])
    assert codec.public[WITHDRAWN](frame + b"\x01\xff") is None
    assert codec.whole(frame + b"\x01\xff") == BODIES[3]


@pytest.mark.parametrize("number", [0, 1, 223, 224, 0xFFF])
@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("restricted", [False, True])
def test_codec_flags(dictionary: bytes, number: int, withdrawn: bool, restricted: bool) -> None:
    url = Value(1, "URL", b"https://trace.example.com/")
    secret = encode_values([url, Value(2, "COST", b"9", permissions=ADMIN_ONLY)])
    codec = Codec(lambda number: dictionary)
    for body in (encode_body(3, State.ACTIVE, 9, secret), encode_body(1, State.ACTIVE, 0, noise(1, 99)), BODIES[0]):
        made = codec.store(body, number, WITHDRAWN_TAG if withdrawn else RESTRICTED_TAG if restricted else PUBLIC_TAG)
        assert codec.whole(made) == body
        expected = None if withdrawn else public_body(body) if restricted else body
        assert codec.public[made[-1]](made) == expected
        assert len(made) <= len(body) + 2, "never much longer than the body"


def test_what_does_not_compress_is_stored_plain(dictionary: bytes) -> None:
    body = encode_body(1, State.ACTIVE, 1, noise(1, 500))
    assert Codec(lambda number: dictionary).store(body, 5, PUBLIC_TAG) == body + b"\x00"


@pytest.mark.parametrize("body", [b"", b"x", BODIES[0], bytes(300), random.Random(1).randbytes(300)])
def test_any_sample_gives_a_dictionary_that_works_or_none(body: bytes) -> None:
    """A thousand times the same, be it as short or as long as it may, is no reason to fail."""
    trained = train([body] * 1_000)
    if trained:
        codec = Codec(lambda number: trained)
        assert codec.whole(codec.store(BODIES[5], 1, PUBLIC_TAG)) == BODIES[5]


# Dictionaries in the store ---------------------------------------------------------------------------


def test_bulk_load_of_a_thousand_trains_a_dictionary(store: LmdbStore) -> None:
    store.bulk_load(ascending("88.1", range(999)), 1)
    assert row(store, "88.1").dictionary == 0
    assert stored(store, b"88.1/N000500")[-1] == 0
    store.bulk_load(ascending("88.1", range(1_000, 2_000)), 2)
    assert row(store, "88.1").dictionary == 1
    raw = stored(store, b"88.1/N001500")
    assert raw[-1] == 1
    assert len(raw) < len(store.find(b"88.1/N001500") or b"") // 2
    store.apply([put("88.1/N000500", product(3))], 3)
    assert stored(store, b"88.1/N000500")[-1] == 1, "later single writes use it too"
    assert check_agreement(store)


def test_each_prefix_has_its_own_dictionary(store: LmdbStore) -> None:
    writes = ascending("88.1", range(1_000))
    writes += [put(f"88.2/N{number:04d}", machine(number)) for number in range(1_000)]
    writes += ascending("88.3", range(10))
    store.bulk_load(writes, 1)
    assert [row(store, prefix).dictionary for prefix in ("88.1", "88.2", "88.3")] == [1, 2, 0]
    assert meta(store).next_dictionary == 3
    assert split_body(store.find(b"88.2/N0007") or b"").values == machine(7)
    check_agreement(store)


def test_a_dictionary_that_still_fits_is_kept(store: LmdbStore) -> None:
    for start in range(0, 5_000, 1_000):
        store.bulk_load(ascending("88.1", range(start, start + 1_000)), 1)
    assert meta(store).next_dictionary == 2


def test_a_new_dictionary_when_the_data_changes(path: Path) -> None:
    """Old records keep the old one; all are readable, also after reopening and by another reader."""
    store = LmdbStore(path)
    store.bulk_load(ascending("88.1", range(1_000)), 1)
    store.bulk_load([put(f"88.1/P{number:04d}", machine(number)) for number in range(1_000)], 2)
    assert row(store, "88.1").dictionary == 2
    assert [stored(store, one)[-1] for one in (b"88.1/N000001", b"88.1/P0001")] == [1, 2]
    before = check_agreement(store)
    store.close()
    reader = LmdbReader(path)
    assert check_agreement(reader) == before
    reader.close()
    reopened = LmdbStore(path)
    assert check_agreement(reopened) == before
    assert split_body(before[b"88.1/P0999"]).values == machine(999)
    reopened.bulk_load([put(f"88.1/Q{number:04d}", machine(number)) for number in range(1_000)], 3)
    assert row(reopened, "88.1").dictionary == 2
    check_agreement(reopened)
    reopened.close()


def test_dictionary_numbers_of_two_bytes_in_the_store(path: Path) -> None:
    store = LmdbStore(path)
    with store._tables.env.begin(write=True, db=store._tables.meta) as txn:
        txn.put(META_KEY, encode(Meta(next_dictionary=223)))
    for number, prefix in enumerate(("88.1", "88.2", "88.3")):
        store.bulk_load(ascending(prefix, range(1_000)), 1)
        assert row(store, prefix).dictionary == 223 + number
    store.apply([withdraw("88.3/N000001"), Write(b"88.3/N000002", ANY, product(9), restricted=True)], 2)
    assert stored(store, b"88.3/N000000")[-2:] == b"\xe1\xe0"
    assert stored(store, b"88.3/N000002")[-3:] == b"\xe1\xe0\xfe"
    before = check_agreement(store)
    store.close()
    reader = LmdbReader(path)
    assert check_agreement(reader) == before
    reader.close()


def test_no_more_dictionaries_than_there_are_numbers(store: LmdbStore) -> None:
    with store._tables.env.begin(write=True, db=store._tables.meta) as txn:
        txn.put(META_KEY, encode(Meta(next_dictionary=MAX_DICTIONARY)))
    store.bulk_load(ascending("88.1", range(1_000)), 1)
    store.bulk_load(ascending("88.2", range(1_000)), 1)
    assert [row(store, prefix).dictionary for prefix in ("88.1", "88.2")] == [MAX_DICTIONARY, 0]
    assert stored(store, b"88.1/N000000")[-2:] == b"\xff\xef"
    check_agreement(store)


def test_a_load_that_fails_leaves_no_dictionary_behind(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a dictionary that was never durable is given out again, for other content."""

    def fail(work: object) -> None:
        raise lmdb.Error("the disk is on fire")

    store.apply([put("88.1/0")], 1)
    with monkeypatch.context() as broken:
        broken.setattr(writer._Work, "finish", fail)
        refusal(lambda: store.bulk_load(ascending("88.1", range(1_000)), 1))
    assert row(store, "88.1") == PrefixRow(1, 1, changes=1)
    store.bulk_load([put(f"88.1/P{number:04d}", machine(number)) for number in range(1_000)], 2)
    assert row(store, "88.1").dictionary == 1
    assert len(check_agreement(store)) == 1_001
    store.apply([put("88.1/P0001", machine(5)), withdraw("88.1/P0002")], 3)
    check_agreement(store)


def test_bulk_load_takes_ascending_identifiers_only(store: LmdbStore) -> None:
    for names in (["88.1/b", "88.1/a"], ["88.1/a", "88.1/a"], ["88.2/a", "88.1/a"]):
        with pytest.raises(ValueError, match="ascending"):
            store.bulk_load([put(name) for name in names], 1)
    assert store.counts().changes == 0


def test_bulk_load_is_denser_than_single_writes(store: LmdbStore, tmp_path: Path) -> None:
    other = LmdbStore(tmp_path / "other")
    writes = ascending("88.1", range(4_000))
    store.bulk_load(writes, 1)
    shuffled = random.Random(1).sample(writes, len(writes))
    for start in range(0, 4_000, 1_000):
        other.apply(shuffled[start : start + 1_000], 1)
    assert store.counts().bytes_used < other.counts().bytes_used / 2
    assert everything(store) == everything(other)
    other.close()


# The map grows ---------------------------------------------------------------------------------------

BATCHES: Final = 60
BATCH_SIZE: Final = 100

ROOM: Final = [
    pytest.param(0, id="the map is full in the middle of a write"),
    pytest.param(256 << 10, id="there is room before a write"),
]


def small_room(monkeypatch: pytest.MonkeyPatch, room: int) -> list[int]:
    """Have the store set aside no more than ``room``; gives the list of sizes that its map will have had."""
    monkeypatch.setattr(writer, "LEAST_ROOM_BYTES", room)
    monkeypatch.setattr(writer, "ROOM_BYTES_A_WRITE", 0)
    sizes: list[int] = []
    grow = LmdbStore._grow

    def growing(store: LmdbStore) -> None:
        sizes.append(store._tables.env.info()["map_size"])
        grow(store)

    monkeypatch.setattr(LmdbStore, "_grow", growing)
    return sizes


def batch(number: int) -> list[Write]:
    """A batch that takes some 150 KB on disk."""
    size = BATCH_SIZE
    return [Write(other_process.name(number, i), ABSENT, noise(number * size + i, 900), False) for i in range(size)]


@pytest.mark.parametrize("room", ROOM)
def test_map_grows_while_another_process_reads(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    sizes = small_room(monkeypatch, room)
    store = LmdbStore(path, map_bytes=1 << 20)
    with running(OTHER_PROCESS, "continuously", path, BATCHES, BATCH_SIZE) as reader:
        assert expect_line(reader) == "reading"
        for number in range(BATCHES):
            write = store.bulk_load if number % 3 == 0 else store.apply
            assert all(outcome.changed for outcome in write(batch(number), 1))
        words = expect_line(reader).split()
        assert words[:2] == ["saw", "all"]
        assert int(words[2]) > 2, "it read while the map grew"
        assert reader.wait(timeout=30) == 0
    assert sizes == [1 << 20 << step for step in range(len(sizes))]
    assert len(sizes) >= 3
    assert len(check_agreement(store)) == BATCHES * BATCH_SIZE
    store.close()


@pytest.mark.parametrize("room", ROOM)
def test_map_grows_while_another_thread_reads(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    sizes = small_room(monkeypatch, room)
    store = LmdbStore(path, map_bytes=1 << 20)
    wanted = [other_process.name(number, i) for number in range(BATCHES) for i in range(BATCH_SIZE)]
    writing = threading.Event()
    writing.set()
    faults: list[BaseException] = []
    rounds = 0

    def read() -> None:
        nonlocal rounds
        cursor: bytes | None = None
        replica: dict[bytes, bytes] = {}
        try:
            while writing.is_set():
                bodies = store.get_many(wanted)
                there = sum(body is not None for body in bodies)
                assert there % BATCH_SIZE == 0
                assert None not in bodies[:there]
                assert len(store.scan("88.1", None, 50).entries) in (0, 50)
                assert store.counts().active.get("88.1", 0) >= there
                page = store.feed(cursor, 1_000)
                replica.update(page.entries)
                cursor = page.cursor
                rounds += 1
            follow(store, replica, cursor)
            assert set(replica) == set(wanted)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(BATCHES):
        store.apply(batch(number), 1)
    writing.clear()
    for thread in threads:
        thread.join(30)
    assert not faults
    assert len(sizes) >= 3
    assert rounds > 2
    check_agreement(store)
    store.close()


def test_a_batch_larger_than_the_map(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is carried out again on map after map, and its outcomes are those of the last time."""
    sizes = small_room(monkeypatch, 0)
    store = LmdbStore(path, map_bytes=1 << 20)
    writes = [put(f"88.1/{number:04d}", noise(number, 3_000), ABSENT) for number in range(2_000)]
    assert {outcome.changed for outcome in store.bulk_load(writes, 1)} == {True}
    assert len(sizes) >= 3
    assert store.counts()[:2] == ({"88.1": 2_000}, 2_000)
    before = len(sizes)
    writes = [put(f"88.1/{number:04d}", noise(number + 1, 3_000), 1) for number in range(2_000)]
    assert {outcome.version for outcome in store.apply(writes, 1)} == {2}
    assert len(sizes) > before
    check_agreement(store)
    store.close()


def test_a_reader_meets_a_map_that_grows_again_at_once(path: Path, store: LmdbStore) -> None:
    """Between taking the new size and beginning, the writer may have doubled it once more."""
    store.apply([put("88.1/x")], 1)
    env = store._tables.env
    resized: list[int] = []

    class Growing:
        def begin(self, db: lmdb._Database) -> lmdb.Transaction[bytes]:
            if len(resized) < 3:
                raise lmdb.MapResizedError("mdb_txn_begin")
            return env.begin(db=db)

        def set_mapsize(self, size: int) -> None:
            resized.append(size)

    reader = LmdbReader(path, store._tables._replace(env=Growing()))  # type: ignore[arg-type]
    assert reader.get_many([b"88.1/x"]) == [store.find(b"88.1/x")]
    assert resized == [0, 0, 0]
    reader.close()


# Other processes -------------------------------------------------------------------------------------


def test_there_is_one_writer(path: Path) -> None:
    store = LmdbStore(path)
    error = refusal(lambda: LmdbStore(path))
    assert error.rule is IN_USE
    assert error.status == Status.STORE_FAILED
    assert str(path) in str(error)
    with running(OTHER_PROCESS, "write", path) as other:
        assert expect_line(other) == "store.in-use"
    store.apply([put("88.1/x")], 1)
    store.close()
    LmdbStore(path).close()


def test_a_reader_killed_while_it_reads_is_cleared(path: Path) -> None:
    """It would keep every page from reuse for ever."""
    store = LmdbStore(path)

    def grown_by(rounds: int) -> int:
        before = store.counts().bytes_used
        for _ in range(rounds):
            seed = store.counts().changes
            store.apply([put(f"88.1/{number:04d}", noise(seed + number, 400)) for number in range(300)], 1)
        return store.counts().bytes_used - before

    grown_by(5)
    with running(OTHER_PROCESS, "hold", path) as reader:
        assert expect_line(reader) == "holding"
        assert store.clear_stale_readers() == 0, "it lives"
        assert grown_by(8) > 8 * 100_000, "its snapshot keeps pages"
        reader.kill()
        reader.wait()
    assert store.clear_stale_readers() == 1
    assert store.clear_stale_readers() == 0
    assert grown_by(8) < 100_000, "the pages are used again"
    store.close()


def test_a_reader_sees_what_was_acknowledged_before_its_rest(store: LmdbStore, path: Path) -> None:
    store.apply([put("88.1/x", values("a"))], 1)
    reader = LmdbReader(path, store._tables)
    first = reader.get(b"88.1/x")
    assert first is not None
    store.apply([put("88.1/x", values("b")), put("88.2/x")], 2)
    assert reader.get_many([b"88.1/x", b"88.2/x"]) == [first, None]
    assert reader.counts().active == {"88.1": 1}
    reader.rest()
    assert reader.get_many([b"88.1/x", b"88.2/x"]) == store.get_many([b"88.1/x", b"88.2/x"])
    assert reader.counts().active == {"88.1": 1, "88.2": 1}
    reader.close()


def test_a_reader_learns_of_cuts_at_its_next_snapshot(store: LmdbStore, path: Path) -> None:
    """Also where it has remembered the prefix's number, in several spellings."""
    store.apply([put("88.1/x"), put("88.1.A/x"), put("88.2/x")], 1)
    reader = LmdbReader(path, store._tables)
    names = [b"88.1/x", b"88.1.A/x", b"88.1.a/x", b"88.2/x"]
    all_there = reader.get_many(names)
    assert None not in all_there
    known = dict(reader._numbers)
    reader.rest()
    assert reader.get_many(names) == all_there
    assert reader._numbers == known, "where no delegation changed, what was learnt is kept"
    store.apply([delegate("88.1")], 2)
    assert reader.get_many(names) == all_there, "the same snapshot"
    assert reader.cut("88.1") is None
    reader.rest()
    assert reader.get_many(names) == [None, None, None, all_there[3]]
    assert reader.cut("88.1.A") is not None
    store.apply([allot("88.2", Stage.SUSPENDED)], 2)
    assert reader.get(b"88.2/x") is not None, "the same snapshot"
    reader.rest()
    assert reader.get(b"88.2/x") is None
    assert reader.closure("88.2") == Status.SUSPENDED
    store.apply([allot("88.2", Stage.HOSTED)], 2)
    reader.rest()
    store.apply([put("88.1/y"), put("88.3/x")], 3)
    reader.rest()
    assert reader.get(b"88.2/x") is not None
    reader.rest()
    known = dict(reader._numbers)
    assert reader.get(b"88.2/x") is not None
    assert reader._numbers == known
    store.apply([revoke("88.1")], 4)
    reader.rest()
    assert reader.get_many(names) == all_there
    reader.close()


def test_another_process_learns_of_cuts(path: Path) -> None:
    store = LmdbStore(path)
    store.apply([put(other_process.name(0, 0).decode()), put("88.1.1/x")], 1)
    with running(OTHER_PROCESS, "watch", path) as watcher:
        assert expect_line(watcher) == "there"
        for _ in range(3):
            store.apply([delegate("88.1")], 2)
            assert expect_line(watcher) == "cut off"
            store.apply([revoke("88.1")], 3)
            assert expect_line(watcher) == "there"
    store.close()


def test_rows_of_an_older_program_have_no_count_of_changes() -> None:
    assert decode_row(encode([7, 3, 2, 1.5])) == PrefixRow(7, 3, 2, 1.5, changes=0)


def test_more_spellings_than_are_remembered(store: LmdbStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.store.lmdb.prefixes.MAX_KNOWN_SPELLINGS", 2)
    store.apply([put("88.ABCD/x")], 1)
    reader = LmdbReader(path, store._tables)
    spellings = [b"88.abcd/x", b"88.Abcd/x", b"88.aBcd/x", b"88.ABCD/x", b"88.abcE/x"]
    for _ in range(2):
        assert reader.get_many(spellings) == [store.find(b"88.ABCD/x")] * 4 + [None]
    assert len(reader._numbers) <= 2
    for spelling in (b"88.ABCD", b"88.abcd"):  # whoever has filled it, the next that is asked for is remembered
        assert reader.get(spelling + b"/x") is not None
        assert spelling in reader._numbers
    reader.close()


def test_a_page_begins_where_its_cursor_says(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not go through the prefixes before: anybody may give the cursor, and these took a worker 300 ms."""
    store.apply([put(f"88.{i:03}/x") for i in range(500)], 1)
    looked_at = []

    def covers(zone: str, prefix: str) -> bool:
        looked_at.append(prefix)
        return protocol.identifiers.covers(zone, prefix)

    monkeypatch.setattr("registry.store.lmdb.walking.covers", covers)
    for cursor, found in ((b"88.497/x", [b"88.498/x", b"88.499/x"]), (b"88.499/x", []), (b"\xff/x", []), (b"87/x", 5)):
        looked_at.clear()
        page = store.scan("88", cursor, 5)
        assert [entry.identifier for entry in page.entries] == found or len(page.entries) == found
        assert len(looked_at) <= 6


# Opening ---------------------------------------------------------------------------------------------


def test_reading_where_no_store_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "none", tmp_path / "empty"):
        error = refusal(lambda where=where: LmdbReader(where))  # type: ignore[misc]
        assert error.rule is NOT_THERE
        assert "biaoshi init" in str(error)
        assert not (where / "data.mdb").exists()


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    store = LmdbStore(path)
    store.apply([put("88.1/x")], 1)
    with store._tables.env.begin(write=True, db=store._tables.meta) as txn:
        txn.put(META_KEY, encode([3, "whatever", "comes", "then", "and more"]))
    store.close()
    for open_it in (LmdbStore, LmdbReader, LmdbStore):  # the second writer is not told of a first
        error = refusal(lambda open_it=open_it: open_it(path))  # type: ignore[misc]
        assert error.rule is OTHER_FORMAT
        assert (error.details["found"], error.details["known"]) == (3, 2)


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"not a row"])
def test_damaged_counters_are_refused(path: Path, raw: bytes) -> None:
    store = LmdbStore(path)
    with store._tables.env.begin(write=True, db=store._tables.meta) as txn:
        txn.put(META_KEY, raw)
    store.close()
    for open_it in (LmdbStore, LmdbReader):
        assert refusal(lambda open_it=open_it: open_it(path)).status == Status.STORE_FAILED  # type: ignore[misc]


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"#!/bin/sh\n" * 2_000)
    for open_it in (LmdbStore, LmdbReader, LmdbStore):
        error = refusal(lambda open_it=open_it: open_it(tmp_path))  # type: ignore[misc]
        assert error.rule is STORE_FAILED
    (tmp_path / "file").write_bytes(b"")
    assert refusal(lambda: LmdbStore(tmp_path / "file")).rule is STORE_FAILED
    assert refusal(lambda: LmdbStore(tmp_path / "file" / "below")).rule is STORE_FAILED


def test_reading_and_writing_after_close(path: Path) -> None:
    store = LmdbStore(path)
    store.close()
    assert refusal(lambda: store.apply([put("88.1/x")], 1)).rule is STORE_FAILED
    assert refusal(lambda: store.get_many([b"88.1/x"])).rule is STORE_FAILED
    assert refusal(lambda: store.scan("", None, 1)).rule is STORE_FAILED


# Copies ----------------------------------------------------------------------------------------------


def test_snapshot_has_the_same_content(store: LmdbStore, path: Path, tmp_path: Path) -> None:
    store.bulk_load(ascending("88.1", range(1_200)), 1)
    store.apply([withdraw("88.1/N000001"), put("88.2/x"), put("88.1/N000002", values("b"))], 2)
    store.snapshot(tmp_path / "copies" / "first")
    store.apply([put("88.9/later")], 3)
    copy = LmdbStore(tmp_path / "copies" / "first")
    assert copy.counts()[:2] == ({"88.1": 1_199, "88.2": 1}, 1_203)
    copied = check_agreement(copy)
    assert copied == {one: body for one, body in everything(store).items() if one != b"88.9/later"}
    assert copy.apply([put("88.2/x", values("new"))], 4)[0].version == 2
    copy.close()
    error = refusal(lambda: store.snapshot(tmp_path / "copies" / "first"))
    assert error.rule is STORE_FAILED, "a copy is not written over"


def test_snapshot_is_of_one_moment_while_the_store_is_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = small_room(monkeypatch, 0)
    store = LmdbStore(path, map_bytes=1 << 20)
    store.apply(batch(0), 1)
    done = threading.Event()

    def write() -> None:
        for number in range(1, BATCHES):
            store.apply(batch(number), 1)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    copies = 0
    while not done.is_set():
        store.snapshot(tmp_path / f"copy-{copies}")
        copies += 1
    thread.join()
    assert len(sizes) >= 3
    assert copies >= 2
    for number in range(0, copies, copies // 5 + 1):
        copy = LmdbStore(tmp_path / f"copy-{number}")
        assert len(check_agreement(copy)) % BATCH_SIZE == 0
        copy.close()
    store.close()


# Damage ----------------------------------------------------------------------------------------------


def calls(store: LmdbStore, identifier: bytes) -> dict[str, Callable[[], object]]:
    """Every call that opens the record."""
    return {
        "get_many": lambda: store.get_many([b"88.1/N000001", identifier, b"88.1/N000002"]),
        "get": lambda: store.get(identifier),
        "find": lambda: store.find(identifier),
        "scan": lambda: everything(store, "88.1"),
        "feed": lambda: follow(store, {}),
        "apply": lambda: store.apply([put(identifier.decode(), values("new"), 77)], 2),
        "bulk_load": lambda: store.bulk_load([put(identifier.decode(), values("new"), 77)], 2),
    }


VICTIM: Final = b"88.1/N000003"
PUBLIC_CALLS: Final = {"get_many", "get"}

BROKEN: Final = {
    "nothing": b"",
    "a flag alone": b"\xfe",
    "half a number": b"\xe5",
    "a tag without a meaning": b"xx\xf5",
    "a dictionary that is not there": b"xx\x05",
    "a long dictionary that is not there": b"xx\x05\xe5",
    "no frame": b"\x00\x00\x00\x00\x01",
    "a frame of nothing": b"\x01",
    "gigabytes claimed": b"\xe0" + b"\xff" * 7 + b"\x0f" + b"\x01\x00\x00x" + b"\x01",
    "restricted and no record": b"junk\x00\xfe",
}


@pytest.fixture
def loaded(store: LmdbStore) -> LmdbStore:
    """A store with a dictionary."""
    store.bulk_load(ascending("88.1", range(1_000)), 1)
    assert stored(store, VICTIM)[-1] == 1
    return store


@pytest.mark.parametrize("kind", BROKEN)
def test_damage_is_told_with_the_identifier(loaded: LmdbStore, kind: str) -> None:
    damage(loaded, VICTIM, BROKEN[kind])
    plain = kind == "restricted and no record"  # only who looks into the body can tell
    for name, call in calls(loaded, VICTIM).items():
        if plain and name in ("find", "scan", "feed"):
            call()
            continue
        error = refusal(call)
        assert error.rule is DAMAGED, name
        assert error.details["identifier"] == VICTIM.decode()
        assert VICTIM.decode() in str(error)
        assert error.status == Status.STORE_FAILED
    assert loaded.get(b"88.1/N000002") is not None, "its neighbours are well"
    assert loaded.apply([put("88.1/N000002", values("new"))], 3)[0].changed


def test_a_withdrawn_record_that_is_damaged(loaded: LmdbStore) -> None:
    damage(loaded, VICTIM, b"\xff")
    assert loaded.get(VICTIM) is None
    assert refusal(lambda: loaded.find(VICTIM)).rule is DAMAGED


def test_no_damage_is_worse_than_a_store_error(loaded: LmdbStore) -> None:
    """Bits turned over, bytes lost: a call gives something, or says that the record is damaged."""
    draw = random.Random(5)
    whole = stored(loaded, VICTIM)
    told: list[Rule] = []
    for turn in range(400):
        raw = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        if turn % 3 == 0:
            del raw[draw.randrange(len(raw)) :]
        damage(loaded, VICTIM, bytes(raw))
        for call in calls(loaded, VICTIM).values() if turn % 10 == 0 else [calls(loaded, VICTIM)["get"]]:
            try:
                call()
            except StoreError as error:
                told.append(error.rule)
    assert len(told) > 100
    assert set(told) == {DAMAGED}


def test_a_dictionary_that_is_lost(path: Path) -> None:
    store = LmdbStore(path)
    store.bulk_load(ascending("88.1", range(1_000)), 1)
    with store._tables.env.begin(write=True, db=store._tables.dictionaries) as txn:
        txn.delete((1).to_bytes(2, "big"))
    store.close()
    store = LmdbStore(path)
    error = refusal(lambda: store.get_many([b"88.1/none", VICTIM]))
    assert (error.rule, error.details["identifier"]) == (DAMAGED, VICTIM.decode())
    assert "dictionary 1" in str(error)
    assert refusal(lambda: store.bulk_load(ascending("88.1", range(2_000, 2_100)), 2)).rule is STORE_FAILED
    assert refusal(lambda: store.apply([put("88.1/new")], 2)).rule is STORE_FAILED
    assert store.counts().changes == 1_000
    store.close()


def test_a_damaged_template_hurts_only_what_follows_it(path: Path) -> None:
    """Whoever has expanded by it before looks at it again, and says so to those who ask for such a record."""
    with closing(LmdbStore(path)) as store:
        store.apply([template_write(template(), ABSENT), put("88.1/x", templated()), put("88.1/y")], 1)
        for cache_bytes in (0, 1 << 20):
            reader = LmdbReader(path, store._tables, cache_bytes=cache_bytes)
            whole = reader.get(b"88.1/x")
            assert whole is not None
            reader.rest()
            with store._tables.env.begin(write=True, db=store._tables.records) as txn:
                key = store._reader.key_of(template_identifier("88.1", 1))
                good = txn.get(key)
                txn.put(key, b"\xc1\x00")
            store.apply([template_write(template(version=9, page=str(cache_bytes)), ANY)], 2)  # so that it is noticed
            for _ in range(2):
                with pytest.raises(StoreError, match="damaged"):
                    reader.get(b"88.1/x")
                assert reader.get(b"88.1/y") == store.find(b"88.1/y")
                reader.rest()
            with store._tables.env.begin(write=True, db=store._tables.records) as txn:
                txn.put(key, good)
            assert reader.get(b"88.1/x") == whole
            reader.rest()
