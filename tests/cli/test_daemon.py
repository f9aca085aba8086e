"""The daemon's life from the command line: init, start, stop, restart, status."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


def test_init_makes_a_private_home_and_says_what_it_made(loopsy: CommandLine) -> None:
    said = loopsy.say("init")
    home = loopsy.home
    keys = ((home.identity, 0o600), (home.api_key, 0o600))
    for path, mode in ((home.root, 0o700), (home.config, 0o600), *keys):
        assert f"made {path}\n" in said
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_second_init_changes_nothing(loopsy: CommandLine) -> None:
    first = loopsy.json("init")
    key = loopsy.home.identity.read_bytes()
    loopsy.home.config.write_text("server: {name: mine}\n")
    second = loopsy.json("init")
    assert isinstance(first, dict)
    assert len(first["made"]) == 5
    assert second == {"home": str(loopsy.home.root), "made": [], "node_id": first["node_id"]}
    assert loopsy.home.identity.read_bytes() == key
    assert loopsy.home.config.read_text() == "server: {name: mine}\n"
    assert "nothing was changed" in loopsy.say("init")


def test_start_makes_the_home_and_returns_when_the_daemon_answers(loopsy: CommandLine) -> None:
    assert "the daemon runs" in loopsy.say("start")
    status = loopsy.json("status")
    assert isinstance(status, dict)
    assert status["sessions"] == status["phones"] == 0
    assert status["relay"] == {"url": None, "connected": False, "problem": None}
    assert {"node_id", "name", "version", "uptime", "home"} <= set(status)
    said = loopsy.say("status")
    assert status["name"] in said
    assert status["node_id"] in said


def test_a_second_start_says_that_it_runs_already(loopsy: CommandLine) -> None:
    first = loopsy.json("start")
    assert isinstance(first, dict)
    assert first["started"] is True
    assert "runs already" in loopsy.say("start")
    assert loopsy.json("start") == {**first, "started": False}


def test_stop_returns_when_the_daemon_is_gone(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert loopsy.say("stop") == "the daemon has stopped\n"
    assert not loopsy.home.node_socket.exists()
    assert "`loopsy start`" in loopsy.complaint("stop", exit_code=3)
    loopsy.say("start")  # at once, for nothing of the old one is in its way


def test_without_a_daemon_the_exit_code_is_3_and_the_mend_is_named(loopsy: CommandLine) -> None:
    for words in (["status"], ["list"], ["kill", "x"], ["phone", "list"], ["relay", "show"]):
        assert "`loopsy start`" in loopsy.complaint(*words, exit_code=3)


def test_json_errors_are_one_document_too(loopsy: CommandLine) -> None:
    error = loopsy.json("status", exit_code=3)
    assert isinstance(error, dict)
    assert error["error"]["code"] == "no_daemon"
    assert "loopsy start" in error["error"]["message"]


def test_restart_gives_another_process(loopsy: CommandLine) -> None:
    first, second = loopsy.json("start"), loopsy.json("restart")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["pid"] != second["pid"]
    loopsy.say("status")


def test_stop_tells_of_living_sessions_and_can_end_them_without_a_daemon(
    loopsy: CommandLine,
) -> None:
    loopsy.session("cat", name="pet")
    assert "1 session lives on" in loopsy.say("stop")
    assert "ended pet (signal 1 (SIGHUP))" in loopsy.say("stop", "--sessions")
    loopsy.say("start")
    listed = loopsy.json("list")
    assert isinstance(listed, list)
    assert [info["alive"] for info in listed] in ([], [False])


def test_a_broken_config_is_named_with_its_line_and_key(loopsy: CommandLine) -> None:
    loopsy.say("init")
    loopsy.home.config.write_text("server:\n  port: many\n")
    said = loopsy.complaint("start", exit_code=1)
    assert f"{loopsy.home.config} line 2" in said
    assert "server.port" in said


def test_a_home_that_is_open_to_others_is_refused_with_the_command_that_mends_it(
    loopsy: CommandLine,
) -> None:
    loopsy.say("init")
    loopsy.home.root.chmod(0o755)
    for words in (["start"], ["init"], ["up", "--port", "0"]):
        assert f"`chmod 700 {loopsy.home.root}`" in loopsy.complaint(*words, exit_code=1)


def test_the_home_can_be_named_anywhere_before_the_dashes(loopsy: CommandLine) -> None:
    other = loopsy.folder / "other"
    loopsy.say("init", "--home", str(other))
    assert other.is_dir()
    assert not loopsy.home.root.exists()
    assert "all is there" in loopsy.say(f"--home={other}", "init")
    assert "--home needs a folder" in loopsy.complaint("--home", exit_code=2)


def test_in_the_foreground_the_daemon_stays_until_it_is_told_to_leave(loopsy: CommandLine) -> None:
    daemon = loopsy.start("start", "--foreground")
    assert daemon.stdout is not None
    assert "Ctrl-C stops it" in daemon.stdout.readline()
    loopsy.say("stop")
    daemon.communicate(timeout=30)
    assert daemon.returncode == 0


def test_a_daemon_without_its_database_says_so_when_it_starts(loopsy: CommandLine) -> None:
    loopsy.run("init")
    loopsy.home.shared_database.write_bytes(b"no database" * 1000)
    loopsy.home.shared_database.chmod(0o600)
    for command in ("start", "restart"):
        said = loopsy.run(command).stderr
        assert "there is no context, no messages and no tasks" in said
        assert "nothing was deleted" in said
    assert loopsy.home.shared_database.read_bytes() == b"no database" * 1000
