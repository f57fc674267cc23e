"""Scribble: a resource-aware engine for very large networks of phase oscillators.

Importing the package loads no back end, no Hydra and no GPU library; each is
imported when it is first needed.
"""

__version__ = "0.1.0"
