"""Start of the command line: ``compliance-agent`` and ``python -m compliance_agent``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # A dry run proves that it writes nothing; a byte-code cache beside the sources would be a write.
    sys.dont_write_bytecode = True
    from compliance_agent.cli.main import run  # noqa: PLC0415 - after the line above

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
