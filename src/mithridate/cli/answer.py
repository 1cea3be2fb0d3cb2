"""What a scan says on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from mithridate.cli.answer_power import print_power
from mithridate.cli.terminal import grid, note, say, show
from mithridate.core.data import Dataset
from mithridate.domains.formats import Source
from mithridate.pipelines.advice import trusted_needed
from mithridate.pipelines.finding import ClassFinding, DataScan
from mithridate.pipelines.naming import DOUBT
from mithridate.pipelines.scan import DataScanner
from mithridate.report.overlapping import checked_first
from mithridate.report.quoting import shorten, spell_invisible
from mithridate.report.record import clean_expected
from mithridate.report.signs import in_words
from mithridate.stats.enrichment import fewest_permutations

SIGNS = 5
"""Signs on the terminal; the report holds more."""

FEATURES = 6
"""Features on the terminal; the report holds more."""

ROWS = 12
"""Classes in the table on the terminal; the report holds all."""


def print_read(source: Source, data: Dataset, trusted: Dataset | None) -> None:
    """Describe the data."""
    shape = ""
    if isinstance(data.inputs, torch.Tensor):
        shape = f", {data.inputs.dtype} {'x'.join(map(str, data.inputs.shape[1:]))}"
    of = f" of {len(source.names):,}" if len(data) < len(source.names) else ""
    note(
        f"read {len(data):,}{of} suspect examples ({source.domain.name}, {source.format}{shape}), "
        f"{len(data.classes)} classes; trusted examples: {len(trusted) if trusted else 0:,}"
    )
    print_decisions(source)


def print_decisions(source: Source) -> None:
    """Say what reading decided, left out and passed over."""
    for words in source.notes:
        note(f"note: {spell_invisible(words)}")
    if source.rejected:
        first = source.rejected[0]
        note(
            f"left out {len(source.rejected)} broken examples; the first: "
            f"{spell_invisible(first.name)}: {spell_invisible(first.reason)}"
        )
    if source.skipped:
        note(f"passed over {len(source.skipped)} files that are no data by their names")


def print_left_out(reasons: Mapping[str, str]) -> None:
    """Say which detectors that were asked for cannot judge such data."""
    for name, why in reasons.items():
        note(f"left out {name}: {why}")


def print_look(quick: DataScan, data: Dataset, trusted: int) -> None:
    """Say what simple features show, before a network is trained."""
    p_value = quick.verdict.p_value
    known = "a ranking, without trusted examples" if p_value is None else f"p = {p_value:.4g}"
    note(f"quick look at simple features ({quick.cost['seconds']:.1f} s, no network): {known}")
    if not quick.signs:
        note("no feature goes with a label although the rest of its carriers speaks for another")
    for sign in quick.signs[:SIGNS]:
        note(f"  {in_words(sign, data, trusted)}")


def print_verdict(result: DataScan, data: Dataset, names: Sequence[str]) -> None:
    """Print the verdict, what was checked before it, and the classes behind it."""
    for sentence in checked_first(result, names):
        say(f"note: {spell_invisible(sentence)}")
    verdict = result.verdict
    chance = (
        "" if verdict.p_value is None else f" (p = {verdict.p_value:.4g}, level {verdict.level:g})"
    )
    say(f"\nVerdict: {verdict.answer.upper()}{chance}")
    if verdict.answer == "flagged":
        say(_named(result, len(data)))
    elif verdict.why:
        say(f"{spell_invisible(verdict.why)}")
    if result.power is not None:
        print_power(result.power)
    if verdict.p_value is not None:
        _classes(result.classes)


def print_strongest(result: DataScan, data: Dataset) -> None:
    """Print the strongest features, where they were measured."""
    if result.strongest is None or not result.strongest.features:
        return
    say(
        f"\nStrongest features, by {result.strongest.trainings} trainings on subsets; they are "
        "features and no verdicts:"
    )
    table = grid("class", "members", "worth of one more", "95 % interval", "stands out by")
    for each in result.strongest.features[:FEATURES]:
        low, high = each.interval
        table.add_row(
            shorten(spell_invisible(data.classes[each.label]), 40), f"{each.size:,}",
            f"{each.slope:.3f}", f"{low:.3f} to {high:.3f}", f"{each.excess:.1f}",
        )  # fmt: skip
    show(table)


def _named(result: DataScan, n: int) -> str:
    """Say how many are named and how many of these are clean, on average and at most."""
    named, naming = int(result.flagged.sum()), result.naming
    told = f"{named:,} of {n:,} examples are named"
    if naming is None or not named:
        bounded = naming is not None and naming.bounded
        return f"{told}{_wanted(naming.needed) if naming is not None and bounded else ''}"
    sure = f"with {1 - DOUBT:.0%} confidence at most {naming.clean_at_most:,} are"
    if naming.clean_at_most >= named:
        sure = f"with {1 - DOUBT:.0%} confidence no more can be said than that all may be"
    if naming.bounded:
        return f"{told}; {sure} clean"
    return f"{told}; expect up to {clean_expected(result):,} of them to be clean, and {sure}"


def _wanted(needed: int | None) -> str:
    """Say what a list that keeps the bound would take."""
    if needed is None:
        return ": for a list that keeps --fdr-bound the evidence is too weak"
    return (
        f": a list that keeps --fdr-bound takes about {needed:,} trusted examples of the class "
        "with the smallest p"
    )


def _classes(classes: Sequence[ClassFinding]) -> None:
    """Print the classes, those first that hold most evidence."""
    ranked = sorted((c for c in classes if c.suspects), key=lambda c: (_smallest(c), -c.flagged))
    table = grid("class", "suspect", "trusted", "p", "named", "led by", "sees from")
    for finding in ranked[:ROWS]:
        table.add_row(
            shorten(spell_invisible(finding.name), 40),
            f"{finding.suspects:,}",
            f"{finding.trusted:,}",
            f"{_smallest(finding):.4g}",
            f"{finding.flagged:,}",
            finding.by or "-",
            "never" if finding.visible is None else f"{finding.visible:,}",
        )
    show(table)
    if len(ranked) > ROWS:
        say(f"and {len(ranked) - ROWS} more classes, in the report")
    say("sees from: so many poisoned examples in the class would have been seen, ranked perfectly")


def _smallest(finding: ClassFinding) -> float:
    """The smallest p-value in a class."""
    return min(finding.p_values.values(), default=1.0)


def print_needed(result: DataScan, data: Dataset, scanner: DataScanner, seed: int) -> None:
    """Say how many trusted examples would let this scan answer."""
    rankings = max(1, len(result.judged))
    if scanner.permutations < fewest_permutations(scanner.level):
        return  # no number of examples helps, and the verdict says what does
    needed, share = trusted_needed(data, rankings, scanner.smallest, scanner.level, seed)
    asked = f"a backdoor of {scanner.smallest:.1%} of the data (--smallest {scanner.smallest:g})"
    if needed is None:
        larger = math.ceil(1000 * share) / 1000 if share < 1 else None
        how = f"ask for a larger one, --smallest {larger:g}" if larger else "get more data"
        say(f"No number of trusted examples would be enough to rule out {asked}: {how}.")
        return
    say(
        f"To rule out {asked}, a scan needs about {needed:,} trusted examples, drawn like the "
        "suspects, and every class among them."
    )


def print_places(files: Sequence[Path]) -> None:
    """Name what was written."""
    say("")
    for path in files:
        say(f"wrote {spell_invisible(str(path))}")
