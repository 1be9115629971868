import re
import subprocess
import sys
from pathlib import Path

import pytest

from shim.box.layout import UNITS
from shim.cli import main
from shim.tokens.keys import NO_CREDENTIAL

pytestmark = pytest.mark.needs("systemd-analyze")


@pytest.fixture
def units(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Path]:
    # The checkout's own path may contain blanks, which render refuses.
    venv = tmp_path / "venv"
    venv.symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "prefix", str(venv))
    paths = {}
    for name in UNITS:
        with pytest.raises(SystemExit, match="0"):
            main(["render", "systemd", name])
        paths[name] = tmp_path / name
        paths[name].write_text(capsys.readouterr().out)
    return paths


def analyze(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, args)],
        capture_output=True,
        check=False,
        text=True,
    )


def test_systemd_accepts_the_units(units: dict[str, Path]) -> None:
    result = analyze("verify", "--man=no", *units.values())
    assert result.returncode == 0
    complaints = [x for x in result.stderr.splitlines() if "record-shim" in x]
    assert complaints == []


def test_systemd_finds_a_mistake(units: dict[str, Path]) -> None:
    """The test above can fail."""
    service = units["record-shim.service"]
    service.write_text(service.read_text().replace("/bin/gunicorn", "/bin/gunicron"))
    assert analyze("verify", "--man=no", *units.values()).returncode != 0


def test_the_service_is_hardened(units: dict[str, Path]) -> None:
    result = analyze("security", "--offline=true", units["record-shim.service"])
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert level, result.stderr
    assert float(level[1]) <= 0.5


def test_the_service_runs_this_environment_and_gets_its_key_from_systemd(
    units: dict[str, Path],
) -> None:
    service = units["record-shim.service"].read_text().splitlines()
    assert (
        f"ExecStart={sys.prefix}/bin/gunicorn --config python:shim.gunicorn_conf"
    ) in service
    assert "Type=notify" in service
    assert "StartLimitIntervalSec=0" in service
    for name in ("key", "jwe-key"):
        assert f"LoadCredential={name}:/etc/record-shim/{name}" in service
        # a format is left out by leaving out its file
        assert f"SetCredential={name}:{NO_CREDENTIAL.decode()}" in service


def test_the_units_say_how_to_change_them(units: dict[str, Path]) -> None:
    for name, path in units.items():
        first = path.read_text().splitlines()[0]
        assert first.endswith(f"To change it, use: systemctl edit {name}")


def test_both_units_are_printed_under_their_names(
    units: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["render", "systemd"])
    assert capsys.readouterr().out == "\n".join(
        f"# /etc/systemd/system/{name}\n{path.read_text()}"
        for name, path in units.items()
    )
