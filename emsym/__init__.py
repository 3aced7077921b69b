"""emsym: does a 2.5D segmentation network treat the slices on either side alike?

Importing this package is quick: torch is imported by what needs it, when it is used.
"""

from typing import TYPE_CHECKING, Any

from emsym.errors import UserError
from emsym.models.architectures import create_model, list_architectures, register_architecture
from emsym.models.inits import list_inits, register_init
from emsym.models.stem.symmetrize import mirror_untie, symmetrize
from emsym.scores.attribution.methods import list_attributions, register_attribution
from emsym.scores.catalogue import ScoredSections, list_scores, register_score
from emsym.scores.faithfulness.metrics import list_metrics, register_metric
from emsym.version import SCORING_VERSION, __version__

if TYPE_CHECKING:
    from emsym.auditing.audit import audit

__all__ = [
    "SCORING_VERSION",
    "ScoredSections",
    "UserError",
    "__version__",
    "audit",
    "create_model",
    "list_architectures",
    "list_attributions",
    "list_inits",
    "list_metrics",
    "list_scores",
    "mirror_untie",
    "register_architecture",
    "register_attribution",
    "register_init",
    "register_metric",
    "register_score",
    "symmetrize",
]


def __getattr__(name: str) -> Any:
    """`audit`, once it is asked for: its module imports torch and more."""
    if name == "audit":
        from emsym.auditing.audit import audit

        return audit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
