"""`loopsy mcp add`, `remove` and `status` on agents' settings as they really are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

ROOT: Final = Path(__file__).parents[2]
CLAUDE: Final = """\
{
  "numStartups": 41,
  "projects": {"/work": {"history": ["a // b"], "mcpServers": {}}},
  "mcpServers": {
    "sentry": {"type": "http", "url": "https://sentry.example/mcp"}
  }
}"""
GEMINI: Final = """\
{
  // dark, for the nights
  "theme": "GitHub",
  "mcpServers": {
    "other": {"command": "x", "env": {"TOKEN": "$TOKEN"}, "trust": true} // mine
  }
}
"""
CODEX: Final = """\
# mine
model = "o9"

[mcp_servers.other] # keep
command = "x"
args = ["a", # why
  "b"]

[projects."/tmp"]
trust_level = "trusted"
"""
OPENCODE: Final = """\
{
  "$schema": "https://opencode.ai/config.json", // for the editor
  "mcp": {
    "other": {"type": "local", "command": ["x"], "enabled": true,}, // mine
  },
}
"""
OPENCODE_2: Final = '{\n  "mcp": {"servers": {"other": {"type": "local", "command": ["x"]}}}\n}\n'

# What the commands of Claude Code 2.1.197 and Gemini CLI 0.61 write beside `command` and `args`.
WROTE: Final[dict[str, dict[str, object]]] = {
    "claude": {"type": "stdio", "env": {}},
    "gemini": {"timeout": 3_660_000},
}

FILES: Final = {
    "claude": (".claude.json", CLAUDE),
    "gemini": (".gemini/settings.json", GEMINI),
    "codex": (".codex/config.toml", CODEX),
    "opencode": (".config/opencode/opencode.jsonc", OPENCODE),
}
AGENTS: Final = list(FILES)

# A command that notes what it was asked, and does it as Claude Code's does.
OWN: Final = """\
#!{python}
import json, os, pathlib, sys
with open({log!r}, "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
path = pathlib.Path(os.environ["HOME"], {file!r})
settings = json.loads(path.read_text())
if sys.argv[2] == "add":
    if "loopsy" in settings["mcpServers"]:
        sys.exit("MCP server loopsy already exists in user config")
    command = sys.argv[sys.argv.index("loopsy") + 1 :]
    command = command[1:] if command[0] == "--" else command
    settings["mcpServers"]["loopsy"] = {{
        "type": "stdio", "command": command[0], "args": command[1:]
    }}
else:
    del settings["mcpServers"]["loopsy"]
path.write_text(json.dumps(settings))
"""


@pytest.fixture
def alone(loopsy: CommandLine, tmp_path: Path) -> CommandLine:
    """The command line where no agent is installed, whatever this machine has."""
    loopsy.environment["PATH"] = str(tmp_path / "bin")
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_CONFIG_HOME"):
        loopsy.environment.pop(name, None)
    return loopsy


def settings_of(loopsy: CommandLine, agent: str) -> Path:
    """Write an agent's settings, and return where they are."""
    name, text = FILES[agent]
    path = loopsy.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("agent", AGENTS)
def test_adding_changes_one_entry_and_removing_restores_every_byte(
    alone: CommandLine, agent: str
) -> None:
    path = settings_of(alone, agent)
    path.chmod(0o640)
    before = path.read_bytes()
    assert str(path) in alone.say("mcp", "add", agent)
    after = path.read_text(encoding="utf-8")
    assert '"mcp", "serve"' in after
    assert str(alone.home.root) in after
    for comment in re.findall(r"(?://|#) [^\n]*", before.decode()):
        assert comment in after
    assert path.stat().st_mode & 0o777 == 0o640
    assert "registered already" in alone.say("mcp", "add", agent)
    assert path.read_text(encoding="utf-8") == after
    alone.say("mcp", "remove", agent)
    assert path.read_bytes() == before
    assert "is not registered" in alone.say("mcp", "remove", agent)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_dry_run_shows_the_difference_and_changes_nothing(alone: CommandLine, agent: str) -> None:
    path = settings_of(alone, agent)
    before = path.read_bytes()
    shown = alone.say("mcp", "add", agent, "--dry-run")
    added = [line for line in shown.splitlines() if line.startswith("+") and "serve" in line]
    assert added
    assert str(path) in shown
    assert path.read_bytes() == before


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_without_settings_gets_some(alone: CommandLine, agent: str) -> None:
    alone.say("mcp", "add", agent)
    states = {row["agent"]: row["state"] for row in listed(alone)}
    assert states == {name: "registered" if name == agent else "missing" for name in AGENTS}


def test_all_agents_that_are_installed_are_told_by_default(alone: CommandLine) -> None:
    settings_of(alone, "codex")
    settings_of(alone, "opencode")
    alone.say("mcp", "add")
    states = {str(row["agent"]): row["state"] for row in listed(alone)}
    assert states == {
        "claude": "missing",
        "codex": "registered",
        "gemini": "missing",
        "opencode": "registered",
    }


def test_the_second_version_of_opencode_has_its_servers_one_level_deeper(
    alone: CommandLine,
) -> None:
    path = settings_of(alone, "opencode")
    path.write_text(OPENCODE_2, encoding="utf-8")
    alone.say("mcp", "add", "opencode")
    assert set(json.loads(path.read_text())["mcp"]) == {"servers"}
    assert set(json.loads(path.read_text())["mcp"]["servers"]) == {"other", "loopsy"}


def test_an_entry_of_another_home_is_changed_and_keeps_its_other_keys(alone: CommandLine) -> None:
    path = settings_of(alone, "gemini")
    alone.say("mcp", "add", "gemini")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"loopsy": {', '"loopsy": {"timeout": 5, // slow\n'), "utf-8")
    alone.say("--home", str(alone.folder / "second"), "mcp", "add", "gemini")
    changed = path.read_text(encoding="utf-8")
    assert '"timeout": 5, // slow' in changed
    assert str(alone.folder / "second") in changed
    assert str(alone.home.root) not in changed


def test_a_limit_that_its_user_has_changed_stays(alone: CommandLine) -> None:
    path = settings_of(alone, "codex")
    alone.say("mcp", "add", "codex")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("tool_timeout_sec = 3660", "tool_timeout_sec = 99"), "utf-8")
    assert "registered already" in alone.say("mcp", "add", "codex")
    alone.say("--home", str(alone.folder / "second"), "mcp", "add", "codex")
    assert "tool_timeout_sec = 99" in path.read_text(encoding="utf-8")


def test_a_link_to_settings_elsewhere_stays_a_link(alone: CommandLine) -> None:
    path = settings_of(alone, "codex")
    elsewhere = alone.folder / "dotfiles.toml"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    alone.say("mcp", "add", "codex")
    assert path.is_symlink()
    assert "mcp_servers.loopsy" in elsewhere.read_text(encoding="utf-8")


@pytest.mark.parametrize("agent", AGENTS)
def test_broken_settings_are_named_and_left_alone(alone: CommandLine, agent: str) -> None:
    path = settings_of(alone, agent)
    path.write_text("{ broken", encoding="utf-8")
    said = alone.complaint("mcp", "add", agent, exit_code=1)
    assert str(path) in said
    assert path.read_text(encoding="utf-8") == "{ broken"


def test_claude_codes_own_command_is_used_where_it_is_installed(alone: CommandLine) -> None:
    path = settings_of(alone, "claude")
    path.write_text('{"mcpServers": {}}', encoding="utf-8")
    program = alone.folder / "bin" / "claude"
    program.parent.mkdir()
    log = alone.folder / "asked"
    source = OWN.format(python=sys.executable, log=str(log), file=".claude.json")
    program.write_text(source, encoding="utf-8")
    program.chmod(0o755)

    assert "would run" in alone.say("mcp", "add", "claude", "--dry-run")
    assert not log.exists()
    alone.say("mcp", "add", "claude")
    alone.say("mcp", "add", "claude")
    alone.say("mcp", "remove", "claude")
    asked = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    server = ["--home", str(alone.home.root), "mcp", "serve"]
    assert [words[:4] for words in asked] == [
        ["mcp", word, "--scope", "user"] for word in ("add", "remove")
    ]
    assert asked[0][4:6] == ["loopsy", "--"]
    assert asked[0][-4:] == server
    assert asked[1][4:] == ["loopsy"]
    assert json.loads(path.read_text(encoding="utf-8")) == {"mcpServers": {}}


@pytest.mark.parametrize("agent", ["claude", "gemini"])
def test_an_entry_that_an_agents_own_command_wrote_is_known_changed_and_keeps_the_rest(
    alone: CommandLine, agent: str
) -> None:
    program = alone.folder / "bin" / agent
    program.parent.mkdir()
    shell = shutil.which("sh")
    program.write_text(f"#!{shell}\nexit 3\n", encoding="utf-8")  # which is not asked
    program.chmod(0o755)
    path = settings_of(alone, agent)
    alone.say("mcp", "add", "codex")  # whose settings are changed without it
    codex = tomllib.loads((alone.folder / ".codex/config.toml").read_text(encoding="utf-8"))
    command, args = (codex["mcp_servers"]["loopsy"][key] for key in ("command", "args"))
    entry = {**WROTE[agent], "command": command, "args": args, "env": {"A": "b"}}
    path.write_text(json.dumps({"mcpServers": {"loopsy": entry}}, indent=2), encoding="utf-8")
    assert state_of(alone, agent) == "registered"
    alone.say("--home", str(alone.folder / "second"), "mcp", "add", agent)
    second = [
        str(alone.folder / "second") if word == str(alone.home.root) else word for word in args
    ]
    changed = json.loads(path.read_text(encoding="utf-8"))
    assert changed == {"mcpServers": {"loopsy": {**entry, "args": second}}}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("nothing", ["", "\n", " \n\n"])
def test_an_empty_file_of_settings_gets_the_entry(
    alone: CommandLine, agent: str, nothing: str
) -> None:
    path = settings_of(alone, agent)
    path.write_text(nothing, encoding="utf-8")
    alone.say("mcp", "add", agent)
    assert state_of(alone, agent) == "registered"
    alone.say("mcp", "remove", agent)
    assert state_of(alone, agent) == "missing"


@pytest.mark.parametrize("agent", AGENTS)
def test_a_file_that_nobody_may_write_is_left_alone(alone: CommandLine, agent: str) -> None:
    path = settings_of(alone, agent)
    before = path.read_bytes()
    path.chmod(0o444)
    assert "is read-only" in alone.complaint("mcp", "add", agent, exit_code=1)
    assert path.read_bytes() == before
    assert not [each for each in path.parent.iterdir() if each.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        ("gemini", '{"mcpServers": {"loopsy": "by hand"}}'),
        ("claude", '{"mcpServers": {"loopsy": ["by hand"]}}'),
        ("opencode", '{"mcp": {"loopsy": "by hand"}}'),
        ("opencode", '{"mcp": "by hand"}'),
        ("codex", "mcp_servers = {loopsy = {command = 'by hand'}}\n"),
    ],
)
def test_what_somebody_has_written_there_by_hand_in_another_way_is_left_to_them(
    alone: CommandLine, agent: str, text: str
) -> None:
    path = settings_of(alone, agent)
    path.write_text(text, encoding="utf-8")
    assert str(path) in alone.complaint("mcp", "add", agent, exit_code=1)
    assert path.read_text(encoding="utf-8") == text


def test_an_entry_by_hand_becomes_ours_and_keeps_what_else_is_in_it(alone: CommandLine) -> None:
    path = settings_of(alone, "codex")
    text = CODEX + '\n[mcp_servers.loopsy]\ncommand = "loopsy"\nargs = ["mcp", "serve"] # mine\n'
    path.write_text(text + 'env = { A = "b" }\nstartup_timeout_sec = 20\n', encoding="utf-8")
    assert state_of(alone, "codex") == "different"
    alone.say("mcp", "add", "codex")
    assert state_of(alone, "codex") == "registered"
    after = path.read_text(encoding="utf-8")
    assert 'env = { A = "b" }\nstartup_timeout_sec = 20\n' in after
    assert after.startswith(CODEX)


@pytest.mark.parametrize(
    ("agent", "old", "new"),
    [
        ("codex", "[mcp_servers.loopsy]\n", "[mcp_servers.loopsy]\nenabled = false\n"),
        ("opencode", '"loopsy": {', '"loopsy": {"enabled": false,'),
        ("gemini", '"theme"', '"mcp": {"excluded": ["loopsy"]},\n  "theme"'),
        ("gemini", '"theme"', '"mcp": {"allowed": ["other"]},\n  "theme"'),
    ],
)
def test_an_agent_whose_user_has_switched_it_off_is_left_so(
    alone: CommandLine, agent: str, old: str, new: str
) -> None:
    path = settings_of(alone, agent)
    alone.say("mcp", "add", agent)
    text = path.read_text(encoding="utf-8").replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    assert state_of(alone, agent) == "switched off"
    assert "switched off in" in alone.say("mcp", "add", agent)
    assert path.read_text(encoding="utf-8") == text
    assert ("note", f"switch them on in {path}") in looked_at(alone)


def test_opencode_with_two_files_is_told_in_the_one_that_counts(alone: CommandLine) -> None:
    commented = settings_of(alone, "opencode")
    plain = commented.with_suffix(".json")
    plain.write_text(OPENCODE_2, encoding="utf-8")
    alone.say("mcp", "add", "opencode")
    assert "loopsy" in commented.read_text(encoding="utf-8")
    assert plain.read_text(encoding="utf-8") == OPENCODE_2


def test_settings_of_many_megabytes_are_read_in_a_moment(alone: CommandLine) -> None:
    path = settings_of(alone, "claude")
    history = [{"display": "x" * 80, "pastedContents": {}}] * 50
    settings = {"projects": {f"/p{number}": {"history": history} for number in range(1500)}}
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    began = time.monotonic()
    assert state_of(alone, "claude") == "missing"
    assert time.monotonic() - began < 5
    alone.say("mcp", "add", "claude")
    alone.say("mcp", "remove", "claude")
    assert json.loads(path.read_text(encoding="utf-8")) == settings


def test_doctor_starts_the_server_that_agents_know(alone: CommandLine) -> None:
    assert looked_at(alone) == [("note", None)]
    settings_of(alone, "gemini")
    assert looked_at(alone) == [("note", "loopsy mcp add")]
    alone.say("mcp", "add", "codex")
    said = alone.say("doctor", exit_code=1)
    assert "the server starts, and is known to Codex" in said
    assert "Gemini CLI cannot use your machines" in said


def test_doctor_tells_of_an_agent_that_starts_what_is_not_there(alone: CommandLine) -> None:
    path = settings_of(alone, "opencode")
    alone.say("mcp", "add", "opencode")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'"command": \["/[^"]*"', '"command": ["/old/loopsy"', text), "utf-8")
    assert "OpenCode starts /old/loopsy, which is not there" in alone.say("doctor", exit_code=1)
    shell = shutil.which("sh")
    path.write_text(re.sub(r'"command": \["/[^"]*"', f'"command": ["{shell}"', text), "utf-8")
    assert looked_at(alone) == [("note", "loopsy mcp add opencode makes it this one")]
    alone.say("mcp", "add", "opencode")
    assert looked_at(alone) == [("good", None)]


def test_doctor_tells_of_settings_that_cannot_be_read_and_goes_on(alone: CommandLine) -> None:
    path = settings_of(alone, "gemini")
    path.write_text("{ broken", encoding="utf-8")
    alone.say("mcp", "add", "codex")
    said = alone.say("doctor", exit_code=1)
    assert f"Gemini CLI's settings: {path}: line 1" in said
    assert "is known to Codex" in said


def test_doctor_tells_what_a_server_says_that_does_not_start(alone: CommandLine) -> None:
    program = alone.folder / "bin" / "loopsy"
    program.parent.mkdir()
    shell = shutil.which("sh")
    program.write_text(
        f"#!{shell}\n"
        'case "$*" in *serve*) echo no such module >&2; exit 1;; esac\n'
        f"exec {sys.executable} -c \"import sys; sys.argv[0] = '$0';"
        ' from loopsy_cli.main import main; main()" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)

    def run(*words: str) -> str:
        done = subprocess.run(
            [program, *words],
            env=alone.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert "changed" in run("mcp", "add", "codex")
    assert "the server that Codex would start does not: no such module" in run("doctor")


def test_what_an_agents_own_command_complains_of_is_told(alone: CommandLine) -> None:
    program = alone.folder / "bin" / "claude"
    program.parent.mkdir()
    shell = shutil.which("sh")
    program.write_text(f"#!{shell}\necho not today >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    assert "not today" in alone.complaint("mcp", "add", "claude", exit_code=1)


def test_an_unknown_agent_is_told_which_there_are(alone: CommandLine) -> None:
    assert "claude, codex" in alone.complaint("mcp", "add", "hal", exit_code=2)
    assert "no agent is installed" in alone.complaint("mcp", "add", exit_code=2)


def test_results_are_had_as_json(alone: CommandLine) -> None:
    settings_of(alone, "codex")
    (done,) = result if isinstance(result := alone.json("mcp", "add", "codex"), list) else []
    assert done == {
        "agent": "codex",
        "done": f"changed {alone.folder / '.codex/config.toml'}",
        "problem": None,
    }


def test_advice_for_agents_is_printed(alone: CommandLine) -> None:
    advice = alone.say("mcp", "agents-md")
    assert advice.startswith("## Loopsy")
    assert "loopsy_execute" in advice


def state_of(loopsy: CommandLine, agent: str) -> object:
    return next(row["state"] for row in listed(loopsy) if row["agent"] == agent)


def looked_at(loopsy: CommandLine) -> list[tuple[object, object]]:
    """Return what the doctor, where no daemon runs, finds of MCP: verdicts and mends."""
    findings = loopsy.json("doctor", exit_code=1)
    assert isinstance(findings, list)
    return [(each["verdict"], each["mend"]) for each in findings if each["what"] == "mcp"]


def listed(loopsy: CommandLine) -> list[dict[str, object]]:
    rows = loopsy.json("mcp", "status")
    assert isinstance(rows, list)
    return rows
