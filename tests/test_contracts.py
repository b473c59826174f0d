"""The import contracts are exhaustive: a module that no contract names fails the check."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(
    folder.parent.relative_to(ROOT)
    for folder in (ROOT / "appliance").rglob("__init__.py")
    if folder.parent.name != "versions"  # the database's migrations, which alembic orders
)


def _copy_modules(directory: Path) -> None:
    """Copy every module, and no folder without one: after a move, those of an old checkout still hold bytecode."""
    for module in (ROOT / "appliance").rglob("*.py"):
        copy = directory / module.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, copy)


def _lint(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_file_in_any_package_fails_the_check_and_so_does_an_import_that_points_up(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    _copy_modules(tmp_path)
    assert _lint(tmp_path).returncode == 0
    for package in PACKAGES:
        (tmp_path / package / "stray.py").write_text('"""A module that no contract names."""\n')
    (tmp_path / "appliance" / "live" / "ports.py").write_text("import appliance.live.session\n")

    checked = _lint(tmp_path)

    assert checked.returncode == 1
    refused = set(
        re.findall(r"^- ?(appliance[\w.]*\.stray)$|^.*?\b(appliance[\w.]*\.stray)\b", checked.stdout, re.MULTILINE)
    )
    named = {name for pair in refused for name in pair if name}
    assert named == {f"{'.'.join(package.parts)}.stray" for package in PACKAGES}
    assert "appliance.live.ports is not allowed to import appliance.live.session" in checked.stdout


def test_no_test_module_imports_another() -> None:
    """Shared helpers live beside the tests, or in tests/support."""
    imports = re.compile(r"^(?:from|import) tests[\w.]*\.test_\w+|^from tests[\w.]* import .*\btest_\w+", re.MULTILINE)
    files = (ROOT / "tests").rglob("*.py")
    assert {file.name: found for file in files if (found := imports.findall(file.read_text(encoding="utf-8")))} == {}
