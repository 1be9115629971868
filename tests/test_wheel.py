import subprocess
import sys
import zipfile
from pathlib import Path

from support.checkout import CHECKOUT, build_wheel


def test_a_wheel_renders_away_from_the_checkout(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    recipes = {f"shim/nginx/{x.name}" for x in (CHECKOUT / "nginx").iterdir()}
    assert recipes <= set(zipfile.ZipFile(wheel).namelist())
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", wheel], check=True)
    for args, text in {
        ("nginx", "--records=/srv/records"): 'alias "/srv/records/";',
        ("systemd",): f"ExecStart={venv}/bin/gunicorn ",
    }.items():
        rendered = subprocess.run(
            [venv / "bin/record-shim", "render", *args],
            cwd="/",
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        assert text in rendered.stdout
