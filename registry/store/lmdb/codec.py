"""How a body is stored: compressed against a dictionary, its kind told by the last byte.

=========== ======================================================================================
last byte   before it
=========== ======================================================================================
0x00        the body as it is
0x01–0xDF   a zstd frame, made with dictionary 1–223
0xE0–0xEF   a zstd frame and one byte; dictionary number = low half of the last byte · 256 + that byte
0xFD        a stored body (one of the above) that follows a template: to be expanded (``registry.store.templates``)
0xFE        a stored body (one of the above) that has values which not everybody may read
0xFF        a stored body that is not shown: it was withdrawn, or is suspended
=========== ======================================================================================

The tag stands last because the decoder takes a frame with anything behind it: no slice, no copy. Opening a
stored body for the public is one table look-up and one call, whatever it is; this is the hot path of
resolution. Dictionaries cost nothing to name and are never removed while the store lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

import zstandard

from protocol.errors import RecordError, StoreError
from protocol.kept import is_templated, read_data
from protocol.records import State, are_public, public_body, split_body
from registry.store.interface import DAMAGED

MAX_DICTIONARY: Final = 0xFFF
"""Highest dictionary number: twelve bits."""

DICTIONARY_BYTES: Final = 16_384
"""Size of a dictionary; larger ones gained little on product records and cost cache."""

LEVEL: Final = 3

_LAST_SHORT: Final = 0xDF
_FIRST_LONG: Final = 0xE0
TEMPLATED: Final = 0xFD
RESTRICTED: Final = 0xFE
WITHDRAWN: Final = 0xFF

UNREADABLE: Final = (zstandard.ZstdError, RecordError, IndexError, MemoryError)
"""What opening a damaged stored body may raise: it ends in the middle, claims gigabytes, or is no record."""

_PLAIN_TAG: Final = b"\x00"

# What stands behind a body, and behind the tag of its dictionary, says what is to be done before anybody may see it.
PUBLIC_TAG: Final = b""
TEMPLATED_TAG: Final = bytes((TEMPLATED,))
RESTRICTED_TAG: Final = bytes((RESTRICTED,))
WITHDRAWN_TAG: Final = bytes((WITHDRAWN,))

Opener = Callable[[bytes], bytes | None]


def _plain(stored: bytes) -> bytes:
    return stored[:-1]


def _withdrawn(stored: bytes) -> None:
    return None


class MustExpand(Exception):
    """A stored body follows a template, without which there is nothing to show of it."""


def _templated(stored: bytes) -> None:
    raise MustExpand


class Codec:
    """Opens and makes stored bodies. ``load`` gives the bytes of a dictionary by number, None where there is none.
    Not for use by two threads at once."""

    def __init__(self, load: Callable[[int], bytes | None]) -> None:
        self._load = load
        self._openers: dict[int, Opener] = {}
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        table: list[Opener] = [_plain]
        table += [self._first_use(number) for number in range(1, _FIRST_LONG)]
        table += [self._open_long] * (TEMPLATED - _FIRST_LONG)
        table += [_templated, self._open_restricted, _withdrawn]
        self.public: Final = table
        """By last byte: gives the body that anybody may see, None for one that is not shown. Raises
        :class:`MustExpand`."""

    def whole(self, stored: bytes) -> bytes:
        """The whole body as it is kept, restricted values included, shown or not."""
        while stored[-1] >= TEMPLATED:
            stored = stored[:-1]
        body = self.public[stored[-1]](stored)
        assert body is not None
        return body

    def store(self, body: bytes, dictionary: int, kind: bytes) -> bytes:
        """The stored form of a body, ``kind`` being its :func:`kind_tag`; plain where the dictionary (0: none) does not
        make it shorter."""
        return (self.compress(body, dictionary) if dictionary else body + _PLAIN_TAG) + kind

    def store_many(self, bodies: Sequence[bytes], dictionary: int) -> list[bytes]:
        """The stored forms of active bodies that everybody may read and that follow no template."""
        if not dictionary or not bodies:
            return [body + _PLAIN_TAG for body in bodies]
        # One call for all of them, in which other threads of Python run: the next batch is checked meanwhile.
        frames = self.compressor(dictionary).multi_compress_to_buffer(list(bodies))
        end = tag(dictionary)
        stored = [frame.tobytes() + end for frame in cast("Iterable[zstandard.BufferSegment]", frames)]
        if sum(map(len, stored)) < sum(map(len, bodies)):
            return stored
        return [self.compress(body, dictionary) for body in bodies]

    def compress(self, body: bytes, dictionary: int) -> bytes:
        """A body under a dictionary, tagged."""
        frame = self.compressor(dictionary).compress(body)
        if len(frame) >= len(body):
            return body + _PLAIN_TAG
        return frame + tag(dictionary)

    def compressor(self, dictionary: int) -> zstandard.ZstdCompressor:
        """The compressor of a dictionary, made at its first use."""
        compressor = self._compressors.get(dictionary)
        if compressor is None:
            compressor = self._compressors[dictionary] = make_compressor(self._dictionary(dictionary))
        return compressor

    def admit(self, number: int, dictionary: bytes) -> None:
        """Make a new dictionary known before the store has it for everybody."""
        self._compressors[number] = make_compressor(dictionary)
        opener = self._openers[number] = _decompress_with(dictionary)
        if number <= _LAST_SHORT:
            self.public[number] = opener

    def _dictionary(self, number: int) -> bytes:
        raw = self._load(number)
        if raw is None:
            raise zstandard.ZstdError(f"dictionary {number} is missing")
        return raw

    def _opener(self, number: int) -> Opener:
        opener = self._openers.get(number)
        if opener is None:
            opener = self._openers[number] = _decompress_with(self._dictionary(number))
        return opener

    def _first_use(self, number: int) -> Opener:
        def open_and_remember(stored: bytes) -> bytes | None:
            opener = self._opener(number)
            self.public[number] = opener
            return opener(stored)

        return open_and_remember

    def _open_long(self, stored: bytes) -> bytes | None:
        return self._opener((stored[-1] & 0x0F) << 8 | stored[-2])(stored)

    def _open_restricted(self, stored: bytes) -> bytes:
        return public_body(self.whole(stored))


def _decompress_with(dictionary: bytes) -> Opener:
    return zstandard.ZstdDecompressor(
        dict_data=zstandard.ZstdCompressionDict(dictionary), format=zstandard.FORMAT_ZSTD1_MAGICLESS
    ).decompress


def kind_tag(values: bytes | None, restricted: bool) -> bytes:
    """The tag of a body with these values, None for one that is not shown; ``restricted`` as in a write."""
    if values is None:
        return WITHDRAWN_TAG
    if is_templated(values):
        return TEMPLATED_TAG
    return RESTRICTED_TAG if restricted else PUBLIC_TAG


def kind_of(body: bytes) -> bytes:
    """The tag of a body. Raises :class:`~protocol.errors.RecordError` where it is none."""
    head = split_body(body)
    if head.state is not State.ACTIVE:
        return WITHDRAWN_TAG
    if is_templated(head.values):
        read_data(head.values)
        return TEMPLATED_TAG
    return kind_tag(head.values, not are_public(head.values))


def damaged(identifier: bytes, error: Exception) -> StoreError:
    """The error for a stored body that cannot be opened."""
    return StoreError(DAMAGED, identifier=identifier.decode("utf-8", "replace"), reason=str(error))


def tag(dictionary: int) -> bytes:
    """The last byte or two of a body that was compressed with a dictionary."""
    if dictionary <= _LAST_SHORT:
        return bytes((dictionary,))
    return bytes((dictionary & 0xFF, _FIRST_LONG | dictionary >> 8))


def make_compressor(dictionary: bytes) -> zstandard.ZstdCompressor:
    """A compressor whose frames carry nothing that the store knows already: no magic number, no dictionary id."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=1, write_dict_id=0, write_checksum=0
    )
    return zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(dictionary), compression_params=parameters)


def train(bodies: Sequence[bytes]) -> bytes | None:
    """A dictionary from a sample of bodies; None where the sample has too little in common or is too small."""
    try:
        return zstandard.train_dictionary(DICTIONARY_BYTES, list(bodies)).as_bytes()
    except zstandard.ZstdError:
        return None
