"""What ends a load before its time, and how much memory it may hold. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

HARD_HEADROOM_SHARE: Final = 0.5
"""Part of the headroom below which there is no waiting for memory to come back [-]."""
MEBIBYTE: Final = 2**20


class Stop(NamedTuple):
    """Why a load ended."""

    kind: str
    """duration, interrupted, memory, temperature or worker."""
    sentence: str
    """The same for people."""

    @property
    def is_early(self) -> bool:
        """Whether a limit or a fault ended it."""
        return self.kind in ("memory", "temperature", "worker")


@dataclass(frozen=True)
class Limits:
    """The bounds of a load."""

    duration_s: float
    """Time after which it ends [s]."""
    headroom_bytes: int
    """Memory that stays free [byte]."""
    temperature_limit_c: float
    """Highest temperature of any sensor [degree Celsius]."""

    def judge(
        self,
        elapsed_s: float,
        available_bytes: int,
        held_bytes: int,
        temperature_c: float | None,
    ) -> Stop | None:
        """Say whether the load must end now.

        Below the headroom, memory is given back first; the load ends when there is
        nothing left to give, or when half of the headroom is gone already.

        Args:
            elapsed_s: Time since it began [s].
            available_bytes: Memory that is left [byte].
            held_bytes: Memory that it holds itself [byte].
            temperature_c: Hottest sensor; None where there is none [degree Celsius].

        Returns:
            The reason to end, or None.
        """
        if temperature_c is not None and temperature_c >= self.temperature_limit_c:
            return Stop(
                "temperature",
                f"a sensor shows {temperature_c:.0f} °C and the limit is "
                f"{self.temperature_limit_c:.0f} °C",
            )
        headroom = self.headroom_bytes
        has_nothing = held_bytes == 0 and available_bytes < headroom
        if has_nothing or available_bytes < HARD_HEADROOM_SHARE * headroom:
            return Stop(
                "memory",
                f"{available_bytes // MEBIBYTE} MiB of memory are left and "
                f"{headroom // MEBIBYTE} MiB must stay free",
            )
        if elapsed_s >= self.duration_s:
            return Stop("duration", f"{self.duration_s:g} s are over")
        return None

    def allow_bytes(
        self, asked_bytes: int, held_bytes: int, available_bytes: int
    ) -> int:
        """Say how much memory may be held now.

        `held_bytes` must be read before `available_bytes`: what was taken in between
        then counts twice, which errs on the safe side.

        Args:
            asked_bytes: Memory that is asked for [byte].
            held_bytes: Memory held [byte].
            available_bytes: Memory that is left [byte].

        Returns:
            At most what is asked for, and never into the headroom [byte].
        """
        room = held_bytes + available_bytes - self.headroom_bytes
        return max(0, min(asked_bytes, room))
