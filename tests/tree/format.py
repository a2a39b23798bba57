# SPDX-License-Identifier: MIT
"""clang-format has nothing to change in the C++ sources."""
import re
import shutil
import subprocess
import sys

import tree

if not shutil.which("clang-format"):
    print("skipped: clang-format is not installed")
    sys.exit(tree.SKIPPED)
done = subprocess.run(["clang-format", "--dry-run", *tree.files(".hpp", ".cpp")], cwd=tree.ROOT,
                      capture_output=True, text=True)
ugly = sorted(set(re.findall(r"^(\S+?):\d+:\d+: warning", done.stderr, re.MULTILINE)))
if done.returncode and not ugly:
    sys.exit(done.stderr)
tree.finish([f"{path}: run clang-format -i on it" for path in ugly], "format")
