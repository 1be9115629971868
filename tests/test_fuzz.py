import re
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest
from support import forging

LEAST = 1_000_000


def test_a_minute_of_fuzzing(capsys: pytest.CaptureFixture[str]) -> None:
    # In a process of its own, because coverage would take most of the time.
    run = subprocess.run(
        [sys.executable, "-c", f"import fuzz; fuzz.main(least={LEAST})", "60"],
        cwd=Path(fuzz.__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    with capsys.disabled():
        print(f"\nfuzzing: {run.stdout.strip()}")
    inputs, opened = re.findall(r"([\d,]+) (?:inputs|opened)", run.stdout)
    assert int(inputs.replace(",", "")) >= LEAST
    assert int(opened.replace(",", "")) > 0, "no token was opened"


def test_the_fuzzer_finds_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    token = forging.encrypt_claims(fuzz.JWE_KEY, {"path": "/a.mp3", "exp": 1})
    with pytest.raises(AssertionError, match="forged"):
        fuzz.open_one(token, set(), fuzz.Count())
    monkeypatch.setattr("shim.tokens.paths._CONTROL", re.compile("never"))
    bad = forging.encrypt(fuzz.ECB_KEY, b"/a\nb.mp3")
    with pytest.raises(AssertionError, match="control"):
        fuzz.open_one(bad, set(), fuzz.Count())


def test_it_ends_after_its_seconds() -> None:
    run = subprocess.run(
        [sys.executable, fuzz.__file__, "0"], check=True, capture_output=True, text=True
    )
    assert run.stdout.startswith("0 inputs in 0 s")
