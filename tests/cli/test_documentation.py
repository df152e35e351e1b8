"""docs/program.md names every setting of `osc train` with its default."""

import re

from conftest import ROOT


def test_the_settings_are_those_of_the_program(succeed):
    page = (ROOT / "docs/program.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z0-9-]+)` \| `([^`]+)` \|", page, re.MULTILINE))
    text = succeed("train", "--help")
    in_program = dict(re.findall(r"^ +--([a-z0-9-]+) [^\n]*\[([^\[\]]+)\]$", text, re.MULTILINE))
    assert len(in_program) > 30 and documented == in_program
