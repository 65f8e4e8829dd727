"""A server that scores rows: ``MODEL=pump.model uvicorn server:app``.

It takes rows as JSON, or for bulk as a stream of Arrow, and needs no torch if MODEL is ONNX. A
process computes on one core: give uvicorn ``--workers`` for more.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import pyarrow as pa
from fastapi import Depends, FastAPI, HTTPException, Request, Response

from compactflow.scoring import ArrowScorer

scorer = ArrowScorer(os.environ["MODEL"], outputs=["score", "outlier"], keep=[])
columns = scorer.columns  # which opens the model before the first request
app = FastAPI()


@app.get("/model")
def model() -> dict[str, Any]:
    """Which model it is, and what it needs."""
    return {"digest": scorer.digest, "columns": columns}


@app.post("/score")
def score(rows: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Scores of rows, each a mapping of columns to numbers."""
    return _scored(pa.Table.from_pylist(rows)).to_pylist()


async def body(request: Request) -> bytes:
    """What was sent, as it is."""
    return await request.body()


@app.post("/arrow")
def arrow(stream: Annotated[bytes, Depends(body)]) -> Response:
    """Scores of an Arrow stream, as another."""
    try:
        table = pa.ipc.open_stream(stream).read_all()
    except pa.ArrowException as error:
        raise HTTPException(422, f"this is no Arrow stream: {error}") from error
    scored, sink = _scored(table), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, scored.schema) as writer:
        writer.write_table(scored)
    return Response(sink.getvalue().to_pybytes())


def _scored(table: pa.Table) -> pa.Table:
    try:
        return scorer(table)
    except ValueError as error:  # it names the column and the row
        raise HTTPException(422, str(error)) from error
