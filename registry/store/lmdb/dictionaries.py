"""When a prefix gets a dictionary, and when another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import lmdb

from registry.store.lmdb.codec import MAX_DICTIONARY, Codec, make_compressor, train
from registry.store.lmdb.layout import Meta, PrefixRow, Tables

LEAST_SAMPLE: Final = 1_000
"""Records in a bulk load before a dictionary is trained from them: fewer do not show what is common."""

MOST_SAMPLE: Final = 1_000
"""Records that a dictionary is trained from, within a factor of two: more took several times as long (100 ms for 5,000)
and gained nothing on product records."""

WORSE: Final = 1.5
"""A dictionary has had its day when bodies come out this many times as large as when it was made. Numbers that count on
make them a quarter larger sooner or later; a new dictionary for that would cost more than it saves."""


class DictionaryWork:
    """The part of a write transaction that trains dictionaries; ``writer`` has the rest."""

    _txn: lmdb.Transaction[bytes]
    _tables: Tables
    _codec: Codec
    _meta: Meta

    def _choose_dictionary(self, row: PrefixRow, bodies: list[bytes]) -> None:
        """Give a prefix its first dictionary, or a new one when the one it has does not fit any more."""
        if len(bodies) < LEAST_SAMPLE or self._meta.next_dictionary > MAX_DICTIONARY:
            return
        probe = bodies[:: max(1, len(bodies) // 200)]
        if row.dictionary:
            mean = _mean_size(self._codec.compressor(row.dictionary).compress, probe)
            if mean <= WORSE * row.expected:
                return
            row.expected = mean  # not asked again at every load, should a new one be no better
        trained = train(bodies[:: max(1, len(bodies) // MOST_SAMPLE)])
        if trained is None:
            return
        mean = _mean_size(make_compressor(trained).compress, probe)
        if row.dictionary and mean * WORSE > row.expected:
            return
        number = self._meta.next_dictionary
        self._meta.next_dictionary += 1
        self._txn.put(number.to_bytes(2, "big"), trained, db=self._tables.dictionaries)
        self._codec.admit(number, trained)
        row.dictionary, row.expected = number, mean


def _mean_size(compress: Callable[[bytes], bytes], bodies: list[bytes]) -> float:
    return sum(len(compress(body)) for body in bodies) / len(bodies)
