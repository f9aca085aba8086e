"""The checks of this project: `nox` runs those that say yes or no, `nox -s bench` measures."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "layers", "web", "tests", "fuzz", "browser"]

PROJECT = nox.project.load_toml("pyproject.toml")

# The browser tests drive Debian's Chromium, and show a real full-screen program in the page.
BROWSER_PROGRAMS = ["chromium", "vim", "less"]
# What some tests need and skip themselves without, by the Debian package that it comes in.
TEST_PROGRAMS = {"ip": "iproute2", "vim": "vim"}
# Twenty seconds of it, always the same.
FUZZING = ["--phases", "coverage,fuzzing", "--max-examples", "12"]


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and ruff's rules. `nox -s lint -- --fix` repairs what ruff can repair."""
    install(session, "lint")
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix")
        session.run("ruff", "format")
    else:
        session.run("ruff", "check")
        session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types in the packages, in this file and in the build hook, with mypy --strict."""
    install(session, "types", *PROJECT["project"]["dependencies"])
    session.run("mypy", "--strict", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Who may import whom."""
    install(session, "layers")
    session.run("lint-imports", *session.posargs)


@nox.session
def web(session: nox.Session) -> None:
    """The web app: TypeScript's own check, then vitest, on the Node that comes as a wheel."""
    session.install(*PROJECT["build-system"]["requires"])
    session.run("python", "hatch_build.py", "run", "check")
    session.run("python", "hatch_build.py", "run", "test")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything in tests/ but what needs a browser. `nox -s tests -- tests/wire -x` narrows it."""
    missing = [package for name, package in TEST_PROGRAMS.items() if shutil.which(name) is None]
    if missing and may_install():
        apt_install(session, missing)
    install(session, "tests", "-e", ".")
    session.run("pytest", *at_once(session), "--ignore=tests/browser", *session.posargs)


@nox.session
def deep(session: nox.Session) -> None:
    """The same, but all that is tried at random, repeated or driven to a limit far more often."""
    install(session, "tests", "-e", ".")
    patient = ["-o", "faulthandler_timeout=1800"]
    session.run(
        "pytest",
        *at_once(session),
        *patient,
        "--ignore=tests/browser",
        *session.posargs,
        env={"LOOPSY_DEEP": "1"},
    )


@nox.session
def browser(session: nox.Session) -> None:
    """The page, end to end: a node, a relay and Debian's Chromium."""
    find_browser(session)
    install(session, "browser", "-e", ".")
    session.run("pytest", "-m", "browser", *(session.posargs or ["tests/browser"]))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Ask a real node by HTTP what schemathesis makes up; options of its `run` may follow.

    By default the same thousand requests each time. `nox -s fuzz -- --max-time 600 --seed 7` asks
    others, also what follows from one another.
    """
    install(session, "fuzz", "-e", ".")
    session.run("python", "-m", "tests.fuzz.run_http", *(session.posargs or FUZZING))


@nox.session
def fuzz_terminals(session: nox.Session) -> None:
    """Have the emulator take in, for two minutes or as many seconds as follow, what is made up."""
    install(session, "tests", "-e", ".")
    session.run("python", "-m", "tests.fuzz.run_terminals", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure. Each bench/*.py prints JSON lines; this shows them as one table."""
    install(session, "tests", "-e", ".")
    wanted = session.posargs or sorted(path.stem for path in Path("bench").glob("[a-z]*.py"))
    rows: list[dict[str, object]] = []
    for program in wanted:
        said = session.run("python", "-m", f"bench.{program}", silent=True, stderr=None) or ""
        results = [json.loads(line) for line in str(said).splitlines() if line.startswith("{")]
        rows.extend({"program": program, **result} for result in results)
    show(rows)


def at_once(session: nox.Session) -> list[str]:
    """Return what has pytest run tests side by side: one a processor, as some are timed."""
    if any(word.startswith(("-n", "--numprocesses", "--pdb")) for word in session.posargs):
        return []
    return ["--numprocesses", str(os.cpu_count() or 1), "--dist", "worksteal"]


def install(session: nox.Session, group: str, *more: str) -> None:
    session.install(*nox.project.dependency_groups(PROJECT, group), *more)


def find_browser(session: nox.Session) -> None:
    """Install what the browser tests need where that is allowed; elsewhere skip them, saying so."""
    missing = [program for program in BROWSER_PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    if not may_install():
        session.skip(
            f"The browser tests need {', '.join(missing)} on the PATH, and only root on a Debian "
            "machine can have them installed from here. Install them and run again"
        )
    apt_install(session, missing)


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(session: nox.Session, packages: list[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    session.run("apt-get", "update", external=True)
    session.run(
        "apt-get", "install", "-y", "--no-install-recommends", *packages, external=True, env=quiet
    )


def show(rows: list[dict[str, object]]) -> None:
    """Print one line per result, with a column for each name that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [names, *([_brief(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
