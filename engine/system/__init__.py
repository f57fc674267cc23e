"""The system: every room joined by one loop.

`parts.py` builds what a run needs, `outlook.py` says what is expected of it,
`account.py` keeps what it did, `visits.py` at which frequencies, `pricing.py` how far
that lies from the continuous network, `signals.py` turns signals into a stop, `loop.py`
is ScribbleSystem. Imports every other room.
"""

from engine.system.account import Progress
from engine.system.loop import ScribbleSystem

__all__ = ["Progress", "ScribbleSystem"]
