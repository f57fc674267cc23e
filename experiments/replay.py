"""A recorded run again, on its own resource trace: the same bits, or the reason why."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config import LoadConfig, RunConfig
from engine.errors import ConfigError, RecordError, quote
from engine.intake import read_json
from engine.recording.folder import CONFIG_FILE, SUMMARY_FILE
from engine.recording.lock import find_holder
from engine.recording.trace import TRACE_FILE
from experiments import outcome
from experiments.comparison import (
    add_to_summary,
    build_comparison_table,
    collect_figures,
    list_rows,
)
from experiments.hydra_errors import several_values, translate_error
from experiments.overrides import (
    EXPERIMENT_GROUP,
    POLICY_CHOICE,
    compose_node,
    convert_node,
    list_groups,
    open_hydra,
    require_hydra,
    tidy_overrides,
)
from experiments.report.document import to_number
from experiments.run import execute_run, set_folder
from experiments.schema import run_config_from_dict
from experiments.stored_yaml import read_checked
from experiments.views.terminal import is_redrawable, open_console

if TYPE_CHECKING:
    from omegaconf import DictConfig

UNREPLAYABLE: Final = "not replayable"
"""Beginning of a summary's note that says why a replay cannot give the same bits."""


def replay_run(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    is_quiet: bool = False,
    is_recorded: bool = True,
) -> int:
    """Run a recorded configuration on its recorded trace and compare the digests.

    Args:
        folder: Run folder.
        overrides: Changes, such as ``backend=reference``.
        is_quiet: Show nothing but the closing lines.
        is_recorded: Whether to write a new run folder.

    Returns:
        Exit code: 1 if the digests differ although nothing was changed.

    Raises:
        ConfigError: An override is not allowed.
        RecordError: The folder is not a complete run folder.
        MissingPackageError: Hydra is not installed.
    """
    require_hydra()
    recorded = _read_summary(folder)
    config = build_replay_config(folder, overrides, recorded)
    config = set_folder(config, is_recorded=is_recorded)
    summary = execute_run(config, is_quiet=is_quiet)
    if summary.status != "done":
        return outcome.code_of_status(summary.status)
    outcomes = (recorded, summary.to_dict())
    if overrides:
        made = config.record.folder
        folders = (folder, Path(made) if made is not None else None)
        compare_policies(folders, outcomes, overrides, is_quiet=is_quiet)
    _say_where_the_trace_ends(*outcomes)
    old, new = str(recorded["state_digest"]), str(summary.to_dict()["state_digest"])
    if recorded["state_digest"] is None:
        sys.stdout.write(
            f"replay: state_digest is {new}; that of the recorded run was lost with "
            "its GPU\n"
        )
        return outcome.DONE
    if old == new:
        sys.stdout.write(f"replay: state_digest is equal, {new}\n")
        return outcome.DONE
    sys.stdout.write(f"replay: state_digest differs, recorded {old}, replayed {new}\n")
    cause = find_unreplayable_note(recorded)
    if cause is not None:
        sys.stdout.write(f"replay: {cause}\n")
    return outcome.DONE if overrides else outcome.FAILED


def compare_policies(
    folders: tuple[Path, Path | None],
    outcomes: tuple[Mapping[str, Any], Mapping[str, Any]],
    overrides: Sequence[str],
    *,
    is_quiet: bool = False,
) -> None:
    """Show what another policy did under the recorded load, and keep it.

    Args:
        folders: Run folders of the recorded run and of its replay, if it has one.
        outcomes: Their summaries.
        overrides: What was changed, as typed.
        is_quiet: Keep it only.
    """
    recorded, replayed = map(collect_figures, outcomes, folders)
    if folders[1] is not None:
        entry = {
            "of": str(folders[0]),
            "overrides": list(overrides),
            "held_s": max(0.0, replayed["simulated_s"] - recorded["simulated_s"]),
            "recorded": recorded,
            "replayed": replayed,
        }
        add_to_summary(folders[1], "replay", entry)
    if is_quiet:
        return
    rows = list_rows(recorded, replayed)
    console = open_console()
    if is_redrawable(console):
        console.print(build_comparison_table(rows))
        return
    for label, left, right in rows:
        sys.stdout.write(f"{label}: recorded {left}; replayed {right}\n")


def build_replay_config(
    folder: Path, overrides: Sequence[str], recorded: Mapping[str, Any]
) -> RunConfig:
    """Build the configuration that replays a run folder.

    A run that was interrupted or failed is replayed as far as it came.

    Args:
        folder: Run folder.
        overrides: Changes, as typed.
        recorded: Content of its ``summary.json``.

    Returns:
        The validated configuration; where to record is not settled yet.

    Raises:
        ConfigError: An override or the recorded configuration is not allowed.
        RecordError: The folder is not a complete run folder.
    """
    if not (folder / TRACE_FILE).is_file():
        raise _incomplete(folder, TRACE_FILE)
    words = tidy_overrides(overrides)
    _refuse_contradictions(words)
    stored = _read_config(folder)
    if recorded.get("status") in ("interrupted", "failed"):
        _shorten(stored, _read_duration_s(folder, recorded))
        # It was stopped before its error windows, or else it cannot be replayed.
        stored["controller"]["error_windows"] = 0
    stored["load"] = {"kind": "replay", "trace": str(folder)}
    with open_hydra():
        config = convert_node(_merge(stored, words), words)
    before = run_config_from_dict(stored)
    is_other = (config.tunnel, config.resources) != (before.tunnel, before.resources)
    load = LoadConfig(kind="replay", trace=str(folder), judge_anew=is_other)
    config = replace(config, load=load)
    config.validate()
    return config


def _say_where_the_trace_ends(
    recorded: Mapping[str, Any], replayed: Mapping[str, Any]
) -> None:
    """Say so where a replay went on without a recording."""
    known_s, replayed_s = recorded["simulated_seconds"], replayed["simulated_seconds"]
    # Half a microsecond is below any step and above the rounding of steps times dt.
    if replayed_s > known_s + 5e-7:
        sys.stdout.write(
            f"replay: the trace ends at {known_s:g} s of simulated time; for the "
            f"remaining {replayed_s - known_s:g} s its last sample was held\n"
        )


def find_unreplayable_note(recorded: Mapping[str, Any]) -> str | None:
    """Find the reason, if the engine left one, why a run cannot be replayed.

    Args:
        recorded: Content of a ``summary.json``.

    Returns:
        The engine's sentence, or None.
    """
    notes = map(str, recorded.get("notes", ()))
    return next((note for note in notes if note.startswith(UNREPLAYABLE)), None)


def _shorten(stored: dict[str, Any], duration_s: float) -> None:
    """Let a stored run end early, without what it was too short to observe."""
    stored["dynamics"]["duration_s"] = duration_s
    observe = stored.get("observe") or {}
    for key in ("snapshot_every_s", "frequency_window_s"):
        if (observe.get(key) or 0.0) > duration_s:
            observe[key] = None


def _read_duration_s(folder: Path, recorded: Mapping[str, Any]) -> float:
    """Read how far a run came [s]."""
    seconds = recorded["simulated_seconds"]
    if seconds <= 0:
        raise RecordError(
            f"{folder} holds a run that ended before its first step; name a run that "
            "has started."
        )
    return float(seconds)


def _read_summary(folder: Path) -> dict[str, Any]:
    try:
        summary: Any = read_json(folder / SUMMARY_FILE)
    except FileNotFoundError as error:
        raise _build_missing(folder) from error
    except (OSError, ValueError) as error:
        raise _incomplete(folder, SUMMARY_FILE) from error
    if not isinstance(summary, dict) or not _is_complete(summary):
        raise _incomplete(folder, SUMMARY_FILE)
    return summary


def _build_missing(folder: Path) -> RecordError:
    """Build the error for a folder without a summary."""
    if not (folder / CONFIG_FILE).is_file():
        return _incomplete(folder, SUMMARY_FILE)
    holder = find_holder(folder)
    if holder is not None:
        return RecordError(
            f"{folder} holds a run that is still going on ({holder}); replay it when "
            "it has ended."
        )
    return RecordError(
        f"{folder} holds a run that was cut off ({SUMMARY_FILE} is missing); finish it "
        f"by scribble resume {folder}, then replay it."
    )


def _is_complete(summary: Mapping[str, Any]) -> bool:
    """Tell whether a summary has what a replay is held against."""
    return (
        isinstance(summary.get("state_digest", 0), str | None)
        and to_number(summary.get("simulated_seconds")) is not None
        and isinstance(summary.get("notes", []), list)
    )


def _read_config(folder: Path) -> dict[str, Any]:
    """Read the stored configuration, without what its trace stands for."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    # OmegaConf asserts that YAML is no single number.
    unread = (OSError, ValueError, AssertionError, YAMLError, OmegaConfBaseException)
    try:
        text = read_checked(folder / CONFIG_FILE)
        loaded = OmegaConf.to_container(OmegaConf.create(text))
    except unread as error:
        raise _incomplete(folder, CONFIG_FILE) from error
    if not isinstance(loaded, dict):
        raise _incomplete(folder, CONFIG_FILE)
    stored = {str(key): value for key, value in loaded.items()}
    run_config_from_dict(stored)
    # The trace holds what a faulty sensor gave, so the fault is not repeated.
    left_out = ("load", "fault", "record")
    return {key: value for key, value in stored.items() if key not in left_out}


def _incomplete(folder: Path, name: str) -> RecordError:
    return RecordError(
        f"{folder} is not a complete run folder: {name} is missing or unreadable; name "
        "the folder of a recorded run."
    )


def _refuse_contradictions(words: Sequence[str]) -> None:
    for word in words:
        name = word.lstrip("+").partition("=")[0].partition(".")[0]
        if name == EXPERIMENT_GROUP:
            raise ConfigError(
                f"{quote(word)} would replace what was recorded; name the keys to "
                "change instead."
            )
        if name == "load":
            raise ConfigError(
                f"{quote(word)} contradicts a replay, which takes its load from the "
                "recorded trace; use scribble run for another load."
            )


def _merge(stored: Mapping[str, Any], words: Sequence[str]) -> DictConfig:
    """Lay the stored groups over the defaults, and the typed changes over both."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    groups = {*list_groups(), POLICY_CHOICE}
    choices = [word for word in words if word.partition("=")[0] in groups]
    chosen = {word.partition("=")[0] for word in choices}
    node = compose_node(choices)
    changes = [word for word in words if word not in choices]
    try:
        for key, value in stored.items():
            if key in chosen:
                continue
            is_partial = key == "rollout" and POLICY_CHOICE in chosen
            kept = {**value, "tunnel": node.rollout.tunnel} if is_partial else value
            OmegaConf.update(node, key, kept)
        for change in OverridesParser.create().parse_overrides(changes):
            if change.is_sweep_override():
                raise several_values(str(change.input_line))
            OmegaConf.update(node, change.key_or_group, change.value())
    except (HydraException, OmegaConfBaseException) as error:
        raise translate_error(error, words) from error
    return node
