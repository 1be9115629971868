"""Versions come from git: see pyproject.toml and .git_archival.txt."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.checkout import CHECKOUT

ARCHIVAL = ".git_archival.txt"
PYPROJECT = (CHECKOUT / "pyproject.toml").read_text("utf-8")
[FALLBACK] = re.findall('^fallback_version = "(.*)"$', PYPROJECT, re.MULTILINE)

pytestmark = pytest.mark.needs("git")


def git(repository: Path, *args: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", "-C", repository, *identity, *args],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def version(tree: Path) -> str:
    """Return the version that a build of `tree` gets."""
    return subprocess.run(
        [sys.executable, "-m", "setuptools_scm"],
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits, with this project's files about versions."""
    path = tmp_path / "repository"
    path.mkdir()
    for name in ("pyproject.toml", ".gitattributes", ARCHIVAL):
        shutil.copy(CHECKOUT / name, path)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=one")
    git(path, "commit", "--quiet", "--message=two", "--allow-empty")
    return path


def test_two_commits_have_two_versions(repository: Path) -> None:
    second = version(repository)
    git(repository, "checkout", "--quiet", "HEAD~")
    first = version(repository)
    assert first.startswith(f"{FALLBACK.removesuffix('0')}1+g")
    assert second.startswith(f"{FALLBACK.removesuffix('0')}2+g")
    # the same distance from the root, on another branch
    git(repository, "commit", "--quiet", "--message=three", "--allow-empty")
    assert len({first, second, version(repository)}) == 3


def test_a_tag_is_the_version(repository: Path) -> None:
    git(repository, "tag", "v7.1.0")
    assert version(repository) == "7.1.0"
    git(repository, "commit", "--quiet", "--message=three", "--allow-empty")
    assert version(repository).startswith("7.1.1.dev1+g")


def archive(repository: Path, commit: str, tree: Path) -> Path:
    file = tree.with_suffix(".tar")
    git(repository, "archive", f"--output={file}", commit)
    shutil.unpack_archive(file, tree)
    return tree


def test_the_version_of_a_tarball_names_its_commit(
    repository: Path, tmp_path: Path
) -> None:
    if "$Format" not in (CHECKOUT / ARCHIVAL).read_text():
        # This suite runs in such a tarball, whose hash git has filled in already.
        assert version(CHECKOUT).startswith(f"{FALLBACK}+g")
        return
    for commit in ("HEAD", "HEAD~"):
        tree = archive(repository, commit, tmp_path / commit)
        built = version(tree)
        base, _, node = built.partition("+g")
        assert base == FALLBACK
        assert git(repository, "rev-parse", commit).startswith(node)
        assert len(node) >= 7
    git(repository, "tag", "v7.1.0")
    assert version(archive(repository, "HEAD", tmp_path / "tagged")) == "7.1.0"


def test_a_tree_without_git_builds(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    if "$Format" not in (repository / ARCHIVAL).read_text():
        (repository / ARCHIVAL).unlink()
    assert version(repository) == FALLBACK
