"""Phase fields as pictures, and what is told of single nodes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import ObserveConfig
from experiments.report.document import Plot
from experiments.report.fields import PICTURES, colour_phases, encode_png
from experiments.report.nodes import build_node_section
from experiments.report.records import read_run
from experiments.report.run import build_run_document
from tests.report_folders import make_run

OBSERVE = ObserveConfig(snapshot_every_s=0.01, frequency_window_s=0.1, probe_count=8)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observed") / "plane"
    return make_run(folder, observe=OBSERVE)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observed") / "chain"
    return make_run(folder, observe=OBSERVE, lattice=("chain", (64,)))


def read_image(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_encoded_pixels_come_back() -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        read_image(encode_png(levels, palette)), palette[levels]
    )


def test_equal_phases_have_equal_colours_across_the_turn() -> None:
    phases = np.array([[0.3, 0.3 + 2 * np.pi, 0.3 - 2 * np.pi, 3.0]])
    image = read_image(colour_phases(phases))[0].astype(int)
    assert (image[0] == image[1]).all()
    assert (image[0] == image[2]).all()
    assert np.abs(image[0] - image[3]).max() > 50
    # The first and the last colour are neighbours on the circle.
    ends = read_image(colour_phases(np.array([[0.0, 2 * np.pi - 1e-9]])))[0].astype(int)
    assert np.abs(ends[0] - ends[1]).max() < 5


def test_snapshots_of_a_plane_become_pictures_in_order(plane: Path) -> None:
    document = build_run_document(read_run(plane))
    (section,) = [part for part in document.sections if part.pictures]
    assert len(section.pictures) == PICTURES
    titles = [picture.title for picture in section.pictures]
    assert titles[0].startswith("t = 0 s, r = 0.")
    assert titles[-1].startswith("t = 0.2 s, r = 0.9")
    first, last = (read_image(section.pictures[at].data) for at in (0, -1))
    assert first.shape == last.shape == (16, 16, 3)
    # Random phases have all colours, phases in step have nearly one.
    assert first.std(axis=(0, 1)).sum() > 2 * last.std(axis=(0, 1)).sum()


def test_a_chain_becomes_one_picture_over_time(chain: Path) -> None:
    document = build_run_document(read_run(chain))
    (section,) = [part for part in document.sections if part.pictures]
    (picture,) = section.pictures
    assert picture.is_wide
    assert read_image(picture.data).shape == (64, 21, 3)  # 0, 0.01 ... 0.2 s


def test_snapshots_cut_short_are_shown_as_far_as_they_go(plane: Path) -> None:
    path = plane / "snapshots.arrow"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        document = build_run_document(read_run(plane))
        assert any(part.pictures for part in document.sections)
        path.write_bytes(b"ARROW1")
        document = build_run_document(read_run(plane))
        (problem,) = document.problems
        assert problem.startswith("snapshots.arrow cannot be read")
        assert str(plane) not in problem
    finally:
        path.write_bytes(whole)


def test_single_nodes_are_told_and_counted(plane: Path) -> None:
    record = read_run(plane)
    section = build_node_section(record)
    assert section is not None
    assert "of the nodes share a frequency of 432.00 Hz" in section.sentences[0]
    assert section.sentences[1].startswith("Pairs of 8 probed nodes have a mean")
    (plot,) = section.plots
    assert isinstance(plot, Plot)
    assert sum(value or 0.0 for value in plot.series[0].y) == 256


def test_nothing_observed_is_nothing_shown(run_folder: Path) -> None:
    assert build_node_section(read_run(run_folder)) is None
