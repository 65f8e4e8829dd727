"""Writes the table of settings into settings.md: ``python docs/settings_table.py``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from compactflow.detector.presets import PRESETS, Preset
from compactflow.plugins import registry

PAGE = Path(__file__).with_name("settings.md")
START, END = "<!-- table -->\n", "<!-- end of table -->\n"

_HEAD = '| argument | default | `preset="paper"` | of the class |\n| --- | --- | --- | --- |\n'
_OPTIONS = {"backbone_options": "backbone", "push_options": "push"}


def render() -> str:
    """The table, in Markdown: a line for each argument and each option that a preset decides."""
    lines = [_line(*cells) for cells in (*_arguments(), *_options())]
    return _HEAD + "".join(lines)


def _arguments() -> Iterator[tuple[str, object, object, object]]:
    default, paper = PRESETS[None], PRESETS["paper"]
    for field in fields(Preset):
        if field.name in _OPTIONS or field.name == "learning_rates":
            continue
        values = [getattr(preset, field.name) for preset in (default, paper)]
        yield (field.name, *values, "")
        if field.name == "learning_rate":
            for name in sorted({**default.learning_rates, **paper.learning_rates}):
                rates = [
                    preset.learning_rates.get(name, preset.learning_rate)
                    for preset in (default, paper)
                ]
                yield (f"learning_rate with {name}", *rates, "")


def _options() -> Iterator[tuple[str, object, object, object]]:
    for argument, kind in _OPTIONS.items():
        chosen = [getattr(PRESETS[name], argument) for name in (None, "paper")]
        for name in sorted({**chosen[0], **chosen[1]}):
            for parameter in inspect.signature(registry.load(kind, name)).parameters.values():
                if parameter.kind is parameter.KEYWORD_ONLY:
                    values = [
                        preset.get(name, {}).get(parameter.name, parameter.default)
                        for preset in chosen
                    ]
                    yield (f"{argument} of {name}: {parameter.name}", *values, parameter.default)


def _line(argument: str, *values: object) -> str:
    cells = ["" if value == "" else f"`{value!r}`" for value in values]
    return f"| {argument} | {' | '.join(cells)} |\n"


def main() -> None:
    """Put the present table in its place."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + START + render() + END + after)


if __name__ == "__main__":
    main()
