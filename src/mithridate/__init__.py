"""Mithridate: backdoor attacks and defences whose numbers can be believed.

Names are imported when they are asked for, so that `import mithridate` costs nothing.
"""

from typing import TYPE_CHECKING

from mithridate.core.lazily import named

if TYPE_CHECKING:
    from mithridate.attacks.named import named_attack as named_attack
    from mithridate.attacks.on_data import poison as poison
    from mithridate.core.data import Dataset as Dataset
    from mithridate.core.data import dataset as dataset
    from mithridate.core.fast import FastTraining as FastTraining
    from mithridate.core.fit import TrainingConfig as TrainingConfig
    from mithridate.core.registry import find as find
    from mithridate.core.registry import find_attacks as find_attacks
    from mithridate.core.registry import get as get
    from mithridate.core.runtime import Runtime as Runtime
    from mithridate.core.streams import stream as stream
    from mithridate.core.view import View as View
    from mithridate.domains.catalogue import load_named as load_named
    from mithridate.domains.formats import Source as Source
    from mithridate.domains.formats import read as read
    from mithridate.pipelines.filtered import Filtered as Filtered
    from mithridate.pipelines.front import guard as guard
    from mithridate.pipelines.front import repair as repair
    from mithridate.pipelines.front import scan_data as scan_data
    from mithridate.pipelines.front import scan_model as scan_model
    from mithridate.pipelines.front import split as split
    from mithridate.pipelines.front import train as train
    from mithridate.pipelines.given_features import scan_features as scan_features
    from mithridate.pipelines.guarded import Guarded as Guarded
    from mithridate.pipelines.model_scan import ModelScanner as ModelScanner
    from mithridate.pipelines.scan import DataScanner as DataScanner
    from mithridate.report.page import write_report as write_report

__version__ = "0.1.0"

HOMES = {
    "Dataset": "mithridate.core.data",
    "DataScanner": "mithridate.pipelines.scan",
    "FastTraining": "mithridate.core.fast",
    "Filtered": "mithridate.pipelines.filtered",
    "Guarded": "mithridate.pipelines.guarded",
    "ModelScanner": "mithridate.pipelines.model_scan",
    "Runtime": "mithridate.core.runtime",
    "Source": "mithridate.domains.formats",
    "TrainingConfig": "mithridate.core.fit",
    "View": "mithridate.core.view",
    "dataset": "mithridate.core.data",
    "find": "mithridate.core.registry",
    "find_attacks": "mithridate.core.registry",
    "get": "mithridate.core.registry",
    "guard": "mithridate.pipelines.front",
    "load_named": "mithridate.domains.catalogue",
    "named_attack": "mithridate.attacks.named",
    "poison": "mithridate.attacks.on_data",
    "read": "mithridate.domains.formats",
    "repair": "mithridate.pipelines.front",
    "scan_data": "mithridate.pipelines.front",
    "scan_features": "mithridate.pipelines.given_features",
    "scan_model": "mithridate.pipelines.front",
    "split": "mithridate.pipelines.front",
    "stream": "mithridate.core.streams",
    "train": "mithridate.pipelines.front",
    "write_report": "mithridate.report.page",
}
"""The module of each name of the library that a user needs; a test holds it to the list above."""

__all__ = ["__version__", *HOMES]

__getattr__, __dir__ = named("mithridate", HOMES)
