import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def test_a_wheel_renders_away_from_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    # a copy, so that nothing of an earlier build gets into the wheel
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, source, symlinks=True, ignore=leave_out)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run([*pip, *build], check=True)
    [wheel] = tmp_path.glob("record_shim-*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", wheel], check=True)
    shutil.rmtree(source)
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
