"""A memo whose kind is misspelt is asked about, never sent as a text that reaches nobody."""

from __future__ import annotations

import pytest

from chain_adapters.stellar.memo import parse_memo as parse_stellar
from chain_adapters.ton.memo import parse_memo as parse_ton
from chain_adapters.types import InvalidMemo


@pytest.mark.parametrize(
    "memo", ["ID:5", "Id:5", " id:5", "id :5", "TEXT:abc", "Hash:" + "0" * 64, "RETURN:1"]
)
def test_a_kind_spelt_otherwise_is_refused_on_stellar(memo: str) -> None:
    with pytest.raises(InvalidMemo, match="write"):
        parse_stellar(memo)


@pytest.mark.parametrize("memo", ["ID:5", "Text:abc", "TEXT:5", " Hash:00"])
def test_a_kind_spelt_otherwise_is_refused_on_ton(memo: str) -> None:
    with pytest.raises(InvalidMemo, match="write"):
        parse_ton(memo)


@pytest.mark.parametrize(
    ("memo", "canonical"),
    [("id:007", "id:7"), ("text:ID:5", "text:ID:5"), ("order:5", "text:order:5")],
)
def test_what_is_meant_as_it_is_written_is_taken_on_stellar(memo: str, canonical: str) -> None:
    assert parse_stellar(memo) == canonical


@pytest.mark.parametrize(
    ("memo", "canonical"),
    [("5", "text:5"), ("text:5", "text:5"), ("text:ID:5", "text:ID:5"), ("a:b", "text:a:b")],
)
def test_what_is_meant_as_it_is_written_is_taken_on_ton(memo: str, canonical: str) -> None:
    assert parse_ton(memo) == canonical


@pytest.mark.parametrize(
    "memo", ["\u200b12345", "12345\ufeff", "\u202eabc", "a\u00adb", "a\nb", "a\x7fb", "id\u200b:5"]
)
def test_what_cannot_be_seen_is_asked_about(memo: str) -> None:
    for parse in (parse_stellar, parse_ton):
        with pytest.raises(InvalidMemo, match="text:"):
            parse(memo)
        assert parse(f"text:{memo}") == f"text:{memo}"


@pytest.mark.parametrize("memo", ["abc ", " abc", "abc\n", "\u00a0abc"])
def test_space_around_a_text_is_asked_about_on_stellar_where_it_is_part_of_it(memo: str) -> None:
    with pytest.raises(InvalidMemo, match="text:"):
        parse_stellar(memo)
    assert parse_stellar(f"text:{memo}") == f"text:{memo}"
    assert parse_ton(memo) == "text:abc"


def test_half_a_character_is_no_memo() -> None:
    for parse in (parse_stellar, parse_ton):
        with pytest.raises(InvalidMemo):
            parse("text:\ud800")
