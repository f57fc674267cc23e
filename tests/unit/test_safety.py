"""What never happens: shells, pickles, files from elsewhere, clients that hold on."""

from __future__ import annotations

import ast
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from engine.config import (
    BackendConfig,
    LatticeConfig,
    LoadConfig,
    MetricsConfig,
    RecordConfig,
    RunConfig,
)
from engine.errors import ConfigError, RecordError
from engine.recording import check_folder
from engine.recording.folder import clear_folder
from engine.system import ScribbleSystem
from engine.tunnel.endpoint import MAX_ANSWER_S, MAX_SCRAPES, Endpoint
from experiments.report.study import read_study
from experiments.sweep import resume_sweep
from experiments.sweep.plan import PlannedJob, SweepPlan, write_plan
from tests.report_folders import make_study

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "experiments", "benchmarks")
FORBIDDEN_CALLS = {
    *("os.system", "os.popen", "os.execl", "os.execv", "eval", "exec"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "yaml.unsafe_load"),
    *("pickle.load", "pickle.loads", "marshal.loads", "shelve.open", "np.load"),
    *("numpy.load", "yaml.full_load", "tempfile.mktemp"),
}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


def list_calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield place, name and node of every call in the source."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{where}:{node.lineno}", ast.unparse(node.func), node


def test_no_shell_no_pickle_no_code_from_files() -> None:
    calls = list(list_calls())
    assert len(calls) > 1000
    found = [f"{where} {name}" for where, name, _ in calls if name in FORBIDDEN_CALLS]
    assert found == []
    for where, name, node in calls:
        options = {word.arg: word.value for word in node.keywords}
        for option in ("shell", "allow_pickle"):
            value = options.get(option)
            is_off = value is None or ast.unparse(value) == "False"
            assert is_off, f"{where} {name} has {option}"
        if name == "yaml.load":
            assert "loader" in ast.unparse(options["Loader"]), where


def test_no_module_of_pickles_is_imported() -> None:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = set()
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names = {node.module or ""}
                assert not FORBIDDEN_IMPORTS & names, path


def test_readme_names_tests_that_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("## What happens when")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    named = [re.findall(r"`([\w/]+\.py)`", row.split("|")[-2]) for row in rows]
    assert sum(map(bool, named)) > 20
    for name in {name for names in named for name in names}:
        assert (ROOT / "tests" / name.removeprefix("tests/")).is_file(), name


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint(CollectorRegistry(), "127.0.0.1", 0)
    yield endpoint
    endpoint.close()


def test_metrics_stay_on_this_machine_unless_asked(endpoint: Endpoint) -> None:
    assert MetricsConfig().address == "127.0.0.1"
    assert not MetricsConfig().http
    assert endpoint._server.server_address[0] == "127.0.0.1"


def send(port: int, request: bytes) -> bytes:
    """Send raw bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        answer = b""
        try:
            while piece := client.recv(65536):
                answer += piece
        except ConnectionError:  # the server did not read all that was sent
            return answer
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.0\r\n\r\n",
        b"GET /metrics HTTP/1.0\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"GET /metrics HTTP/1.0\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"POST /metrics HTTP/1.0\r\nContent-Length: 99999999999\r\n\r\n",
        b"\0" * 100,
        b"BREW /metrics HTCPCP/1.0\r\n\r\n",
    ],
)
def test_requests_are_bounded(endpoint: Endpoint, request_bytes: bytes) -> None:
    first = send(endpoint.port, request_bytes).split(b"\r\n")[0]
    assert b" 200 " not in first
    assert b" 200 " in send(endpoint.port, b"GET /metrics HTTP/1.0\r\n\r\n")


def test_client_that_holds_on_is_cut_off(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the limit on silence only that on the whole connection is left.
    monkeypatch.setattr("engine.tunnel.endpoint._Handler.timeout", None)
    monkeypatch.setattr("engine.tunnel.endpoint.MAX_ANSWER_S", 0.05)
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\na")
        assert client.recv(1) == b""
    assert MAX_ANSWER_S < 60.0
    assert MAX_SCRAPES < 100


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """A link in a folder to a file outside of it."""
    outside = tmp_path / "secret.txt"
    outside.write_text("secret", "utf-8")
    inside = tmp_path / "study"
    make_study(inside)
    (inside / "link.png").symlink_to(outside)
    return inside


@pytest.mark.parametrize("name", ["link.png", "../secret.txt", "/etc/passwd", "."])
def test_study_shows_no_file_from_elsewhere(link: Path, name: str) -> None:
    changes = {"pictures": [{"title": "t", "file": name}], "tables": []}
    changes["tables"] = [{"title": "t", "file": name}]
    found = read_study(make_study(link.parent / "other", changes))
    assert found is not None
    (link.parent / "other" / "link.png").symlink_to(link.parent / "secret.txt")
    found = read_study(link.parent / "other")
    assert found is not None
    assert len([p for p in found.problems if "there is no file" in p]) == 2
    assert not found.sections[0].pictures


def test_overwrite_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    from engine.recording.folder import claim_folder

    folder, outside = tmp_path / "run", tmp_path / "precious"
    folder.mkdir()
    outside.write_text("precious", "utf-8")
    for name in ("config.yaml", "environment.json"):
        (folder / name).write_text("{}", "utf-8")
    (folder / "summary.json").symlink_to(outside)
    claim_folder(folder, overwrite=True)
    assert list(folder.iterdir()) == []
    assert outside.read_text("utf-8") == "precious"


def test_overwrite_follows_no_link_in_the_place_of_checkpoints(tmp_path: Path) -> None:
    folder, outside = tmp_path / "run", tmp_path / "precious"
    folder.mkdir()
    outside.mkdir()
    (outside / "mine.ckpt").write_text("precious", "utf-8")
    (folder / "checkpoints").symlink_to(outside)
    clear_folder(folder)
    assert list(folder.iterdir()) == []
    assert (outside / "mine.ckpt").read_text("utf-8") == "precious"


@pytest.mark.parametrize(
    "name",
    ["summary.json", "trace.parquet", "summary.json.part", "checkpoints/x.ckpt.part"],
)
def test_resumed_run_writes_through_no_link(name: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "precious", tmp_path / "run"
    outside.write_text("precious", "utf-8")
    lattice, steady = LatticeConfig(shape=(8, 8)), LoadConfig("synthetic")
    record = RecordConfig(folder=str(folder), forecast=False)
    backend = BackendConfig("reference")
    config = RunConfig(lattice=lattice, load=steady, record=record, backend=backend)
    with ScribbleSystem(config) as system:
        system.run(lambda progress: system.request_stop())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with (
        pytest.raises(RecordError, match="is a link"),
        ScribbleSystem.resume(folder) as system,
    ):
        system.run()
    assert outside.read_text("utf-8") == "precious"
    assert (folder / name).is_symlink()


def test_job_of_a_sweep_writes_into_its_sweep(tmp_path: Path) -> None:
    outside, sweep = tmp_path / "precious", tmp_path / "sweep"
    outside.mkdir()
    sweep.mkdir()
    (outside / "summary.json").write_text("precious", "utf-8")
    jobs = [PlannedJob(0, ["seed=1"])]
    write_plan(sweep, SweepPlan("grid", [], [], str(tmp_path), jobs=jobs))
    (sweep / "0").symlink_to(outside)
    with pytest.raises(RecordError, match="is a link"):
        resume_sweep(sweep)
    assert os.listdir(outside) == ["summary.json"]


def test_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", "utf-8")
    for overwrite in (False, True):
        with pytest.raises(RecordError):
            check_folder(tmp_path, overwrite)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(record=RecordConfig(folder="a\0b")),
        RunConfig(load=LoadConfig(kind="replay", trace="a\0b")),
        RunConfig(metrics=MetricsConfig(address="a\0b")),
    ],
)
def test_names_that_no_file_can_have(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match="character"):
        config.validate()
