import runpy
from collections import Counter
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]


@pytest.fixture
def picture():
    pytest.importorskip("tomllib")  # of Python 3.11
    return runpy.run_path(str(ROOT / "docs" / "rooms_picture.py"))


def test_rooms_import_only_what_is_below_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    # It would disable every logger that exists, for the tests that follow.
    monkeypatch.setattr("logging.config.dictConfig", lambda config: None)
    assert lint_imports(no_cache=True) == 0


def test_the_picture_of_the_rooms_is_current(picture):
    assert picture["PICTURE"].read_text() == picture["render"]()


def test_the_page_names_every_room(picture):
    page = (ROOT / "docs" / "architecture.md").read_text()
    for room in {room for layer in picture["layers"]() for room in layer} - {"_version"}:
        assert f"`{room}`" in page, room


def test_few_files_lie_beside_the_rooms():
    assert len(list((ROOT / "compactflow").glob("*.py"))) <= 12


def test_tests_mirror_the_rooms():
    for folder in (path for path in (ROOT / "tests").iterdir() if path.is_dir()):
        if folder.name not in ("data", "__pycache__"):
            assert (ROOT / "compactflow" / folder.name / "__init__.py").exists(), folder.name


def test_no_two_files_of_tests_have_one_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
