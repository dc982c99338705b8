"""How many examples a property is tried with: a tenth in `make test`, all in `make test-long`, half of them in CI."""

from __future__ import annotations

from hypothesis import settings

_ALL = 1000
settings.register_profile("deep", max_examples=_ALL)  # by default it is 100
settings.register_profile("half", max_examples=_ALL // 2)


def up_to(examples: int) -> int:
    """So many with `--hypothesis-profile=deep`, half with `half`, else a tenth, and at least 5."""
    return max(examples * settings().max_examples // _ALL, min(examples, 5))
