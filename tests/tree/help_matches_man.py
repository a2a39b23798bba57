# SPDX-License-Identifier: MIT
"""help_matches_man.py PROGRAM MANPAGE: each option and command of --help has its entry in the manual,
and the manual has no others.

From the help: what starts a line of it, -x, --long and key=, and the names under "Subcommands:", whose
own --help is read too, and that of theirs. From the manual: the tags of its .TP entries.
"""
import os
import re
import subprocess
import sys

OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*|-[A-Za-z])(?![\w-])")
KEY = re.compile(r"^[a-z_]+(?==)")


def words_of(entry):
    """The options or the key that an entry is about."""
    entry = entry.strip()
    key = KEY.match(entry)
    return {key.group() + "="} if key else set(OPTION.findall(entry))


def help_text(program, *command):
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(command)} --help: exit code {done.returncode}")
    return done.stdout


def subcommands(text):
    _, _, listing = text.partition("\nSubcommands:\n")
    return re.findall(r"^  ([a-z]+)(?:\s|$)", listing.split("\n\n")[0], re.MULTILINE)


def in_help(program):
    text = help_text(program)
    commands = subcommands(text)
    words = set(commands)
    pages = [text]
    for command in commands:
        pages.append(help_text(program, command))
        pages += [help_text(program, command, inner) for inner in subcommands(pages[-1])]
    for page in pages:
        for line in page.splitlines():
            if re.match(r"\s{1,4}(-|[a-z_]+=)", line):
                words |= words_of(re.split(r"\s{2,}", line.strip())[0])
    return words, commands


def plain(line):
    """A line of man source without its fonts."""
    macro = re.match(r"\.([BIR]{1,2}) (.*)", line)
    if macro:
        pieces = re.findall(r'"([^"]*)"|(\S+)', macro.group(2))
        joint = " " if len(macro.group(1)) == 1 else ""
        line = joint.join(quoted or bare for quoted, bare in pieces)
    return re.sub(r"\\f[A-Z]", "", line).replace("\\-", "-")


def in_manual(path, commands):
    with open(path, encoding="utf-8") as page:
        lines = page.read().splitlines()
    words = set()
    for mark, tag in zip(lines, lines[1:]):
        if not mark.startswith((".TP", ".TQ")):
            continue
        tag = plain(tag)
        words |= words_of(tag)
        words |= {tag.split()[0]} & set(commands)
    return words


def main():
    program, manual = sys.argv[1:]
    if not os.path.exists(program):
        print(f"skipped: {program} is not built")
        return 77
    documented, commands = in_help(program)
    described = in_manual(manual, commands)
    for word in sorted(documented - described):
        print(f"{manual}: no entry for {word}")
    for word in sorted(described - documented):
        print(f"{program} --help: nothing about {word}")
    if not documented:
        print(f"{program} --help: no options found")
        return 1
    return 1 if documented != described else 0


sys.exit(main())
