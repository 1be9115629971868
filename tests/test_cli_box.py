"""The commands for a box, without one: see tests/box."""

import os

import pytest

from shim.cli import main


@pytest.mark.parametrize(
    "command",
    [
        ["install", "--records=/srv/records", "--server-name=storage.example.com"],
        ["uninstall"],
        ["check"],
        ["restart"],
        ["stop"],
        ["start"],
        ["forget"],
    ],
)
def test_box_commands_require_root(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        with pytest.raises(SystemExit, match="1"):
            main(command)
    finally:
        if as_root:
            os.seteuid(0)
    error = capsys.readouterr().err
    assert error == (
        "record-shim: only root may do this; run it as root or with sudo\n"
    )


def test_check_takes_one_record(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--path=/a", "--url=/b"])
    assert "use one" in capsys.readouterr().err
