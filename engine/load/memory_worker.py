"""The process that holds memory and touches it again, so that it stays resident.

It holds what it is told to; how much that may be is the parent's business, which sees
the machine. Standard library and this room only.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Sequence

from engine.load.guard import ParentLink, tie_to_parent

BLOCK_BYTES = 16 * 2**20
"""Memory is taken and given back by this much [byte]."""
TOUCH_PERIOD_S = 1.0
"""Time in which every page is touched once more [s]."""
TURN_S = 0.02
"""Longest sleep between two turns [s]."""


class MemoryHolder:
    """Holds blocks of anonymous memory, each page written to."""

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self._next = 0

    @property
    def held_bytes(self) -> int:
        """Memory held [byte]."""
        return len(self._blocks) * BLOCK_BYTES

    def approach(self, wanted_bytes: int) -> bool:
        """Take one block, or give back all that is too many.

        Args:
            wanted_bytes: Memory to hold [byte]; rounded down to whole blocks.

        Returns:
            Whether another turn is needed.
        """
        wanted = wanted_bytes // BLOCK_BYTES
        while len(self._blocks) > wanted:
            self._blocks.pop().close()
        if len(self._blocks) < wanted:
            block = mmap.mmap(-1, BLOCK_BYTES)
            touch(block)
            self._blocks.append(block)
        return len(self._blocks) < wanted

    def touch_some(self, share: float) -> None:
        """Touch the next blocks in turn.

        Args:
            share: Share of all blocks to touch [-], in [0, 1].
        """
        count = min(len(self._blocks), round(share * len(self._blocks) + 0.5))
        for _ in range(count):
            self._next = (self._next + 1) % len(self._blocks)
            touch(self._blocks[self._next])


def touch(block: mmap.mmap) -> None:
    """Write one random byte to every page, so that no two pages can be merged.

    Args:
        block: Memory to touch.
    """
    pages = len(block) // mmap.PAGESIZE
    block[:: mmap.PAGESIZE] = os.urandom(pages)


def run(link: ParentLink) -> None:
    """Hold what the parent asks for until it ends.

    Args:
        link: The parent.
    """
    holder, wanted, touched_s = MemoryHolder(), 0, time.monotonic()
    while link.is_up:
        is_growing = holder.approach(wanted)
        now_s = time.monotonic()
        holder.touch_some(min(1.0, (now_s - touched_s) / TOUCH_PERIOD_S))
        touched_s = now_s
        link.report(now_s, holder.held_bytes)
        link.wait(0.0 if is_growing else TURN_S)
        if link.command is not None:
            wanted, link.command = int(link.command), None


def main(arguments: Sequence[str]) -> int:
    """Run the worker.

    Args:
        arguments: Parent's process number, deadline [s].

    Returns:
        Exit code.
    """
    run(tie_to_parent(int(arguments[0]), float(arguments[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
