"""Inputs, links and outputs of a command: what is put where, all or none, and undone after a crash."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse._command import Command, filled
from packhorse._commands import outputs
from packhorse._commands.aside import Unfit
from packhorse._commands.journal import undo
from packhorse._commands.outputs import publish
from packhorse._commands.places import Place, sweep
from packhorse._commands.workspace import Workspace, furnish

TOKEN = "0123456789abcdef"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = Workspace(str(tmp_path / "space"))
    made.make()
    return made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, another than that of the workspace."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def command(space: Workspace, **keys: Any) -> Command:
    return filled(Command(steps=(("true",),), **keys), {}, space.work)


def tree(place: Path) -> dict[str, str]:
    """Return the files below a place and what stands in them; of links, where they lead."""
    found = {}
    for each in sorted(place.rglob("*")):
        name = str(each.relative_to(place))
        if each.is_symlink():
            found[name] = f"→ {os.readlink(each)}"
        elif each.is_file():
            found[name] = each.read_text()
        elif not any(each.iterdir()):
            found[name + "/"] = ""
    return found


def write(space: Workspace, **files: str) -> None:
    for name, text in files.items():
        place = Path(space.work, name.replace("__", "/").replace("_dot_", "."))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


# -- before the start -------------------------------------------------------------------------------------------------
def test_the_workspace_has_the_shape_that_the_command_expects(tmp_path: Path, space: Workspace) -> None:
    source = tmp_path / "content"
    source.mkdir()
    (source / "page").write_text("1")
    furnish(
        space,
        command(
            space,
            inputs={"wip/se/b1/data": str(source), "copied": f"copy:{source}"},
            links={"wip/se/b1/log": str(source)},
            outputs={
                "wip/se/b1/aux": str(tmp_path / "aux"),
                "made/out.mp4": str(tmp_path / "x.mp4"),
                "many/*.tif": str(tmp_path / "m"),
            },
        ),
    )
    assert tree(Path(space.work)) == {
        "copied/page": "1",
        "made/": "",
        "many/": "",
        "wip/se/b1/aux/": "",
        "wip/se/b1/data": f"→ {source}",
        "wip/se/b1/log": f"→ {source}",
    }


@pytest.mark.parametrize("kind", ["inputs", "links"])
def test_an_input_that_is_gone_is_named(tmp_path: Path, space: Workspace, kind: str) -> None:
    with pytest.raises(Unfit, match="is not there: .*/gone: No such file") as caught:
        furnish(space, command(space, **{kind: {"in": str(tmp_path / "gone")}}))
    assert caught.value.code == "E214"


def test_an_output_that_is_there_is_found_before_the_work_is_done(tmp_path: Path, space: Workspace) -> None:
    (tmp_path / "there").write_text("old")
    with pytest.raises(Unfit, match="exists already") as caught:
        furnish(space, command(space, outputs={"out.txt": str(tmp_path / "there")}))
    assert caught.value.code == "E215"


# -- outputs ----------------------------------------------------------------------------------------------------------
def test_outputs_are_moved_and_their_parents_made(tmp_path: Path, space: Workspace) -> None:
    write(space, aux__a="1", aux__deep__b="2", out_dot_txt="3")
    there = tmp_path / "new" / "place"
    placed = publish(space, command(space, outputs={"aux": f"{there}/aux", "out.txt": f"{there}/out.txt"}), TOKEN)
    assert placed == [f"{there}/aux", f"{there}/out.txt"]
    assert tree(there) == {"aux/a": "1", "aux/deep/b": "2", "out.txt": "3"}
    assert tree(Path(space.work)) == {}
    assert not Path(space.journal).exists()


def test_a_glob_moves_what_fits_into_a_directory(tmp_path: Path, space: Workspace) -> None:
    write(space, out__a_dot_mp4="1", out__b_dot_mp4="2", out__c_dot_txt="3")
    publish(space, command(space, outputs={"out/*.mp4": str(tmp_path / "films")}), TOKEN)
    assert tree(tmp_path / "films") == {"a.mp4": "1", "b.mp4": "2"}


@pytest.mark.parametrize(
    "path, words",
    [
        ("out/*.mp4", "nothing that fits"),
        ("never.txt", "has not made its output"),
        ("empty", "left its output directory"),
    ],
)
def test_an_output_that_was_not_made_is_named(tmp_path: Path, space: Workspace, path: str, words: str) -> None:
    Path(space.work, "empty").mkdir()
    write(space, made="1")
    with pytest.raises(Unfit, match=words):
        publish(space, command(space, outputs={"made": str(tmp_path / "made"), path: str(tmp_path / "x")}), TOKEN)
    assert not (tmp_path / "made").exists()
    assert tree(Path(space.work))["made"] == "1"


def test_outputs_do_not_leave_the_workspace_through_links(tmp_path: Path, space: Workspace) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("1")
    os.symlink(tmp_path / "secret", Path(space.work, "way"))
    for path in ("way", "way/key", "way/*"):
        with pytest.raises(Unfit, match="leaves the workspace: way is a link to"):
            publish(space, command(space, outputs={path: str(tmp_path / "stolen")}), TOKEN)
    assert (tmp_path / "secret" / "key").read_text() == "1"


def test_links_within_an_output_stay_as_they_are(tmp_path: Path, space: Workspace) -> None:
    write(space, aux__a="1")
    os.symlink("../data/page", Path(space.work, "aux", "page"))
    publish(space, command(space, outputs={"aux": str(tmp_path / "aux")}), TOKEN)
    assert tree(tmp_path / "aux") == {"a": "1", "page": "→ ../data/page"}


@pytest.mark.parametrize(
    "existing, left",
    [("replace", {"a": "new", "b": "new"}), ("merge", {"a": "new", "b": "new", "old": "old"})],
)
def test_what_is_there_is_replaced_or_merged(
    tmp_path: Path, space: Workspace, existing: str, left: dict[str, str]
) -> None:
    there = tmp_path / "aux"
    there.mkdir()
    (there / "a").write_text("old")
    (there / "old").write_text("old")
    write(space, aux__a="new", aux__b="new")
    publish(space, command(space, outputs={"aux": str(there)}, existing=existing), TOKEN)
    assert tree(there) == left
    assert sorted(each.name for each in tmp_path.iterdir()) == ["aux", "space"]


def test_a_file_does_not_take_the_place_of_a_directory_when_merged(tmp_path: Path, space: Workspace) -> None:
    (tmp_path / "aux" / "a").mkdir(parents=True)
    write(space, aux__a="new")
    with pytest.raises(Unfit, match="cannot be merged"):
        publish(space, command(space, outputs={"aux": str(tmp_path / "aux")}, existing="merge"), TOKEN)


@pytest.mark.parametrize("existing", ["fail", "replace", "merge"])
def test_all_or_none(tmp_path: Path, space: Workspace, existing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last rename fails: everything is as it was."""
    outer = tmp_path / "out"
    if existing != "fail":
        (outer / "b").mkdir(parents=True)
        (outer / "b" / "1").write_text("old")
    before = tree(outer)
    write(space, a__1="new", b__1="new", c__1="new")
    rename, calls = outputs._rename, iter(range(100))

    def failing(source: str, target: str) -> None:
        if next(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO), target)
        rename(source, target)

    monkeypatch.setattr(outputs, "_rename", failing)
    wanted = command(space, outputs={name: f"{outer}/{name}" for name in "abc"}, existing=existing)
    with pytest.raises(Unfit, match="none of them was: Input/output error"):
        publish(space, wanted, TOKEN)
    assert tree(outer) == before
    assert outer.exists() == bool(before)
    assert tree(Path(space.work)) == {"a/1": "new", "b/1": "new", "c/1": "new"}


def test_another_file_system(small: Path, space: Workspace) -> None:
    write(space, aux__a="1", aux__deep__b="2")
    publish(space, command(space, outputs={"aux": str(small / "aux")}), TOKEN)
    assert tree(small) == {"aux/a": "1", "aux/deep/b": "2"}


def test_a_full_disk_leaves_nothing_behind(small: Path, tmp_path: Path, space: Workspace) -> None:
    write(space, first="1", large="x" * 1_000_000)
    with pytest.raises(Unfit, match="No space left on device") as caught:
        publish(
            space,
            command(space, outputs={"first": str(tmp_path / "first"), "large": str(small / "deep" / "large")}),
            TOKEN,
        )
    assert "none of them was" in str(caught.value)
    assert tree(small) == {}
    assert not (tmp_path / "first").exists()


def test_a_bind_mount_has_the_same_number_and_is_another_file_system(tmp_path: Path, space: Workspace) -> None:
    real, bound = tmp_path / "real", tmp_path / "bound"
    real.mkdir()
    bound.mkdir()
    if subprocess.run(["mount", "--bind", str(real), str(bound)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        write(space, aux__a="1")
        publish(space, command(space, outputs={"aux": str(bound / "aux")}), TOKEN)
        assert tree(real) == {"aux/a": "1"}
    finally:
        subprocess.run(["umount", str(bound)], check=True)


# -- after a crash ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("existing", ["fail", "replace"])
@pytest.mark.parametrize("steps", range(1, 12))
def test_whoever_finds_a_journal_can_undo_it(
    tmp_path: Path, small: Path, space: Workspace, existing: str, steps: int
) -> None:
    """Killed after any number of steps: either all is in place, or all is as before; and undoing may be repeated."""
    (small / "b").write_text("old") if existing == "replace" else None
    before = {"b": "old"} if existing == "replace" else {}
    write(space, a="new", b="new", c="new")
    wanted = command(space, outputs={name: f"{small}/{name}" for name in "abc"}, existing=existing)
    pid = os.fork()
    if pid == 0:
        _die_at(steps)
        publish(space, wanted, TOKEN)
        os._exit(0)
    os.waitpid(pid, 0)
    assert undo(space.journal) == undo(space.journal) == ""
    found = tree(small)
    assert found in (before, {"a": "new", "b": "new", "c": "new"})


def test_the_job_itself_may_have_put_its_output_there_before_it_was_lost(tmp_path: Path, space: Workspace) -> None:
    there = tmp_path / "out.txt"
    wanted = command(space, outputs={"out.txt": str(there)})
    write(space, out_dot_txt="first")
    publish(space, wanted, TOKEN, "job-1")
    try:
        os.getxattr(there, "user.packhorse.job")
    except OSError:
        pytest.skip("this file system takes no notes")
    write(space, out_dot_txt="second")
    for mine in ("", "job-2"):
        with pytest.raises(Unfit, match="exists already"):
            publish(space, wanted, TOKEN, "job-2", mine)
    furnish(space, wanted, "job-1")
    publish(space, wanted, TOKEN, "job-1", "job-1")
    assert there.read_text() == "second"


def _die_at(step: int) -> None:
    """End the process in the middle of a step: noted in the journal, and not taken."""
    from packhorse._commands.journal import Journal

    say, count = Journal.say, iter(range(1, 1000))

    def dying(self: Journal, *words: Any) -> None:
        say(self, *words)
        if next(count) == step:
            os._exit(9)

    Journal.say = dying  # type: ignore[method-assign]


def test_a_journal_cut_in_the_middle_of_a_line_is_read(tmp_path: Path, space: Workspace) -> None:
    (tmp_path / "staged").write_text("1")
    Path(space.journal).write_text(json.dumps(["staged", str(tmp_path / "staged")]) + '\n["put", "/x", ')
    assert undo(space.journal) == ""
    assert not (tmp_path / "staged").exists()


def test_the_living_are_left_alone_and_the_dead_are_swept(tmp_path: Path) -> None:
    living, dead = Place(str(tmp_path)), Place(str(tmp_path))
    for place in (living, dead):
        made = place.workspace("job", 1)
        made.make()
        write(made, left="1")
        os.chmod(made.work, 0o500)
    (tmp_path / "somebody's").mkdir()
    os.close(dead._lock)
    assert sweep(str(tmp_path)) == [f"{os.path.basename(dead.path)}.lock"]
    assert os.path.isdir(living.path)
    assert not os.path.exists(dead.path)
    assert sweep(str(tmp_path)) == []
    assert (tmp_path / "somebody's").is_dir()
    living.close()
    assert [each.name for each in tmp_path.iterdir()] == ["somebody's"]


def test_kept_output_goes_when_its_time_is_over(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    over, kept, ever = place.output("a", 1, -1.0), place.output("b", 1, 60.0), place.output("c", 1, None)
    sweep(str(tmp_path))
    assert [os.path.exists(each) for each in (over, kept, ever)] == [False, True, True]
    place.close()


def test_kept_workspaces_go_when_their_time_is_over(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    kept = []
    for seconds in (-1.0, 60.0, None):
        made = place.workspace("job", 1)
        made.make()
        write(made, left="1")
        kept.append(place.keep(made, seconds))
    os.chmod(kept[0], 0o500)
    sweep(str(tmp_path))
    assert [os.path.exists(each) for each in kept] == [False, True, True]
    assert Path(kept[1], "left").read_text() == "1"
    place.close()


def test_an_input_is_a_link_and_writing_through_it_changes_the_source_but_not_of_a_copy(
    tmp_path: Path, space: Workspace
) -> None:
    source = tmp_path / "source.txt"
    source.write_text("as it was")
    furnish(space, Command(steps=(("true",),), inputs={"copied": f"copy:{source}", "linked": str(source)}))
    Path(space.work, "copied").write_text("other")
    assert source.read_text() == "as it was"
    Path(space.work, "linked").write_text("other")
    assert source.read_text() == "other"
