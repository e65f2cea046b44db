"""Clusters by the API: runs made by jobs, read in pages, corrected, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes.library import open_library
from tests.integration.api.conftest import open_client
from tests.integration.api.sorting import BASE, done, ids_by_name, settled

CLUSTERS = f"{BASE}/clusters"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with open_library(tmp_path) as runtime, open_client(runtime) as opened:
        yield opened


def made(client: TestClient, **asked: object) -> dict:
    """The latest run, made now."""
    done(client, client.post(f"{CLUSTERS}/runs", json={"method": "kmeans", "k": 4, **asked}))
    return client.get(f"{CLUSTERS}/runs").json()["runs"][0]


def clusters(client: TestClient, run: dict, **query: object) -> list[dict]:
    return client.get(f"{CLUSTERS}/runs/{run['id']}", params=query).json()["clusters"]


def test_a_run_has_covers_names_facts_and_members(client: TestClient) -> None:
    assert client.get(f"{CLUSTERS}/runs").json() == {"runs": []}
    run = made(client)
    assert (run["name"], run["method"], run["k"], run["stale"]) == (
        "kmeans-medium",
        "kmeans",
        4,
        False,
    )
    found = clusters(client, run, typical=2, marginal=1)
    assert len(found) == 4
    assert sum(cluster["size"] for cluster in found) == 11
    assert [c["size"] for c in found] == sorted((c["size"] for c in found), reverse=True)
    listed: list[int] = []
    for cluster in found:
        assert cluster["name"]
        assert 0 < cluster["coherence"] <= 1
        assert cluster["cover"]["id"] == cluster["typical"][0]["id"]
        assert len(cluster["marginal"]) == 1
        assert cluster["facts"]["folders"]
        address = f"{CLUSTERS}/runs/{run['id']}/clusters/{cluster['number']}/members"
        after: int | None = 0
        members: list[dict] = []
        while after is not None:
            page = client.get(address, params={"limit": 2, "after": after}).json()
            members += page["members"]
            after = page["next_after"]
        assert len(members) == cluster["size"]
        typicality = [member["typicality"] for member in members]
        assert typicality == sorted(typicality, reverse=True)
        turned = client.get(address, params={"order": "marginal", "limit": 1}).json()
        assert turned["members"][0]["typicality"] == pytest.approx(typicality[-1])
        listed += [member["image"]["id"] for member in members]
    assert sorted(listed) == sorted(ids_by_name(client).values())


def test_a_name_is_kept_when_the_run_is_made_anew(client: TestClient) -> None:
    run = made(client)
    cluster = clusters(client, run)[0]
    address = f"{CLUSTERS}/runs/{run['id']}/clusters/{cluster['number']}"
    named = client.patch(address, json={"name": "Grandma's garden"}).json()
    assert (named["name"], named["named_by_user"]) == ("Grandma's garden", True)
    assert client.patch(address, json={"name": " "}).status_code == 422
    again = made(client)
    assert again["id"] == run["id"]
    assert "Grandma's garden" in [each["name"] for each in clusters(client, again)]
    assert client.patch(f"{CLUSTERS}/runs/{run['id']}/clusters/99", json={"name": "x"}).json()[
        "code"
    ] == ("not_found_here")


def test_clusters_are_merged_and_split_for_good(client: TestClient) -> None:
    run = made(client)
    first, second = clusters(client, run)[:2]
    address = f"{CLUSTERS}/runs/{run['id']}"
    asked = {"clusters": [first["number"], second["number"]]}
    done(client, client.post(f"{address}/merge", json=asked))
    merged = clusters(client, run)
    assert len(merged) == 3
    assert merged[0]["size"] == first["size"] + second["size"]
    assert len(clusters(client, made(client))) == 3
    done(client, client.post(f"{address}/split", json={"cluster": merged[0]["number"]}))
    assert len(clusters(client, run)) == 4
    assert client.post(f"{address}/merge", json={"clusters": [0, 0]}).status_code == 422
    assert client.post(f"{address}/merge", json={"clusters": [0, 77]}).status_code == 404
    assert client.post(f"{address}/split", json={"cluster": 77}).status_code == 404


def test_a_hierarchy_brings_clusters_together(client: TestClient) -> None:
    run = made(client)
    address = f"{CLUSTERS}/runs/{run['id']}/hierarchy"
    levels = client.get(address, params={"groups": [1, 2]}).json()["levels"]
    assert [len(level["groups"]) for level in levels] == [1, 2]
    (everything,) = levels[0]["groups"]
    assert everything["images"] == 11
    assert sorted(everything["clusters"]) == [0, 1, 2, 3]
    assert everything["cover"]["id"] in ids_by_name(client).values()
    assert sorted(n for g in levels[1]["groups"] for n in g["clusters"]) == [0, 1, 2, 3]
    assert client.get(address).status_code == 422


def test_new_images_join_and_a_run_can_be_forgotten(client: TestClient, tmp_path: Path) -> None:
    run = made(client)
    data = (tmp_path / "photos" / "3.png").read_bytes()
    sent = client.post(f"{BASE}/images", files={"image": ("new.png", data)}).json()["images"][0]
    assert client.get(f"{CLUSTERS}/runs").json()["runs"][0]["stale"] is True
    job = done(client, client.post(f"{CLUSTERS}/runs/{run['id']}/extend"))
    assert job["counts"]["joined"] == 1
    pages = [
        client.get(f"{CLUSTERS}/runs/{run['id']}/clusters/{number}/members").json()["members"]
        for number in (-1, 0, 1, 2, 3)
    ]
    assert sent["id"] in [member["image"]["id"] for page in pages for member in page]
    assert client.delete(f"{CLUSTERS}/runs/{run['id']}").status_code == 204
    assert client.get(f"{CLUSTERS}/runs/{run['id']}").json()["code"] == "not_found_here"


def test_what_stands_out_is_listed_after_a_survey(client: TestClient) -> None:
    assert client.get(f"{CLUSTERS}/outliers").json()["code"] == "not_made_yet"
    job = done(client, client.post(f"{CLUSTERS}/survey", json={}))
    assert job["counts"]["looked_at"] == job["total"] == 11
    ids = ids_by_name(client)
    empty = client.get(f"{CLUSTERS}/near-empty").json()
    assert (ids["empty.png"], "blank") in [(i["image"]["id"], i["kind"]) for i in empty["images"]]
    outliers = client.get(f"{CLUSTERS}/outliers", params={"limit": 3}).json()
    assert outliers["total"] == 11
    assert outliers["next_after"] == 3
    measures = [each["measure"] for each in outliers["images"]]
    assert measures == sorted(measures, reverse=True)
    client.delete(f"{BASE}/images/{ids['empty.png']}")
    left = client.get(f"{CLUSTERS}/near-empty").json()
    assert ids["empty.png"] not in [each["image"]["id"] for each in left["images"]]
    assert left["stale"] is True


def test_a_job_asked_for_twice_is_one_job_and_another_is_refused(client: TestClient) -> None:
    asked = {"method": "kmeans", "k": 3}
    first = client.post(f"{CLUSTERS}/runs", json=asked)
    second = client.post(f"{CLUSTERS}/runs", json=asked)
    other = client.post(f"{CLUSTERS}/runs", json={"method": "kmeans", "k": 5})
    if second.json()["created_at"] == first.json()["created_at"]:
        assert second.json()["id"] == first.json()["id"]
    if other.status_code == 409:  # unless the first was done already
        assert other.json()["code"] == "already_running"
        assert other.json()["job"] in (first.json()["id"], second.json()["id"])
    settled(client, first)
    assert client.post(f"{CLUSTERS}/runs", json={"method": "leiden", "k": 5}).status_code == 422
    assert client.post(f"{CLUSTERS}/runs", json={"encoder": "none:such"}).status_code == 422
