import pytest
from support.refusing import refuses

from shim.errors import Reason
from shim.headers import content_disposition
from shim.tokens import paths


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mp3", 'attachment; filename="a.mp3"'),
        ("a b;c.mp3", 'attachment; filename="a b;c.mp3"'),
        ("é.mp3", "attachment; filename=\"_.mp3\"; filename*=UTF-8''%C3%A9.mp3"),
        ('a"b.mp3', "attachment; filename=\"a_b.mp3\"; filename*=UTF-8''a%22b.mp3"),
        ("a\\b.mp3", "attachment; filename=\"a_b.mp3\"; filename*=UTF-8''a%5Cb.mp3"),
        (
            "50%2F.mp3",
            "attachment; filename=\"50_2F.mp3\"; filename*=UTF-8''50%252F.mp3",
        ),
    ],
)
def test_content_disposition(name: str, header: str) -> None:
    assert content_disposition(name, "attachment") == header


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("/var/spool/records/300/a.mp3", "300/a.mp3"),
        ("//var/spool//records/a.mp3", "a.mp3"),
        ("var/spool/records/a.mp3", "a.mp3"),
    ],
)
def test_the_path_prefix_is_removed(path: str, record: str) -> None:
    assert paths.record_name(path, "/var/spool/records") == record


@pytest.mark.parametrize(
    "path", ["/300/a.mp3", "/var/spool/records", "/var/spool/records2/a.mp3"]
)
def test_a_path_outside_the_prefix_is_refused(path: str) -> None:
    with refuses(Reason.OUTSIDE_PREFIX):
        paths.record_name(path, "/var/spool/records/")
