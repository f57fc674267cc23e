"""The kernel benchmark measures what it says, after it has checked it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import kernel_costs, kernel_pictures, rigs, roofline
from benchmarks.rigs import Sample, Setting
from engine.backends import formulas
from engine.backends.formulas import rate_increment

RUN = Setting(nodes=256, bridge_ends_per_node=2, frequency_hz=432.0, threads=1)
BARE = Setting(nodes=256, threads=1, is_bare=True)
TINY = kernel_costs.Plan(
    node_exponents=(6, 7, 8),
    base_exponent=6,
    bridge_ends_per_node=(0, 2),
    rungs=(0, 3),
    near_exponent=8,
    far_exponent=10,
)


@pytest.fixture(autouse=True)
def shorten_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rigs, "RUN_STEPS", 80)
    monkeypatch.setattr(rigs, "LATTICE_WORK", 2**12)


def build_row(nodes: int, wall_s: float, status: str = "timed") -> dict[str, Any]:
    return {
        "sweep": "nodes",
        "status": status,
        "nodes": nodes,
        "wall_s_per_simulated_s": wall_s,
    }


def test_small_lattices_and_wrong_rows_are_left_out_of_the_fit() -> None:
    rows = [build_row(2**n, 2.0**n) for n in (16, 18, 20)]
    rows += [build_row(2**12, 5e5), build_row(2**22, 1.0, "wrong")]
    (fit,) = kernel_costs.fit_rows(rows)
    assert fit["exponent"] == pytest.approx(1.0)
    assert (fit["low"], fit["high"]) == (2**16, 2**20)


@pytest.mark.parametrize("exponent", range(6, 25))
def test_shapes_hold_all_nodes(exponent: int) -> None:
    setting = Setting(nodes=2**exponent)
    rows, columns = setting.shape
    assert rows * columns == setting.nodes
    assert columns in (rows, 2 * rows)
    setting.to_config().validate()


def test_run_rig_counts_steps_and_events() -> None:
    rig, is_right, check = rigs.build_checked_rig(RUN)
    assert is_right
    assert check == "digest = cpu, 2 threads"
    sample = rig.take_turn()
    rig.close()
    bridges = RUN.nodes * RUN.bridge_ends_per_node // 2
    dt_s = RUN.to_config().dynamics.dt_s
    assert sample.steps == 80
    assert sample.events == pytest.approx(bridges * 432.0 * 80 * dt_s, abs=2)
    assert 0.0 < sample.lattice_s < sample.wall_s
    assert 0.0 < sample.tunnel_s < sample.wall_s


def test_lattice_rig_agrees_with_other_thread_counts() -> None:
    rig, is_right, check = rigs.build_checked_rig(BARE)
    assert (is_right, check) == (True, "digest = cpu, 2 threads")
    sample = rig.take_turn()
    assert (sample.steps, sample.events) == (16, 0)
    assert sample.wall_s > 0.0


def test_gpu_is_compared_with_the_cpu() -> None:
    witness = replace(RUN, backend="cuda", threads=None).to_witness()
    assert witness == replace(RUN, threads=None)


def test_wrong_rig_is_reported_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter("ab")
    monkeypatch.setattr(rigs.RunRig, "digest_start", lambda _: next(digests))
    monkeypatch.setattr(rigs.RunRig, "take_turn", lambda _: pytest.fail("timed"))
    (row,) = kernel_costs.measure_sweep(kernel_costs.Sweep("nodes", (RUN,)), repeats=1)
    assert row["status"] == "wrong"
    assert row["check"] == "digest differs from cpu, 2 threads"
    assert "wall_s_per_simulated_s" not in row
    assert "wrong: digest differs" in kernel_costs.format_sweep([row], "nodes")


def test_setting_that_cannot_run_is_left_out_with_the_reason() -> None:
    odd = replace(RUN, threads=4096)
    (row,) = kernel_costs.measure_sweep(
        kernel_costs.Sweep("threads", (odd,)), repeats=1
    )
    assert row["status"] == "left out"
    assert "backend.threads is 4096" in row["check"]


def test_costs_are_medians_in_their_units() -> None:
    samples = [Sample(10, wall, 0.5 * wall, 1e-3, 100) for wall in (1.0, 3.0, 2.0)]
    row = kernel_costs.summarise_samples(samples, RUN)
    dt_s = RUN.to_config().dynamics.dt_s
    assert row["wall_s_per_simulated_s"] == pytest.approx(2.0 / (10 * dt_s))
    assert row["ns_per_node_step"] == pytest.approx(2e9 / (10 * 256))
    assert row["lattice_ns_per_node_step"] == pytest.approx(1e9 / (10 * 256))
    assert row["ns_per_event"] == pytest.approx(1e4)


def test_cpu_agrees_with_the_reference_at_small_size() -> None:
    found = rigs.compare_with_reference(RUN)
    assert found["difference"] <= kernel_costs.REFERENCE_BOUND


def test_threads_are_all_listed_or_powers_of_two() -> None:
    assert kernel_costs.list_threads(3) == [1, 2, 3]
    assert kernel_costs.list_threads(24) == [1, 2, 4, 8, 16, 24]


class Counted:
    """A number that counts the operations done with it and its results."""

    __array_ufunc__ = None
    total = 0

    def _count(self, _: Any) -> Counted:
        Counted.total += 1
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _count

    def __neg__(self) -> Counted:
        return self


def count_operations(kernel: Any, *arguments: Any) -> int:
    Counted.total = 0
    kernel.py_func(*arguments)
    return Counted.total


def count_fused(a: Any, b: Any, c: Any) -> Any:
    return a * b + c


def test_operations_of_the_lattice_step_are_counted_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formulas, "fused", count_fused)
    x = Counted()
    sine = count_operations(formulas.sine_poly, x)
    cosine = count_operations(formulas.cosine_poly, x)
    # The square is shared; the folded angle is scaled, and signs are bits.
    assert sine + cosine - 1 + 1 == roofline.LATTICE_FLOPS["sine and cosine"]
    rate = count_operations(rate_increment, x, x, x, x, x, (x, x))
    assert rate == roofline.LATTICE_FLOPS["rate"]


def test_kernel_is_placed_by_its_counts() -> None:
    kernel = roofline.place_kernel("k", {"a": 30, "b": 8}, {"read": 19}, 2.0)
    assert kernel["flops_per_byte"] == 2.0
    assert kernel["flops_per_s"] == pytest.approx(19e9)


def test_study_writes_figures_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel_costs, "QUICK", TINY)
    monkeypatch.setattr(kernel_costs, "list_threads", lambda _: [1])
    folder = tmp_path / "results"
    words = ["--quick", "--repeats", "1", "--folder", str(folder)]
    assert kernel_costs.main(words) == 0
    study = json.loads((folder / "kernel_costs.json").read_text(encoding="utf-8"))
    assert {"machine", "device", "backend", "rows", "fits", "roofline",
            "reference_check", "repeats", "plan"} <= set(study)  # fmt: skip
    assert {"sweep", "nodes", "bridge_ends_per_node", "frequency_hz", "threads",
            "status", "check", "wall_s_per_simulated_s", "ns_per_node_step",
            "ns_per_event"} <= set(study["rows"][0])  # fmt: skip
    assert all(row["status"] == "timed" for row in study["rows"])
    step, event = study["roofline"]["kernels"]
    # A pass reads phase and detuning and writes the phase once, for all its steps.
    steps = round(12 / step["bytes"])
    assert 1 <= steps <= 8
    assert step["name"] == f"lattice step, {steps} per pass"
    assert step["bytes"] == 12 / steps
    assert (event["name"], event["bytes"]) == ("tunnel event", 76)
    for name in (
        "kernel_costs-light",
        "kernel_costs-dark",
        "roofline-light",
        "roofline-dark",
    ):
        root = ElementTree.parse(folder / f"{name}.svg").getroot()
        assert root.tag.endswith("svg")
    assert "wall_s_per_simulated_s ~ nodes^" in capsys.readouterr().out


def test_disagreement_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    study = {
        "rows": [{"status": "wrong"}],
        "reference_check": {"difference": 0.0, "bound": 1e-5},
    }
    assert kernel_costs.close_study(study) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_matplotlib_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(kernel_costs, "run_study", lambda *_: pytest.fail("measured"))
    assert kernel_costs.main(["--folder", str(tmp_path / "results")]) == 1
    assert 'pip install "scribble-engine[report]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repeats", "0"], "--repeats is 0; it must lie in [1, 1000]."),
        (["--backend", "gpu"], "--backend is gpu; it must be cpu or cuda."),
        (["--repeats", "many"], "argument --repeats: invalid int value: 'many'"),
        (["--slow"], "unrecognized arguments: --slow"),
    ],
)
def test_wrong_words_are_answered_by_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = kernel_costs.main(words)
    except SystemExit as end:
        code = end.code
    assert code == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_labels_name_exponent_error_and_range() -> None:
    fit = {"exponent": 1.0, "standard_error": 0.012, "low": 39.0, "high": 2**20}
    label = kernel_pictures.label_fit("run", fit)
    assert label == "run: exponent 1.00 ± 0.01 (39 .. $2^{20}$)"
    assert kernel_pictures.label_fit("run", None) == "run"
