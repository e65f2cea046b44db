"""What the tests of sorting routes share: a library, and jobs that are waited for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

BASE = "/v1/collections/default"


def settled(client: TestClient, response: Any) -> dict[str, Any]:
    """The job that the response began, once it has ended."""
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    deadline = time.monotonic() + 90
    while job["state"] not in ("done", "failed", "cancelled"):
        assert time.monotonic() < deadline, f"job never ended: {job}"
        time.sleep(0.05)
        job = client.get(f"/v1/jobs/{job['id']}").json()
    return dict(job)


def done(client: TestClient, response: Any) -> dict[str, Any]:
    """The job, which has ended well."""
    job = settled(client, response)
    assert job["state"] == "done", job
    return job


def names(group: dict[str, Any]) -> list[str]:
    """File names of a group's members, in order."""
    return [Path(member["image"]["path"]).name for member in group["members"]]


def ids_by_name(client: TestClient) -> dict[str, int]:
    rows = client.get(f"{BASE}/images", params={"limit": 1000}).json()["images"]
    return {Path(row["path"]).name: row["id"] for row in rows}
