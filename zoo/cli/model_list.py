"""`zoo models`: list the models, or describe some."""

import argparse

from zoo import models
from zoo.cli import common
from zoo.models import ModelCard, ModelSpec

_DESCRIPTION = """List the models of images and those of recordings, or describe some. The latency
is the most that a stream's output lags: the samples of one step, and those the model looks
ahead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description = _DESCRIPTION
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model; all if none is named")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints a table of image models and one of audio models; and the cards of those named."""
    found = [models.model_spec(name) for name in arguments.names or models.list_models()]
    kinds = {spec.name: spec.modality for spec in found}
    tables = []
    for modality, headings, cells in _KINDS:
        rows = [
            (facts.name, f"{models.count_parameters(facts.name):,}", *cells(facts))
            for facts in found
            if facts.modality == modality
        ]
        if rows:
            tables.append(common.table([("model", "parameters", *headings), *rows]))
    if arguments.names:
        headings = ("model", "description", "multiply-adds", "published weights")
        cards = [_card(models.model_card(name), modality) for name, modality in kinds.items()]
        tables.append(common.table([headings, *cards]))
    print("\n\n".join(tables))


def _card(card: ModelCard, modality: str) -> tuple[str, ...]:
    macs = "unknown" if card.macs is None else f"{card.macs:,} a {_UNITS[modality]}"
    source = f"github.com/{card.source} ({card.license})" if card.source else "none"
    return card.name, card.summary, macs, source


def _of_pictures(facts: ModelSpec) -> tuple[str, ...]:
    return (
        "images",
        str(facts.channels),
        "x".join(map(str, facts.size)) if facts.size else "any",
        "yes" if facts.takes_level else "no",
        facts.locality,
    )


def _of_recordings(facts: ModelSpec) -> tuple[str, ...]:
    latency = "whole file"
    if facts.hop:
        latency = f"{1000 * (facts.hop + facts.latency) / facts.sample_rate:g} ms"
    return "recordings", "any", f"{facts.sample_rate} Hz", latency


# What multiply-adds are counted for.
_UNITS = {"image": "pixel", "audio": "second"}
_KINDS = (
    ("image", ("denoises", "channels", "size", "takes level", "locality"), _of_pictures),
    ("audio", ("denoises", "channels", "sample rate", "latency"), _of_recordings),
)
