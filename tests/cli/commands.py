"""What tests of commands say and expect."""

from compactflow.cli import main

STEPS = ["--max-steps", "3", "--batch-size", "32"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(arguments, capsys, folder, *said):
    """Run a command that must be refused, with one line and no trace on disk."""
    before = contents(folder)
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    for words in said:
        assert words in captured.err
    assert contents(folder) == before
