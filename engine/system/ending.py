"""The ending of a run: summed up, written down and closed, whatever fails there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.recording import RunSummary
from engine.recording.recorder import to_failed
from engine.system.account import Account
from engine.system.disturbance import Disturbance
from engine.system.journal import Journal
from engine.system.keeper import Keeper
from engine.system.rewiring import Rewirer


class Ending:
    """Turns what a run has come to into its summary."""

    def __init__(
        self, account: Account, journal: Journal, keeper: Keeper, rewirer: Rewirer
    ) -> None:
        """Look at nothing yet.

        Args:
            account: The figures of the run.
            journal: What it tells.
            keeper: What writes its checkpoints.
            rewirer: What moves its bridges.
        """
        self._account, self._journal = account, journal
        self._keeper, self._rewirer = keeper, rewirer

    def close(
        self, status: str, notes: tuple[str, ...], disturbance: Disturbance
    ) -> RunSummary:
        """Close a run with its summary; with its mere counts if summing up fails.

        Args:
            status: done, interrupted or failed.
            notes: Why, where that is not plain.
            disturbance: The load beside it, which has ended.

        Returns:
            The summary, as it was written.

        Raises:
            WriteError: The disk takes no more, and nothing else has ended the run.
        """
        failure: Exception | None = None
        try:
            notes = self._collect_notes(status, notes)
            summary = self.summarise(status, notes + disturbance.notes)
            resumed = tuple(self._keeper.course.legs) or None
            load = disturbance.to_dict()
            summary = replace(summary, load=load, resumed=resumed)
        except Exception as error:  # noqa: BLE001 - what is open is closed first
            failure = error
            summary = self._account.summarise_counts(status, notes)
            folder = Path(summary.folder) if summary.folder is not None else None
            summary = to_failed(summary, error, folder)
        finally:
            self._keeper.end()
        summary = self._journal.close(summary)
        if failure is not None and status != "failed":
            raise failure
        return summary

    def _collect_notes(self, status: str, notes: tuple[str, ...]) -> tuple[str, ...]:
        """Put what was before the run before its notes, and what helps after them."""
        course = self._keeper.course
        deeds = [f"not replayable: {deed} by hand" for deed in sorted(course.deeds)]
        found = (*course.notes, *notes, *deeds)
        return found if status == "done" else (*found, *self._keeper.notes)

    def summarise(self, status: str, notes: tuple[str, ...] = ()) -> RunSummary:
        """Sum up everything run so far.

        Args:
            status: done, interrupted or failed.
            notes: What else a reader must know.
        """
        summary = self._account.summarise(status, notes)
        return replace(summary, paths=self._rewirer.to_dict())
