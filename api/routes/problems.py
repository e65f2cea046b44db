"""The kinds of problems, for whoever follows a problem's `type`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException

from api.errors import PROBLEMS_PATH, all_kinds
from api.schemas.basics import Document

router = APIRouter(prefix=PROBLEMS_PATH, tags=["operation"])


class ProblemRow(Document):
    code: str
    status: int
    title: str


class ProblemList(Document):
    problems: list[ProblemRow]


@router.get("", summary="Kinds of problems")
async def list_problems() -> ProblemList:
    """Every code that an answer may carry."""
    rows = [ProblemRow(code=k.code, status=k.status, title=k.title) for k in all_kinds()]
    return ProblemList(problems=rows)


@router.get("/{code}", summary="One kind of problem")
async def get_problem(code: Annotated[str, Path(examples=["image_corrupt"])]) -> ProblemRow:
    """What the code stands for."""
    for kind in all_kinds():
        if kind.code == code:
            return ProblemRow(code=kind.code, status=kind.status, title=kind.title)
    raise HTTPException(404, f"there is no problem {code[:100]!r}")
