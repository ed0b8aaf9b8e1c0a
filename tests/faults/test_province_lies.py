"""Lies in a province, told by machines and by men in the middle, and clocks that are wrong: whatever it is, a client
takes no wrong answer, and says what is the matter."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgpack
import pytest

from biaoshi.topology.samples import sample
from protocol.errors import BiaoshiError, NotVerified
from protocol.exchange import read_chain
from protocol.framing import decode_one
from protocol.messages import Op, encode_response, read_response
from protocol.records import Value, encode_values
from protocol.seals import leaf, seal_turn
from protocol.status import Exit, Status
from protocol.trust import Chain
from registry.store.writes import ANY, Write
from resolver.client import Client, relaying
from tests.e2e.nodes import CLEAN, Node, Outcome, run
from tests.faults.load import Load, as_before, everybody
from tests.faults.middleman import Heard, MiddleMan, Tell, between, truth
from tests.faults.province import Province, until
from tests.resolver.servers import ZoneKeys

RECORDS: Final = 100
ZONE: Final = "88.103.20003"
NODE: Final = f"enterprise-{ZONE}"
NAME: Final = sample(ZONE, 1).identifier
OTHER: Final = sample(ZONE, 2).identifier
ABSENT: Final = f"{ZONE}/absent"
FOREIGN: Final = sample("88.102.20002", 1).identifier


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """One for all tests of this file: each leaves it as it was."""
    made = Province(tmp_path_factory.mktemp("ten"), RECORDS)
    yield made
    made.close()


# Men in the middle -----------------------------------------------------------------------------------

THIEF: Final = ZoneKeys(ZONE, 77)
"""Keys of somebody else, for the same zone."""


def of(heard: Heard) -> tuple[int, object]:
    """Status and payload of a response."""
    response = read_response(decode_one(heard.response, 1 << 20))
    return response.status, response.payload


def fitted(heard: Heard, kept: Heard) -> bytes:
    """An answer from before, as one to the question that is asked now."""
    return encode_response(heard.rid, *of(kept))


def stolen(heard: Heard, response: bytes) -> bytes:
    """A response under a seal of the thief's."""
    [seal] = seal_turn([1], [leaf(heard.request, response)], THIEF.online, time.time_ns() // 1_000_000)
    return response + seal


def under_the_true_chain(heard: Heard) -> bytes:
    """The true delegations with the thief's online key."""
    chain = read_chain(of(heard)[1])
    return stolen(heard, encode_response(heard.rid, Status.OK, Chain(chain.delegations, THIEF.chain.online_keys)))


def authority_lies(man: MiddleMan) -> dict[str, tuple[int, Tell, str]]:
    """What he makes of answers to an operation, and what his victim says of it."""
    name, other, absent = (man.kept[one.encode()] for one in (NAME, OTHER, ABSENT))
    denial = Status.NOT_FOUND, 300
    return {
        "an answer from before": (Op.RESOLVE, lambda heard: name.truth, "exchange.unasked"),
        "the same under the new rid": (Op.RESOLVE, lambda heard: fitted(heard, name) + name.seal, "trust.bad-seal"),
        "another's answer": (Op.RESOLVE, lambda heard: fitted(heard, other) + heard.seal, "trust.bad-seal"),
        "a denial": (Op.RESOLVE, lambda heard: encode_response(heard.rid, *denial) + heard.seal, "trust.bad-seal"),
        "another's denial": (Op.RESOLVE, lambda heard: fitted(heard, absent) + absent.seal, "trust.bad-seal"),
        "another's seal": (Op.RESOLVE, lambda heard: heard.response + other.seal, "trust.bad-seal"),
        "no seal": (Op.RESOLVE, lambda heard: heard.response, "client.timed-out"),
        "a stolen seal": (Op.RESOLVE, lambda heard: stolen(heard, heard.response), "trust.unknown-key"),
        "a chain of his own": (
            Op.CHAIN, lambda heard: stolen(heard, encode_response(heard.rid, Status.OK, THIEF.chain)),
            "trust.other-zone",
        ),
        "a key of his own in the true chain": (Op.CHAIN, under_the_true_chain, "trust.bad-signature"),
        "the handshake of another": (Op.CHAIN, lambda heard: _handshake(man).truth, "exchange.unasked"),
    }  # fmt: skip


def relay_lies(man: MiddleMan) -> dict[str, tuple[int, Tell, str]]:
    """The same before a recursive node."""
    name, other = man.kept[NAME.encode()], man.kept[OTHER.encode()]
    request, response, seal = of(name)[1]  # type: ignore[misc]

    def relayed(*evidence: object) -> Tell:
        return lambda heard: encode_response(heard.rid, Status.OK, evidence) + heard.seal

    forged = encode_response(msgpack.unpackb(request, raw=True)[1], Status.NOT_FOUND, 300)
    foreign = of(man.kept[FOREIGN.encode()])[1]
    return {
        "another's proof": (Op.RESOLVE, lambda heard: fitted(heard, other) + heard.seal, "relay.other-question"),
        "another zone's proof": (Op.RESOLVE, relayed(*foreign), "relay.other-question"),  # type: ignore[misc]
        "another's answer in the proof": (
            Op.RESOLVE, relayed(request, of(other)[1][1], seal), "relay.malformed",  # type: ignore[index]
        ),
        "a denial in the proof": (Op.RESOLVE, relayed(request, forged, seal), "trust.bad-seal"),
        "another's seal": (
            Op.RESOLVE, relayed(request, response, of(other)[1][2]), "trust.bad-seal",  # type: ignore[index]
        ),
        "a denial without proof": (
            Op.RESOLVE, lambda heard: encode_response(heard.rid, Status.NOT_FOUND, 300) + heard.seal,
            "client.no-evidence",
        ),
        "the record without proof": (
            Op.RESOLVE, lambda heard: encode_response(heard.rid, 0, read_response(decode_one(response)).payload),
            "relay.malformed",
        ),
        "no chain": (
            Op.CHAIN, lambda heard: encode_response(heard.rid, Status.NOT_FOUND, 300) + heard.seal,
            "trust.unknown-key",
        ),
        "the chain of somebody else": (
            Op.CHAIN, lambda heard: encode_response(heard.rid, Status.OK, THIEF.chain) + heard.seal, "trust.other-zone",
        ),
    }  # fmt: skip


def about(op: int, tell: Tell, *, to_recursive: bool) -> Tell:
    """Lie about one operation; to a recursive node's client, of chains only about those of the zones that answer."""

    def told(heard: Heard) -> bytes:
        concerned = heard.op == op and (op != Op.CHAIN or bool(heard.arguments) == to_recursive)
        return tell(heard) if concerned else heard.truth

    return told


def _handshake(man: MiddleMan) -> Heard:
    assert man.handshake is not None
    return man.handshake


@pytest.mark.parametrize(("server", "lies", "least"), [(NODE, authority_lies, 11), ("recursive-1", relay_lies, 9)])
def test_a_man_in_the_middle_is_caught(
    province: Province, server: str, lies: Callable[[MiddleMan], dict[str, tuple[int, Tell, str]]], least: int
) -> None:
    async def main() -> None:
        async with between(province.address(server)) as (man, address):
            async with Client(address, anchor=province.anchor) as client:
                for name in (NAME, OTHER, ABSENT, *([FOREIGN] if server == "recursive-1" else [])):
                    assert (await client.resolve(name)).found == (name != ABSENT), "he may also tell the truth"
            told = lies(man)
            assert len(told) == least
            for what, (op, tell, rule) in told.items():
                man.tell = about(op, tell, to_recursive=server == "recursive-1")
                async with Client(address, anchor=province.anchor, timeout=1.0, retries=0) as victim:
                    with pytest.raises(BiaoshiError) as caught:
                        await victim.resolve(NAME)
                assert caught.value.rule.name == rule, f"{what}: {caught.value}"

    asyncio.run(main())


def test_what_was_true_once_is_believed_no_longer_than_was_said(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recursive node, or who stands before it, shows an older version of a record, and denies what was registered
    meanwhile. An authority's own words are not believed again at all; a proof is, for its TTL and what clocks may
    differ."""
    kept, fresh = f"{ZONE}/kept", f"{ZONE}/registered-later"

    async def put(name: str, url: str) -> None:
        values = encode_values([Value(1, "URL", url.encode(), ttl=1)])
        async with province.registry(NODE) as registry:
            [outcome] = await registry.write([Write(name.encode(), ANY, values, restricted=False)])
            assert outcome.status is Status.OK

    async def main() -> None:
        await put(kept, "old")
        async with between(province.recursive) as (man, address):
            async with Client(address, anchor=province.anchor) as client:
                assert (await client.resolve(kept)).url == "old"
                assert (await client.resolve(fresh)).status is Status.NOT_FOUND
            await put(kept, "new")
            await put(fresh, "new")
            man.tell = lambda heard: (
                fitted(heard, man.kept[heard.arguments[0]]) + heard.seal if heard.op == Op.RESOLVE else heard.truth
            )
            for seconds, name in ((1 + 301, kept), (300 + 301, fresh)):
                monkeypatch.setattr(
                    relaying, "_now_ms", lambda late=seconds: time.time_ns() // 1_000_000 + late * 1_000
                )
                async with Client(address, anchor=province.anchor) as victim:
                    with pytest.raises(NotVerified) as caught:
                        await victim.resolve(name)
                assert caught.value.rule.name == "relay.too-old"
            monkeypatch.undo()
            man.tell = truth
            async with Client(address, anchor=province.anchor) as client, asyncio.timeout(20):
                while (await client.resolve(kept)).url != "new":  # noqa: ASYNC110 - remembered for a second
                    await asyncio.sleep(0.1)
        async with Client(province.address(NODE), anchor=province.anchor) as direct:
            assert (await direct.resolve(fresh)).url == "new"

    asyncio.run(main())


def test_spliced_receipts(province: Province, tmp_path: Path) -> None:
    """Of two true ones, and one of an authority whose word it is not."""

    async def receipts() -> list[list[object]]:
        async with Client(province.recursive, anchor=province.anchor) as client:
            made = [(await client.receipt(name))[1] for name in (NAME, OTHER, FOREIGN)]
        return [msgpack.unpackb(one, raw=True) for one in made]

    name, other, foreign = asyncio.run(receipts())
    anchor = province.directory / "top/anchor.toml"

    def verify(*parts: object) -> Outcome:
        path = tmp_path / "receipt"
        path.write_bytes(msgpack.packb(parts, use_bin_type=True))
        return run("verify", path, "--anchor", anchor)

    assert verify(*name).code == 0
    assert verify(*name[:3], *other[3:]).code == Exit.NOT_VERIFIED, "another's seal"
    assert verify(*name[:2], other[2], *name[3:]).code == Exit.NOT_VERIFIED, "another's answer"
    assert verify(*name[:4], *foreign[4:]).code == Exit.NOT_VERIFIED, "another's chain"
    assert verify(*foreign[:4], *name[4:]).code == Exit.NOT_VERIFIED
    assert verify(*name[:4], name[4][1:], name[5]).code == Exit.NOT_VERIFIED, "a delegation is missing"  # type: ignore[index]
    assert verify(*name[:4], name[4][::-1], name[5]).code == Exit.NOT_VERIFIED, "in another order"  # type: ignore[index]


# A machine that lies ---------------------------------------------------------------------------------


def test_an_impostor_in_the_place_of_a_secondary(province: Province, tmp_path: Path) -> None:
    """A real node with keys of its own, which denies what is registered and has what is not, is passed over by all who
    have another address, and caught by who has not."""
    impostor = Node(tmp_path / "impostor", "127.0.0.47", "88.101")
    [line, *_] = province.lines["secondary-88.101"]
    load = Load(province, 5)

    async def main() -> None:
        async with load.running(everybody(province)):
            await asyncio.sleep(0.5)
            host, _, port = impostor.address("resolver").rpartition(":")
            true, line.real = line.real, (host, int(port))
            province.proxies.do(line.reset())
            await asyncio.sleep(1.5)
            async with Client(province.address("secondary-88.101"), anchor=province.anchor) as victim:
                for name in (sample("88.101.20000", 1).identifier, "88.101.20000/invented"):
                    with pytest.raises(NotVerified) as caught:
                        await victim.resolve(name)
                    assert caught.value.rule.name == "trust.other-zone"
            line.real = true
            province.proxies.do(line.reset())
            await as_before(province, load, time.monotonic(), "secondary-88.101")

    try:
        impostor.start()
        assert impostor.run("register", "88.101.20000/invented", "-v", "URL=https://stolen.example").code == 0
        asyncio.run(main())
    finally:
        impostor.stop()
    assert not [one for one in load.asked if one.error], load.told()


# Clocks ----------------------------------------------------------------------------------------------

TEN_MINUTES: Final = 600


def at(shift: int, *arguments: object) -> Outcome:
    """The command on a machine whose clock is ahead by so many seconds."""
    words = [sys.executable, "-m", "tests.faults.shifted", str(shift), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, env=CLEAN, check=False, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextlib.contextmanager
def wrong_clock(province: Province, name: str, shift: int) -> Iterator[None]:
    """A node runs on with a clock that is wrong."""
    province.lose(name)
    place = province.lost(name)
    (place / "run.json").unlink(missing_ok=True)
    words = [sys.executable, "-m", "tests.faults.shifted", str(shift), "serve", "--config", str(place / "biaoshi.toml")]
    with province.log.open("ab") as log:
        twin = subprocess.Popen(words, stdout=log, stderr=log, env=CLEAN)
    try:
        until(lambda: (place / "run.json").exists() or twin.poll() is not None, "its start")
        assert twin.poll() is None, province.said()
        yield
    finally:
        twin.send_signal(signal.SIGTERM)
        assert twin.wait(30) == 0
        province.give_back(name)
        until(lambda: bool(province.status(name)), "the node with its own clock")


@pytest.mark.parametrize("shift", [TEN_MINUTES, -TEN_MINUTES])
def test_the_clients_clock_is_wrong(province: Province, shift: int) -> None:
    anchor = province.directory / "top/anchor.toml"

    def resolve(name: str, server: str) -> Outcome:
        return at(shift, "resolve", name, "--server", server, "--anchor", anchor)

    said = "behind this machine's clock" if shift > 0 else "ahead of this machine's clock"
    with ThreadPoolExecutor() as together:  # each is a process of its own, and most of it is to start
        direct = [together.submit(resolve, NAME, province.address(server)) for server in (NODE, "top")]
        asked = [together.submit(resolve, name, province.recursive) for name in (NAME, ABSENT)]
        write = together.submit(at, shift, "register", NAME, "-v", "URL=x", "--node", province.directory / NODE)
    for one in (*direct, write):
        done = one.result()
        assert done.code == Exit.NOT_VERIFIED, done
        assert said in done.err
        assert done.out == ""
    known, absent = (one.result() for one in asked)
    if shift < 0:
        assert known.code == absent.code == Exit.NOT_VERIFIED
        assert said in known.err
    else:  # to this client they are answers out of a cache, ten minutes old: longer than one may remember an absence
        assert (known.code, known.out) == (0, resolve_truly(province, NAME).out), known
        assert absent.code == Exit.NOT_VERIFIED
        assert "this machine's clock is ahead" in absent.err


def resolve_truly(province: Province, name: str) -> Outcome:
    """With a clock that is right."""
    return run("resolve", name, "--server", province.recursive, "--anchor", province.directory / "top/anchor.toml")


@pytest.mark.parametrize("shift", [TEN_MINUTES, pytest.param(-TEN_MINUTES, marks=pytest.mark.long)])
def test_an_authoritys_clock_is_wrong(province: Province, shift: int) -> None:
    anchor = province.directory / "top/anchor.toml"
    way = "ahead of" if shift > 0 else "behind"
    with wrong_clock(province, NODE, shift):
        fresh = f"{ZONE}/never-asked-for{shift}"
        direct = run("resolve", fresh, "--server", province.address(NODE), "--anchor", anchor)
        assert direct.code == Exit.NOT_VERIFIED
        assert f"{way} this machine's clock" in direct.err
        through = run("resolve", fresh, "--server", province.recursive, "--anchor", anchor)
        assert through.code == Exit.UNREACHABLE, through
        assert f"the seals of '{ZONE}' are" in through.err
        assert f"{way} the resolver's clock" in through.err
    with wrong_clock(province, "secondary-88.101", shift):  # custody has the time right, and answers
        for name in (sample("88.101.20000", 3 + (shift > 0)).identifier, sample("88.101.20001", 3).identifier):
            assert resolve_truly(province, name).code == 0
        said = f"{way} this machine's clock"
        until(
            lambda: any(said in str(one.get("trouble")) for one in province.status("custody")),
            "custody says that it cannot follow, and why",
        )
    until(province.followed, "custody follows again")


@pytest.mark.parametrize("shift", [-TEN_MINUTES, pytest.param(TEN_MINUTES, marks=pytest.mark.long)])
def test_the_recursive_nodes_clock_is_wrong(province: Province, shift: int) -> None:
    way = "behind" if shift > 0 else "ahead of"
    with wrong_clock(province, "recursive-1", shift):
        for name in (NAME, ABSENT):
            done = resolve_truly(province, name)
            assert done.code == Exit.UNREACHABLE, done
            assert "the seals of '88' are" in done.err
            assert f"{way} the resolver's clock" in done.err
            assert done.out == ""
    assert resolve_truly(province, NAME).code == 0
