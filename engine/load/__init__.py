"""A real load: cores, memory and a GPU kept busy to a figure, safely.

`generator.py` is the loop, `children.py` starts the processes that do the work,
`pacing.py` holds the control laws, `limits.py` says what ends a load early,
`profile.py` what is asked when. The workers start by importing this room, so it imports
nothing by itself: name the module.
Layer 4 (README, "The house").
"""
