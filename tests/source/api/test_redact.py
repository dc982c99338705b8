"""What a server sends back is freed of the token, in whatever disguise; everything else stays as it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.intercom.api.redact import masked, without

SECRET = "dG9rOjRmYzE5/+N2Qw=="
DISGUISES = {
    "as it is": SECRET,
    "slashes escaped": SECRET.replace("/", "\\/"),
    "by Rails": SECRET.replace("=", "\\u003d").replace("+", "\\u002B"),
    "every character escaped": "".join(f"\\u{ord(character):04x}" for character in SECRET),
    "in a URL": SECRET.replace("/", "%2F").replace("+", "%2b").replace("=", "%3D"),
    "in HTML": SECRET.replace("/", "&#x2F;").replace("=", "&#x3d;"),
    "in JSON within JSON": SECRET.replace("/", "\\\\/").replace("=", "\\\\u003d"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_secret_is_found_in_every_disguise(disguise: str) -> None:
    hidden = DISGUISES[disguise]
    body = f'{{"a":"Bearer {hidden}, {hidden}","{hidden}":[1.10,"ok \\u0026 \\/ %20 \\"q\\""]}}'
    freed = without(SECRET, body.encode()).decode()
    assert freed == '{"a":"Bearer ***, ***","***":[1.10,"ok \\u0026 \\/ %20 \\"q\\""]}'
    assert json.loads(freed)["***"] == [1.1, 'ok & / %20 "q"']


def test_what_holds_no_secret_is_not_touched() -> None:
    for body in (b"", b"plain", b'{"a":"\\u0026 \\\\ %41 &#x41; \\/"}', SECRET[:-1].encode()):
        assert without(SECRET, body) is body


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just(SECRET), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.booleans(), st.integers(0, 2))
def test_json_stays_json_with_a_mask_instead_of_the_secret(value: Any, ascii_only: bool, nested: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    expected = json.loads(text.replace(SECRET, "***"))
    for _ in range(nested):
        text, expected = json.dumps(text), json.dumps(expected)
    read = json.loads(
        without(SECRET, text.replace("/", "\\/").encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
    )
    for _ in range(nested):
        read, expected = json.loads(read), json.loads(expected)
    assert read == expected


def test_a_message_that_cut_the_secret_off_is_masked_too() -> None:
    token = base64.b64encode(b"tok:4fc197d0_secret_of_the_tests").decode()
    for length in range(12, len(token) + 1):
        assert (
            masked(token, f"when reading b'X-Echo: Bearer {token[:length]}...'")
            == "when reading b'X-Echo: Bearer ***...'"
        )
    assert masked(token, "nothing of it") == "nothing of it"
