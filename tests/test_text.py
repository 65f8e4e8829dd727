import json

import pytest

from compactflow.cli.app import _say
from compactflow.cli.output import print_json, print_line, printable

STEERING = ["\x1b[2J", "\x07", "\r", "\x7f", "\x9b2J", "\u202e", "\u200b", "\u2028", "\ud800"]


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_a_terminal_is_shown_as_an_escape(text, capsys):
    shown = printable(f"pump {text}")
    assert text[0] not in shown
    assert "\\" in shown
    assert shown.isprintable()
    print_line("model", f"pump {text}")
    _say("error", f"pump{text}!")
    print_json({"model": text})
    captured = capsys.readouterr()
    assert text[0] not in captured.out.replace("\r\n", "\n") + captured.err
    assert json.loads(captured.out.partition("\n")[2]) == {"model": text}


@pytest.mark.parametrize(
    "text", ["flow [m³/h]", "温度", "دما\u200cسنج", "👩\u200d🔬", "C:\\new", "e\u0301"]
)
def test_text_of_any_script_stays_as_it_is(text):
    assert printable(text) == text
