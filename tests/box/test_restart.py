"""record-shim restart, and what a bare restart of the service does."""

import base64
import json
import re
from collections.abc import Iterator

import pytest
from support.box import INSTALL, JWE_KEY, KEY, RECORD, SHIM, Box

SETTINGS = "/etc/record-shim/settings"
RESTARTED = "record-shim.service: restarted"


@pytest.fixture
def box(machine: Box) -> Iterator[Box]:
    machine.run(f"{SHIM} uninstall --purge; {INSTALL}")
    yield machine
    machine.run(f"{SHIM} uninstall --purge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (f"echo secret >{KEY}", f"key file '{KEY}', line 1: not a key"),
        (f"head -c 32 /dev/zero >{KEY}", f"key file '{KEY}': not a random key"),
        (f"rm {KEY}", f"no key: neither {KEY} nor {JWE_KEY} exists"),
        (f"cp -p {KEY} {JWE_KEY}", f"key file '{JWE_KEY}': shares a key with"),
        (
            f"echo SHIM_DISPOSITON=inline >>{SETTINGS}",
            f"{SETTINGS}: SHIM_DISPOSITON: unknown setting; did you mean SHIM_DISPOSITION?",
        ),
        (
            f"echo shim_disposition=inline >>{SETTINGS}",
            "shim_disposition: unknown setting; did you mean SHIM_DISPOSITION?",
        ),
        (
            f"echo SHIM_DISPOSITION=x >>{SETTINGS}",
            "SHIM_DISPOSITION 'x': unknown value",
        ),
        (f"echo SHIM_DISPOSITION >>{SETTINGS}", f"{SETTINGS}, line 4: not NAME=VALUE"),
        (
            f"echo 'A=\"b' >>{SETTINGS}",
            f"{SETTINGS}, line 4: not NAME=VALUE, or a quote",
        ),
        (f"echo 'export A=b' >>{SETTINGS}", "line 4: not the name of a variable"),
        (
            f"echo SHIM_KEY_FILE={KEY} >>{SETTINGS}",
            "SHIM_KEY_FILE is set, but the service",
        ),
        (f"echo GUNICORN_CMD_ARGS=--workers=x >>{SETTINGS}", "invalid int value: 'x'"),
        (
            f"echo GUNICORN_CMD_ARGS=--worker=2 -x >>{SETTINGS}",
            "gunicorn would not start",
        ),
    ],
)
def test_what_is_wrong_is_said_and_the_service_goes_on(
    box: Box, change: str, message: str
) -> None:
    """B12, B13: restart validates keys and settings before it stops the service."""
    token, process = box.link(), box.main_pid()
    box.run(change)
    error = box.fails(f"{SHIM} restart")
    assert message in error
    assert "secret" not in error
    assert box.main_pid() == process
    assert box.status(token) == "200"


def test_a_restart_reads_keys_and_settings(box: Box) -> None:
    """B12: only the service restarts; a service that was stopped is started."""
    process = box.main_pid()
    socket = box.run("stat -c %i /run/record-shim/record-shim.sock")
    box.run(f"echo SHIM_DISPOSITION=inline >>{SETTINGS}")
    # nothing of the caller's gets into what is checked
    environ = "PYTHONPATH=/nonexistent GUNICORN_CMD_ARGS=--nonsense SHIM_DISPOSITION=x"
    assert box.run(f"{environ} {SHIM} restart") == RESTARTED
    assert box.main_pid() != process
    assert box.run("stat -c %i /run/record-shim/record-shim.sock") == socket
    assert "running with the current" in box.run(f"{SHIM} check")
    box.run("systemctl stop record-shim.socket record-shim.service")
    assert box.run(f"{SHIM} restart") == RESTARTED
    assert box.status(box.link()) == "200"
    box.run(f"{SHIM} uninstall")
    assert "is not installed; run record-shim install" in box.fails(f"{SHIM} restart")


@pytest.mark.parametrize(
    "change", [f"echo secret >{KEY}", f"echo SHIM_X= >>{SETTINGS}"]
)
def test_a_bare_restart_says_in_one_line_what_is_wrong(box: Box, change: str) -> None:
    """B12: the journal has one line a start, no traceback; links in the cache go on."""
    box.run(f"{INSTALL} --cache")
    token = box.link()
    assert box.status(token) == "200"
    box.run(change)
    box.ran("systemctl restart record-shim")
    # an earlier line of the same second may be an ordinary one
    since = box.run("systemctl show -p ExecMainStartTimestamp --value record-shim")
    printed = box.run(
        f"journalctl --no-pager -o cat -u record-shim -t gunicorn --since '{since}'"
    )
    lines = [x for x in printed.splitlines() if "[INFO]" not in x]
    assert len(set(lines)) == 1, printed
    assert lines[0].startswith("Error: ")
    assert ("line 1: not a key" in lines[0]) or ("SHIM_X: unknown" in lines[0])
    assert "secret" not in lines[0]
    assert box.status(token) == "200"


# what systemd makes of a settings file; a name that is missing is not set
FILE = r"""
# a comment; A0=1
; A1=1
A2=plain
A3 = spaces around
A4=trailing blanks   
A5=a#b # c
A6='single # quoted' 
A7="double \" \\ \$ \` \n \a quoted"
A8='a' "b"c'd'"e"
A9=a"b"c
B0=back\slash \"quoted\" \\ end
B1=continued \
  on the next line
B2="continued \
too"
B3="two
lines"
B4=
B5=''
B6=a\ 
B7="trailing"   
B8=twice
B8=once
B9=$A2 ${A2} %n
  C0=indented
C1=Отдел
C2="quoted" rest # of it
C3=tab	inside
GUNICORN_CMD_ARGS="--workers=2 --graceful-timeout 7"
"""


def test_settings_are_read_as_systemd_reads_them(box: Box) -> None:
    """B13: quotes, backslashes, # and repeated names mean the same to both."""
    box.run(f"cat >{SETTINGS} <<'END'\n{FILE}C4=carriage return\r\nC5=no newline\nEND")
    box.run(f"truncate -s -1 {SETTINGS}")
    assert box.run(f"{SHIM} restart") == RESTARTED
    script = (
        "import json; from shim.box.settings_file import read_variables;"
        " print(json.dumps(read_variables()))"
    )
    ours = json.loads(box.run(f"/opt/record-shim/bin/python3 -c '{script}'"))
    encoded = box.run(f"base64 -w0 /proc/{box.main_pid()}/environ")
    pairs = [x.partition("=") for x in base64.b64decode(encoded).decode().split("\0")]
    systemds = {name: value for name, _, value in pairs}
    assert ours == {x: y for x, y in systemds.items() if x in ours}
    assert {x for x in systemds if re.fullmatch("[A-C][0-9]", x)} < ours.keys()
    assert len(ours) == 25
    assert ours["A5"] == "a#b # c"
    assert ours["B8"] == "once"


def test_a_new_key_calls_for_a_restart(box: Box) -> None:
    """B27: keygen and link say that the service does not know the new key yet."""
    rotated = box.ran(f"{SHIM} keygen --rotate {KEY}")
    assert rotated.stdout == ""
    assert "run record-shim restart" in rotated.stderr
    made = box.ran(f"{SHIM} link {RECORD}")
    assert box.status(made.stdout.strip()) == "404"
    assert "this link may not open yet; run record-shim restart" in made.stderr
    assert made.stdout.count("\n") == made.stderr.count("\n") == 1
    box.run(f"{SHIM} restart")
    made = box.ran(f"{SHIM} link {RECORD}")
    assert made.stderr == ""
    assert box.status(made.stdout.strip()) == "200"
    created = box.ran(f"{SHIM} keygen --output {JWE_KEY}")
    assert "run record-shim restart" in created.stderr
    # the other format's key is as it was
    assert box.ran(f"{SHIM} link {RECORD}").stderr == ""
    assert box.ran(f"{SHIM} link --expires 1h {RECORD}").stderr != ""


def test_a_box_for_jwe_links_only(machine: Box) -> None:
    """B25: keygen makes the directory before install, which then makes no ECB key."""
    machine.run(f"{SHIM} uninstall --purge; rm -rf /etc/record-shim")
    made = machine.ran(f"umask 077; {SHIM} keygen --output {JWE_KEY}")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert machine.run("stat -c '%a %U' /etc/record-shim") == "755 root"
    assert machine.run(f"stat -c %a {JWE_KEY}") == "600"
    report = machine.run(INSTALL)
    assert "✓ keys: 0 for ECB links, 1 for JWE links" in report
    assert "✓ download: JWE link" in report
    assert machine.ran(f"ls {KEY}").returncode != 0
    machine.run(f"{SHIM} uninstall --purge")
    assert "No such file" in machine.fails(f"{SHIM} keygen --output /etc/other/key")


def test_a_prefix_that_nginx_does_not_have(box: Box) -> None:
    """B12: a restart would turn every link into a 404; install changes both sides."""
    token = box.link()
    box.run("echo SHIM_INTERNAL_PREFIX=/_calls/ >>/etc/record-shim/settings")
    try:
        error = box.fails(f"{SHIM} restart")
        assert (
            "SHIM_INTERNAL_PREFIX is /_calls/, but /_records/ in nginx's site" in error
        )
        assert box.status(token) == "200"
        box.run(f"{SHIM} install")
        assert box.status(token) == "200"
    finally:
        box.run(f"sed -i '$d' /etc/record-shim/settings; {SHIM} install")
