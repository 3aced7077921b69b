"""`list`: the names that may be used."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import PLUGIN
from emsym.errors import UserError

KINDS = (
    "datasets",
    "architectures",
    "encoders",
    "inits",
    "interventions",
    "attributions",
    "metrics",
    "scores",
    "executors",
    "protocols",
)
MORE = "Any other encoder of timm may follow after 'tu-'"


@cloup.command(
    "list",
    epilog=examples(
        "emsym-bench list inits",
        "emsym-bench list architectures 'unet-*'",
        "emsym-bench list encoders tu-convnext_tiny",
    ),
)
@click.argument("what", type=click.Choice(KINDS), metavar="WHAT")
@click.argument("pattern", required=False)
@PLUGIN
@JSON
def list_(what: str, pattern: str | None, plugins: tuple[Path, ...], as_json: bool) -> None:
    """Names that may be used, all or those like PATTERN.

    WHAT is datasets, architectures, encoders, inits, interventions, attributions, metrics, scores,
    executors or protocols. Quote a PATTERN with a star: 'unet-*'.
    """
    from emsym.models.encoders import describe_encoder, encoders

    rows = [row for row in _named(what, pattern) if fnmatch(row[0], pattern or "*")]
    if not rows:
        more = "; put stars around a part of a name, in quotes: '*convnext*'"
        if what in ("architectures", "encoders"):
            more += f". {MORE}"
        raise UserError(f"None of the {what} matches '{pattern}'{more}.")
    one = encoders()[rows[0][0]] if what == "encoders" and len(rows) == 1 else None
    if as_json:
        names = [{"name": name, "summary": summary.strip()} for name, summary in rows]
        return print_json({"what": what, "names": names, **({"encoder": one} if one else {})})
    if one is not None:
        return click.echo(describe_encoder(one))
    width = max(len(name) for name, _ in rows) + 2
    for name, summary in rows:
        click.echo(f"{name:<{width}}{summary}".rstrip())
    if note := _note(what, pattern):
        click.echo(note)
    return None


def _named(what: str, pattern: str | None) -> list[tuple[str, str]]:
    """Names and what is said of each; architectures by decoder where none is asked for."""
    from emsym.data.cards import list_cards, load_card
    from emsym.models.architectures import ARCHITECTURES
    from emsym.models.encoders import DECODERS, encoder_summaries, encoders
    from emsym.models.inits import INITS
    from emsym.models.interventions.registry import INTERVENTIONS, order_of_action
    from emsym.protocol import list_protocols, load_protocol
    from emsym.registry import Registry
    from emsym.run.executors.registry import EXECUTORS
    from emsym.scores.attribution.methods import ATTRIBUTIONS
    from emsym.scores.catalogue import SCORES
    from emsym.scores.faithfulness.metrics import METRICS

    if what == "datasets":
        return [
            (card.name, card.title)
            for name in list_cards()
            for card in load_card(name).single_task_cards()
        ]
    if what == "protocols":
        return [(name, load_protocol(name).description) for name in list_protocols()]
    if what == "encoders":
        return encoder_summaries()
    if what == "interventions":
        names = order_of_action(INTERVENTIONS.names())
        return [(n, f"{INTERVENTIONS.get(n).when}: {INTERVENTIONS.summary(n)}") for n in names]
    registries: dict[str, Registry] = {
        "attributions": ATTRIBUTIONS,
        "metrics": METRICS,
        "scores": SCORES,
        "executors": EXECUTORS,
        "inits": INITS,
    }
    if registry := registries.get(what):
        return [(name, registry.summary(name)) for name in registry.names()]
    if pattern is not None:
        return [(name, ARCHITECTURES.summary(name)) for name in ARCHITECTURES.names()]
    counts = [(d, sum(d in encoder.decoders for encoder in encoders().values())) for d in DECODERS]
    tried = {f"{d}-{name}" for name, encoder in encoders().items() for d in encoder.decoders}
    own = [name for name in ARCHITECTURES.names() if name not in tried]
    return [
        *((f"{decoder}-ENCODER", f"{count} encoders were tried") for decoder, count in counts),
        *((name, ARCHITECTURES.summary(name)) for name in own),
    ]


def _note(what: str, pattern: str | None) -> str:
    """Say what else may be used, or asked."""
    if what == "architectures":
        more = "" if pattern else " `list architectures 'unet-*'` names those that were tried."
        return f"{MORE}.{more}"
    if what == "encoders":
        return "`list encoders NAME` tells all of one: its decoders, and why it was refused."
    if what == "attributions" and pattern is None:
        return "And slice-shapley: exact Shapley values of the slices, one number each and no map."
    if what == "inits" and pattern is None:
        return "Interventions go with any of them: uniform-green+mirror-tied. `list interventions`"
    return ""
