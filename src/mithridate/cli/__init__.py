"""The command line: one file for each verb."""


def main() -> None:
    """Run the command line."""
    from mithridate.cli.program import run

    run()
