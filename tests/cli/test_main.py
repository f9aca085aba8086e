"""What holds for every command: help, wrong usage, pipes, odd surroundings, start-up time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from loopsy_cli.commands import COMMANDS, GROUPS, load_command
from loopsy_cli.main import main
from loopsy_cli.parsing import make_app

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(
    loopsy: CommandLine,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = loopsy.say(*name.split(), "--help")
    assert said.startswith(f"Usage: loopsy {name}")
    assert max(map(len, said.splitlines())) <= 80
    monkeypatch.setattr(sys, "argv", ["loopsy", "--help", *name.split()])
    assert main() == 0
    assert capsys.readouterr().out == said


def test_every_option_is_explained() -> None:
    app = make_app()
    for name in COMMANDS.keys() - GROUPS.keys():
        found = app
        for word in name.split():
            found = found[word]
        assert found.default_command is load_command(name)


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["-h"], *([group, "--help"] for group in GROUPS)]
)
def test_the_list_of_commands_fits_80_columns(loopsy: CommandLine, words: list[str]) -> None:
    said = loopsy.say(*words)
    assert "Usage: loopsy" in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_version_is_told(loopsy: CommandLine) -> None:
    from loopsy_core import __version__

    assert loopsy.say("--version") == f"loopsy {__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lisst"], "`loopsy list`"),
        (["phone", "revok"], "`loopsy phone revoke`"),
        (["nonsense"], "`loopsy --help`"),
        (["--nonsense"], "`loopsy --help`"),
        (["list", "--nonsense"], "`loopsy list --help`"),
        (["list", "more"], "`loopsy list --help`"),
        (["kill"], "SESSION"),
        (["up", "--port", "many"], "--port"),
        (["list", "--json=maybe"], "--json"),
        ([b"\xff\xfe"], "UTF-8"),
        (["kill", b"\xff"], "UTF-8"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    shared: CommandLine, words: list[str | bytes], hint: str
) -> None:
    assert hint in shared.complaint(*words, exit_code=2)


def test_a_reader_that_has_had_enough_is_no_failure(loopsy: CommandLine) -> None:
    loopsy.say("start")
    for words in (["--help"], ["list"], ["list", "--json"], ["status"], ["up", "--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            done = subprocess.run(
                [sys.executable, "-m", "loopsy_cli", *words],
                env=loopsy.environment,
                stdout=pipe,
                stderr=subprocess.PIPE,
                check=False,
                timeout=30,
            )
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_broken_streams_make_no_noise(loopsy: CommandLine, redirect: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m loopsy_cli --help {redirect}', sys.executable],
        env=loopsy.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == (1 if "full" in redirect else 0)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_a_narrow_character_set_is_no_failure(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="žluťoučký")
    said = loopsy.run("list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0").stdout
    assert "\\u017elu" in said


def test_a_missing_current_folder_is_no_failure(loopsy: CommandLine) -> None:
    gone = loopsy.folder / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD" && "$0" -m loopsy_cli list'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        env=loopsy.environment,
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("moment", [0.08, 0.12, 0.2, 0.4])
def test_ctrl_c_ends_any_command_without_a_traceback(loopsy: CommandLine, moment: float) -> None:
    loopsy.say("init")
    process = loopsy.start("start", "--foreground")
    time.sleep(moment)  # any moment will do: that is what is tested
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=30)
    assert "loopsy_cli" not in complaints
    # Python's own start, before us, is not ours to mend; on a busy machine it takes that long.
    if "KeyboardInterrupt" not in complaints:
        assert process.returncode in (0, 130, -signal.SIGINT)


def test_small_commands_load_little(loopsy: CommandLine) -> None:
    heavy = {"trio", "cyclopts", "rich", "quart", "hypercorn", "pyghostty", "cryptography", "yaml"}
    loopsy.say("start")
    for words in (
        ["--help"],
        ["status"],
        ["list", "--json"],
        ["up", "--help"],
        ["phone", "list"],
    ):
        report = loopsy.folder / "imports"
        code = (
            "import sys; from loopsy_cli.main import main; sys.argv[1:] = sys.argv[2:];"
            f"main(); open({str(report)!r}, 'w').write(' '.join(sys.modules))"
        )
        subprocess.run(
            [sys.executable, "-c", code, "loopsy", *words],
            env=loopsy.environment,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=30,
        )
        loaded = {name.partition(".")[0] for name in report.read_text().split()}
        assert not loaded & heavy, words
        if words == ["--help"]:
            assert "typing" not in loaded
