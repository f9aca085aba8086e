"""House rules that no other tool checks: public names, sizes, start-up time, what is tracked."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import loopsy_core

ROOT = Path(__file__).parents[2]
PACKAGES = {"loopsy_cli", "loopsy_core", "loopsy_mcp", "loopsy_relay"}

PUBLIC_NAMES = ["LoopsyError", "__version__", "open_client", "open_node"]

LONGEST_FILE = 400  # lines; a longer one has a second idea, which wants a room of its own
LONGER_FILES: set[str] = set()  # each with its reason

IMPORT_LIMIT = 0.060  # seconds of work for `import loopsy_core`, on top of Python's own start
IMPORT_ROUNDS = 5
PATIENCE = 60.0  # seconds for any program that is run here

# In pieces, for this file is tracked too.
REGISTRY_HOSTS = [
    ".".join(pieces).encode()
    for pieces in [
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "com"),
        ("npmjs", "org"),
        ("npmmirror", "com"),
        ("yarnpkg", "com"),
    ]
]

NOT_OURS = {"node_modules", "static", "venv", "__pycache__"}  # folders, where git cannot tell


def test_the_public_shelf_holds_these_names_and_no_others() -> None:
    assert sorted(loopsy_core.__all__) == PUBLIC_NAMES
    assert dir(loopsy_core) == PUBLIC_NAMES


def test_every_public_name_can_be_had() -> None:
    for name in PUBLIC_NAMES:
        assert getattr(loopsy_core, name), name


def test_importing_the_shelf_opens_no_room() -> None:
    code = "import sys, loopsy_core; print(*(m for m in sys.modules if m.startswith('loopsy_')))"
    assert output_of("-c", code).split() == ["loopsy_core"]


def test_importing_the_shelf_costs_next_to_nothing() -> None:
    bare: list[float] = []
    with_shelf: list[float] = []
    for _ in range(IMPORT_ROUNDS):  # in turns, so that a busy moment of the machine hits both
        bare.append(seconds_to_run("pass"))
        with_shelf.append(seconds_to_run("import loopsy_core"))
    assert min(with_shelf) - min(bare) < IMPORT_LIMIT


def test_the_command_line_introduces_itself() -> None:
    assert "loopsy" in output_of("-m", "loopsy_cli", "--help").lower()


def test_every_python_file_opens_by_saying_what_it_is() -> None:
    silent = [
        str(file)
        for file in tracked_files()
        if file.suffix == ".py" and not ast.get_docstring(ast.parse((ROOT / file).read_bytes()))
    ]
    assert not silent


def test_no_file_outgrows_its_idea() -> None:
    long = {
        str(file)
        for file in tracked_files()
        if file.parts[0] in PACKAGES
        and file.suffix in {".py", ".ts", ".tsx"}
        and len((ROOT / file).read_bytes().splitlines()) > LONGEST_FILE
    }
    assert long == LONGER_FILES


def test_no_tracked_file_names_a_package_registry() -> None:
    naming = [
        f"{file}: {host.decode()}"
        for file in tracked_files()
        for host in REGISTRY_HOSTS
        if host in (ROOT / file).read_bytes()
    ]
    assert not naming


def tracked_files() -> list[Path]:
    """List what git tracks or would track; without git, what a source distribution holds."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):
        listed = files_of_a_source_distribution()
    return [Path(name) for name in sorted(listed) if name and (ROOT / name).is_file()]


def files_of_a_source_distribution() -> list[str]:
    found: list[str] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and name[0] != "."]
        found.extend(str(Path(folder, file).relative_to(ROOT)) for file in files)
    return found


def seconds_to_run(code: str) -> float:
    """Return how long a processor worked on it, which other work of the machine hardly changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output_of("-c", code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def output_of(*arguments: str) -> str:
    """Run Python on `arguments` and return what it printed; fail with what it complained of."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
