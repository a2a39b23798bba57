# SPDX-License-Identifier: MIT
"""Every source file says its licence in its first line (its second after #!)."""
import os

import tree

LINE = "SPDX-License-Identifier: MIT"
SOURCES = (".cpp", ".hpp", ".py", ".sh", ".cmake", "CMakeLists.txt", ".8", ".clang-tidy")


def wanted(path):
    return path.endswith(SOURCES) or tree.text(path).startswith("#!")


def head(path):
    return "\n".join(tree.text(path).splitlines()[:2])


tree.finish([f"{path}: no {LINE} at its top" for path in tree.files()
             if os.path.isfile(os.path.join(tree.ROOT, path)) and wanted(path)
             and LINE not in head(path)], "licences")
