"""Install is killed at each system call that changes something."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support import box_coverage
from support.box import INSTALL, KEY, SHIM, SITE, Box
from support.waiting import wait_for

SERVICE = "/etc/systemd/system/record-shim.service"
SETTINGS = "/etc/record-shim/settings"
OPERATORS = "# the operator was here"
ALWAYS_CHANGE = "mkdir,rename,symlink,unlink,rmdir,fchmod,fchown,ftruncate"
CHANGING_PROGRAM = re.compile(
    r'"systemctl", "--quiet", "(daemon-reload|enable|start|restart|stop|reload-or)'
)
CHILD = re.compile(r"(?:vfork|clone3)(?:\(| resumed>).* = (\d+)")


@dataclass
class Scenario:
    """An install that is interrupted on a box, and how to make the box so again."""

    prepare: str
    install: str
    again: str
    with_other_options: str
    other_port: int
    after_again: str
    after_others: str
    after_uninstall: str
    # at least 100 in both scenarios together
    least_points: int


ON_A_NEW_BOX = Scenario(
    # what the first install changes for good, such as the modes of logs
    prepare=f"{INSTALL}; {SHIM} uninstall --purge",
    install=INSTALL,
    again=INSTALL,
    with_other_options=f"{INSTALL} --listen 8087 --cache",
    other_port=8087,
    after_again=f"{SHIM} uninstall --purge",
    after_others=f"{SHIM} uninstall --purge",
    after_uninstall="true",
    least_points=55,
)
EDIT = f"echo '{OPERATORS}' >>{SERVICE}; systemctl daemon-reload"
UNEDIT = f"mv {SERVICE}.bak {SERVICE}; systemctl daemon-reload"
CHANGING_ALL = f"{SHIM} install --records /opt/records --cache --force"
WITH_OTHER_OPTIONS = Scenario(
    prepare=f"{SHIM} uninstall --purge; mkdir -p /etc/record-shim /opt/records;"
    f" cp -r /recordings -T /opt/records/300; echo '{OPERATORS}' >{SETTINGS};"
    f" {INSTALL}; {EDIT}",
    install=CHANGING_ALL,
    again=CHANGING_ALL,
    with_other_options=f"{SHIM} install --listen 8087 --cache-time 1h --force",
    other_port=8087,
    after_again=f"{SHIM} install --records /srv/records --no-cache; {UNEDIT}",
    after_others=f"{SHIM} install --listen 80 --no-cache; {UNEDIT}",
    after_uninstall=f"{INSTALL}; {UNEDIT}",
    least_points=45,
)


def state(box: Box) -> str:
    """Return everything that install could leave behind."""
    return box.etc() + box.run(
        "systemctl is-active nginx record-shim.socket record-shim.service || true;"
        " systemctl is-enabled record-shim.socket record-shim.service 2>&1 || true;"
        " ss -Hltn | awk '{print $4}' | sort;"
        " ls -AR /var/lib/record-shim /run/record-shim 2>&1 || true"
    )


def kill_points(box: Box, install: str) -> Iterator[tuple[str, int]]:
    """Yield the system calls of `install` that change something: their names and numbers.

    Also those that start another program that does, and that wait for its end.
    """
    calls = f"{ALWAYS_CHANGE},openat,write,vfork,clone3,wait4,execve"
    box.run(
        f"strace -qq -f -y -e signal=none -e trace={calls} -o /root/calls {install}"
    )
    lines = [x.partition(" ") for x in box.run("cat /root/calls").splitlines()]
    process = lines[0][0]
    # of the attempts along PATH, the last
    programs = {pid: x for pid, _, x in lines if pid != process and "execve(" in x}
    returned = [CHILD.search(line) for pid, _, line in lines if pid == process]
    children = iter([x[1] for x in returned if x])
    counts: Counter[str] = Counter()
    waited_for = False
    for pid, _, line in lines:
        call = re.match(r" *(\w+)\(", line)
        if pid != process or not call:
            continue
        name = call[1]
        counts[name] += 1
        if box_coverage.DIRECTORY in line:
            continue
        changes = name in ALWAYS_CHANGE.split(",")
        if name == "openat":
            changes = "O_CREAT" in line
        elif name == "write":
            changes = bool(re.search(r"write\(\d+</(etc|var|run)/", line))
        elif name in ("vfork", "clone3"):
            program = programs.get(next(children), "")
            changes = waited_for = bool(CHANGING_PROGRAM.search(program))
        elif name == "wait4":
            changes, waited_for = waited_for, False
        if changes:
            yield name, counts[name]


def half_of(box: Box, points: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return every second point: the two Debians share them."""
    return points[int(box.run(". /etc/os-release; echo $VERSION_ID")) % 2 :: 2]


def recovers(box: Box, scenario: Scenario, turn: int) -> str:
    """Run one of the commands that roll back, make the box as it was; return the output."""
    if turn == 0:
        return box.ran(f"{SHIM} check").stdout
    if turn == 1:
        output = box.run(scenario.again)
        assert box.status(box.link()) == "200"
        box.run(scenario.after_again)
    elif turn == 2:
        output = box.run(scenario.with_other_options)
        at = f"--connect-to ::127.0.0.1:{scenario.other_port}"
        assert box.status(box.link(), at) == "200"
        box.run(scenario.after_others)
    else:
        output = box.run(f"{SHIM} uninstall")
        box.run(scenario.after_uninstall)
    return output


@pytest.mark.parametrize(
    "scenario", [ON_A_NEW_BOX, WITH_OTHER_OPTIONS], ids=["new box", "other options"]
)
def test_install_is_killed_anywhere(machine: Box, scenario: Scenario) -> None:
    """B5, B6: the next command rolls back what a killed install did, and goes on."""
    machine.run(scenario.prepare)
    all_points = list(kill_points(machine, scenario.install))
    assert len(all_points) >= scenario.least_points
    points = half_of(machine, all_points)
    machine.run(scenario.after_again)
    before = state(machine)
    interrupted = 0
    for turn, (call, number) in enumerate(points):
        inject = f"-e trace={call} -e inject={call}:signal=KILL:when={number}"
        killed = machine.ran(f"strace -qq {inject} -o /dev/null {scenario.install}")
        # strace ends as the command did
        assert killed.returncode == -9, (call, number, killed.stdout)
        if machine.ran("test -e /var/lib/record-shim/journal").returncode == 0:
            interrupted += 1
            output = recovers(machine, scenario, turn % 4)
            assert "an earlier install was interrupted" in output, (call, number)
        else:
            # before it began, or after its end
            machine.ran(f"{SHIM} check")
            if state(machine) != before:
                assert machine.status(machine.link()) == "200"
                machine.run(scenario.after_again)
        assert state(machine) == before, (call, number)
    print(f"killed at {len(points)} points, rolled back {interrupted} times")
    assert interrupted > len(points) // 2


def test_the_journal_is_on_the_disk_before_anything_changes(bare: Box) -> None:
    """B5: the journal is flushed before the first change, and deleted after the last."""
    calls = "rename,fsync,unlink"
    bare.run(f"strace -qq -y -e signal=none -e trace={calls} -o /root/calls {INSTALL}")
    lines = bare.run(f"grep -v {box_coverage.DIRECTORY} /root/calls").splitlines()
    done = [x for x in lines if x.endswith(" = 0")]
    # its directory's name, its content, and its own name
    assert [x.partition("(")[0] for x in done[:4]] == [
        *("fsync", "fsync", "rename", "fsync")
    ]
    assert all("/var/lib" in x for x in done[:4]), done
    last = [x for x in done if not x.startswith("fsync")][-1]
    assert last.startswith('unlink("/var/lib/record-shim/journal") ')


@pytest.mark.parametrize("signal", ["HUP", "TERM", "INT"])
def test_a_signal_undoes_everything(bare: Box, signal: str) -> None:
    """B5, B15: a closed terminal or Ctrl-C rolls back at once, and the message says what."""
    before = state(bare)
    points = kill_points(bare, INSTALL)
    # when nginx is about to be reloaded
    [*_, (call, number)] = [x for x in points if x[0] in ("vfork", "clone3")]
    bare.run(f"{SHIM} uninstall --purge")
    inject = f"-e trace={call} -e inject={call}:signal={signal}:when={number}"
    # a shell starts background jobs with SIGINT ignored
    result = bare.ran(
        f"env --default-signal=INT strace -I1 -qq -e signal=none {inject} -o /dev/null {INSTALL}"
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"record-shim: interrupted by SIG{signal}; rolled")
    assert SITE in result.stderr
    assert result.stderr.count("\n") == 1
    assert state(bare) == before


def test_what_was_edited_after_an_interruption_is_kept(box: Box) -> None:
    """B5: each file is compared with what was written."""
    killed = box.ran(
        "strace -qq -e trace=rmdir,rename -e inject=rename:signal=KILL:when=3"
        f" -o /dev/null {SHIM} install --cache"
    )
    assert killed.returncode == -9
    box.run(f"echo '{OPERATORS}' >>{SITE}")
    output = box.run(f"{SHIM} install")
    assert f"{SITE}: rolled back, because an earlier install was interrupted" in output
    assert OPERATORS in box.run(f"cat {SITE}.bak; rm {SITE}.bak")
    assert box.status(box.link()) == "200"


def test_a_dry_run_rolls_nothing_back(box: Box) -> None:
    box.ran(
        "strace -qq -e trace=rename -e inject=rename:signal=KILL:when=2"
        f" -o /dev/null {SHIM} install --cache"
    )
    before = box.etc()
    error = box.fails(f"{SHIM} install --dry-run")
    assert "an earlier install was interrupted; run record-shim check" in error
    assert box.etc() == before
    output = box.run(f"{SHIM} check")
    assert "! an earlier install was interrupted; rolled back: " in output
    assert "interrupted" not in box.run(f"{SHIM} check")


def test_two_at_once(bare: Box) -> None:
    """B7: the second says which command is running, and changes nothing."""
    slow = "strace -qq -e trace=rmdir,fsync -e inject=fsync:delay_enter=100000 -o /dev/null"
    bare.run(
        f"systemd-run -q --unit=first {slow} {INSTALL};"
        " until [ -e /var/lib/record-shim/journal ]; do sleep 0.01; done"
    )
    try:
        for command in (INSTALL, f"{SHIM} uninstall --purge", f"{SHIM} forget"):
            error = bare.fails(command)
            assert re.match(
                r"record-shim: record-shim install \(process \d+\) is running; wait",
                error,
            )
        # it does not roll back what is being done
        assert "install (process" in bare.ran(f"{SHIM} check").stdout
    finally:
        wait_for(lambda: bare.ran("systemctl is-active -q first").returncode != 0)
    assert bare.run(f"{SHIM} install").startswith("nothing to change\n")
    assert bare.status(bare.link()) == "200"


def test_uninstall_is_killed_anywhere(bare: Box) -> None:
    """An uninstall is rolled back, too."""
    bare.run(INSTALL)
    points = half_of(bare, list(kill_points(bare, f"{SHIM} uninstall")))
    bare.run(INSTALL)
    before = state(bare)
    for call, number in points:
        inject = f"-e trace={call} -e inject={call}:signal=KILL:when={number}"
        killed = bare.ran(f"strace -qq {inject} -o /dev/null {SHIM} uninstall")
        assert killed.returncode == -9, (call, number, killed.stdout)
        if bare.ran("test -e /var/lib/record-shim/journal").returncode == 0:
            assert "an earlier uninstall was" in bare.run(f"{SHIM} check")
        else:
            bare.run(f"{SHIM} uninstall; {INSTALL}")
        assert state(bare) == before, (call, number)


def interrupt(box: Box, install: str) -> None:
    """Kill `install` after it has written a few files."""
    killed = box.ran(
        "strace -qq -e trace=rename -e inject=rename:signal=KILL:when=5"
        f" -o /dev/null {install}"
    )
    assert killed.returncode == -9


@pytest.mark.parametrize("command", [INSTALL, f"{SHIM} check || true; {INSTALL}"])
def test_the_key_that_came_after_an_interruption_is_kept(
    bare: Box, command: str
) -> None:
    """B5: a rollback takes no key of the PBX away."""
    interrupt(bare, INSTALL)
    bare.run(
        f"umask 077; {SHIM} keygen >/root/pbx; install -m 600 /root/pbx {KEY};"
        f" echo SHIM_DISPOSITION=inline >{SETTINGS}"
    )
    output = bare.ran(command).stdout
    assert KEY in output
    assert SETTINGS in output
    bare.run(f"cmp {KEY} /root/pbx; grep inline {SETTINGS}; rm /root/pbx")
    assert bare.run("ls /etc/record-shim/*.bak || true") == ""
    assert bare.status(bare.link()) == "200"


def test_a_rollback_is_killed_anywhere(box: Box) -> None:
    """The rollback is rolled back as well: it can be interrupted and repeated."""
    before = state(box)
    install = f"{SHIM} install --cache --records /opt/records"
    box.run("mkdir -p /opt/records; cp -r /recordings -T /opt/records/300")
    interrupt(box, install)
    points = half_of(box, list(kill_points(box, f"{SHIM} check")))
    assert state(box) == before
    for call, number in points:
        interrupt(box, install)
        inject = f"-e trace={call} -e inject={call}:signal=KILL:when={number}"
        box.ran(f"strace -qq {inject} -o /dev/null {SHIM} check")
        box.run(f"{SHIM} check")
        assert state(box) == before, (call, number)
    assert len(points) > 10


def test_a_read_only_disk_is_named_and_check_goes_on(box: Box) -> None:
    """B15: a rollback that has nothing to restore does not fail."""
    box.run("mount --bind /etc/nginx /etc/nginx; mount -o remount,ro,bind /etc/nginx")
    try:
        error = box.fails(f"{SHIM} install --cache")
        assert "Read-only file system" in error
        assert "findmnt" in error
        assert "✓ download" in box.run(f"{SHIM} check")
    finally:
        box.run("umount /etc/nginx")
    interrupt(box, f"{SHIM} install --cache --records /srv/records/300")
    box.run("mount --bind /etc/nginx /etc/nginx; mount -o remount,ro,bind /etc/nginx")
    try:
        report = box.ran(f"{SHIM} check").stdout
    finally:
        box.run("umount /etc/nginx")
    assert (
        "✗ an earlier install was interrupted and cannot be rolled back: /etc" in report
    )
    assert "✓ keys" in report
    assert "rolled back" in box.run(f"{SHIM} check")


def test_a_service_that_cannot_start_does_not_block_the_rollback(box: Box) -> None:
    """B5: uninstall goes on when the interrupted install left a broken service."""
    interrupt(box, f"{SHIM} install --cache --records /srv/records/300")
    box.run(
        f"echo secret >{KEY}; systemctl stop record-shim.socket record-shim.service"
    )
    output = box.run(f"{SHIM} uninstall --purge")
    assert "because an earlier install was interrupted" in output
    assert box.run("find /etc -name '*record*shim*'") == ""
