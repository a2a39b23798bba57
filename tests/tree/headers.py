# SPDX-License-Identifier: MIT
"""headers.py CXX [FLAG...]: every header compiles alone, and has its #pragma once."""
import concurrent.futures
import os
import subprocess
import sys

import tree

COMMAND = sys.argv[1:] + ["-std=c++20", "-fsyntax-only", "-Wall", "-x", "c++", "-I.", "-Iinclude",
                          "-Isrc", "-Isrc/data_plane", "-Itests", "-include"]


def complaint(path):
    if "#pragma once" not in tree.text(path):
        return f"{path}: no #pragma once"
    done = subprocess.run([*COMMAND, path, os.devnull], cwd=tree.ROOT, capture_output=True, text=True)
    return f"{path}: does not compile alone\n{done.stderr[:2000]}" if done.returncode else None


with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    found = list(pool.map(complaint, tree.files(".hpp")))
tree.finish([text for text in found if text], f"{len(found)} headers")
