"""`scribble render` and `scribble export` on real runs of small networks."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.observation import open_nodes, open_snapshots
from experiments.cli import main
from experiments.observed import movie
from experiments.views.summary import describe_observation

Capture = pytest.CaptureFixture[str]
COMMON = ["backend=cpu", "load=synthetic", "load.level=0", "dynamics.duration_s=0.08"]
OBSERVE = [
    "observe.snapshot_every_s=0.02",
    "observe.frequency_window_s=0.04",
    "observe.probe_count=12",
]
SHAPES = {
    "chain": "[48]",
    "square": "[8,6]",
    "triangular": "[6,8]",
    "cubic": "[4,6,8]",
    "fcc": "[4,4,6]",
}


def record(folder: Path, kind: str, *words: str) -> Path:
    """Run a small lattice; aligned phases make the first field all zeros."""
    settings = [f"lattice={kind}", f"lattice.shape={SHAPES[kind]}", *COMMON, *words]
    settings += ["lattice.initial_phases=aligned", f"record.folder={folder}"]
    assert main(["run", "-q", *settings]) == 0
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One observed run of each lattice."""
    parent = tmp_path_factory.mktemp("runs")
    for kind in SHAPES:
        record(parent / kind, kind, *OBSERVE)
    return parent


@pytest.fixture
def square(runs: Path, tmp_path: Path) -> Path:
    """A copy of the run of a square lattice, with nothing beside it."""
    return Path(shutil.copytree(runs / "square", tmp_path / "square"))


@pytest.mark.parametrize("kind", SHAPES)
def test_xarray_reads_the_exported_store(kind: str, runs: Path, tmp_path: Path) -> None:
    import xarray

    store = tmp_path / "run.zarr"
    assert main(["export", str(runs / kind), "--to", str(store)]) == 0
    snapshots, nodes = open_snapshots(runs / kind), open_nodes(runs / kind)
    assert nodes is not None
    with xarray.open_zarr(store) as found:
        names = ("time", "z", "y", "x")[-len(snapshots.shape) :]
        dims = ("time", *(name for name in names if name != "time"))
        assert found.phase.dims == dims
        assert found.phase.attrs["units"] == "rad"
        assert (found.time.attrs["units"], found.time.dtype) == ("s", np.float64)
        assert np.array_equal(found.time, snapshots.times_s)
        for index in range(len(snapshots)):
            expected = snapshots.phases_rad(index).T
            assert found.phase[index].to_numpy() == pytest.approx(expected, rel=1e-15)
        r = np.abs(np.exp(1j * found.phase).mean(dims[1:]))
        # Sums of cosines in fixed point, each off by 2^-22.
        assert r.to_numpy() == pytest.approx(snapshots.coherence, abs=2.0**-21)
        effective = np.reshape(nodes.effective_frequencies_hz, snapshots.shape).T
        assert np.array_equal(found.effective_frequency, effective)
        assert found.effective_frequency.attrs["units"] == "Hz"
        assert found.effective_frequency.attrs["window_s"] == pytest.approx(0.04)
        assert found.locking.shape == (12, 12)
        assert found.attrs["lattice"] == kind
        is_skew = kind in ("triangular", "fcc")
        assert ("position_x" in found.coords) == is_skew
        if kind == "triangular":
            # Site (x, y) lies at (x + y / 2, y sqrt(3) / 2).
            site = found.isel(x=2, y=3)
            assert float(site.position_x) == pytest.approx(3.5)
            assert float(site.position_y) == pytest.approx(3.0 * np.sqrt(0.75))


def test_arrays_hold_the_same(square: Path, capsys: Capture) -> None:
    assert main(["export", str(square), "--format", "npz"]) == 0
    target = square.with_name("square.npz")
    assert f"5 snapshots of 8x6 sites, {target}" in capsys.readouterr().out
    snapshots = open_snapshots(square)
    with np.load(target, allow_pickle=False) as found:
        assert found["phase"].dtype == np.uint32
        for index in range(len(snapshots)):
            assert np.array_equal(found["phase"][index], snapshots[index].T)
        assert np.array_equal(found["time"], snapshots.times_s)
        about = json.loads(str(found["about"]))
    assert about["lattice"] == "square"
    assert about["phase"]["scale_factor"] * 2.0**32 == pytest.approx(2.0 * np.pi)


@pytest.mark.parametrize(
    ("kind", "theme"), [("chain", "light"), ("triangular", "dark"), ("fcc", "light")]
)
def test_every_lattice_becomes_a_picture(
    kind: str, theme: str, runs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "field.png"
    words = [str(runs / kind), "--to", str(target), "--theme", theme]
    assert main(["render", *words]) == 0
    with Image.open(target) as picture:
        corner, colours = (
            picture.convert("RGB").getpixel((0, 0)),
            picture.getcolors(2**24),
        )
    assert corner == {"light": (255, 255, 255), "dark": (13, 17, 23)}[theme]
    assert len(colours) > 100


@pytest.mark.parametrize("kind", ["chain", "cubic"])
def test_animation_has_a_frame_per_snapshot(
    kind: str, runs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "field.gif"
    words = [str(runs / kind), "--to", str(target), "--every", "2"]
    assert main(["render", *words]) == 0
    with Image.open(target) as picture:
        assert picture.n_frames == 3


def test_picture_is_put_beside_the_run(square: Path, capsys: Capture) -> None:
    assert main(["render", str(square), "--theme", "dark"]) == 0
    target = square.with_name("square-dark.png")
    assert target.is_file()
    assert str(target) in capsys.readouterr().out
    assert {path.name for path in square.parent.iterdir()} == {
        "square", "square-dark.png",
    }  # fmt: skip


def test_svg_is_well_formed_and_repeatable(square: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("a.svg", "b.svg"):
        assert main(["render", str(square), "--to", str(tmp_path / name)]) == 0
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert ET.fromstring(texts[0]).tag.endswith("svg")
    assert texts[0] == texts[1]


def test_only_snapshots_make_a_picture_and_a_store(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", "chain", OBSERVE[0])
    assert main(["render", str(folder)]) == 0
    assert main(["export", str(folder)]) == 0
    import xarray

    with xarray.open_zarr(tmp_path / "run.zarr") as found:
        assert "natural_frequency" in found
        assert "effective_frequency" not in found
        assert "locking" not in found


WAYS = [
    ["render", "--to=beside.png"],
    ["render", "--to=beside.svg"],
    ["render", "--to=beside.pdf"],
    ["render", "--to=beside.gif", "--every=9"],
    ["export", "--to=beside.zarr"],
    ["export", "--to=beside.npz", "--format=npz"],
]


@pytest.mark.parametrize("words", WAYS)
def test_existing_target_is_replaced_only_on_request(
    words: list[str],
    square: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(square.parent)
    assert main([*words, str(square)]) == 0
    target = Path(words[1].removeprefix("--to="))
    assert main([*words, str(square)]) == 2
    sentence = capsys.readouterr().err
    assert f"{target} exists; name another place with --to" in sentence
    assert main([*words, str(square), "--overwrite"]) == 0
    assert {path.name for path in square.parent.iterdir()} == {"square", target.name}


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["export"], "square"),
        (["export"], "square/nodes.parquet"),
        (["export", "--format=npz"], "square/nodes.parquet"),
        (["export", "--format=npz"], "square/locking.npz"),
        (["export"], "notes.txt"),
        (["export", "--format=npz"], "notes.txt"),
        (["export", "--format=npz"], "mine.npz"),
        (["export"], "store"),
        (["export"], "empty"),
        (["render"], "mine.png"),
        (["render"], "folder.png"),
        (["render"], "nothing.png"),
    ],
)
def test_what_no_earlier_call_wrote_is_never_replaced(
    words: list[str],
    target: str,
    square: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(square.parent)
    for folder in ("empty", "folder.png"):
        Path(folder).mkdir()
    Path("notes.txt").write_text("scribble-engine: drawn by scribble render")
    Path("nothing.png").touch()
    Image.new("RGB", (2, 2)).save("mine.png")
    np.savez("mine.npz", about=np.array("of my own"), phase=np.zeros(3))
    assert main(["export", "square", "--to", "store"]) == 0
    Path("store", "notes.txt").write_text("mine")
    before = read_all(square.parent)
    capsys.readouterr()
    assert main([*words, "square", "--to", target, "--overwrite"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert target in err
    assert err.endswith("name another place with --to.\n")
    assert read_all(square.parent) == before


def test_name_of_a_runs_own_file_is_kept_free(
    square: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = square / "locking.npz"
    target.unlink()
    words = ["export", str(square), "--format", "npz", "--to", str(target)]
    assert main(words) == 2
    assert "is a file that the run itself writes" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["export", "RUN", "--format", "zar"],
            "--format is 'zar'; choose one of: zarr",
        ),
        (["render", "RUN", "--theme", "dusk"], "--theme is 'dusk'; choose one of:"),
        (["render", "RUN", "--every", "0"], "--every is 0; it must be at least 1."),
        (
            ["render", "RUN", "--to", "a.jpg"],
            "the ending of a.jpg is '.jpg'; choose one",
        ),
        (["render", "RUN", "--animate", "--to", "a.png"], "choose one of: .mp4, .gif"),
        (["render", "nowhere"], "nowhere is not a run folder: config.yaml is missing"),
        (["export", "nowhere"], "nowhere is not a run folder: config.yaml is missing"),
        (["export", "plain"], "plain holds no snapshots; set observe.snapshot_every_s"),
        (["render", "plain"], "plain holds no snapshots; set observe.snapshot_every_s"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str],
    sentence: str,
    square: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(square.parent)
    (square.parent / "plain").mkdir()
    shutil.copy(square / "config.yaml", square.parent / "plain")
    before = sorted(square.parent.rglob("*"))
    assert main(["square" if word == "RUN" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(square.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "module", "sentence"),
    [
        (["export", "RUN"], "zarr", 'pip install "scribble-engine[export]"'),
        (["export", "RUN"], "xarray", "or use --format npz."),
        (["render", "RUN"], "matplotlib", 'pip install "scribble-engine[report]"'),
    ],
)
def test_missing_package_names_its_extra(
    words: list[str],
    module: str,
    sentence: str,
    square: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main([str(square) if word == "RUN" else word for word in words]) == 1
    assert sentence in capsys.readouterr().err
    assert list(square.parent.iterdir()) == [square]


def test_mp4_without_ffmpeg_names_a_way_out(
    square: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["render", str(square), "--to", str(tmp_path / "a.mp4")]) == 1
    assert "name a .gif with --to" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mp4"))


def test_failed_drawing_leaves_nothing(
    square: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(movie, "describe_moment", fail)
    assert main(["render", str(square), "--animate"]) == 1
    assert list(square.parent.iterdir()) == [square]


def test_interrupted_observed_run_is_replayed(square: Path, tmp_path: Path) -> None:
    summary = json.loads((square / "summary.json").read_text())
    summary |= {"status": "interrupted", "simulated_seconds": 0.01}
    (square / "summary.json").write_text(json.dumps(summary))
    # Too short for its window and its snapshots: both are left out, and it runs.
    folder = tmp_path / "again"
    words = [f"record.folder={folder}", "-q"]
    assert main(["replay", str(square), *words]) == 0
    assert not (folder / "snapshots.arrow").exists()
    assert json.loads((folder / "summary.json").read_text())["steps"] == 40


def test_closing_line_says_what_was_seen(square: Path) -> None:
    observation = json.loads((square / "summary.json").read_text())["observation"]
    text = describe_observation(observation)
    assert text.startswith("5 snapshots, ")
    assert "of the nodes at 43" in text
    assert "over 0.04 s, mean phase locking " in text
    nothing = {"snapshots": 0, "frequency": None, "locking": None}
    assert describe_observation(nothing) == "nothing yet"
