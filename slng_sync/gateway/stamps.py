"""Stamped audio, which carries its own position. It proves that no audio was lost or sent twice.

Sample frames come in blocks of four: a tag that no other frame has, the low and the high 15 bits of the
block's number, and a check value. Any seven consecutive frames contain one whole block, so every chunk
reveals its absolute position. All channels carry the same values.

Stamped audio must reach the gateway unchanged: not resampled, mixed or scaled. Silence around it is allowed,
and has no position.
"""

import sys
from array import array
from typing import Iterator, List, NamedTuple, Optional, Tuple

__all__ = ["Run", "position_of", "runs", "stamped"]

TAG = -32768
LOW = 0x7FFF
BLOCK = 4


class Run(NamedTuple):
    """Consecutive frames: their offset in the chunk, count, and absolute position (None: not stamped)."""

    offset: int
    frames: int
    position: Optional[int]


def stamped(first: int, frames: int, channels: int = 1) -> bytes:
    """Return 16-bit PCM of ``frames`` frames that begin at the absolute frame ``first``."""
    blocks = range(first // BLOCK, (first + frames + BLOCK - 1) // BLOCK)
    one = array("h", [value for block in blocks for value in _values(block)])
    samples = one
    if channels > 1:
        samples = array("h", bytes(2 * channels * len(one)))
        for channel in range(channels):
            samples[channel::channels] = one
    skip = (first % BLOCK) * channels
    samples = samples[skip : skip + frames * channels]
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _values(block: int) -> Tuple[int, int, int, int]:
    low, high = block & LOW, (block >> 15) & LOW
    return TAG, low, high, low ^ high ^ LOW


def position_of(pcm: bytes, channels: int = 1) -> Optional[int]:
    """Return the absolute frame at which ``pcm`` begins, or None if it has no stamp."""
    samples = _first_channel(pcm, channels)
    block = _next_block(samples, 0)
    return None if block is None else _number(samples, block) * BLOCK - block


def runs(pcm: bytes, channels: int = 1) -> List[Run]:
    """Split a chunk into runs of consecutive frames, stamped or not."""
    samples = _first_channel(pcm, channels)
    if _is_one_run(samples):
        block = _next_block(samples, 0) or 0
        return [Run(0, len(samples), _number(samples, block) * BLOCK - block)]
    return list(_split(samples))


def _first_channel(pcm: bytes, channels: int) -> "array[int]":
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples[::channels] if channels > 1 else samples


def _is_block(samples: "array[int]", at: int) -> bool:
    """Return True if a whole and valid block begins at this index."""
    if at < 0 or at + BLOCK > len(samples) or samples[at] != TAG:
        return False
    low, high, check = samples[at + 1], samples[at + 2], samples[at + 3]
    return low >= 0 and high >= 0 and check == low ^ high ^ LOW


def _number(samples: "array[int]", at: int) -> int:
    return samples[at + 1] | samples[at + 2] << 15


def _next_block(samples: "array[int]", at: int) -> Optional[int]:
    for index in range(at, len(samples) - BLOCK + 1):
        if _is_block(samples, index):
            return index
    return None


def _is_one_run(samples: "array[int]") -> bool:
    """Return True if a chunk is stamped without a gap. Checks only the tags, the first and the last block."""
    first = next((at for at in range(BLOCK) if _is_block(samples, at)), None)
    if first is None:
        return False
    blocks = (len(samples) - first) // BLOCK
    last = first + (blocks - 1) * BLOCK
    tags = samples[first : last + 1 : BLOCK].count(TAG)
    return (
        tags == blocks
        and _is_block(samples, last)
        and _number(samples, last) - _number(samples, first) == blocks - 1
    )


def _split(samples: "array[int]") -> Iterator[Run]:
    at, end = 0, len(samples)
    while at < end:
        block = _next_block(samples, at)
        if block is None:
            yield Run(at, end - at, None)
            return
        # The frames before the first whole block may be the end of a block whose tag was cut off.
        begin = max(at, block - (BLOCK - 1)) if _is_tail(samples, at, block) else block
        if begin > at:
            yield Run(at, begin - at, None)
        stop = block
        while (
            _is_block(samples, stop)
            and _number(samples, stop) - _number(samples, block) == (stop - block) // BLOCK
        ):
            stop += BLOCK
        stop += _torn_frames(samples, stop, _number(samples, block) + (stop - block) // BLOCK)
        yield Run(begin, stop - begin, _number(samples, block) * BLOCK - (block - begin))
        at = stop


def _is_tail(samples: "array[int]", at: int, block: int) -> bool:
    """Return True if the frames before a block are the end of the preceding block."""
    missing = min(block - at, BLOCK - 1)
    number = _number(samples, block) - 1
    if missing == 0 or number < 0:
        return False
    return tuple(samples[block - missing : block]) == _values(number)[BLOCK - missing :]


def _torn_frames(samples: "array[int]", at: int, number: int) -> int:
    """Return how many frames at ``at`` are the beginning of block ``number``, which was cut short."""
    count = 0
    for value in _values(number)[: BLOCK - 1]:
        if at + count >= len(samples) or samples[at + count] != value:
            break
        count += 1
    return count
