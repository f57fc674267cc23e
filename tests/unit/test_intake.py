"""Texts that Python can hold and no file, page or terminal can."""

from __future__ import annotations

import pytest

from engine.intake import IntakeError, parse_json


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'{"\uDC00": 1}', b'"\\udfff"', b'"\xed\xa0\x80"', '"\ud800"']
)
def test_half_a_character_is_refused(text: str | bytes) -> None:
    with pytest.raises(IntakeError, match="half a character"):
        parse_json(text)


def test_whole_characters_are_taken() -> None:
    assert parse_json(r'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    assert parse_json(r'"\\ud800"') == r"\ud800"


@pytest.mark.parametrize("text", ["1" + "0" * 310, "[-18446744073709551616]"])
def test_number_that_no_word_holds_is_refused(text: str) -> None:
    with pytest.raises(IntakeError, match="it holds the number"):
        parse_json(text)


def test_largest_word_is_taken() -> None:
    assert parse_json("18446744073709551615") == 2**64 - 1
