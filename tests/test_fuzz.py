import re
import subprocess
import sys

import fuzz
import pytest
from support import forging


def test_a_minute_of_fuzzing(capsys: pytest.CaptureFixture[str]) -> None:
    # on its own, out of reach of the coverage measurement, which takes most of the time
    run = subprocess.run(
        [sys.executable, fuzz.__file__, "60"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    with capsys.disabled():
        print(f"\nfuzzing: {run.stdout.strip()}")
    inputs, opened = re.findall(r"([\d,]+) (?:inputs|opened)", run.stdout)
    assert int(inputs.replace(",", "")) >= fuzz.LEAST
    assert int(opened.replace(",", "")) > 0, "it never got to what an open token holds"


def test_the_fuzzer_finds_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    token = forging.encrypt_claims(fuzz.JWE_KEY, {"path": "/a.mp3", "exp": 1})
    with pytest.raises(AssertionError, match="forged"):
        fuzz.open_one(token, set(), fuzz.Count())
    monkeypatch.setattr("shim.paths._CONTROL", re.compile("never"))
    bad = forging.encrypt(fuzz.API_KEY, b"/a\nb.mp3")
    with pytest.raises(AssertionError, match="control"):
        fuzz.open_one(bad, set(), fuzz.Count())
