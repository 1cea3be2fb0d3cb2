"""What a scan that found nothing says once it is known what it would have missed."""

from __future__ import annotations

from dataclasses import replace

from mithridate.core.spelling import option
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.planted import Power, Powers

HELP = "more trusted examples, a longer training or more examples help"


def unmeasured(why: str) -> str:
    """Say that nobody knows what was missed."""
    return f"what this scan would have missed was not measured: {why}"


def skipped() -> str:
    """Say that nothing was planted because nobody asked for it."""
    return unmeasured(f"{option('power', 0)} plants nothing")


def earned(scan: DataScan, powers: Powers) -> DataScan:
    """Add what was measured to the answer of a scan that found nothing.

    "Clean" stays where of at least one kind enough was found at the amount that was asked for, and
    then names what would have been missed. It stays too where no network could be asked about
    copies, since then nobody knows how much more the whole scan sees. P-values stay as they are.
    """
    verdict = scan.verdict
    if powers.why_not:
        verdict = replace(verdict, why=joined(verdict.why, unmeasured(powers.why_not)))
    elif verdict.answer == "clean" and powers.is_blind and powers.copies:
        verdict = replace(verdict, answer="cannot judge", why=too_blind(powers))
    else:
        verdict = replace(verdict, why=joined(verdict.why, missed(powers)))
    return replace(scan, verdict=verdict, power=powers)


def joined(first: str, second: str) -> str:
    """Put two sentences without stops after each other."""
    return f"{first}. {second[:1].upper()}{second[1:]}" if first else second


def too_blind(powers: Powers) -> str:
    """Say why a scan that found nothing says nothing."""
    asked = [each for each in powers.measured if each.amount == powers.asked]
    return (
        f"nothing was found, but of planted backdoors of {powers.asked.told()} in one class too "
        f"few were found: {'; '.join(map(told, asked))}. {_enough(powers)}: {HELP}, or a larger "
        f"backdoor is asked for ({option('smallest')})"
    )


def _enough(powers: Powers) -> str:
    wanted = option("enough", f"{powers.enough:g}")
    return f"Of at least one kind {powers.enough:.0%} was asked for ({wanted})"


def missed(powers: Powers) -> str:
    """Say of what too few were found, or that nothing of what was planted was missed that often."""
    few = [each for each in powers.missed if each.of]
    unseen = {each.amount: each for each in powers.missed if not each.of}
    parts = []
    if few:
        listed = "; ".join(map(told, few))
        parts.append(
            f"of these planted backdoors less than {powers.enough:.0%} were found: {listed}"
        )
    if unseen:
        listed = " or ".join(f"{each.amount.told()} ({carried(each)})" for each in unseen.values())
        parts.append(f"backdoors on {listed} are too few to be seen, of whatever kind")
    if not parts:
        return f"of every kind of backdoor that was planted {powers.enough:.0%} or more was found"
    return ". ".join(part[:1].upper() * bool(k) + part[bool(k) :] for k, part in enumerate(parts))


def carried(power: Power) -> str:
    """Say how many examples carry a backdoor."""
    return f"{power.carriers} {'example' if power.most == 1 else 'examples'}"


def told(power: Power) -> str:
    """Say what was planted and found: "patch on 3 % of a class (5 examples), found in 4 of 4"."""
    score = f"found in {power.score}" if power.of else "too few to be seen"
    return f"{power.kind} on {power.amount.told()} ({carried(power)}), {score}"
