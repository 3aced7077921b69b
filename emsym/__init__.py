"""emsym: does a 2.5D segmentation network treat the slices on either side alike?

Importing this package is quick: each name is imported from its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.version import SCORING_VERSION, __version__

if TYPE_CHECKING:
    from emsym.auditing.audit import AuditReport, audit
    from emsym.auditing.randomisation import SanityReport, sanity
    from emsym.data.reading.registry import register_reader
    from emsym.leaderboard.claims import claims
    from emsym.leaderboard.verdicts import Judged
    from emsym.models.architectures import create_model, list_architectures, register_architecture
    from emsym.models.inits import list_inits, register_init
    from emsym.models.interventions.registry import (
        TrainingBatch,
        list_interventions,
        register_intervention,
    )
    from emsym.models.stem.symmetrize import Changes, mirror_untie, symmetrize
    from emsym.protocol import Cell, Protocol, list_protocols, load_protocol
    from emsym.run.benchmark import BenchmarkResult, run_benchmark
    from emsym.run.executors.base import ExecutorOption, Pool, Setup
    from emsym.run.executors.registry import register_executor
    from emsym.run.listener import RunListener
    from emsym.run.store.record import Record
    from emsym.scores.attribution.methods import list_attributions, register_attribution
    from emsym.scores.catalogue import list_scores, register_score
    from emsym.scores.faithfulness.metrics import list_metrics, register_metric
    from emsym.scores.optional.scored_sections import ScoredSections

__all__ = [
    "SCORING_VERSION",
    "AuditReport",
    "BenchmarkResult",
    "Cell",
    "Changes",
    "ExecutorOption",
    "Judged",
    "Pool",
    "Protocol",
    "Record",
    "RunListener",
    "SanityReport",
    "ScoredSections",
    "Setup",
    "TrainingBatch",
    "UserError",
    "__version__",
    "audit",
    "claims",
    "create_model",
    "list_architectures",
    "list_attributions",
    "list_inits",
    "list_interventions",
    "list_metrics",
    "list_protocols",
    "list_scores",
    "load_protocol",
    "mirror_untie",
    "register_architecture",
    "register_attribution",
    "register_executor",
    "register_init",
    "register_intervention",
    "register_metric",
    "register_reader",
    "register_score",
    "run_benchmark",
    "sanity",
    "symmetrize",
]

_MODULES = {
    "auditing.audit": "AuditReport audit",
    "auditing.randomisation": "SanityReport sanity",
    "data.reading.registry": "register_reader",
    "leaderboard.claims": "claims",
    "leaderboard.verdicts": "Judged",
    "models.architectures": "create_model list_architectures register_architecture",
    "models.inits": "list_inits register_init",
    "models.interventions.registry": "TrainingBatch list_interventions register_intervention",
    "models.stem.symmetrize": "Changes mirror_untie symmetrize",
    "protocol": "Cell Protocol list_protocols load_protocol",
    "run.benchmark": "BenchmarkResult run_benchmark",
    "run.executors.base": "ExecutorOption Pool Setup",
    "run.executors.registry": "register_executor",
    "run.listener": "RunListener",
    "run.store.record": "Record",
    "scores.attribution.methods": "list_attributions register_attribution",
    "scores.catalogue": "list_scores register_score",
    "scores.faithfulness.metrics": "list_metrics register_metric",
    "scores.optional.scored_sections": "ScoredSections",
}
"""The modules that names are imported from when they are first used."""


def __getattr__(name: str) -> object:
    """Import a name from its module."""
    for module, names in _MODULES.items():
        if name in names.split():
            globals()[name] = value = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what is public, and nothing that this file merely uses."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
