"""What requests may hold: numbers where numbers are wanted, as JSON has them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import Strict, ValidationError

import api.routes
import api.schemas
from api.schemas.basics import Asked
from api.schemas.clusters import TagsForMany
from api.schemas.search import Question, TextAsked

for package in (api.schemas, api.routes):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def kinds_of_request(of: type[Asked] = Asked) -> Iterator[type[Asked]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds_of_request(kind)


def lax(annotation: Any, metadata: tuple[Any, ...] = ()) -> bool:
    """Whether a number or a flag is somewhere in it that would be read from something else."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return lax(inner, (*metadata, *more))
    if annotation in (int, float, bool):
        return not any(isinstance(each, Strict) for each in metadata)
    return any(lax(part) for part in get_args(annotation))


@pytest.mark.parametrize("kind", list(kinds_of_request()), ids=lambda kind: kind.__name__)
def test_no_number_of_a_request_is_read_from_something_else(kind: type[Asked]) -> None:
    fields = kind.model_fields.items()
    assert [name for name, one in fields if lax(one.annotation, tuple(one.metadata))] == []


def test_json_that_is_no_number_is_refused_and_a_form_s_strings_are_read() -> None:
    for given in (False, "3", None):
        with pytest.raises(ValidationError):
            Question.model_validate({"terms": [{"text": "a dog"}], "k": given})
        with pytest.raises(ValidationError):
            TextAsked.model_validate({"text": "a dog", "weight": given})
        with pytest.raises(ValidationError):
            TagsForMany.model_validate({"images": [given], "add": ["x"], "remove": []})
    assert TextAsked.model_validate({"text": "a dog", "weight": 2}).weight == 2.0
    form = {"terms": [], "k": "3", "max_false": "0.01", "keep_queried": "true"}
    read = Question.model_validate(form, strict=False)
    assert (read.k, read.max_false, read.keep_queried) == (3, 0.01, True)
