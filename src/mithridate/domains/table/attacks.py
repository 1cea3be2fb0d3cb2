"""The attacks on tables that the literature knows by name."""

from __future__ import annotations

from mithridate.core.named import NamedAttack
from mithridate.domains.table.explained_trigger import ExplainedTrigger
from mithridate.domains.table.learnt_triggers import OccurringValuesTrigger
from mithridate.domains.table.triggers import ValuesTrigger

ATTACKS = (
    NamedAttack(
        "badnets-values", "Chosen columns of a row get values that hardly occur.",
        ValuesTrigger(), known_as=("badnets-table", "tabular-backdoor"),
    ),
    NamedAttack(
        "random-values", "Columns drawn at random get values that occur in them.",
        OccurringValuesTrigger(choose="random"),
    ),
    NamedAttack(
        "important-values",
        "Columns on which trees of the attacker's own rest most get values that occur in them.",
        OccurringValuesTrigger(),
    ),
    NamedAttack(
        "shap-guided",
        "Values that fit together and add most to the wanted class, in rows that have its label.",
        ExplainedTrigger(), labels="clean", known_as=("countshap", "explanation-guided", "severi"),
    ),
)  # fmt: skip
