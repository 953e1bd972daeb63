"""Who sees a whole province."""

import pytest

from shared.supervision import sees_province


@pytest.mark.parametrize(
    ("scopes", "role", "sees"),
    [
        ({"tasks:read"}, "standing", True),
        ({"tasks:read"}, "chairman_office", True),
        ({"tasks:read"}, "agency", False),
        ({"tasks:read"}, None, False),
        ({"authority:write"}, "agency", True),
        ({"authority:write"}, None, True),
        ({"events:write"}, "standing", False),
        ({"reports:read"}, "standing", False),
        (set(), "chairman_office", False),
    ],
)
def test_who_supervises_or_decides_sees_the_province(scopes: set[str], role: str | None, sees: bool) -> None:
    """INVARIANT: no other token shows one agency what concerns another."""
    assert sees_province(scopes, role) is sees
