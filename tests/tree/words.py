# SPDX-License-Identifier: MIT
"""The tree speaks of the project, not of the place or the moment it was written at."""
import re

import tree

UNWANTED = re.compile(
    r"/work/|/tmp/w/|\bshared/(?:design|spec|oracle)\b|\bseeds?/\d|\bissue #?\d+\b|(?<![-\w])spec(?:ification)?s?/"
    r"|\b(?:TODO|FIXME|XXX|HACK)\b|\bclaude\b|\bas discussed\b", re.IGNORECASE)


def complaints_about(path):
    for number, line in enumerate(tree.text(path).splitlines(), 1):
        found = UNWANTED.search(line)
        if found:
            yield f"{path}:{number}: {found.group(0)!r}"


tree.finish([complaint for path in tree.files() if path != "tests/tree/words.py"
             for complaint in complaints_about(path)], "words")
