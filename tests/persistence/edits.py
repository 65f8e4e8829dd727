"""Models as they are in a file, changed."""

from compactflow.persistence import archive
from compactflow.persistence.migrations import VERSION


def edit(model, change):
    """Change a model's content, and seal it as `save` would."""
    _, content = archive.read(model, "model")
    change(content)
    archive.write(model, "model", VERSION, content)


def put(value, *keys, new=False):
    """A change that puts a value where the keys lead, in place of another unless it is new."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        assert (keys[-1] in content) != new, keys
        content[keys[-1]] = value

    return change
