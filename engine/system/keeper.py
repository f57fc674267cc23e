"""The keeper: when checkpoints are written, what they hold, and how a run takes one.

A part that a checkpoint has to hold is one line in `list_stateful`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engine import __version__
from engine.bridge import FOLLOW
from engine.config import RunConfig
from engine.errors import CheckpointError, ConfigError, WriteError
from engine.intake import describe
from engine.recording.checkpoint import (
    Checkpoint,
    CheckpointCard,
    describe_resumption,
    name_checkpoint,
    prune_checkpoints,
    write_checkpoint,
)
from engine.state import State, Stateful, take_fields
from engine.system.account import Account
from engine.system.disturbance import Disturbance
from engine.system.journal import Journal
from engine.system.parts import Parts
from engine.system.rewiring import REWIRED, Rewirer

logger = logging.getLogger(__name__)

NOT_FITTING: Final = (
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
)
"""What taking over the state of something else raises."""
WALL_SHARE: Final = 0.01
"""Largest share of the wall time that checkpoints by the clock may take [-]."""


@dataclass
class Course:
    """What the loop itself must remember of a run."""

    last_step: int | None = None
    """Step at which the run in progress ends, error windows apart; None between
    runs."""
    deeds: list[str] = field(default_factory=list)
    """What was done by hand beside the configuration."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the summary must know of the time before the run."""
    legs: list[dict[str, Any]] = field(default_factory=list)
    """Where, and on what, the run was resumed."""

    def note_deed(self, deed: str) -> None:
        """Remember what was done by hand, once."""
        if deed not in self.deeds:
            self.deeds.append(deed)

    def to_state(self) -> State:
        """Return all of it."""
        return {**vars(self)}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a course.
        """
        take_fields(self, state, "last_step")
        self.deeds = [str(deed) for deed in state["deeds"]]
        self.notes = [str(note) for note in state["notes"]]
        self.legs = [dict(leg) for leg in state["legs"]]


def list_stateful(
    parts: Parts, account: Account, journal: Journal, others: Mapping[str, Stateful]
) -> dict[str, Stateful]:
    """List what a checkpoint holds, in the order in which it is taken over.

    Rollout and rewiring move bridges before the network takes its own state over.

    Args:
        parts: What the run joins.
        account: Its figures.
        journal: What it has told.
        others: What the loop keeps itself: rewiring, load and course.
    """
    found: dict[str, Stateful | None] = {
        "rollout": parts.pilot,
        "rewiring": others["rewiring"],
        "network": parts.network,
        "lattice": parts.lattice,
        "schedule": parts.schedule,
        "mesh": parts.mesh,
        "trace": parts.trace,
        "monitor": parts.monitor,
        "load": others["load"],
        "cost": parts.cost,
        "controller": parts.controller,
        "observer": parts.observer,
        "account": account,
        "journal": journal,
        "course": others["course"],
    }
    return {name: part for name, part in found.items() if part is not None}


class Keeper:
    """Writes checkpoints while a run goes on, and takes one over before it does."""

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        account: Account,
        journal: Journal,
        rewirer: Rewirer,
        *,
        disturbance: Disturbance,
    ) -> None:
        """Keep nothing until a run begins.

        Args:
            config: The run.
            parts: What it joins.
            account: Its figures.
            journal: What it tells.
            rewirer: What moves its bridges.
            disturbance: The real load beside it, if there is one.
        """
        self.course = Course()
        self._record = config.record
        self._config: Mapping[str, Any] = asdict(config)
        self._parts, self._account, self._journal = parts, account, journal
        self._rewirer = rewirer
        others: dict[str, Stateful] = {
            "rewiring": rewirer,
            "load": disturbance,
            "course": self.course,
        }
        self._stateful = list_stateful(parts, account, journal, others)
        every_s, dt_s = config.record.checkpoint_every_s, config.dynamics.dt_s
        self._every_steps = max(1, round(every_s / dt_s)) if every_s else None
        self._next_step: int | None = None
        self._due_s: float | None = None
        self._is_keeping = False
        self._kept_step: int | None = None
        self.failure = ""
        """Why a run that a fault ends has no checkpoint of its last step, if so."""

    def begin(self, *, is_resumed: bool) -> None:
        """Begin to keep a run that is recorded, with a checkpoint of its start.

        The start of an untouched run follows from its configuration, so that its
        checkpoint holds no arrays and costs nothing.

        Args:
            is_resumed: Whether the run goes on from a checkpoint.

        Raises:
            WriteError: The disk takes no more.
        """
        self._is_keeping = (
            self._journal.is_recording and self._record.checkpoints_kept > 0
        )
        self._plan_next(0.0)
        if self._is_keeping and not is_resumed:
            is_start = self._is_untouched()
            self._write(self._folder(None), None if is_start else self._collect())

    def _is_untouched(self) -> bool:
        """Tell whether the run stands as its configuration alone would have it."""
        lattice, network = self._parts.lattice, self._parts.network
        is_touched = self.course.deeds or network.has_requests or self._account.step
        is_plain = all(group.rung == FOLLOW for group in network.groups)
        is_plain = is_plain and network.strength_factor == 1.0
        return lattice.is_as_drawn and is_plain and not is_touched

    def end(self) -> None:
        """Keep no more."""
        self._is_keeping = False
        self.course.last_step = None

    def _plan_next(self, cost_s: float) -> None:
        """Plan the next checkpoint, so that the last one's cost stays in bounds."""
        step, every = self._account.step, self._every_steps
        self._next_step = every * (step // every + 1) if every else None
        wall_s = self._record.checkpoint_wall_s
        if wall_s is not None:
            wall_s = time.perf_counter() + max(wall_s, cost_s / WALL_SHARE)
        self._due_s = wall_s

    def write_if_due(self) -> None:
        """Write a checkpoint if it is time to; to be called between control periods.

        A run that can write none stops: what it did from then on could be lost.

        Raises:
            WriteError: The disk takes no more; the checkpoints before stay whole.
        """
        if not self._is_keeping:
            return
        is_due = self._next_step is not None and self._account.step >= self._next_step
        if is_due or (self._due_s is not None and time.perf_counter() >= self._due_s):
            self._write_timed()

    def write_last(self) -> None:
        """Write a checkpoint of a run that is about to stop, unless it has this one.

        Raises:
            WriteError: The disk takes no more; the checkpoints before stay whole.
        """
        if self._is_keeping and self._kept_step != self._account.step:
            self._write_timed()

    def rescue(self, fault: BaseException, *, is_between: bool) -> None:
        """Write a checkpoint of a run that a fault ends, if it can be gone on from.

        Args:
            fault: What ends it; where a disk has just taken no more, nothing is tried.
            is_between: Whether the run stands between two control periods; what is
                amid one is lost, and the checkpoint before it stands.
        """
        if not self._is_keeping or not is_between or isinstance(fault, WriteError):
            return
        try:
            self.write_last()
        except Exception as error:  # noqa: BLE001 - the fault itself shall be heard
            self.failure = f"no checkpoint of the last step: {error}"

    def _write_timed(self) -> None:
        started_s = time.perf_counter()
        self._write(self._folder(None), self._collect())
        self._plan_next(time.perf_counter() - started_s)

    def write(self, folder: str | Path | None) -> Path:
        """Write a checkpoint now; to be called between control periods.

        Args:
            folder: Where to; that of the run that is being recorded if absent.

        Returns:
            The file.

        Raises:
            ConfigError: No folder is named and no run is recorded, or another one.
            WriteError: The disk takes no more.
        """
        return self._write(self._folder(folder), self._collect())

    def _folder(self, folder: str | Path | None) -> Path:
        own = self._record.folder if self._journal.is_recording else None
        if folder is None and own is None:
            raise ConfigError(
                "write_checkpoint was given no folder and no run is recorded at "
                "present; name a folder."
            )
        if folder is not None and own is not None and Path(folder) != Path(own):
            raise ConfigError(
                f"write_checkpoint was given the folder {folder}, but the run that is "
                f"recorded in {own} can only go on there; leave the folder out."
            )
        return Path(folder if own is None else own)  # type: ignore[arg-type]

    def _collect(self) -> State:
        return {name: part.to_state() for name, part in self._stateful.items()}

    def _write(self, folder: Path, state: State | None) -> Path:
        account = self._account
        card = CheckpointCard(
            account.step,
            account.simulated_s,
            __version__,
            self._parts.backend.name,
            self._config,
        )
        path = name_checkpoint(folder, account.step)
        write_checkpoint(path, card, state)
        if self._is_keeping:
            kept = prune_checkpoints(folder, self._record.checkpoints_kept)
            self._journal.drop_parts(kept)
            self._kept_step, self.failure = account.step, ""
        return path

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over what a checkpoint holds; nothing is written.

        Args:
            checkpoint: Of a run with this configuration.

        Raises:
            CheckpointError: It does not fit the run.
        """
        self._config = checkpoint.card.config
        try:
            self._take(checkpoint.state)
        except CheckpointError as error:
            raise CheckpointError(
                f"{checkpoint.path} cannot be used. {error}"
            ) from error
        except NOT_FITTING as error:
            raise CheckpointError(
                f"{checkpoint.path} does not fit this run ({describe(error)}); it is "
                "of another run, or another version of the program."
            ) from error
        self._withdraw_outlook()
        backend = self._parts.backend
        self.course.legs.append(
            {
                "step": self._account.step,
                "backend": backend.name,
                "device": backend.device,
                "version": __version__,
            }
        )

    def _withdraw_outlook(self) -> None:
        """Forget the forecast of a network that is not what it was built as."""
        outlook, deeds = self._parts.outlook, self.course.deeds
        if outlook is not None and (deeds or self._rewirer.has_moved):
            deed = f"{deeds[-1]} by hand" if deeds else REWIRED
            outlook.withdraw(deed)

    def _take(self, state: State | None) -> None:
        if state is None:
            self._journal.go_on_from_start()
            return
        for name, part in self._stateful.items():
            part.from_state(state[name])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the summary of an unfinished run must know."""
        if not self._is_keeping:
            return ()
        texts = describe_resumption(Path(self._record.folder or ""))
        return (*texts, *([self.failure] if self.failure else []))
