"""What the load generators look at in answers, whole: question, answer, tree, signature, content."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Final

from bench.dataset import uniform_row
from protocol.answers import read_answer, read_unproven_answer
from protocol.exchange import Exchange
from protocol.framing import split
from protocol.messages import Op
from protocol.seals import leaf, read_seal
from protocol.trust import Proof, TrustAnchor, Verifier

VERIFIED_SHARE: Final = 1 / 256
"""Share of bundles that are verified whole."""

READ_BYTES: Final = 262_144


class WrongAnswer(Exception):
    """The server answered other than it should."""


class Checker:
    """Verifies bundles from the anchor, and looks whether their answers are the right ones."""

    def __init__(self, anchor: TrustAnchor, sealed: bool) -> None:
        self.verifier = Verifier(anchor)
        self.sealed = sealed
        self.turn_sizes: list[int] = []

    def learn(self, host: str, port: int) -> None:
        """Ask the server for its chain."""
        exchange = Exchange(self.verifier, random.getrandbits(63))
        _, wire = exchange.ask(Op.CHAIN)
        with socket.create_connection((host, port), timeout=5) as sock:
            sock.sendall(wire)
            while not exchange.receive(sock.recv(READ_BYTES), time.time_ns() // 1_000_000):
                pass

    def prove(self, requests: bytes, bundle: bytes) -> tuple[Proof, list[tuple[object, bytes]]]:
        """Verify the seal of a bundle, last in ``bundle``; its responses. Raises :class:`NotVerified`."""
        *responses, (seal_message, seal_wire) = split(bundle)
        covered = bundle[: len(bundle) - len(seal_wire)]
        seal = read_seal(seal_message)
        if seal.n != len(responses):
            raise WrongAnswer(f"a seal covers {seal.n} responses where {len(responses)} came")
        self.turn_sizes.append(seal.tree_size)
        return self.verifier.check(seal, leaf(requests, covered), time.time_ns() // 1_000_000), responses

    def check(self, requests: bytes, bundle: bytes) -> None:
        """Verify one sealed bundle and look at its answers. Raises on anything wrong."""
        proof, responses = self.prove(requests, bundle)
        _compare(requests, responses, lambda *said: read_answer(*said, proof).url)

    def look(self, requests: bytes, responses: bytes) -> None:
        """Look at answers that came without a seal."""
        _compare(requests, split(responses), lambda *said: read_unproven_answer(*said).url)


def _compare(
    requests: bytes, responses: list[tuple[object, bytes]], url: Callable[[bytes, int, object], str | None]
) -> None:
    for (request, _), (response, _) in zip(split(requests), responses, strict=True):
        assert isinstance(request, tuple)
        assert isinstance(response, tuple)
        if request[1] != response[0]:
            raise WrongAnswer("answers out of order")
        pairs = (
            [(request[2], response[1], response[2])]
            if request[0] == Op.RESOLVE
            else [(one, 0, body) for one, body in zip(request[2], response[2], strict=True)]
        )
        for identifier, status, payload in pairs:
            found = url(identifier, status, payload)
            if found != uniform_row(int(identifier.rpartition(b"P")[2])).url:
                raise WrongAnswer(f"{identifier!r} gave {found}")
