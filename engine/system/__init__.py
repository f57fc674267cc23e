"""The system: every room joined by one loop.

`loop.py` is ScribbleSystem, `parts.py` builds what it needs, `outlook.py` says what is
expected of a run. What a run does beside its loop: `disturbance.py` loads the machine,
`rewiring.py` moves bridges, `guards.py` watches over the arithmetic, `signals.py` turns
signals into a stop, `keeper.py` writes checkpoints and `resumption.py` finds them. What
is told of it: `account.py` keeps what was done, `visits.py` at which frequencies,
`pricing.py` how far that lies from the continuous network, `sensor.py` how far
telemetry could be trusted; `journal.py` passes it on, `tracking.py` to a tracker,
`vitals.py` to a scrape. Layer 6 (README, "The house").
"""

from engine.system.account import Progress
from engine.system.loop import ScribbleSystem

__all__ = ["Progress", "ScribbleSystem"]
