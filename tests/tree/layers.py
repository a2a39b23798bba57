# SPDX-License-Identifier: MIT
"""Who may include whom. The siblings are strangers, and every foreign API has one home."""
import re

import tree

SIBLINGS = ("stats", "throttle", "bfq_weights", "cgroupfs")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

# A pattern of included names, and the path prefixes it may appear under (tests are free).
HOMES = (
    (r"fuse3?/?.*(fuse|fuse_lowlevel|fuse_opt)\.h$|^fuse_lowlevel\.h$", ("cgroupfs/fuse_",)),
    (r"^liburing(\.h|/)", ("src/data_plane/",)),
    (r"^linux/fuse\.h$", ("src/data_plane/", "src/daemon/", "cgroupfs/fuse_")),
    (r"^boost/asio(\.hpp|/)", ("src/daemon/", "src/control_plane/", "src/blkioctl/")),
    (r"^spdlog/", ("src/",)),
    (r"^CLI/", ("src/daemon/", "src/blkioctl/")),
    (r"^nlohmann/", ("src/daemon/", "src/control_plane/", "src/blkioctl/")),
)


def area(path):
    return path.split("/")[0]


def project_area(included, path):
    """The top directory an include leads to, None if it leaves the project."""
    if included.startswith("blkio/"):
        return "include"
    first = included.split("/")[0]
    if "/" in included and first in SIBLINGS + ("src", "tests"):
        return first
    if "/" in included and first in ("daemon", "control_plane", "data_plane", "blkioctl"):
        return "src"
    if included.startswith("../"):
        return "a relative path"
    return area(path) if "/" not in included else None


def allowed_areas(path):
    here = area(path)
    if here == "include":
        return {"include"}
    if here in SIBLINGS:
        return {here, "include"}
    if here == "src":
        return {"src", "include", *SIBLINGS}
    return {"tests", "src", "include", *SIBLINGS}


def complaints_about(path):
    for included in INCLUDE.findall(tree.text(path)):
        target = project_area(included, path)
        if target and target not in allowed_areas(path):
            yield f"{path}: may not include {included}"
        if area(path) == "tests":
            continue
        for pattern, homes in HOMES:
            if re.search(pattern, included) and not path.startswith(homes):
                yield f"{path}: {included} belongs into {' or '.join(homes)} only"


tree.finish([complaint for path in tree.files(".hpp", ".cpp") for complaint in complaints_about(path)],
            "layers")
