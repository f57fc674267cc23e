"""Compare the speed of two commits, with a threshold above this machine's noise.

    python benchmarks/compare.py BASE [HEAD] [--bench REGEX]

Both have a twin, the same files under another commit id, and all four are measured in
interleaved rounds. What a commit and its twin differ by is noise, and a difference
counts from 1 + 1.5 * noise on, 1.05 at least; benchmarks that differ from themselves
far more than the others are named and not judged. Only costs (times and peak memory)
are compared: asv takes less for better, and of a `track_*` figure more may be better.

Exit codes: 0 no regression, 1 a regression beyond the threshold or a failed
benchmark, 2 bad input.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asv.config import Config


FOLDER = Path(__file__).resolve().parent
COSTS = r"\.(time|timeraw|peakmem)_"
LEAST_FACTOR = 1.05
NOISE_MARGIN = 1.5
BUSY_FACTOR = 1.25
"""A threshold above this comes from other processes, not from the clock [-]."""
MANY_BENCHMARKS = 20
"""From here on noise is the 95th percentile, and the largest ratio below."""
FEWEST_QUARTERED = 4
"""Fewer ratios have no quartiles, and so no strays."""


class UnknownCommitError(ValueError):
    """A name that git does not know."""


def run_git(*arguments: str) -> str:
    """Run git in the repository and return what it printed."""
    command = ["git", "-C", str(FOLDER), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def find_commit(name: str) -> str:
    """Return the commit id of a name.

    Raises:
        UnknownCommitError: There is no such commit.
    """
    try:
        return run_git(
            "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"
        )
    except subprocess.CalledProcessError as error:
        raise UnknownCommitError(
            f"{name!r} names no commit of this repository; give a commit, branch or "
            "tag, such as BASE=HEAD~1 (a shallow clone may lack it: git fetch "
            "--unshallow)."
        ) from error


def build_twin(commit: str) -> str:
    """Return a commit of the same files and parents, on no branch, under another id."""
    parents = run_git("rev-list", "--parents", "-n", "1", commit).split()[1:]
    options = [option for parent in parents for option in ("-p", parent)]
    name = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    tree, text = f"{commit}^{{tree}}", f"Twin of {commit} to measure noise"
    return run_git(*name, "commit-tree", tree, *options, "-m", text)


def load_configuration() -> Config:
    """Load the suite's configuration, with results apart from the history."""
    from asv.config import Config

    os.chdir(FOLDER)  # asv's paths start at its configuration
    conf = Config.load("asv.conf.json")
    conf.results_dir = str(FOLDER / ".asv" / "compared")
    shutil.rmtree(conf.results_dir, ignore_errors=True)
    return conf


def measure(conf: Config, commits: list[str], bench: str) -> int:
    """Run the costs that match `bench` in interleaved rounds; return asv's status."""
    from asv.commands.run import Run

    status = Run.run(
        conf,
        range_spec=commits,
        bench=[f"^(?=.*(?:{bench})).*{COSTS}"],
        record_samples=True,
        interleave_rounds=True,
    )
    return int(status or 0)


def list_results(
    conf: Config, machine: str, commit: str, strays: Collection[str] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield a commit's results as asv's table takes them, with strays as n/a."""
    from asv.commands.compare import unroll_result
    from asv.results import iter_results_for_machine_and_hash

    for results in iter_results_for_machine_and_hash(conf.results_dir, machine, commit):
        for key in results.get_all_result_keys():
            params = results.get_result_params(key)
            values = unroll_result(key, params, results.get_result_value(key, params))
            yield (
                key,
                params,
                [math.nan if name in strays else value for name, value in values],
                results.get_result_stats(key, params),
                results.get_result_samples(key, params),
                results.benchmark_version.get(key),
                machine,
                results.env_name,
            )


def read_values(conf: Config, machine: str, commit: str) -> dict[str, float]:
    """Return the value of every benchmark of a commit that has one."""
    from asv.commands.compare import unroll_result

    found: dict[str, float] = {}
    for key, params, values, *_ in list_results(conf, machine, commit):
        found |= dict(unroll_result(key, params, values))
    return {n: v for n, v in found.items() if v is not None and not math.isnan(v)}


def find_ratios(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Return by how much two measurements differ, the larger over the smaller [-]."""
    pairs = {name: (first[name], second[name]) for name in first if name in second}
    return {name: max(two) / min(two) for name, two in pairs.items() if min(two) > 0}


def measure_noise(
    conf: Config, machine: str, twins: dict[str, str]
) -> dict[str, float]:
    """Return by how much each benchmark differs from itself at most [-].

    Args:
        conf: Where the results are.
        machine: Whose results.
        twins: Twin of each commit.
    """
    noise: dict[str, float] = {}
    for commit, twin in twins.items():
        pair = (read_values(conf, machine, each) for each in (commit, twin))
        for name, ratio in find_ratios(*pair).items():
            noise[name] = max(ratio, noise.get(name, 1.0))
    return noise


def find_strays(ratios: dict[str, float]) -> list[str]:
    """Name the benchmarks that differ from themselves far more than the others do.

    Far is three interquartile ranges above the upper quartile, as for far outliers.
    """
    if len(ratios) < FEWEST_QUARTERED:
        return []
    low, _, high = statistics.quantiles(ratios.values(), n=4)
    fence = max(LEAST_FACTOR, high + 3.0 * (high - low))
    return [name for name, ratio in ratios.items() if ratio > fence]


def choose_factor(ratios: list[float]) -> float:
    """Return the threshold above the noise [-].

    Args:
        ratios: How much a commit differed from itself, each >= 1.
    """
    if not ratios:
        return LEAST_FACTOR
    noisiest = max(ratios)
    if len(ratios) >= MANY_BENCHMARKS:
        noisiest = statistics.quantiles(ratios, n=20)[-1]
    return max(LEAST_FACTOR, 1.0 + NOISE_MARGIN * (noisiest - 1.0))


def describe_noise(ratios: dict[str, float], strays: list[str], factor: float) -> str:
    """Say what the self-comparison gave."""
    values = list(ratios.values()) or [1.0]
    lines = [
        f"Noise of {len(ratios)} benchmarks, each commit against itself: median "
        f"{statistics.median(values):.3f}, largest {max(values):.3f}."
    ]
    lines += [f"Too noisy to judge: {name} ({ratios[name]:.2f})." for name in strays]
    lines.append(f"Threshold: {factor:.3f}.")
    if factor > BUSY_FACTOR:
        lines.append(
            "The machine was busy: repeat on an idle one before you believe it."
        )
    return "\n".join(lines)


def judge(conf: Config, base: str, head: str, twins: dict[str, str]) -> bool:
    """Find the threshold, print the table; tell whether HEAD is slower beyond it."""
    from asv.commands.compare import Compare
    from asv.machine import Machine

    machine = Machine.load(interactive=True).machine
    ratios = measure_noise(conf, machine, twins)
    strays = find_strays(ratios)
    calm = [ratio for name, ratio in ratios.items() if name not in strays]
    factor = choose_factor(calm)
    worsened, _ = Compare.print_table(
        conf,
        base,
        head,
        factor,
        True,
        resultset_1=list_results(conf, machine, base, strays),
        resultset_2=list_results(conf, machine, head, strays),
        commit_names={base: "BASE", head: "HEAD"},
    )
    print(f"\n{describe_noise(ratios, strays, factor)}")
    print("HEAD is slower beyond it." if worsened else "HEAD is not slower beyond it.")
    return bool(worsened)


def compare(base: str, head: str, bench: str) -> int:
    """Measure and judge; return the exit code.

    Args:
        base: Commit id to compare with.
        head: Commit id to judge.
        bench: Regular expression of names.
    """
    twins = {commit: build_twin(commit) for commit in (base, head)}
    conf = load_configuration()
    status = measure(conf, [*twins.keys(), *twins.values()], bench)
    is_slower = judge(conf, base, head, twins)
    if status:
        print("Some benchmarks failed; see above.")
    return int(is_slower or status != 0)


def main() -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="commit to compare with")
    parser.add_argument("head", nargs="?", default="HEAD", help="commit to judge")
    parser.add_argument("--bench", default="", help="regular expression of names")
    options = parser.parse_args()
    try:
        commits = find_commit(options.base), find_commit(options.head)
    except UnknownCommitError as error:
        print(error, file=sys.stderr)
        return 2
    return run_asv(lambda: compare(*commits, options.bench))


def run_asv(call: Callable[[], int]) -> int:
    """Show asv's progress and turn its complaints into exit code 2."""
    from asv.console import log
    from asv.util import UserError

    log.enable()
    try:
        return call()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
