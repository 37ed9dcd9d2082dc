"""What is in the wheel, and that it runs where nothing else is installed."""

import importlib.metadata
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
NEEDED = ("click", "cronsim")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


def build(out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel and its two dependencies, taken from here: nothing is downloaded."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    for name in NEEDED:
        copy_distribution(name, site_packages(python))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--quiet", str(wheel)]
    subprocess.run(install, check=True, timeout=110)
    return python


def site_packages(python: Path) -> Path:
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=30).stdout.strip())


def copy_distribution(name: str, target: Path) -> None:
    distribution = importlib.metadata.distribution(name)
    for file in distribution.files or []:
        if file.parts[0] != ".." and "__pycache__" not in file.parts:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(Path(file.locate()).read_bytes())


def run(python: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PACKHORSE"))}
    env["PACKHORSE_URL"] = "sqlite:///jobs.db"
    return subprocess.run([python, *words], capture_output=True, text=True, timeout=60, cwd=cwd, env=env)


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
    ).stdout.splitlines()  # fmt: skip
    expected = {name.removeprefix("src/") for name in listed if (ROOT / name).exists()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert "packhorse/py.typed" in packed
    assert any(name.endswith(".sql") for name in packed)


def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_two_builds_are_equal(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_it_needs_click_and_cronsim_and_caps_neither(wheel: Path) -> None:
    requirements = importlib.metadata.PathDistribution(zipfile.Path(wheel, dist_info(wheel))).requires or []
    plain = [requirement for requirement in requirements if "extra ==" not in requirement]
    assert sorted(requirement.split(">")[0] for requirement in plain) == list(NEEDED)
    assert [requirement for requirement in plain if "<" in requirement or "==" in requirement] == []


def dist_info(wheel: Path) -> str:
    return next(name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name).split("/")[0] + "/"


def test_no_person_is_named(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(dist_info(wheel) + "METADATA").decode()
    header = text.split("\n\n")[0]
    assert "Author: The Packhorse contributors" in header
    assert "@" not in header
    assert "Home-page" not in header


def test_it_runs_with_its_two_dependencies_alone(bare_python: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def add(x: int, y: int) -> int:\n    return x + y\n", encoding="utf-8")
    (tmp_path / "give.py").write_text(
        "import packhorse, tasks\nprint(packhorse.Queue().enqueue(tasks.add, 2, 3).id)\n",
        encoding="utf-8",
    )
    given = run(bare_python, "give.py", cwd=tmp_path)
    assert (given.returncode, given.stderr) == (0, "")
    worker = run(bare_python, "-m", "packhorse", "worker", "tasks", "--burst", cwd=tmp_path)
    assert worker.returncode == 0, worker.stderr
    shown = run(bare_python, "-m", "packhorse", "jobs", "list", "--json", cwd=tmp_path)
    assert '"succeeded"' in shown.stdout, shown.stdout + shown.stderr


def test_both_ways_to_call_it_are_the_same(bare_python: Path, tmp_path: Path) -> None:
    script = run(bare_python.parent / "packhorse", "--help", cwd=tmp_path)
    module = run(bare_python, "-m", "packhorse", "--help", cwd=tmp_path)
    assert script.returncode == 0
    assert module.stdout == script.stdout
