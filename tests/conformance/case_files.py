# SPDX-License-Identifier: MIT
"""The cases as they are written: cases/THEME.txt, the format in README.md."""
import collections
import glob
import os
import re

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")
CANNOT = "blkio cannot:"

# words: the verb and its arguments; text: what stands behind the bar, None without one
Step = collections.namedtuple("Step", "place words text")


class Case:
    def __init__(self, theme, title):
        self.title = title
        self.name = theme + "/" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        self.theme = theme
        self.steps = []
        self.blkio_cannot = None  # the reason


def parse_step(line, place):
    command, bar, text = line.partition("|")
    return Step(place, command.split(), text[1:] if bar else None)


def load_theme(path):
    theme = os.path.splitext(os.path.basename(path))[0]
    cases = []
    with open(path, encoding="ascii") as stream:
        for number, line in enumerate(stream, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not line[0].isspace():
                cases.append(Case(theme, line))
            elif line.lstrip().startswith(CANNOT):
                cases[-1].blkio_cannot = line.partition(CANNOT)[2].strip()
            else:
                cases[-1].steps.append(parse_step(line.lstrip(), f"{theme}.txt:{number}"))
    return cases


def load():
    """All cases, in the order of the files."""
    cases = [case for path in sorted(glob.glob(CASES + "/*.txt")) for case in load_theme(path)]
    names = collections.Counter(case.name for case in cases)
    twice = [name for name, count in names.items() if count > 1]
    assert not twice, f"cases of one name: {twice}"
    return cases


def expand(text, values):
    """{NAME} is a value, {blanks:N} and {x:N} are so many of them."""
    def value(match):
        name, _, count = match.group(1).partition(":")
        if count:
            return {"blanks": " "}.get(name, name) * int(count)
        if name not in values:
            raise AssertionError(f"no value {match.group(0)}")
        return str(values[name])

    return re.sub(r"\{([^{}]+)\}", value, text)


def unescape(text):
    r"""\n, \t, \0, \xHH, \\ as in C; the result is bytes."""
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")
