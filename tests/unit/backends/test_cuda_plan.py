"""The plan of a period: which pieces go into which launch."""

from dataclasses import replace

import numpy as np
import pytest

from engine.backends.cuda_plan import HEADER_WORDS, plan_launches, round_capacity
from tests.host_cuda.parity import build_period

BRIDGES, LAYERS, SLICES = 60, 3, 8


def list_launches(plan, slices):
    """Read the words as the kernels do: pieces by slice and launch."""
    words = plan.words.astype(np.int64)
    launches = plan.launches_per_slice
    table = words[HEADER_WORDS : HEADER_WORDS + 2 * slices * launches]
    return [
        [words[first:last].reshape(-1, 2).tolist() for first, last in rows]
        for rows in table.reshape(slices, launches, 2)
    ]


@pytest.mark.parametrize("knows_layers", [True, False])
def test_every_piece_is_run_once_and_in_order(knows_layers):
    period = build_period(BRIDGES, LAYERS, SLICES, first_tick=77)
    layers = period.segment_layers if knows_layers else None
    plan = plan_launches(replace(period, segment_layers=layers))
    assert plan.words[:HEADER_WORDS].tolist() == [77, *period.key, 0]
    bounds = period.segment_bounds
    for index, launches in enumerate(list_launches(plan, SLICES)):
        wanted = period.segments[bounds[index] : bounds[index + 1]].tolist()
        assert [piece for pieces in launches for piece in pieces] == wanted
        for pieces in launches:
            assert len({lo // (BRIDGES // LAYERS) for lo, _ in pieces}) <= 1
    # A window that wraps around is one launch, if its layer is known.
    assert plan.launches_per_slice == LAYERS if knows_layers else LAYERS < 6
    lengths = np.diff(period.segments, axis=1)
    assert plan.events == lengths.sum()
    assert plan.most_events == BRIDGES // LAYERS // 3 or not knows_layers


def test_empty_pieces_need_no_launch():
    period = build_period(BRIDGES, LAYERS, 2)
    empty = replace(period, segments=np.zeros_like(period.segments))
    plan = plan_launches(empty)
    assert (plan.launches_per_slice, plan.events, plan.most_events) == (0, 0, 0)


@pytest.mark.parametrize(("count", "capacity"), [(0, 8), (8, 8), (9, 16), (1000, 1024)])
def test_capacities_are_powers_of_two(count, capacity):
    assert round_capacity(count, 8) == capacity
