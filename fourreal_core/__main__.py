"""The command `fourreal`; `python -m fourreal_core` is the same. What it can do is in commands/."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "batch": "run a workflow on many pairs of videos, on this machine or on a cluster, and write their results and a page",
    "evaluate": "measure grids, alone or beside the true ones, and write tables, pictures and a page",
}


def main(words: list[str] | None = None) -> int:
    """Runs one command. Returns the exit code: 1 after a problem, which is told in one sentence, 130 after Ctrl+C."""
    parser = argparse.ArgumentParser(prog="fourreal", description="4Real-Video on the command line.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = sys.argv[1:] if words is None else words
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        if name in words[:1]:  # others would be imported for nothing
            importlib.import_module(f".commands.{name}", __package__).add_arguments(command)
    arguments = parser.parse_args(words)
    try:
        importlib.import_module(f".commands.{arguments.command}", __package__).run(arguments)
    except (ValueError, OSError) as problem:
        print(f"fourreal {arguments.command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
