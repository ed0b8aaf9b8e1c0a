"""The load generator: what it asks, and that nothing wrong gets past it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import generator
from bench.dataset import uniform_identifier, uniform_row, write_uniform_csv
from bench.generator import Checker, Plan, Stream, Tally, WrongAnswer, plan
from protocol.errors import BiaoshiError, NotVerified
from protocol.framing import decode_one, split
from protocol.identifiers import normal
from protocol.limits import MAX_AMPLIFICATION
from protocol.messages import Op, encode_response, read_request
from protocol.records import State, Value, encode_body, encode_values
from protocol.seals import encode_seal, leaf, read_seal, seal_turn
from protocol.status import Status
from tests.conftest import MakeNode
from tests.protocol.simulator import Connection, Server
from tests.vectors.actors import ANCHOR, NOW_MS, SECONDARY, SECONDARY_CHAIN, STRANGER

ROOT = Path(__file__).parents[2]
MODES = ("tcp", "udp", "many")
RECORDS = 20


def body(url: str) -> bytes:
    """A record with that URL."""
    return encode_body(1, State.ACTIVE, 1, encode_values([Value(1, "URL", url.encode())]))


MAX_PROOF_BYTES = 8 * 32
"""Under load 256 datagrams are answered in one turn: as long as this is the proof that each is among them."""

TRUE = {uniform_identifier(i).encode(): body(uniform_row(i).url) for i in range(RECORDS)}


class Uniform(Server):
    """A server of uniform records that also answers resolve-many."""

    def answer(self, message: object) -> bytes:
        op, rid, arguments = read_request(message)
        if op != Op.RESOLVE_MANY:
            return super().answer(message)
        [identifiers] = arguments
        assert isinstance(identifiers, tuple)
        found = [self._records.get(normal(one), int(Status.NOT_FOUND)) for one in identifiers]
        return encode_response(rid, Status.OK, found)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small pool."""
    monkeypatch.setattr(generator, "POOL", 200)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors' time."""
    monkeypatch.setattr(generator, "time", SimpleNamespace(time_ns=lambda: NOW_MS * 1_000_000))


def checker(*, sealed: bool = True) -> Checker:
    """One that has learnt the chain."""
    made = Checker(ANCHOR, sealed)
    made.verifier.learn(SECONDARY_CHAIN, NOW_MS)
    return made


def served(requests: bytes, server: Server) -> bytes:
    """What a server sends for requests: one bundle."""
    connection = server.connect()
    connection.stream.feed(requests)
    server.turn()
    return connection.take()


# What is asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "each"), [("tcp", 1), ("udp", 1), ("many", 20)])
def test_plan(mode: str, each: int) -> None:
    asked = plan(mode, RECORDS, 20, seed=1)
    assert (asked.each, asked.count, len(asked.wires)) == (each, 200 // each, asked.size * (200 // each))
    messages = [message for message, _ in split(asked.wires)]
    rids, identifiers = [], []
    for i, message in enumerate(messages):
        op, rid, arguments = read_request(message)
        assert op == (Op.RESOLVE_MANY if mode == "many" else Op.RESOLVE)
        assert asked.wires[i * asked.size + 3 : i * asked.size + 11] == rid.to_bytes(8, "big"), "as UDP looks for it"
        rids.append(rid)
        identifiers += arguments[0] if mode == "many" else arguments[:1]  # type: ignore[misc]
    assert len(set(rids)) == len(rids), "an answer belongs to one question"
    assert set(identifiers) == set(TRUE), "all records and no others, many times over"


def test_a_plan_is_of_its_seed_alone() -> None:
    assert plan("tcp", RECORDS, 1, seed=1) == plan("tcp", RECORDS, 1, seed=1)
    assert plan("tcp", RECORDS, 1, seed=1) != plan("tcp", RECORDS, 1, seed=2)


def test_datagrams_have_room_for_their_answers() -> None:
    asked = plan("udp", RECORDS, 1, seed=1)
    longest = served(asked.wires[: asked.size], Uniform(records=TRUE))
    assert len(longest) + MAX_PROOF_BYTES <= asked.size * MAX_AMPLIFICATION <= generator.UDP_ROOM_BYTES


def test_requests_of_two_lengths_are_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut out of one buffer by their common length."""
    names = iter(["88.118.32001/P1", *["88.118.32001/P22"] * 300])
    monkeypatch.setattr(generator, "uniform_identifier", lambda *_: next(names))
    with pytest.raises(ValueError, match="differ in length"):
        plan("tcp", RECORDS, 1, seed=1)


# The checker -----------------------------------------------------------------------------------------


def a_bundle(mode: str, server: Server, count: int = 5) -> tuple[bytes, bytes]:
    """Requests and their sealed answers."""
    asked = plan(mode, RECORDS, 20, seed=3)
    requests = asked.wires[: count * asked.size]
    return requests, served(requests, server)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("mode", MODES)
def test_right_answers_pass(mode: str) -> None:
    checker().check(*a_bundle(mode, Uniform(records=TRUE)))


def wrong(records: dict[bytes, bytes], mode: str) -> Any:
    """Check what a server of these records seals."""
    return checker().check(*a_bundle(mode, Uniform(records=records)))


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("mode", MODES)
def test_sealed_lies_are_found(mode: str) -> None:
    """A seal says who answered; the checker knows what is right."""
    names = list(TRUE)
    with pytest.raises(WrongAnswer):  # every identifier gives its neighbour's record
        wrong(dict(zip(names, [*list(TRUE.values())[1:], TRUE[names[0]]], strict=True)), mode)
    with pytest.raises(WrongAnswer):
        wrong(dict.fromkeys(names, body("https://example.com/")), mode)
    nothing = encode_body(1, State.ACTIVE, 1, encode_values([Value(1, "TEXT", b"x")]))
    with pytest.raises(WrongAnswer):
        wrong(dict.fromkeys(names, nothing), mode)
    with pytest.raises((WrongAnswer, BiaoshiError)):
        wrong({}, mode)
    withdrawn = encode_body(2, State.WITHDRAWN, 1, b"\x90")
    with pytest.raises((WrongAnswer, BiaoshiError)):
        wrong(dict.fromkeys(names, withdrawn), mode)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("mode", MODES)
def test_one_lie_among_many_truths_is_found(mode: str) -> None:
    requests, _ = a_bundle(mode, Uniform(records=TRUE))
    for message, _ in split(requests):
        argument = message[2]  # type: ignore[index]
        last = argument if isinstance(argument, bytes) else argument[-1]
        with pytest.raises(WrongAnswer):
            wrong({**TRUE, last: body("https://example.com/")}, mode)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("mode", MODES)
def test_every_changed_byte_is_found(mode: str) -> None:
    """In the answers, in the seal, anywhere but in the number of answers, which is not signed."""
    requests, bundle = a_bundle(mode, Uniform(records=TRUE), count=2)
    number = len(bundle) - len(split(bundle)[-1][1]) + 3
    checking = checker()
    for at in {*range(0, len(bundle), 1 + len(bundle) // 300), *range(number - 3, len(bundle))}:
        tampered = bytearray(bundle)
        tampered[at] ^= 1 << at % 8
        if number <= at < number + 4:
            continue
        with pytest.raises((WrongAnswer, BiaoshiError, ValueError, AssertionError)):
            checking.check(requests, bytes(tampered))
    checking.check(requests, bundle)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("number", [1, 3, 0x0100_0002])
def test_a_seal_for_another_number_of_answers_is_found(number: int) -> None:
    """A client would refuse it."""
    requests, bundle = a_bundle("udp", Uniform(records=TRUE), count=2)
    seal = split(bundle)[-1][1]
    other = encode_seal(read_seal(decode_one(seal))._replace(n=number))
    with pytest.raises((WrongAnswer, BiaoshiError)):
        checker().check(requests, bundle[: -len(seal)] + other)


@pytest.mark.usefixtures("now")
def test_a_seal_of_another_key_or_bundle_is_found() -> None:
    requests, bundle = a_bundle("tcp", Uniform(records=TRUE))
    seal = split(bundle)[-1][1]
    covered = bundle[: -len(seal)]
    stranger = seal_turn([5], [leaf(requests, covered)], STRANGER.online, NOW_MS)[0]
    with pytest.raises(NotVerified):
        checker().check(requests, covered + stranger)
    _, other = a_bundle("many", Uniform(records=TRUE))
    with pytest.raises(NotVerified):
        checker().check(requests, covered + split(other)[-1][1])


@pytest.mark.usefixtures("now")
def test_an_old_seal_is_found() -> None:
    with pytest.raises(NotVerified):
        checker().check(*a_bundle("tcp", Uniform(records=TRUE, now_ms=lambda: NOW_MS - 3_600_000)))


@pytest.mark.usefixtures("now")
def test_answers_in_another_order_are_found() -> None:
    """Sealed as the server sent them; but they are not those of the questions in this order."""
    requests, bundle = a_bundle("tcp", Uniform(records=TRUE), count=2)
    (_, one), (_, two), _ = split(bundle)
    seal = seal_turn([2], [leaf(requests, two + one)], SECONDARY.online, NOW_MS)[0]
    with pytest.raises(WrongAnswer, match="order"):
        checker().check(requests, two + one + seal)


@pytest.mark.usefixtures("now")
def test_fewer_answers_than_questions_are_found() -> None:
    requests, bundle = a_bundle("tcp", Uniform(records=TRUE), count=3)
    (_, one), (_, two), *_ = split(bundle)
    seal = seal_turn([2], [leaf(requests, one + two)], SECONDARY.online, NOW_MS)[0]
    with pytest.raises(ValueError, match="shorter"):
        checker().check(requests, one + two + seal)


# A connection of the closed loop ---------------------------------------------------------------------


class Loop:
    """A stream, and the server's end of it: what was sent is answered when told."""

    def __init__(self, asked: Plan, checking: Checker, listener: socket.socket, server: Server) -> None:
        self.stream = Stream(*listener.getsockname(), asked, checking, SimpleNamespace(  # type: ignore[arg-type]
            random=lambda: self.chance, randrange=lambda count: count - 3
        ))  # fmt: skip
        self.chance = 1.0
        self.end, _ = listener.accept()
        self.end.settimeout(10)
        self.connection: Connection = server.connect()
        self.server = server
        self.tally = Tally()

    def ask(self, count: int) -> bytes:
        """The stream asks; what the server has to say to it."""
        self.stream.send(count)
        wanted = count * self.stream.plan.size
        while wanted:
            data = self.end.recv(wanted)
            wanted -= len(data)
            self.connection.stream.feed(data)
        self.server.turn()
        return self.connection.take()

    def take(self, data: bytes) -> int:
        """The stream receives this in one piece; how many requests it counts as answered."""
        self.end.sendall(data)
        self.stream.socket.setblocking(True)
        return self.stream.receive(self.tally)


@pytest.fixture
def loop() -> Iterator[Callable[..., Loop]]:
    made: list[Loop] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def make(mode: str = "tcp", *, sealed: bool = True, **options: Any) -> Loop:
            server = Uniform(**{"records": TRUE, **options})
            made.append(Loop(plan(mode, RECORDS, 20, seed=5), checker(sealed=sealed), listener, server))
            return made[-1]

        yield make
        for one in made:
            one.stream.socket.close()
            one.end.close()


@pytest.mark.parametrize("mode", ["tcp", "many"])
@pytest.mark.parametrize("pieces", [1, 2, 7, 100])
@pytest.mark.usefixtures("now")
def test_answers_are_counted_in_whatever_pieces_they_come(
    mode: str, pieces: int, loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking goes over the end of the pool and on from its beginning."""
    monkeypatch.setattr(generator, "VERIFIED_SHARE", 0.5)
    under = loop(mode)
    answered = 0
    for turn in range(6):
        under.chance = 0.1 if turn % 2 else 0.9
        data = under.ask(4)
        step = len(data) // pieces + 1
        answered += sum(under.take(data[at : at + step]) for at in range(0, len(data), step))
    assert answered == 24
    assert under.tally.answers == 24 * under.stream.plan.each
    assert (under.tally.bundles, under.tally.verified, under.tally.wrong) == (6, 3, 0)


@pytest.mark.usefixtures("now")
def test_a_lone_answer_is_counted_without_being_decoded(
    loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    under = loop()
    monkeypatch.setattr(under.stream, "unpacker", None)
    for _ in range(5):
        assert under.take(under.ask(1)) == 1
    assert (under.tally.answers, under.tally.bundles, under.tally.wrong) == (5, 5, 0)


@pytest.mark.usefixtures("now")
def test_what_is_verified_after_lone_answers_still_fits(
    loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "VERIFIED_SHARE", 0.5)
    under = loop()
    for chance in (0.9, 0.9, 0.1, 0.9, 0.1):
        under.chance = chance
        assert under.take(under.ask(1)) == 1
    assert (under.tally.answers, under.tally.verified) == (5, 2)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("cut", [0, 30])
def test_a_bundle_of_one_is_not_always_alone(loop: Callable[..., Loop], cut: int) -> None:
    """Other bundles may come with it, or its end later."""
    under = loop()
    one = under.ask(1)
    more = under.ask(3)
    first, rest = (one[:-cut], one[-cut:] + more) if cut else (one + more[:50], more[50:])
    assert under.take(first) + under.take(rest) == 4
    assert (under.tally.answers, under.tally.bundles) == (4, 2)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("mode", ["tcp", "many"])
@pytest.mark.parametrize("count", [1, 3])
def test_absent_records_are_wrong_answers(loop: Callable[..., Loop], mode: str, count: int) -> None:
    """Also in bundles that are not verified: each status is looked at."""
    under = loop(mode, records={})
    assert under.take(under.ask(count)) == count
    assert under.tally.wrong == count
    assert under.tally.verified == 0


@pytest.mark.usefixtures("now")
def test_a_tampered_bundle_ends_the_run(loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "VERIFIED_SHARE", 2.0)
    under = loop()
    data = bytearray(under.ask(3))
    data[data.index(b"https")] ^= 1
    with pytest.raises(NotVerified):
        under.take(bytes(data))


def test_a_closed_connection_ends_the_run(loop: Callable[..., Loop]) -> None:
    under = loop()
    under.end.close()
    under.stream.socket.setblocking(True)
    with pytest.raises(WrongAnswer, match="closed"):
        under.stream.receive(under.tally)


def test_the_slice_goes_over_the_end_of_the_pool(loop: Callable[..., Loop]) -> None:
    stream = loop().stream
    size, count = stream.plan.size, stream.plan.count
    for start, taken in ((0, count), (count - 1, 1), (count - 1, 2), (count - 3, 64)):
        got = stream._slice(start, taken)
        assert [got[i * size : (i + 1) * size] for i in range(taken)] == [
            stream.plan.wires[(start + i) % count * size :][:size] for i in range(taken)
        ]


def hello(answer: bytes) -> None:
    """What a stream makes of this answer to its hello."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = Stream.__new__(Stream)
        stream.socket = socket.create_connection(listener.getsockname())
        end, _ = listener.accept()
        with stream.socket, end:
            end.sendall(answer)
            stream._go_unsealed()
            assert read_request(decode_one(end.recv(100)))[0] == Op.HELLO


def test_without_seals_where_the_server_allows_it() -> None:
    hello(encode_response(1, Status.OK, [1]))
    with pytest.raises(WrongAnswer, match="without seals"):
        hello(encode_response(1, Status.UNKNOWN_OPERATION, None))


def test_without_seals_where_the_server_refuses_under_a_seal() -> None:
    refusal = encode_response(1, Status.UNKNOWN_OPERATION, None)
    with pytest.raises(WrongAnswer, match="without seals"):
        hello(refusal + seal_turn([1], [leaf(b"", refusal)], SECONDARY.online, NOW_MS)[0])


# Against a node --------------------------------------------------------------------------------------


def generate(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = "from bench import generator; generator.POOL = 10_000; generator.main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[2]
    )


def test_against_a_node(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node("127.0.0.11")
    node.start()
    write_uniform_csv(tmp_path / "uniform.csv", 300, 1)
    assert node.run("import", tmp_path / "uniform.csv").code == 0
    host, port = node.address("resolver").split(":")
    load = ("--host", host, "--port", port, "--seconds", 0.3, "--connections", 4, "--in-flight", 8)
    anchor = ("--anchor", node.directory / "anchor.toml")
    for mode in MODES:
        done = generate(*load, *anchor, "--mode", mode, "--records", 300)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["answers"] > 100
        assert report["per_second"] == pytest.approx(report["answers"] / report["seconds"])
        assert (report["wrong"], report["verified"] > 0) == (0, True)
    missing = generate(*load, *anchor, "--records", 450)
    assert missing.returncode != 0, "a third of what is asked for is not there"
    other = generate(*load, "--records", 300, "--anchor", make_node("127.0.0.11").directory / "anchor.toml")
    assert other.returncode != 0
    assert "not signed" in other.stderr


def test_other_machines_are_no_targets(tmp_path: Path) -> None:
    done = generate("--host", "192.0.2.1", "--port", 1, "--anchor", tmp_path / "anchor.toml")
    assert done.returncode == 2
    assert "loopback" in done.stderr
