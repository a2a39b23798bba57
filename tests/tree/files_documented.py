# SPDX-License-Identifier: MIT
"""Every file of the file table is a row of docs/files.md, and every row there is a file of the table.

A name is what stands in double quotes in cgroupfs/file_table.cpp, and in back quotes in the first
column of a table of the document, where {a,b} stands for either.
"""
import itertools
import re

import tree

NAME = r"(?:blkio\.|cgroup\.)[a-z_.]+|tasks|notify_on_release|release_agent"


def spelled_out(name):
    """blkio.{read,write}_bps -> blkio.read_bps, blkio.write_bps."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", name)]
    return {"".join(choice) for choice in itertools.product(*pieces)}


def documented():
    found = set()
    for line in tree.text("docs/files.md").splitlines():
        if line.startswith("| `"):
            for name in re.findall(r"`([^`]+)`", line.split("|")[1]):
                found |= {file for file in spelled_out(name) if re.fullmatch(NAME, file)}
    return found


in_table = set(re.findall(rf'"({NAME})"', tree.text("cgroupfs/file_table.cpp")))
in_document = documented()
tree.finish([f"docs/files.md: {name} is missing" for name in sorted(in_table - in_document)]
            + [f"docs/files.md: {name} is no file" for name in sorted(in_document - in_table)]
            + ([] if in_table else ["cgroupfs/file_table.cpp: no file names found"]),
            f"{len(in_table)} files")
