"""Values that tests of both formats use: what a path may contain, and wrong claims."""

from hypothesis import strategies as st

from shim.tokens.claims import TIME_MAX

# a segment of a path that can be sealed
SEGMENT = (
    st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"))
    .filter(lambda name: name and not name.startswith("."))
    .filter(lambda name: len(name.encode()) <= 255)
)

# claim: values that it may not have
WRONG_CLAIMS: dict[str, list[object]] = {
    "exp": [None, "4000000000", True, -1, TIME_MAX + 1, [], {}, 10**400],
    "nbf": [None, "0", False, -0.5, TIME_MAX + 1, 10**400],
    "path": [None, 1, ["/300/a.mp3"], {"/300/a.mp3": 1}],
    "filename": [
        *(None, 1, [], "", "a/b.mp3", "/", ".hidden", "..", "a\0", "a\r\nX-Evil: 1"),
        *("a\x7f", "a\x85b", "\ud800", "x" * 256, "й" * 128),
    ],
    "disposition": [None, 1, "", "Inline", "form-data", "inline; x", ["inline"]],
    "aud": ["storage.example.com", [], None],
}
