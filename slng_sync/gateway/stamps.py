"""Audio that says where it is, so that a test can prove that none of it was lost or sent twice.

Frames come in blocks of four: a tag that no other frame carries, the low and the high 15 bits of the
block's number, and a check of both. Any seven frames in a row hold one whole block, so the absolute
position can be read from every chunk, however it was cut. All channels carry the same value.

Such audio must reach the gateway untouched: not resampled, not mixed, not scaled. Silence around it is
fine and counts as audio that is nowhere.
"""

import sys
from array import array
from typing import Iterator, List, NamedTuple, Optional, Tuple

__all__ = ["Run", "position_of", "runs", "stamped"]

TAG = -32768
LOW = 0x7FFF
BLOCK = 4


class Run(NamedTuple):
    """Frames in a row: their place in the chunk, how many, and their absolute place (None: unstamped)."""

    offset: int
    frames: int
    position: Optional[int]


def stamped(first: int, frames: int, channels: int = 1) -> bytes:
    """Return PCM for ``frames`` frames that begin at the absolute frame ``first``."""
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
    """Return the absolute frame at which ``pcm`` begins, or None where it carries no stamp."""
    samples = _first_channel(pcm, channels)
    block = _next_block(samples, 0)
    return None if block is None else _number(samples, block) * BLOCK - block


def runs(pcm: bytes, channels: int = 1) -> List[Run]:
    """Split a chunk into runs of frames that follow one another, stamped or not."""
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
    """Tell whether a whole, sound block begins at this index."""
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
    """Tell cheaply whether a chunk is stamped without a gap: by its tags, and its first and last block."""
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
        # The frames before the first whole block are the tail of one whose tag was cut off.
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
    """Tell whether what precedes a block is the rest of the block before it."""
    missing = min(block - at, BLOCK - 1)
    number = _number(samples, block) - 1
    if missing == 0 or number < 0:
        return False
    return tuple(samples[block - missing : block]) == _values(number)[BLOCK - missing :]


def _torn_frames(samples: "array[int]", at: int, number: int) -> int:
    """Count the frames at ``at`` that begin the block of that number, which was cut short."""
    count = 0
    for value in _values(number)[: BLOCK - 1]:
        if at + count >= len(samples) or samples[at + count] != value:
            break
        count += 1
    return count
