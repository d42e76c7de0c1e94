"""report.html of a replay: one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from schemas.identifiers import model_key
from streams.replay import pictures
from streams.replay.compare import Difference, Rate
from streams.replay.moved import moved_features
from streams.replay.run import Replayed

_FOLDER = Path(__file__).parent


def write_report(path: Path, replayed: Replayed, rates: Sequence[Rate], changed: Sequence[Difference]) -> None:
    """Write the report.

    Parameters
    ----------
    path
        Of the page.
    replayed
        What came of the replay.
    rates
        Of a shuffled one; else empty.
    changed
        What differs under another configuration.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html", "j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results = replayed.results
    windows = sorted((w for w in results.windows if not w.details), key=lambda w: (w.window_start, w.kind))
    alerts = results.fired()
    spec = replayed.configuration.spec
    key = model_key(spec.environment, spec.model_name)
    figures = [
        (
            "Monitors",
            "Value by window; the band is its 95 % interval, the dashed line the reference. Below it the evidence, and"
            " what alone raises an alarm. Shaded: alerts in force.",
            pictures.metrics(windows, alerts),
        ),
        ("Features", "", pictures.features(windows)),
        (
            "What moved",
            "Shares of the reference, and of the windows from each feature's first drift on.",
            pictures.distributions(moved_features(results, replayed.days, replayed.control, key)),
        ),
        ("Labels", "", pictures.coverage(windows)),
    ]
    page = environment.get_template("report.html.j2").render(
        spec=spec,
        alerts=alerts,
        n_windows=len(windows),
        days=replayed.span.total_seconds() / 86_400,
        reference=replayed.reference,
        dead=results.dead_reasons,
        rates=rates,
        changed=changed,
        figures=[(title, words, Markup(svg)) for title, words, svg in figures],  # noqa: S704 - drawn by ourselves
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
