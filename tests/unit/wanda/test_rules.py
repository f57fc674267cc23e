"""Rules: monotone, normalised, and at rest where theory says that they should be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.config import MeshConfig
from engine.errors import RecordError
from engine.wanda import Census, Kinds, Policy, build_rule, load_policy
from engine.wanda.census import LEVELS, measure_levels
from engine.wanda.policy import FEATURES
from engine.wanda.rules import (
    Detuning,
    Learned,
    Plastic,
    find_usefulness,
    measure_features,
    rank_cells,
)
from experiments.mesh_training import build_start, encode_policy

PHI = 0.618033988749895
MEMBERS = ("direct", "hidden", "offsets", "output")


def build_census(
    frequencies_hz: list[float],
    strengths: tuple[float, ...] = (108.0,),
    detunings: tuple[float, ...] = (5.0,),
) -> Census:
    kinds = Kinds(np.array(strengths), np.array(detunings), None)
    shape = (len(frequencies_hz), LEVELS, len(strengths))
    counts = np.random.default_rng(0).integers(1, 50, shape)
    return Census(counts, np.array(frequencies_hz), kinds)


def test_usefulness_is_the_whole_gap_where_bridges_act_rarely() -> None:
    census = build_census([0.1, 0.01])
    assert 2.0 ** find_usefulness(census)[:, :, 0] == pytest.approx(
        np.tile(measure_levels(), (2, 1))
    )


def test_usefulness_falls_as_the_square_where_bridges_act_often() -> None:
    census = build_census([1e6, 2e6])
    one, two = 2.0 ** find_usefulness(census)
    # h = 1e-4, so that 1 - exp(-2 h) is linear to 1e-4.
    assert one / two == pytest.approx(4.0, rel=3e-4)


@pytest.mark.parametrize("rule", [Plastic(4.0, 0.2), Plastic(1.0, 1.0)])
def test_larger_gaps_never_get_less(rule: Plastic) -> None:
    census = build_census([90.0, 40.0, 10.0])
    weights = rule.weigh(census)
    assert (np.diff(weights, axis=1) < 0.0).all()
    ranks = rank_cells(weights, census.counts, PHI)
    assert (np.diff(ranks.astype(int), axis=1) >= 0).all()
    assert ranks.min() >= 0
    assert ranks.max() <= 2


def test_plastic_rule_rests_at_the_cube_root_of_theory() -> None:
    """Weak doses: f ~ usefulness settles where f ~ (kappa^2 d^2)^(1/3)."""
    gaps, frequencies = np.array([1.0, 8.0]), np.array([1e6, 1e6])
    rule = Plastic(1.0, 0.3)
    levels = [int(np.argmin(np.abs(measure_levels() - gap / 10_000.0))) for gap in gaps]
    exact = measure_levels()[levels]
    for _ in range(60):
        census = build_census(frequencies.tolist())
        weights = rule.weigh(census)[[0, 1], levels, 0]
        frequencies = 1e6 * 2.0 ** (weights - weights.mean())
    expected = (exact[1] / exact[0]) ** (1.0 / 3.0)
    # The linear dose is right to h = 1e-4; 60 steps of 1 - 0.3 (1 + 2) have died out.
    assert frequencies[1] / frequencies[0] == pytest.approx(expected, rel=1e-3)


def test_zero_exponent_lets_all_act_alike() -> None:
    census = build_census([50.0] * 4)
    ranks = rank_cells(Plastic(0.0, 0.5).weigh(census), census.counts, PHI)
    assert len(np.unique(ranks)) == 1


def test_detuning_rule_goes_by_detuning_alone() -> None:
    census = build_census([30.0] * 6, (108.0,) * 3, (1.0, PHI, PHI**2))
    ranks = rank_cells(Detuning(1.0).weigh(census), census.counts, PHI)
    assert (np.diff(ranks.astype(int), axis=2) == 1).all()
    assert (ranks == ranks[:1, :1]).all()


def test_mean_lies_a_little_above_the_middle_of_the_ladder() -> None:
    counts = np.ones((12, 1, 1), np.int64)
    alike = rank_cells(np.zeros((12, 1, 1)), counts, PHI)
    assert (alike == 5).all()
    far = np.zeros((12, 1, 1))
    far[0], far[1] = 1000.0, -1000.0
    assert rank_cells(far, counts, PHI)[:2].ravel().tolist() == [0, 11]


def test_policy_that_starts_training_is_the_plastic_rule() -> None:
    config = MeshConfig("plastic")
    census = build_census([80.0, 30.0, 5.0], (108.0, 20.0), (1.0, 9.0))
    learned = Learned(build_start(config)).weigh(census)
    plastic = build_rule(config)
    assert plastic is not None
    difference = learned - plastic.weigh(census)
    # A common factor is nothing: ranks are about the mean.
    assert np.ptp(difference) < 1e-9


def test_features_do_not_know_units() -> None:
    """Time measured in another unit scales rates and frequencies alike."""
    census = build_census([80.0, 30.0, 5.0], (108.0, 20.0), (1.0, 9.0))
    kinds = Kinds(
        10.0 * census.kinds.strengths_rad_s, 10.0 * census.kinds.detunings_hz, None
    )
    other = replace(census, frequencies_hz=10.0 * census.frequencies_hz, kinds=kinds)
    np.testing.assert_allclose(
        measure_features(other), measure_features(census), atol=1e-12
    )
    assert measure_features(census).shape == (3, LEVELS, 2, FEATURES)


def test_policy_comes_back_from_its_file(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    policy = Policy.from_vector(np.round(random.standard_normal(38), 5))
    file = tmp_path / "policy.json"
    file.write_text(encode_policy(policy, {"seed": 2}))
    rows = random.standard_normal((7, FEATURES))
    again = load_policy(str(file))
    assert (again.evaluate(rows) == policy.evaluate(rows)).all()
    assert (again.to_vector() == policy.to_vector()).all()


def test_policy_that_ships_says_where_it_is_from() -> None:
    import engine.wanda

    file = Path(engine.wanda.__file__).with_name("policy.json")
    origin = json.loads(file.read_text())["origin"]
    assert origin["script"] == "experiments/mesh_training.py"
    assert {"plan", "lessons", "exam_log_one_minus_r"} <= set(origin)
    load_policy(None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"weights": {"direct": [1, 2]}}', "KeyError"),
        (json.dumps({"weights": {key: [] for key in MEMBERS}}), "shapes"),
    ],
)
def test_file_that_is_no_policy(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "policy.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RecordError, match=r"mesh\.policy_path") as caught:
        load_policy(str(file))
    assert words in str(caught.value)
    assert str(caught.value).count(". ") == 0


def test_policy_with_a_weight_that_is_no_number(tmp_path: Path) -> None:
    vector = build_start(MeshConfig("learned")).to_vector()
    vector[0] = np.inf
    file = tmp_path / "policy.json"
    file.write_text(encode_policy(Policy.from_vector(vector), {}))
    with pytest.raises(RecordError, match="not finite"):
        load_policy(str(file))


def test_rules_by_name() -> None:
    assert build_rule(MeshConfig("none")) is None
    kinds = {
        name: type(build_rule(MeshConfig(name)))
        for name in ("auto", "detuning", "plastic", "learned")
    }
    assert kinds == {
        "auto": Plastic,
        "detuning": Detuning,
        "plastic": Plastic,
        "learned": Learned,
    }


@pytest.mark.parametrize(("exponent", "found"), [(None, (2.5, 1.0)), (3.0, (3.0, 3.0))])
def test_each_rule_has_an_exponent_of_its_own(
    exponent: float | None, found: tuple[float, float]
) -> None:
    config = MeshConfig(exponent=exponent)
    assert (config.find_exponent("plastic"), config.find_exponent("detuning")) == found
