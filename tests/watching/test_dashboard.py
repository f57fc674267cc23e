"""The Grafana dashboard: every expression names what a real scrape holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

TARGET_LABELS = {"run", "instance", "job"}
"""What Prometheus adds to every series: see prometheus.yml and `scribble watch`."""
FUNCTIONS = {"rate", "sum", "max", "histogram_quantile"}
COLUMNS = 24
"""Width of Grafana's grid."""
TOKEN = re.compile(
    r"""\s*(?:
        (?P<call>[a-z_]+)\s*(?:by\s*\([\w\s,]*\)\s*)?(?=\()
      | (?P<metric>[a-zA-Z_:][\w:]*)(?P<matchers>\{[^{}]*\})(?P<range>\[[^\]]*\])?
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<sign>[-+*/(),])
    )""",
    re.VERBOSE,
)
MATCHER = re.compile(r'\s*(?P<label>\w+)(?P<verb>=~|=)"(?P<text>[^"]*)"\s*')


def tokenise(expression: str) -> list[re.Match[str]]:
    """Cut PromQL into what the dashboard uses of it; anything else is an error."""
    found, at = [], 0
    while at < len(expression.rstrip()):
        token = TOKEN.match(expression, at)
        assert token, f"cannot be read from here: {expression[at:]!r}"
        found.append(token)
        at = token.end()
    return found


def check_syntax(expression: str) -> None:
    """Check brackets, calls, and that values and operators take turns."""
    depth, wants_value = 0, True
    for token in tokenise(expression):
        sign = token["sign"]
        if token["metric"] or token["number"]:
            assert wants_value
            wants_value = False
        elif token["call"]:
            assert wants_value
            assert token["call"] in FUNCTIONS
        elif sign == "(":
            assert wants_value
            depth += 1
        elif sign == ")":
            assert not wants_value
            depth -= 1
            assert depth >= 0
        elif sign:
            assert not wants_value
            wants_value = True
    assert depth == 0
    assert not wants_value


def list_matchers(text: str) -> list[re.Match[str]]:
    """Take the matchers of a selector apart."""
    parts = [MATCHER.fullmatch(part) for part in text.strip("{}").split(",")]
    assert all(parts), text
    return [part for part in parts if part]


DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "conf" / "grafana" / "scribble.json").read_text()
)
QUERIES = [
    pytest.param(target, id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


@pytest.fixture(scope="module")
def samples(watched: Any) -> dict[str, list[dict[str, str]]]:
    """Labels of every exported sample by its name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in watched.families.values():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.mark.parametrize("target", QUERIES)
def test_expression_fits_a_real_scrape(
    target: dict[str, Any], samples: dict[str, list[dict[str, str]]]
) -> None:
    expression = target["expr"]
    check_syntax(expression)
    known = set(TARGET_LABELS)
    for token in tokenise(expression):
        if not token["metric"]:
            continue
        assert token["metric"] in samples
        rows = samples[token["metric"]]
        known |= {label for row in rows for label in row}
        for matcher in list_matchers(token["matchers"]):
            label, text = matcher["label"], matcher["text"]
            if label in TARGET_LABELS:
                assert (matcher["verb"], text) == ("=~", f"${label}")
            else:
                assert text in {row[label] for row in rows}
    grouped = re.findall(r"by\s*\(([^)]*)\)", expression)
    named = {label.strip() for part in grouped for label in part.split(",")}
    shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    assert named <= known
    assert shown <= (named if grouped else known)


@pytest.mark.parametrize("target", QUERIES)
def test_only_counters_are_rated(target: dict[str, Any]) -> None:
    for token in tokenise(target["expr"]):
        metric = token["metric"] or ""
        if token["range"]:
            assert metric.endswith(("_total", "_bucket"))
            assert token["range"] == "[$__rate_interval]"


@pytest.mark.parametrize(
    "wrong",
    ["sum by (run) (a{})) ", "a{} b{}", "rate(a{}", "a{} +", "guess(a{})", "a{} ~ b{}"],
)
def test_wrong_expressions_are_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check_syntax(wrong)


def test_every_series_but_a_few_is_shown(
    samples: dict[str, list[dict[str, str]]],
) -> None:
    text = json.dumps(DASHBOARD)
    hidden = {name for name in samples if name not in text}
    assert hidden == {
        # The quantile needs the buckets only; energy is for rates of long runs.
        "scribble_resource_utilization_ratio_count",
        "scribble_resource_utilization_ratio_sum",
        "scribble_average_frequency_hertz",
        "scribble_gpu_energy_joules_total",
        "scribble_nodes",
        "scribble_bridges",
    }


def test_panels_neither_overlap_nor_leave_the_grid() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS
        cells |= own
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_variables_choose_source_run_and_instance(
    samples: dict[str, list[dict[str, str]]],
) -> None:
    variables = {entry["name"]: entry for entry in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "run", "instance"}
    for name in ("run", "instance"):
        query = variables[name]["query"]["query"]
        [metric] = re.findall(r"label_values\((\w+)", query)
        assert metric in samples
        assert query.endswith(f", {name})")
        # Runs that are scraped without `scribble watch` have no label `run`.
        assert variables[name]["allValue"] == ".*"
    assert DASHBOARD["panels"][0]["datasource"]["uid"] == "${datasource}"


def test_state_codes_are_those_of_the_expression(watched: Any) -> None:
    [panel] = [p for p in DASHBOARD["panels"] if p["type"] == "state-timeline"]
    [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
    texts = {int(code): entry["text"] for code, entry in mapping["options"].items()}
    terms = panel["targets"][0]["expr"].split(" + ")
    coded = {0: "nominal"}
    for term in terms:
        factor = re.match(r"(\d) \* ", term)
        state = re.search(r'scribble_controller_state="([\w-]+)"', term)
        assert state
        coded[int(factor[1]) if factor else 1] = state[1]
    assert texts == coded


def test_colours_are_names_that_both_themes_have() -> None:
    text = json.dumps(DASHBOARD)
    assert not re.search(r'"#[0-9a-fA-F]{3,8}"|rgba?\(', text)
    assert "style" not in DASHBOARD


def test_prometheus_reads_what_watch_writes(grafana_folder: Path) -> None:
    from experiments.watch import TARGETS_FILE

    config = yaml.safe_load((grafana_folder / "prometheus.yml").read_text("utf-8"))
    [job] = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [TARGETS_FILE]
