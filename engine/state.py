"""State: what a part of a run must remember to go on, as plain values and arrays.

Every part that changes while a run goes on has `to_state` and `from_state`; what it can
build from the configuration is left out. Imports the error family alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from engine.errors import CheckpointError, quote

Record = TypeVar("Record")

State = dict[str, Any]
"""Names and numbers, texts, None, lists and dictionaries of these, and `StateArray`."""


class Stateful(Protocol):
    """Anything that a checkpoint holds."""

    def to_state(self) -> State:
        """Return what changes while a run goes on; arrays may be read later."""

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, whose types and shapes are checked."""


@dataclass(frozen=True)
class StateArray:
    """An array of a state, read in pieces when it is written or taken over.

    Example:
        >>> array = keep_array(np.arange(3.0), ("node",), "s")
        >>> array.load("times", np.float64, (3,)).tolist()
        [0.0, 1.0, 2.0]
    """

    dtype: np.dtype[Any]
    """Number type."""
    shape: tuple[int, ...]
    """Entries along each axis."""
    dims: tuple[str, ...]
    """Name of each axis."""
    units: str
    """Unit of the values; 1 if they have none."""
    read: Callable[[], Iterator[npt.NDArray[Any]]]
    """Yields all values in order, in pieces of any size."""

    def load(
        self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Read the array, once it is known to be what is needed.

        Args:
            name: What it is, for the sentence.
            dtype: Number type that is needed.
            shape: Shape that is needed.

        Returns:
            The values in host memory.

        Raises:
            CheckpointError: Type, shape or number of values differ, or one of them is
                not finite.
        """
        if self.dtype != np.dtype(dtype) or self.shape != shape:
            raise CheckpointError(
                f"{name} is {self.dtype} of shape {list(self.shape)}, but this run "
                f"needs {np.dtype(dtype)} of shape {list(shape)}."
            )
        values = np.empty(int(np.prod(shape, dtype=np.int64)), dtype)
        filled = 0
        for piece in self.read():
            flat = np.asarray(piece).ravel()
            values[filled : filled + flat.size] = flat
            filled += flat.size
        if filled != values.size:
            raise CheckpointError(
                f"{name} has {filled} values, but this run needs {values.size}."
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise CheckpointError(f"{name} has values that are not finite.")
        return values.reshape(shape)


def keep_array(
    values: npt.NDArray[Any], dims: tuple[str, ...], units: str
) -> StateArray:
    """Put an array that nobody changes into a state.

    Args:
        values: The array, of any shape.
        dims: Name of each axis.
        units: Unit of the values.
    """
    return StateArray(values.dtype, values.shape, dims, units, lambda: iter([values]))


def keep_fields(source: object, *names: str) -> State:
    """Put plain attributes into a state, without leading underscores.

    Args:
        source: Whose attributes.
        *names: Such as ``_height``.
    """
    return {name.lstrip("_"): getattr(source, name) for name in names}


def digest_inputs(*arrays: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of what a run is built from, such as natural frequencies.

    Args:
        *arrays: Of any shape and type.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).ravel().view(np.uint8).data)
    return digest.hexdigest()


def check_inputs(what: str, found: str, stored: Any) -> None:
    """Check that a run is built from what a checkpoint was built from.

    Args:
        what: What it is, such as ``natural frequencies``.
        found: Its digest here.
        stored: Its digest in the checkpoint.

    Raises:
        CheckpointError: They differ.
    """
    if found != stored:
        raise CheckpointError(
            f"The {what} are not those of the checkpoint; restore the files that the "
            "run was built from, or the version of the program."
        )


def take_fields(target: object, state: Mapping[str, Any], *names: str) -> None:
    """Take plain attributes over from a state.

    Args:
        target: Whose attributes.
        state: As `keep_fields` has made it.
        *names: Such as ``_height``.

    Raises:
        CheckpointError: One is missing, or of another kind than the present value.
    """
    for name in names:
        key = name.lstrip("_")
        value, present = state.get(key, ...), getattr(target, name)
        if not _is_alike(value, present):
            raise CheckpointError(
                f"{key} is {quote(value)}, which no {type(target).__name__} can go on "
                "from."
                if value is not ...
                else f"{key} of {type(target).__name__} is missing."
            )
        setattr(target, name, value)


def _is_alike(value: object, present: object) -> bool:
    """Tell whether a value may replace one; a number and None may replace each other.

    Whole numbers stay whole: they count steps and index arrays.
    """
    if isinstance(present, bool | str):
        return isinstance(value, type(present))
    numbers = (int,) if isinstance(present, int) else (int, float, type(None))
    return isinstance(value, numbers) and not isinstance(value, bool)


def build_record(kind: type[Record], state: Any) -> Record:
    """Build a dataclass of plain fields from the `vars` of one.

    Args:
        kind: The dataclass; its annotations are numbers, bool, str or optional.
        state: Its fields.

    Raises:
        CheckpointError: A field is missing, unknown or of another kind.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(state, Mapping) or sorted(state) != sorted(names):
        raise CheckpointError(
            f"{kind.__name__} is {quote(state)}; it must hold {', '.join(names)}."
        )
    for field in fields(kind):  # type: ignore[arg-type]
        words = [word.strip() for word in str(field.type).split("|")]
        if not any(_is_of(word, state[field.name]) for word in words):
            raise CheckpointError(
                f"{field.name} of {kind.__name__} is {quote(state[field.name])}; "
                f"it must be {field.type}."
            )
    return kind(**state)


def _is_of(word: str, value: object) -> bool:
    """Tell whether a value is of the type that an annotation names."""
    kinds: dict[str, tuple[type, ...]] = {
        "bool": (bool,),
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "None": (type(None),),
    }
    is_mistaken = isinstance(value, bool) and word != "bool"
    return not is_mistaken and isinstance(value, kinds.get(word, ()))
