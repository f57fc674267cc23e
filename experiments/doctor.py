"""What this machine offers a run, what is missing, and the cure for it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import ConfigError
from experiments import outcome
from experiments.wording import format_bytes

if TYPE_CHECKING:
    from engine.monitor import ResourceMetrics

LEAST_PYTHON: Final = (3, 11)
"""Oldest Python that is supported."""
PACKAGES: Final = (
    ("numpy", "numpy", True),
    ("numba", "numba", True),
    ("psutil", "psutil", True),
    ("pyarrow", "pyarrow", True),
    ("hydra-core", "hydra", False),
    ("nvidia-ml-py", "pynvml", False),
    ("prometheus-client", "prometheus_client", False),
)
"""Distribution, module, and whether no run is possible without it."""
THREADING_LAYERS: Final = (
    ("tbb", "numba.np.ufunc.tbbpool"),
    ("omp", "numba.np.ufunc.omppool"),
    ("workqueue", "numba.np.ufunc.workqueue"),
)
"""Numba's threading layers in the order in which it prefers them."""
_LEVEL_STYLES: Final = (("ok", "green"), ("note", "magenta"), ("broken", "bold red"))


@dataclass(frozen=True)
class Finding:
    """One fact about the machine."""

    subject: str
    """What was looked at."""
    level: str
    """``ok``; ``note`` where something optional is missing; ``broken`` otherwise."""
    text: str
    """What was found."""
    cure: str = ""
    """What would help; empty where nothing is wrong."""


def show_doctor(*, is_json: bool = False) -> int:
    """Print every finding.

    Args:
        is_json: As JSON, for programs.

    Returns:
        Exit code: 1 if something essential is broken.
    """
    findings = list(examine_machine())
    if is_json:
        rows = [asdict(finding) for finding in findings]
        sys.stdout.write(f"{json.dumps(rows, indent=2)}\n")
    else:
        _print_findings(findings)
    is_broken = any(finding.level == "broken" for finding in findings)
    return outcome.FAILED if is_broken else outcome.DONE


def examine_machine() -> Iterator[Finding]:
    """Look at everything; an examination that fails becomes a finding itself."""
    examinations: tuple[Callable[[], Iterator[Finding]], ...] = (
        examine_python,
        examine_numba_settings,
        examine_packages,
        examine_resources,
        examine_threading_layer,
        examine_kernel_cache,
        examine_cuda,
        examine_configuration,
        examine_folder,
    )
    for examine in examinations:
        try:
            yield from examine()
        except Exception as error:  # noqa: BLE001 - the doctor must finish the round
            subject = examine.__name__.removeprefix("examine_").replace("_", " ")
            yield Finding(subject, "broken", outcome.describe_error(error))


def examine_python() -> Iterator[Finding]:
    """Look at the interpreter."""
    is_new_enough = sys.version_info >= LEAST_PYTHON
    least = ".".join(map(str, LEAST_PYTHON))
    yield Finding(
        "Python",
        "ok" if is_new_enough else "broken",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if is_new_enough else f"install Python {least} or newer",
    )


def examine_numba_settings() -> Iterator[Finding]:
    """Look for settings of Numba's that kernels cannot run with.

    Raises:
        ConfigError: There is one.
    """
    from engine.backends.numba_settings import refuse_numba_settings

    refuse_numba_settings()
    return iter(())


def examine_packages() -> Iterator[Finding]:
    """Look for the packages that Scribble uses."""
    for distribution, module, is_essential in PACKAGES:
        try:
            importlib.import_module(module)
            version = importlib.metadata.version(distribution)
        except Exception as error:  # noqa: BLE001 - a broken package raises anything
            level = "broken" if is_essential else "note"
            cure = f"pip install {distribution}"
            yield Finding(distribution, level, f"cannot be imported: {error}", cure)
        else:
            yield Finding(distribution, "ok", version)


def examine_resources() -> Iterator[Finding]:
    """Look at cores, memory, control groups and GPUs, as the monitor sees them."""
    from engine.config import ResourcesConfig
    from engine.monitor import GpuSampler, ResourceMonitor

    with ResourceMonitor() as monitor:
        metrics = monitor.metrics
    yield _describe_cores(metrics)
    memory = metrics.memory
    yield Finding(
        "memory",
        "ok",
        f"{format_bytes(memory.available_bytes)} available of "
        f"{format_bytes(memory.limit_bytes)} allowed, "
        f"{format_bytes(memory.total_bytes)} in the machine",
    )
    yield _describe_cgroup(metrics)
    sampler = GpuSampler(ResourcesConfig())
    probe = sampler.start()
    sampler.close()
    text = probe.message.removeprefix("NVML: ").rstrip(".")
    cure = "" if probe.is_present else "install the NVIDIA driver, if there is a GPU"
    yield Finding("NVML", "ok" if probe.is_present else "note", text, cure)


def examine_threading_layer() -> Iterator[Finding]:
    """Find the library that Numba's parallel loops will run on."""
    found = [name for name, module in THREADING_LAYERS if _can_import(module)]
    if not found:
        cure = "reinstall numba: pip install --force-reinstall numba"
        yield Finding("threading", "broken", "Numba has no threading layer", cure)
        return
    only_workqueue = found == ["workqueue"]
    yield Finding(
        "threading",
        "note" if only_workqueue else "ok",
        f"Numba uses {found[0]} (of {', '.join(found)})",
        "pip install tbb, to run several systems in one process"
        if only_workqueue
        else "",
    )


def examine_kernel_cache() -> Iterator[Finding]:
    """Find out whether compiled CPU kernels are kept for the next run."""
    from engine.backends.kernel_cache import find_cache_folder

    folder, is_kept = find_cache_folder()
    if is_kept:
        yield Finding("kernels", "ok", f"compiled kernels are kept in {folder}")
        return
    text = "compiled kernels cannot be kept, so every run compiles them anew"
    yield Finding("kernels", "note", text, "set NUMBA_CACHE_DIR to a writable folder")


def examine_cuda() -> Iterator[Finding]:
    """Look for CuPy, and say why CUDA is or is not used."""
    from engine.backends.probe import CUPY_PACKAGES, probe_cuda

    packages = [
        f"{name} {importlib.metadata.version(name)}"
        for name in CUPY_PACKAGES
        if _has_distribution(name)
    ]
    if len(packages) > 1:
        cure = "pip uninstall all of them, then install one"
        text = f"{' and '.join(packages)} exclude each other"
        yield Finding("CuPy", "broken", text, cure)
    else:
        text = packages[0] if packages else "not installed; the CPU is used"
        yield Finding("CuPy", "ok" if packages else "note", text)
    probe = probe_cuda()
    if probe.is_usable:
        yield Finding("CUDA", "ok", f"{probe.device}: {probe.reason}")
    else:
        yield Finding("CUDA", "note", f"not used: {probe.reason}", probe.cure)


def examine_configuration() -> Iterator[Finding]:
    """Compose the default configuration."""
    cure = "reinstall scribble-engine"
    if not _can_import("hydra"):
        return
    from experiments.overrides import (
        compose_run_config,
        list_groups,
        refuse_foreign_conf,
    )

    try:
        refuse_foreign_conf()
        count = sum(len(choices) for choices in list_groups().values())
        compose_run_config([])
    except ModuleNotFoundError as error:
        yield Finding("conf", "broken", f"not found: {error}", cure)
    except ConfigError as error:
        yield Finding("conf", "broken", str(error))
    else:
        yield Finding("conf", "ok", f"found, {count} choices, the default composes")


def examine_folder() -> Iterator[Finding]:
    """Try to write where run folders will be made."""
    folder = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".scribble-"):
            pass
    except OSError as error:
        cure = "change to a folder you may write to, or set record.folder"
        yield Finding("folder", "note", f"{folder}: {error.strerror}", cure)
    else:
        yield Finding("folder", "ok", f"{folder} can be written")


def _describe_cores(metrics: ResourceMetrics) -> Finding:
    cores = metrics.cores
    facts = [f"{cores.allowed_cores:g} allowed of {cores.logical_count}"]
    if hasattr(os, "sched_getaffinity"):
        facts.append(f"affinity {len(os.sched_getaffinity(0))}")
    quota = metrics.cgroup.cpu_quota_cores if metrics.cgroup else None
    facts.append("no quota" if quota is None else f"quota {quota:g}")
    return Finding("cores", "ok", ", ".join(facts))


def _describe_cgroup(metrics: ResourceMetrics) -> Finding:
    from experiments.views.telemetry import describe_cgroup

    if metrics.cgroup is None:
        return Finding("cgroup", "ok", "none on this system")
    return Finding("cgroup", "ok", describe_cgroup(metrics.cgroup))


def _can_import(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _has_distribution(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _print_findings(findings: list[Finding]) -> None:
    from experiments.views.terminal import open_console

    open_console().print(build_findings_table(findings))


def build_findings_table(findings: list[Finding]) -> Any:
    """Lay the findings out, each cure under what it cures.

    Args:
        findings: In the order in which they are shown.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for options in ({"style": "bold", "no_wrap": True}, {"no_wrap": True}, {}):
        table.add_column(**options)
    for finding in findings:
        style = dict(_LEVEL_STYLES).get(finding.level, "bold")
        text = Text(finding.text)
        if finding.cure:
            text.append(f"\ncure: {finding.cure}", style="dim")
        table.add_row(finding.subject, Text(finding.level, style=style), text)
    return table
