"""`replay`: recorded data, without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schemas.models import TaskKind
from streams.cli.groups import app
from streams.commands.options import Json


@app.command(epilog="Example: plumbline replay rows.csv --timestamp at --prediction predicted --label actual")
def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or JSON lines; or dumps of the topics.")],
    timestamp: Annotated[str | None, typer.Option(help="Column: time of the prediction.")] = None,
    id_: Annotated[str, typer.Option("--id", help="Column: the prediction's id; the row's number by default.")] = "",
    features: Annotated[str, typer.Option(help="Columns, with commas; all that are nothing else by default.")] = "",
    prediction: Annotated[str, typer.Option(help="Column: the predicted class or value.")] = "",
    score: Annotated[str, typer.Option(help="Column: score of the positive class, 0 to 1.")] = "",
    label: Annotated[str, typer.Option(help="Column: the actual class or value.")] = "",
    label_timestamp: Annotated[str, typer.Option(help="Column: when it was known; at once by default.")] = "",
    segment: Annotated[list[str] | None, typer.Option(help="Column to watch value by value; repeat for more.")] = None,
    model_version: Annotated[str, typer.Option(help="Column: the version that predicted.")] = "",
    labels: Annotated[list[Path] | None, typer.Option(help="File of labels, with --id; repeat for more.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="column=numeric|categorical; repeat for more.")] = None,
    time_zone: Annotated[str, typer.Option(help="Of times that name no zone.")] = "UTC",
    monitors: Annotated[Path | None, typer.Option(help="The configuration; the defaults without one.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model of the file, or what to call it.")] = None,
    task: Annotated[TaskKind | None, typer.Option(help="Inferred by default.")] = None,
    positive_class: Annotated[str | None, typer.Option(help="Of a binary model.")] = None,
    cell: Annotated[str | None, typer.Option(help="Length of a window, such as 1h or 1d.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="first:N, FROM..TO, or a file; the first events if none.")
    ] = None,
    shuffle: Annotated[
        int | None, typer.Option(min=0, help="Seed: rows in random order, to count false alarms.")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="Another configuration: which alerts come, go and move.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for JSON lines, Parquet and report.html.")] = None,
    as_json: Json = False,
) -> None:
    """Run recorded data through the real stages, without a broker: windows, verdicts, alerts."""
    from streams.commands.replay import replay as replay_body  # noqa: PLC0415
    from streams.commands.replay_options import named_columns, request  # noqa: PLC0415

    columns = named_columns(
        timestamp, id_=id_, features=features, prediction=prediction, score=score, label=label,
        label_timestamp=label_timestamp, segments=segment or (), model_version=model_version, kinds=kind or (),
        time_zone=time_zone,
    )  # fmt: skip
    replay_body(
        request(
            files, columns, label_files=labels or (), monitors=monitors, model_name=model, task=task,
            positive_class=positive_class, cell=cell, reference=reference, shuffle=shuffle, compare=compare,
            output=output, as_json=as_json,
        )
    )  # fmt: skip
