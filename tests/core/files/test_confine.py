"""Where paths lead: never outside of what is allowed, nor to what is denied, by whatever name."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound, Refused
from loopsy_core.files import Confinement, Place
from loopsy_core.files.confine import MOST_DEEP
from tests.core.files.races import swapping
from tests.play import bounded

if TYPE_CHECKING:
    from pathlib import Path


class Ground:
    """A folder `you` that is allowed, with a denied one in it, and others that are not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.you = root / "you"
        self.secret = self.you / ".ssh"
        self.outside = root / "you-evil"
        for folder in (self.secret, self.you / "a" / "b", self.outside):
            folder.mkdir(parents=True)
        (self.you / "a" / "file").write_text("inside")
        (self.secret / "id").write_text("secret")
        (self.outside / "file").write_text("outside")

    def confinement(self, *denied: Path) -> Confinement:
        return Confinement([self.you], denied or [self.secret], base=os.fsencode(self.you))

    def find(self, path: str | Path) -> Place:
        return self.confinement().find(os.fsencode(path))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def content(place: Place) -> bytes:
    assert place.name is not None
    descriptor, _ = place.folder.read(place.name)
    with open(descriptor, "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "path",
    [
        "a/file",
        "./a//file",
        "a/b/../file",
        "../you/a/file",
        "a/b/../../a/./file",
        "../../{}/you/a/file",
    ],
)
def test_a_path_inside_is_found_however_it_is_written(ground: Ground, path: str) -> None:
    place = ground.find(path.format(ground.root.name))
    assert content(place) == b"inside"
    assert place.label == b"file"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/etc/passwd", "..", "../you-evil", "../you-evil/file", "../you-evil/nothing",
        "../nothing", "../nothing/x", "a/../..", "a/../../you-evil/file", "/etc/passwd/x",
        "../../../../../../../../../etc/passwd", "/proc/self/root/etc/passwd", "/proc/self/cwd",
    ],
)  # fmt: skip
def test_a_path_outside_is_refused_and_nothing_is_told_of_what_is_there(
    ground: Ground, path: str
) -> None:
    with pytest.raises(Refused, match="outside of the folders"):
        ground.find(path)


@pytest.mark.parametrize(
    "path",
    [
        "../{}/../you/a/file", "../{}/sub/../../you/a/file", "{root}/{}/../you/a/file",
        "{root}/{}/./././../you/a/file", "../{}", "../{}/sub", "../{}/" + "./" * 5000,
    ],
)  # fmt: skip
def test_whether_there_is_something_outside_is_told_by_no_path(ground: Ground, path: str) -> None:
    (ground.outside / "sub").mkdir()
    (ground.root / "circle").symlink_to("circle")
    (ground.root / "link").symlink_to("you-evil")
    (ground.root / "secret").mkdir()
    said = set()
    for name in ("you-evil", "link", "circle", "secret", "nothing", "you-evil/file"):
        with pytest.raises(Refused) as caught:
            ground.confinement(ground.root / "secret").find(
                os.fsencode(path.format(name, root=ground.root))
            )
        said.add(caught.value.message)
    assert len(said) == 1


def test_a_path_holds_no_more_than_some_folders_open(ground: Ground) -> None:
    path = ground.you
    back = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path)
        for _ in range(MOST_DEEP + 1):  # the whole of it is too long for the system
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.fchdir(back)
        os.close(back)
    deep = "d/" * (MOST_DEEP // 2)
    assert ground.find(deep).is_folder
    with pytest.raises(BadRequest, match="too many folders within one another"):
        ground.find("d/" * MOST_DEEP)


def test_a_folder_whose_name_begins_alike_is_outside(ground: Ground) -> None:
    with pytest.raises(Refused, match="outside"):
        ground.find(f"{ground.you}-evil/file")


@pytest.mark.parametrize(
    "path", [".ssh", ".ssh/", ".ssh/id", "a/../.ssh/id", ".//.ssh//id", ".ssh/../.ssh/id"]
)
def test_what_is_denied_is_denied_however_it_is_written(ground: Ground, path: str) -> None:
    with pytest.raises(Refused, match="denied"):
        ground.find(path)


def test_links_are_followed_as_far_as_they_stay_inside(ground: Ground) -> None:
    (ground.you / "near").symlink_to("a/b/../file")
    (ground.you / "far").symlink_to(ground.you / "a")
    (ground.you / "chain").symlink_to("far/../near")
    for path in ("near", "far/file", "chain"):
        assert content(ground.find(path)) == b"inside"
    assert ground.find("chain").label == b"chain"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../you-evil", "link/file"),
        ("../you-evil/file", "link"),
        ("/etc", "link/passwd"),
        ("/etc/passwd", "link"),
        ("a/../../you-evil/file", "link"),
        ("..", "link/you-evil/file"),
        ("/proc/self/root", "link/etc/passwd"),
    ],
)
def test_a_link_that_leads_outside_is_refused(ground: Ground, target: str, path: str) -> None:
    (ground.you / "link").symlink_to(target)
    with pytest.raises(Refused, match="outside"):
        ground.find(path)


def test_a_link_to_what_is_denied_is_refused(ground: Ground) -> None:
    (ground.you / "link").symlink_to(".ssh")
    (ground.you / "key").symlink_to(".ssh/id")
    for path in ("link", "link/id", "key"):
        with pytest.raises(Refused, match="denied"):
            ground.find(path)


def test_a_circle_of_links_ends(ground: Ground) -> None:
    (ground.you / "one").symlink_to("two")
    (ground.you / "two").symlink_to("one")
    with pytest.raises(Refused, match="too many symbolic links"):
        ground.find("one")


def test_an_allowed_folder_may_be_reached_by_a_link_from_outside(ground: Ground) -> None:
    (ground.root / "home").symlink_to("you")
    assert content(ground.find(ground.root / "home" / "a" / "file")) == b"inside"
    by_link = Confinement([ground.root / "home"], [], base=b"/")
    assert content(by_link.find(os.fsencode(ground.you / "a" / "file"))) == b"inside"


def test_another_name_of_a_denied_folder_is_denied_too(ground: Ground) -> None:
    # A second name as a bind mount or a careless file system gives it: the same device and inode.
    moved = ground.you / "harmless"
    confinement = ground.confinement()
    ground.secret.rename(moved)
    with pytest.raises(Refused, match="denied"):
        confinement.find(b"harmless/id")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_bind_mount_of_what_is_denied_is_denied(ground: Ground) -> None:
    alias = ground.you / "alias"
    alias.mkdir()
    if os.system(f"mount --bind '{ground.secret}' '{alias}' 2>/dev/null"):
        pytest.skip("this system does not let us mount")
    try:
        with pytest.raises(Refused, match="denied"):
            ground.find("alias/id")
    finally:
        os.system(f"umount '{alias}'")


@pytest.mark.parametrize("name", [".ssh", ".SSH", ".s\u200dsh", "\uff0essh"])
def test_what_is_denied_cannot_be_made_when_it_is_not_there(ground: Ground, name: str) -> None:
    (ground.secret / "id").unlink()
    ground.secret.rmdir()
    place = ground.find("a/..")
    with pytest.raises(Refused, match="denied"):
        place.folder.make(os.fsencode(name))
    with pytest.raises(Refused, match="denied"):
        place.folder.create(os.fsencode(name))
    assert not ground.secret.exists()


def test_what_is_denied_deep_below_what_is_not_there_stays_denied(ground: Ground) -> None:
    confinement = ground.confinement(ground.you / "x" / "y" / "z")
    below = confinement.find(b"").folder.make(b"x").make(b"y")
    below.make(b"w")
    with pytest.raises(Refused, match="denied"):
        below.make(b"z")


def test_a_denied_file_is_denied_under_any_of_its_names(ground: Ground) -> None:
    key = ground.you / "a" / "file"
    os.link(key, ground.you / "other")
    confinement = ground.confinement(key)
    for path in (b"a/file", b"other"):
        with pytest.raises(Refused, match="denied"):
            confinement.find(path)


def test_a_name_that_has_become_a_link_is_not_opened_as_a_file(ground: Ground) -> None:
    place = ground.find("a")
    (ground.you / "a" / "link").symlink_to(ground.outside / "file")
    for use in (place.folder.read, place.folder.change, place.folder.create):
        with pytest.raises((Refused, Busy), match=r"symbolic link|somebody else"):
            use(b"link")
    with pytest.raises((Refused, BadRequest)):
        place.folder.step(b"link")
    assert (ground.outside / "file").read_text() == "outside"


def test_a_last_name_need_not_exist_but_all_before_it(ground: Ground) -> None:
    place = ground.find("a/new")
    assert (place.name, place.found, place.label) == (b"new", None, b"new")
    with pytest.raises(NotFound, match=r"there is no folder .*a/none"):
        ground.find("a/none/new")
    with pytest.raises(NotFound, match="there is no folder"):
        ground.find("a/new/")
    with pytest.raises(BadRequest, match="is a file, not a folder"):
        ground.find("a/file/x")
    with pytest.raises(BadRequest, match="is a file, not a folder"):
        ground.find("a/file/")


@pytest.mark.parametrize("path", [b"a\0b", b"\0", b"x" * 256, b"a/" * 5000])
def test_what_can_be_no_path_is_a_bad_request(ground: Ground, path: bytes) -> None:
    with pytest.raises((BadRequest, NotFound)):
        ground.confinement().find(path)


steps = st.sampled_from(
    [
        b"a",
        b"b",
        b"file",
        b"..",
        b".",
        b"",
        b".ssh",
        b"id",
        b"you",
        b"you-evil",
        b"in",
        b"out",
        b"up",
    ]
)


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    ground = Ground(tmp_path_factory.mktemp("maze"))
    (ground.you / "in").symlink_to("a/b")
    (ground.you / "out").symlink_to("../you-evil")
    (ground.you / "a" / "up").symlink_to("../..")
    (ground.outside / "in").symlink_to(ground.you / "a")
    return ground


@bounded(500)
@given(path=st.lists(steps, max_size=9).map(b"/".join), absolute=st.booleans())
def test_any_path_leads_where_the_system_says_or_nowhere(
    path: bytes, absolute: bool, maze: Ground
) -> None:
    if absolute:
        path = os.fsencode(maze.root) + b"/" + path
    whole = path if path.startswith(b"/") else os.fsencode(maze.you) + b"/" + path
    real = os.path.realpath(whole)
    you, secret = os.fsencode(maze.you), os.fsencode(maze.secret)
    inside = (real + b"/").startswith(you + b"/") and not (real + b"/").startswith(secret + b"/")
    try:
        place = maze.confinement().find(path)
    except LoopsyError:
        # The system follows paths through files (file/..), and we do not: so it may know more.
        assert not (inside and os.path.exists(whole)) or b"file" in path or b".ssh" in path
        return
    assert inside
    if place.found is not None:
        assert os.path.samestat(place.found, os.stat(real))


# Races: somebody swaps a folder for a link, as fast as can be.


def test_nothing_outside_is_read_while_a_folder_is_swapped_for_a_link(ground: Ground) -> None:
    came = 0
    with swapping(ground.you / "a", ground.outside):
        for _ in range(2000):
            with suppress(LoopsyError):
                assert content(ground.find("a/file")) == b"inside"
                came += 1
    assert came  # and not simply nothing


def test_nothing_is_written_outside_while_a_folder_is_swapped_for_a_link(ground: Ground) -> None:
    made = 0
    with swapping(ground.you / "a", ground.outside):
        for number in range(2000):
            with suppress(LoopsyError):
                folder = ground.find("a").folder
                os.close(folder.create(b"part"))
                folder.rename(b"part", b"new%d" % number)
                made += 1
    assert made
    assert [each.name for each in ground.outside.iterdir()] == ["file"]
