"""What a launch has done: counts, and what is wrong with it."""

from dataclasses import dataclass, field

import numpy as np


class Fault(Exception):
    """What the hardware would refuse, or an access that leaves its array: the launch ends."""


@dataclass
class Finding:
    """What is wrong: once for each instruction. `count` says for how many threads."""

    kind: str
    line: int
    text: str
    example: str
    count: int = 0


@dataclass
class Access:
    """What an instruction that reaches memory has done.

    lanes, warps: threads, and warps of which at least one thread was there. sectors: of 32 bytes,
    for each warp, and `ideal` as few as these bytes could be in. waves: turns that the banks of
    shared memory took, for `groups` of threads that could have taken one each.
    """

    line: int
    text: str
    space: str
    store: bool
    size: int
    block: int
    warps: int = 0
    lanes: int = 0
    sectors: int = 0
    ideal: int = 0
    waves: int = 0
    groups: int = 0


@dataclass
class Report:
    """A launch. Of each basic block, how many threads and warps have run it.

    DRAM bytes are sectors touched for the first time; L2 bytes are each sector once for each block
    of threads that reads it, and every store of a warp.
    """

    name: str
    grid: int
    threads: int
    block_threads: np.ndarray
    block_warps: np.ndarray
    accesses: list[Access]
    findings: dict[tuple[str, int], Finding] = field(default_factory=dict)
    dram_read: int = 0
    dram_written: int = 0
    l2_read: int = 0
    l2_written: int = 0
    barriers: int = 0
    sampled: float = 1.0
    """The part of the blocks that was run."""
    arrays: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each array touched: its bytes, and how many of them were read and written in DRAM."""
