"""The learned policy: a small dense network, its weights in a text file.

`experiments/mesh_training.py` makes `policy.json` and says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.errors import RecordError
from engine.intake import describe, parse_json, read_text, take_mapping

FEATURES: Final = 6
"""Numbers that the network is told of a cell."""
SHIPPED: Final = "policy.json"
"""Weights that come with the engine."""
MOST_HIDDEN: Final = 256
"""Hidden units of a network that is read."""
MAX_WEIGHT: Final = 1e6
"""Largest absolute weight: a step of more octaves is no step [-]."""
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Policy:
    """step = direct . x + output . tanh(hidden x + offsets), in octaves."""

    direct: F64
    """Straight from features to step, shape (features,)."""
    hidden: F64
    """Into the hidden units, shape (units, features)."""
    offsets: F64
    """Of the hidden units, shape (units,)."""
    output: F64
    """Out of the hidden units, shape (units,)."""

    def evaluate(self, features: F64) -> F64:
        """Return the log2 by which each row's frequency shall change.

        Args:
            features: Shape (rows, features).

        Returns:
            Steps [octave], shape (rows,).
        """
        units = np.tanh(features @ self.hidden.T + self.offsets)
        return features @ self.direct + units @ self.output

    def to_vector(self) -> F64:
        """Return all weights in one vector, as training takes them."""
        return np.concatenate([np.ravel(part) for part in vars(self).values()])

    @classmethod
    def from_vector(cls, vector: F64) -> Policy:
        """Take all weights from one vector, in the order of `to_vector`."""
        units = (len(vector) - FEATURES) // (FEATURES + 2)
        bounds = np.cumsum([FEATURES, units * FEATURES, units])
        direct, hidden, offsets, output = np.split(vector, bounds)
        return cls(direct, hidden.reshape(units, FEATURES), offsets, output)


def load_policy(path: str | None) -> Policy:
    """Load a policy.

    Args:
        path: `.json` file; None loads the weights that come with the engine.

    Raises:
        RecordError: The file cannot be read, or holds no policy.
    """
    if path is None:
        file = resources.files("engine.wanda").joinpath(SHIPPED)
        return read_policy(file.read_text(encoding="utf-8"), SHIPPED)
    try:
        text = read_text(Path(path))
    except (OSError, ValueError) as error:
        raise RecordError(
            f"mesh.policy_path {path} cannot be read ({describe(error)}); name a file "
            "that experiments.mesh_training has written."
        ) from error
    return read_policy(text, path)


def read_policy(text: str, name: str) -> Policy:
    """Read a policy from the text of its file.

    Args:
        text: JSON with the members of `Policy` in an object `weights`.
        name: What to call the file in a complaint.

    Raises:
        RecordError: It holds no policy of `FEATURES` features.
    """
    try:
        weights = take_mapping(parse_json(text))["weights"]
        policy = Policy(**{key: _take(weights, key) for key in Policy.__annotations__})
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise _no_policy(name, describe(error)) from error
    units = len(policy.output)
    shapes = [np.shape(part) for part in vars(policy).values()]
    if shapes != [(FEATURES,), (units, FEATURES), (units,), (units,)]:
        raise _no_policy(name, f"its arrays have shapes {shapes}")
    if units > MOST_HIDDEN or not (abs(policy.to_vector()) <= MAX_WEIGHT).all():
        raise _no_policy(
            name, f"it has over {MOST_HIDDEN} units, or a weight beyond {MAX_WEIGHT:g}"
        )
    return policy


def _take(weights: dict[str, Any], key: str) -> F64:
    values = np.array(weights[key], dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"{key} is no vector or matrix")
    return values


def _no_policy(name: str, why: str) -> RecordError:
    return RecordError(
        f"mesh.policy_path {name} holds no policy of {FEATURES} features ({why}); name "
        "a file that experiments.mesh_training has written."
    )
