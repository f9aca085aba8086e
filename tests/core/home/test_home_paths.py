"""Where things lie, and that nobody else may see them."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from loopsy_core.errors import Misconfigured
from loopsy_core.home import Home


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_override_beats_the_variable_which_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LOOPSY_HOME", raising=False)
    assert Home.find().root == tmp_path / ".loopsy"
    monkeypatch.setenv("LOOPSY_HOME", "~/other")
    assert Home.find().root == tmp_path / "other"
    assert Home.find(tmp_path / "third").root == tmp_path / "third"


def test_a_variable_set_to_nothing_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOOPSY_HOME", "")
    assert Home.find().root == tmp_path / ".loopsy"


def test_a_relative_home_survives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.find("here")
    monkeypatch.chdir("/")
    assert home.root == tmp_path / "here"


def test_a_home_of_nobody_is_an_error() -> None:
    with pytest.raises(Misconfigured, match="HOME"):
        Home.find("~no-such-user-at-all/x")


def test_everything_lies_in_the_home_under_a_name_of_its_own() -> None:
    home = Home(Path("/h"))
    paths = [value for name in dir(Home) if isinstance(value := getattr(home, name, None), Path)]
    paths.remove(home.root)
    assert len(set(paths)) == len(paths) == 16
    assert all(path.is_relative_to(home.root) for path in paths)


def test_creating_makes_closed_folders_and_says_which(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    before = os.umask(0)
    try:
        assert home.create() == (home.root, home.logs)
    finally:
        os.umask(before)
    assert _mode(home.root) == _mode(home.logs) == 0o700
    assert home.create() == ()
    home.logs.rmdir()
    assert home.create() == (home.logs,)
    home.check()


def test_a_file_in_the_way_of_a_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Misconfigured, match=r"home is in the way"):
        Home(tmp_path / "home").create()
    with pytest.raises(Misconfigured, match=r"cannot make the folder .*home/inside"):
        Home(tmp_path / "home" / "inside").create()


def test_an_open_home_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "it's mine")
    home.create()
    home.root.chmod(0o755)
    _mend(home, f"chmod 700 {shlex.quote(str(home.root))}")


@pytest.mark.parametrize("name", ["config", "identity", "relay_credential", "database"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_an_open_secret_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, name: str, mode: int
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    path: Path = getattr(home, name)
    path.touch(0o600)
    home.check()
    path.chmod(mode)
    _mend(home, f"chmod 600 {path}")


def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.create()
    monkeypatch.setattr(os, "geteuid", lambda: home.root.stat().st_uid + 1)
    with pytest.raises(Misconfigured, match=r"home belongs to another user .*sudo chown"):
        home.check()


def test_a_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no home at .*loopsy init"):
        Home(tmp_path / "home").check()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch(0o600)
    with pytest.raises(Misconfigured, match="not a folder"):
        Home(tmp_path / "home").check()


def _mend(home: Home, command: str) -> None:
    """Check that `command` stands in the message, and does what it promises."""
    with pytest.raises(Misconfigured) as error:
        home.check()
    assert f"`{command}`" in error.value.message
    subprocess.run(command, shell=True, check=True)
    home.check()
