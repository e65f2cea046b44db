"""Every route, asked with generated data over a real connection: no 5xx, nothing undocumented.

LIKENESS_TEST_EXAMPLES sets how many examples each route gets (default 10).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import positive_data_acceptance
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

from api.app import create_app
from likeness.settings import load_settings
from search.duplicates.edits import edit_named
from tests.integration.api.conftest import open_runtime, open_server

EXAMPLES = int(os.environ.get("LIKENESS_TEST_EXAMPLES", "10"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server with twelve pictures, looked through for copies, clustered and mapped."""
    folder = tmp_path_factory.mktemp("schema")
    with (
        pytest.MonkeyPatch.context() as patch,
        open_runtime(folder) as runtime,
        open_server(runtime) as url,
        httpx.Client(base_url=f"{url}/v1", timeout=60) as client,
    ):
        few = tuple(edit_named(name) for name in ("jpeg-q50", "mirror"))
        patch.setattr("search.duplicates.finder.CALIBRATION_EDITS", few)
        for path in ("duplicates", "clusters/runs", "clusters/survey", "map"):
            job = client.post(f"/collections/default/{path}", json={}).raise_for_status().json()
            while job["finished_at"] is None:
                time.sleep(0.1)
                job = client.get(f"/jobs/{job['id']}").raise_for_status().json()
        yield url


schema = schemathesis.openapi.from_dict(create_app(load_settings(home="/nowhere")).openapi())


@schema.hook
def map_case(context: Any, case: Any) -> Any:
    """Most requests are aimed at what exists, so that they get past the 404; but for those whose
    path is one that has to be refused."""
    path = case.meta.components.get(ParameterLocation.PATH)
    refused = path is None or path.mode is not GenerationMode.POSITIVE
    if refused or context.operation.label == "DELETE /v1/collections/{collection}":
        return case
    chosen = random.Random(repr(case.path_parameters))
    if chosen.random() < 0.2:
        return case
    known = {
        "collection": "default",
        "image_id": chosen.randint(1, 13),
        "job_id": 1,
        "run_id": 1,
        "number": chosen.randint(0, 1),
        "group_id": chosen.randint(1, 3),
    }
    given = case.path_parameters.items()
    case.path_parameters = {name: known.get(name, value) for name, value in given}
    return case


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_every_route_keeps_its_word(case: Any, server: str) -> None:
    """positive_data_acceptance is left out: a filter that fits the schema may still make no sense,
    and is refused with 422."""
    case.call_and_validate(base_url=server, excluded_checks=[positive_data_acceptance])
