"""The command line: a file for the flags of each verb; its work is in `work`, in the same name."""


def main() -> None:
    """Run the command line."""
    from mithridate.cli.program import run

    run()
