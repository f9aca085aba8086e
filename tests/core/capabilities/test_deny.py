"""The guard against accidents: what it sees through, what it leaves alone, and no failures."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.capabilities.deny import Rules, Tangled, programs_in
from loopsy_core.capabilities.script import commands_in
from loopsy_core.errors import Refused
from loopsy_core.home import ExecutionConfig
from tests.play import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DENIED = [
    "rm -rf build",
    "/bin/rm x",
    "../../bin/rm x",
    "RM x",
    "mkfs.ext4 /dev/sda1",
    "env rm x",
    "env -i -u HOME PATH=/bin A=b rm x",
    "env -S 'rm -rf x'",
    "env --split-string='rm -rf x'",
    "env -C /tmp -- rm x",
    "nohup nice -n 5 rm x",
    "nice -10 rm x",
    "nice --adjustment 3 rm x",
    "timeout -k 5 10s rm x",
    "timeout --signal KILL 10s rm x",
    "time -f %e rm x",
    "stdbuf -oL rm x",
    "setsid -w rm x",
    "ionice -c 3 rm x",
    "sudo rm x",
    "sudo -u root -- rm x",
    "sudo -n A=b rm x",
    "doas -u root rm x",
    "su -c 'rm x' root",
    "su --command='rm x' root",
    "su - root -c 'rm x'",
    "runuser -u root -- rm x",
    "xargs rm",
    "xargs -0 -n1 -I {} rm {}",
    "xargs --max-args 1 rm",
    "parallel -j 4 rm ::: a b",
    "watch -n 1 'ls; rm x'",
    "flock /tmp/lock rm x",
    "flock -w 5 /tmp/lock -c 'rm x'",
    "find . -name x -exec rm {} ;",
    "find . -type f -execdir rm {} +",
    "find . -delete",
    "find . -exec true ; -exec sh -c 'rm x' ;",
    "busybox rm x",
    "toybox rm x",
    "strace -f -o log rm x",
    "sh -c 'rm x'",
    "bash -lc 'rm x'",
    "bash -euo pipefail -c 'rm x'",
    "bash -o pipefail -c 'rm x'",
    "bash --norc --rcfile x -c 'rm x'",
    "zsh -c 'cd /tmp && rm x'",
    "sh -c 'exec \"$@\"' sh rm x",
    'sh -c \'"$0" "$@"\' rm x',
    "sh -c \"sudo sh -c 'env rm x'\"",
    "sh -c 'A=b rm x'",
    "sh -c 'ls;rm x'",
    "sh -c 'ls&rm x'",
    "sh -c 'ls || rm x'",
    "sh -c 'ls |& rm x'",
    "sh -c 'ls\nrm x'",
    "sh -c '(cd /; rm x)'",
    "sh -c '{ rm x; }'",
    "sh -c '! rm x'",
    "sh -c 'if true; then rm x; fi'",
    "sh -c 'if rm x; then true; fi'",
    "sh -c 'while read f; do rm $f; done'",
    "sh -c 'for f in *; do rm $f; done'",
    "sh -c 'case $x in a) rm x;; esac'",
    "sh -c 'f() { rm x; }; f'",
    "sh -c 'echo $(rm x)'",
    "sh -c 'echo \"`rm x`\"'",
    'sh -c \'echo "a $(echo "$(rm x)")"\'',
    "sh -c 'echo ${x:-$(rm y)}'",
    "bash -c 'diff <(rm x) y'",
    "sh -c '\\rm x'",
    "sh -c \"r''m x\"",
    "sh -c '2>/dev/null rm x'",
    "sh -c 'rm>log x'",
    "sh -c 'eval \"rm x\"'",
    "sh -c \"trap 'rm x' EXIT\"",
    "sh -c 'exec -a x rm y'",
    "sh -c 'command rm x'",
    "sh -c 'bash <<EOF\nrm x\nEOF'",
    "sh -c 'cat <<-E | sh\n\trm x\n\tE'",
    "bash -c 'bash <<< \"rm x\"'",
    "sh -c '# nothing\nrm x'",
]

LEFT_ALONE = [
    "ls rm",
    "echo rm x",
    "git rm x",
    "docker run --rm x",
    "./format.sh",
    "rmdir-all",
    "grep -r rm .",
    "command -v rm",
    "find . -name rm",
    "xargs -I rm echo rm",
    "env RM=rm ls",
    "timeout 5 ls rm",
    "sh rm.sh",
    "sh -c 'echo rm'",
    "sh -c \"echo 'a; rm x'\"",
    "sh -c 'echo \"; rm x\"'",
    "sh -c 'ls # rm x'",
    "sh -c 'cat <<EOF\nrm x\nEOF'",
    "sh -c 'case $1 in rm) ls;; esac'",
    "sh -c 'for rm in a b; do echo $rm; done'",
    "sh -c 'rm=1; echo $rm'",
    "sh -c 'ls > rm'",
    "sh -c 'ls >& rm'",
    "sh -c 'echo $((rm + 1))'",
    "sh -c 'echo \"$1\"' sh rm",
    "sh -c 'command -v rm && type rm'",
    "bash -c '[[ rm == x ]]'",
]

DEFAULT = Rules.make(ExecutionConfig().denylist, None)


def check(rules: Rules, argv: Sequence[str], cwd: str = "/") -> None:
    rules.check(argv, os.defpath, cwd)


@pytest.mark.parametrize("command", DENIED)
def test_it_sees_through(command: str) -> None:
    with pytest.raises(Refused, match=r"execution\.denylist"):
        check(DEFAULT, shlex.split(command))


@pytest.mark.parametrize("command", LEFT_ALONE)
def test_it_leaves_alone(command: str) -> None:
    check(DEFAULT, shlex.split(command))


def test_it_follows_links_all_along_the_way(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("#!/bin/sh\n")
    (tmp_path / "real").chmod(0o700)
    (tmp_path / "rm").symlink_to("real")
    (tmp_path / "wipe").symlink_to(tmp_path / "rm")
    for command in (["./wipe"], [str(tmp_path / "wipe")], ["sh", "-c", "ls; ./wipe"]):
        with pytest.raises(Refused, match=r"wipe' is not run .* 'rm' is on"):
            check(DEFAULT, command, str(tmp_path))
    with pytest.raises(Refused, match="'rm' is on"):
        DEFAULT.check(["wipe"], str(tmp_path), "/")
    check(DEFAULT, ["./real"], str(tmp_path))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    check(DEFAULT, ["./a"], str(tmp_path))


def test_an_allowlist_refuses_all_others_wherever_they_stand() -> None:
    rules = Rules.make((), ("make", "sh", "git"))
    check(rules, ["make", "all"])
    check(rules, ["/usr/bin/make"])
    check(rules, ["sh", "-c", "cd src && make -j2 && echo done; exit 0"])
    for command in ("ls", "env make", "sh -c 'make | tee log'", "sh -c '$x'", "sh -c './make2'"):
        with pytest.raises(Refused, match=r"execution\.allowlist"):
            check(rules, shlex.split(command))


def test_an_empty_allowlist_allows_nothing_and_no_lists_allow_everything() -> None:
    with pytest.raises(Refused, match="allowlist"):
        check(Rules.make((), ()), ["ls"])
    check(Rules.make((), None), ["rm", "-rf", "/"])


def test_what_is_denied_stays_denied_when_it_is_allowed() -> None:
    with pytest.raises(Refused, match="denylist"):
        check(Rules.make(("rm",), ("rm",)), ["rm"])


def nested(template: str, depth: int) -> str:
    """Put `template` into itself where it says so, `depth` times."""
    text = "ls"
    for _ in range(depth):
        text = template.replace("HERE", text)
    return text


@pytest.mark.parametrize(
    "script",
    [
        nested("$(HERE)", 5000),
        nested('eval "HERE"', 200),
        nested('eval "$(HERE)"', 100),
        nested('sh <<< "$(HERE)"', 100),
        nested("sh -c '\"$@\"' _ HERE", 100),
        nested("${x:-HERE}", 5000),
        nested("(HERE)", 5000),
        nested("<(HERE)", 5000),
        "find " + "-exec find " * 3000,
        "$(" * 60_000,
        "`" * 60_000,
        "((" * 60_000,
        "<<" * 60_000,
        "<<a\n" * 30_000,
        "x;" * 60_000,
        "'\"" * 60_000,
    ],
    ids=lambda script: script[:12],
)
def test_a_script_made_to_be_slow_is_read_soon_or_refused(script: str) -> None:
    argv = ["sh", "-c", script[:131_072]]
    count = 0
    with suppress(Tangled):
        for _ in programs_in(argv):
            count += 1
    assert count < 100_000


def test_too_much_inside_of_one_another_is_refused_with_a_word_about_it() -> None:
    with pytest.raises(Refused, match="too much inside"):
        check(DEFAULT, ["env"] * 4000 + ["ls"])
    with pytest.raises(Refused, match="too much inside"):
        check(DEFAULT, ["sh", "-c", "ls " * 90_000])


WORDS = (
    *("sh", "bash", "-c", "-", "--", "env", "find", "-exec", ";", "+", "{}", "xargs", "sudo", "-u"),
    *("a=b", "eval", "$@", "'", '"', "$(", ")", "`", "<<", "<<<", "\n", "rm", "", "\\", "#", "${"),
    *("flock", "timeout", "--signal", "case", "in", "esac", "for", "do", "exec", "-Sx", "\ud800"),
)


@bounded(500)
@given(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=8), min_size=1, max_size=12),
    st.integers(0, 12),
)
def test_it_never_fails_on_any_command(parts: list[str], at: int) -> None:
    script = "".join(parts[at:])
    for argv in (
        parts,
        [*parts[:at], script],
        ["sh", "-c", script],
        ["bash", "-c", " ".join(parts)],
    ):
        for rules in (DEFAULT, Rules.make((), ("sh",))):
            with suppress(Refused):
                check(rules, argv)


@bounded(200)
@given(st.lists(st.text(min_size=1, max_size=10).filter(lambda text: "\0" not in text), min_size=1))
def test_quoted_words_are_read_as_they_are(command: list[str]) -> None:
    quoted = [each.replace("'", "'\\''") for each in command]
    (found,) = commands_in("run '" + "' '".join(quoted) + "'")
    assert found == ["run", *command]
