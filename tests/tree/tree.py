# SPDX-License-Identifier: MIT
"""What the checks of the source tree share."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77
IGNORED = {".git", "build", "__pycache__"}


def files(*suffixes, below=""):
    """Paths relative to the root, sorted; all files without suffixes given."""
    found = []
    for base, directories, names in os.walk(os.path.join(ROOT, below)):
        directories[:] = sorted(set(directories) - IGNORED)
        found += [os.path.relpath(os.path.join(base, name), ROOT) for name in sorted(names)
                  if not suffixes or name.endswith(suffixes)]
    return found


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def finish(complaints, what):
    """Prints one complaint per line and ends the process."""
    for complaint in complaints:
        print(complaint)
    print(f"{what}: {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)
