"""Text from elsewhere: every way in which a word may have been saved or copied."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.text import bare, decoded, stripped, visible

WORD = "va1.aHR0cHM6-_.x9"


@pytest.mark.parametrize(
    "saved",
    [
        WORD.encode(),
        f"{WORD}\r\n".encode("utf-8-sig"),
        f"{WORD}\r\n".encode("utf-16"),
        b"\xfe\xff" + WORD.encode("utf-16-be"),
        WORD.encode("utf-16-le"),
        WORD.encode("utf-16-be"),
        f'"{WORD}"\n'.encode(),
        f"“{WORD}”".encode(),
        f"\u201e{WORD}“".encode(),
        f"\u00a0{WORD}\u00a0".encode(),
        f"{WORD[:8]}\u200b\n  {WORD[8:]}\ufeff".encode(),
        f"`{WORD}`".encode(),
        f"<{WORD}>".encode(),
    ],
)
def test_a_word_is_read_however_it_was_saved_or_copied(saved):
    assert bare(decoded(saved)) == WORD


@given(st.binary(max_size=64))
def test_whatever_it_is_it_is_text(content):
    assert isinstance(bare(decoded(content)), str)


@given(st.text())
def test_text_in_utf_8_stays_as_it_is(text):
    if "\0" not in text[:2] and not text.startswith("\ufeff"):
        assert decoded(text.encode("utf-8", "replace")) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Küche 🎉 שלום\n\tx", "Küche 🎉 שלום\n\tx"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("gpj\u202e.exe\u2066\u200f", r"gpj\u202e.exe\u2066\u200f"),
        ("a\rb\x9bc\u2028d", r"a\x0db\x9bc\u2028d"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text, seen):
    assert visible(text) == seen


@given(st.text())
def test_nothing_that_moves_or_turns_is_left(text):
    left = visible(text).replace("\n", "").replace("\t", "")
    assert not any(unicodedata.category(one) == "Cc" for one in left)
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert turning.isdisjoint(map(unicodedata.bidirectional, left))
    assert set(stripped(text)) <= set(text)
