import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.provisioning.common.join import Claim, Join, new_claim, read_claim, read_join
from appliance.provisioning.common.join_string import MAX_CHARACTERS

CLAIM = Claim("k7m2qd", "9F3K4R7TW2XB6YHN")
JOIN = Join("https://provisioning.example.org:8443", CLAIM, "x" * 43, 1_795_176_000)


def test_a_claim_is_read_as_it_was_written_or_typed():
    text = CLAIM.text()
    assert re.fullmatch(r"k7m2qd\.9F3K4R7TW2XB6YHN.", text)
    for typed in (text, text.lower(), f" {text}\n", text.replace("4R7T", "-4r7t-"), text.upper()):
        assert read_claim(typed) == CLAIM


def test_no_two_claims_are_the_same_and_none_shows_its_secret():
    made = {new_claim().text() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        claim = read_claim(text)
        assert claim.secret not in repr(claim)
        assert claim.secret not in str(claim)


@settings(max_examples=200)
@given(at=st.integers(7, 23), other=st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_every_slip_of_one_finger_is_found(at, other):
    text = CLAIM.text()
    if text[at] == other:
        return
    with pytest.raises(ValueError, match="claim") as caught:
        read_claim(text[:at] + other + text[at + 1 :])
    assert CLAIM.secret[:6] not in str(caught.value)


@pytest.mark.parametrize("at", range(7, 22))
def test_every_swap_of_neighbours_is_found(at):
    text = CLAIM.text()
    if text[at] != text[at + 1]:
        with pytest.raises(ValueError, match="claim"):
            read_claim(text[:at] + text[at + 1] + text[at] + text[at + 2 :])


def test_a_join_string_says_all_that_it_was_made_of_and_fits_a_small_qr_code():
    text = JOIN.text()
    assert len(text) <= 200
    assert read_join(text) == JOIN
    assert read_join(f"  {text[:60]}\n{text[60:]}\n") == JOIN
    assert CLAIM.secret not in repr(JOIN)


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_join_string_is_refused_without_being_quoted(data):
    text = JOIN.text()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=text[at]))
    with pytest.raises(ValueError, match="join string") as caught:
        read_join(text[:at] + other + text[at + 1 :])
    assert text[10:30] not in str(caught.value)


@settings(max_examples=100)
@given(st.text(max_size=MAX_CHARACTERS))
def test_whatever_else_is_given_is_refused_in_order(text):
    for read in (read_join, read_claim):
        with pytest.raises(ValueError, match=r"join|claim"):
            read(text)


def test_a_join_string_for_a_server_without_https_is_refused():
    plain = Join("http://provisioning.example.org", CLAIM, "x" * 43, 1)
    with pytest.raises(ValueError, match="another version"):
        read_join(plain.text())
