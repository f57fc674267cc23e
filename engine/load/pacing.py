"""Control laws that hold a share of time; pure, standard library only.

No clock in here: what has passed and what was used come from outside.
"""

from __future__ import annotations

PERIOD_S = 0.02
"""Length of a slice: busy first, then idle [s]. Schedulers hand out about 3 ms."""
MEMORY_S = 0.1
"""Time for which a law remembers what it could not have [s]."""
FILL_GAIN = 0.5
"""Share of the missing utilisation that is added per measurement [-]; with 1 the law
would repeat the noise of its sensor, above 2 it would swing up."""


class DutyLaw:
    """Holds a share of time by keeping account of the busy time that is owed.

        debt' = clip(debt + share * elapsed - used, -memory, share * memory)
        busy  = clip(debt' + share * period, 0, period)

    The debt is the integral of asked less achieved, so the mean error goes to zero
    whatever a slice costs on top or whoever shares the core, as long as the core has
    that much time to give. The bounds are the anti-windup: what could not be had under
    a busy neighbour is forgotten but for the last tenth of a second, and all of it
    when nothing is asked any more.
    """

    def __init__(self, period_s: float = PERIOD_S, memory_s: float = MEMORY_S) -> None:
        """Start without a debt.

        Args:
            period_s: Length of a slice [s], > 0.
            memory_s: Time for which a debt is remembered [s], >= period_s.
        """
        self.period_s = period_s
        self.memory_s = memory_s
        self.debt_s = 0.0

    def next_busy_s(self, share: float, elapsed_s: float, used_s: float) -> float:
        """Account for the slice that ended and plan the next one.

        Args:
            share: Share of time to be busy [-], in [0, 1].
            elapsed_s: Wall time since the last call [s], >= 0.
            used_s: Busy time in it [s], >= 0.

        Returns:
            Busy time of the next slice [s], in [0, period_s].
        """
        debt_s = self.debt_s + share * elapsed_s - used_s
        self.debt_s = min(share * self.memory_s, max(-self.memory_s, debt_s))
        return min(self.period_s, max(0.0, self.debt_s + share * self.period_s))


class FillLaw:
    """Finds the share of time that brings a measured figure to its target.

        share' = clip(share + gain * (target - measured) / scale, 0, 1)

    An integrator on a plant that answers at once; its clipped state is the actuator
    itself, so it cannot wind up.
    """

    def __init__(self, scale: float = 1.0, gain: float = FILL_GAIN) -> None:
        """Start at rest.

        Args:
            scale: Measured figure at full time, roughly [its unit], > 0.
            gain: Share of the error that one measurement corrects [-], in (0, 2).
        """
        self.scale = scale
        self.gain = gain
        self.share = 0.0

    def update(self, target: float, measured: float | None) -> float:
        """Take in one measurement.

        Args:
            target: Figure to reach [its unit].
            measured: Figure seen [its unit]; None where there is none: hold.

        Returns:
            Share of time to be busy [-], in [0, 1].
        """
        if measured is not None:
            error = self.gain * (target - measured) / self.scale
            self.share = min(1.0, max(0.0, self.share + error))
        return self.share
