"""Texts pass through Hydra's grammar as they were typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from experiments.overrides import compose_run_config
from experiments.quoting import keep_text, quote_text, unquote_text
from experiments.sweep.plan import parse_value, parse_words, span_axes

NAMES = [
    *("2026_11_23", "12e3", "1e5", "1.50", "+3", "true", "nan", "007"),
    *(
        "rüns/ä",
        "a=b",
        "a(b",
        "[x]",
        "{a:1}",
        "#1",
        "it's",
        "a~b",
        "'q'y",
        "b\\c",
        "b\\",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_as_typed(name: str) -> None:
    assert compose_run_config([f"record.folder={name}"]).record.folder == name


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("record.folder=null", None),
        ("record.folder='a,b'", "a,b"),
        ('record.folder="ä"', "ä"),
        ("record.folder=${seed}", "0"),
        ("fault.value=nan", "nan"),
    ],
)
def test_values_that_hydra_reads_are_left_to_it(word: str, value: str | None) -> None:
    assert keep_text(word) == word
    config = compose_run_config([word])
    key = word.partition("=")[0]
    group, name = key.split(".")
    assert getattr(getattr(config, group), name) == value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("a.csv,b.csv", ["a.csv", "b.csv"]),
        ("ä.csv,b.csv", ["ä.csv", "b.csv"]),
        ("2026_11,it's,'c,d'", ["2026_11", "it's", "c,d"]),
        ("choice(a,b)", ["a", "b"]),
    ],
)
def test_lists_still_sweep(values: str, expected: list[str]) -> None:
    [(_, points)] = span_axes([keep_text(f"bridges.path={values}")])
    told = [parse_value(word.partition("=")[2]) for (word,) in points]
    assert told == expected


@given(st.text())
def test_quotes_are_undone(text: str) -> None:
    assert unquote_text(quote_text(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_hydra_reads_what_was_quoted(text: str) -> None:
    [override] = parse_words([f"key={quote_text(text)}"])
    assert override.value() == text


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("record.folder=", "record.folder is empty; name one"),
        ("record.folder=' '", "record.folder is empty; name one"),
        ("hydra.sweep.dir=", "hydra.sweep.dir is empty; name one"),
        ("record.folder=~/runs", "write record.folder=$HOME/runs."),
        ("bridges.path=a.csv,~/b.csv", "write bridges.path=$HOME/b.csv."),
    ],
)
def test_names_that_mean_something_else(word: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keep_text(word)
    assert expected in str(caught.value)
