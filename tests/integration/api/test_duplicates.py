"""Copies by the API: found by a job, judged, planned, taken away and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from likeness.catalog.serving.keys import ApiKeys, Scope
from search.duplicates.edits import edit_named
from tests.fakes.library import open_library
from tests.fakes.runtime import FakeRuntime
from tests.integration.api.conftest import open_client
from tests.integration.api.sorting import BASE, done, ids_by_name, names, settled

DUPLICATES = f"{BASE}/duplicates"


@pytest.fixture(autouse=True)
def few_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(edit_named(name) for name in ("jpeg-q50", "mirror"))
    monkeypatch.setattr("search.duplicates.finder.CALIBRATION_EDITS", few)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[FakeRuntime]:
    with open_library(tmp_path) as opened:
        yield opened


@pytest.fixture
def client(runtime: FakeRuntime) -> Iterator[TestClient]:
    with open_client(runtime) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def found(client: TestClient, **asked: object) -> list[dict]:
    done(client, client.post(DUPLICATES, json=asked))
    return client.get(DUPLICATES).json()["groups"]


def judge(client: TestClient, **asked: object) -> None:
    sent = client.post(f"{DUPLICATES}/verdicts", json=asked)
    assert sent.status_code == 200, sent.text


def test_before_the_first_search_there_is_nothing(client: TestClient) -> None:
    page = client.get(DUPLICATES).json()
    assert (page["run"], page["groups"], page["totals"]["groups"]) == (None, [], 0)
    assert client.get(f"{DUPLICATES}/groups/1").json()["code"] == "not_found_here"
    assert client.get(f"{DUPLICATES}/calibration").json()["code"] == "not_made_yet"
    assert client.post(f"{DUPLICATES}/plans", json={}).json()["code"] == "not_made_yet"
    assert client.post(f"{DUPLICATES}/mark", json={}).json()["groups"] == 0


def test_groups_come_with_relation_proof_and_the_one_to_keep_first(client: TestClient) -> None:
    job = done(client, client.post(DUPLICATES, json={}))
    assert job["kind"] == "duplicates"
    assert job["counts"]["groups"] == 3
    page = client.get(DUPLICATES).json()
    assert [names(group) for group in page["groups"]] == [
        ["0.png", "0 again.png"],
        ["2.png", "2 again.png", "2 small.jpg"],
        ["1.png", "1 cropped.png"],
    ]
    first, second, third = page["groups"]
    assert [m["relation"] for m in first["members"]] == [None, "same-bytes"]
    assert [m["relation"] for m in second["members"]] == [None, "same-bytes", "edited-copy"]
    cropped = third["members"][1]
    assert cropped["evidence"]["area"] < 0.95 < cropped["evidence"]["other_area"]
    (scale, _, _), (_, other_scale, _) = cropped["evidence"]["transform"]
    assert scale == pytest.approx(1 / 0.9**0.5, rel=0.1)
    assert other_scale == pytest.approx(1 / 0.9**0.5, rel=0.1)
    assert page["run"]["keep"] == "best"
    assert page["run"]["stale"] is False
    totals = page["totals"]
    assert totals["by_relation"] == {"same-bytes": 1, "edited-copy": 2}
    assert (totals["groups"], totals["open"], totals["images"], totals["marked"]) == (3, 3, 7, 0)
    assert totals["gain"] == sum(group["gain"] for group in page["groups"]) > 0
    recalls = client.get(f"{DUPLICATES}/calibration").json()["recalls"]
    assert {each["edit"] for each in recalls} == {"jpeg-q50", "mirror"}


def test_groups_are_paged_filtered_and_sorted(client: TestClient) -> None:
    everything = [group["id"] for group in found(client)]
    listed, after = [], None
    while True:
        query = {"limit": 1} | ({"after": after} if after is not None else {})
        page = client.get(DUPLICATES, params=query).json()
        listed += [group["id"] for group in page["groups"]]
        after = page["next_after"]
        if after is None:
            break
    assert listed == everything
    edited = client.get(DUPLICATES, params={"relation": "edited-copy"}).json()
    assert [group["id"] for group in edited["groups"]] == everything[1:]
    assert edited["matching"] == 2
    assert edited["totals"]["groups"] == 3
    gains = [g["gain"] for g in client.get(DUPLICATES, params={"order": "gain"}).json()["groups"]]
    assert gains == sorted(gains, reverse=True)
    one = client.get(f"{DUPLICATES}/groups/{everything[1]}").json()
    assert one["id"] == everything[1]
    assert client.get(DUPLICATES, params={"relation": "related"}).status_code == 422


def test_a_pair_that_is_no_pair_of_copies_is_gone_for_ever(client: TestClient) -> None:
    groups = found(client)
    pair = [member["image"]["id"] for member in groups[2]["members"]]
    judge(client, not_duplicates=[pair])
    assert [names(g)[0] for g in client.get(DUPLICATES).json()["groups"]] == ["0.png", "2.png"]
    assert [names(group)[0] for group in found(client)] == ["0.png", "2.png"]
    judge(client, duplicates=[pair])
    assert [names(group)[0] for group in found(client)] == ["0.png", "2.png", "1.png"]


def test_verdicts_are_remembered_and_can_be_taken_back(client: TestClient) -> None:
    group = found(client)[0]
    kept, copy = (member["image"]["id"] for member in group["members"])
    judge(client, keep=[kept], remove=[copy])
    page = client.get(DUPLICATES, params={"status": "decided"}).json()
    assert [m["verdict"] for m in page["groups"][0]["members"]] == ["keep", "remove"]
    assert page["matching"] == 1
    assert page["totals"]["open"] == 2
    assert page["totals"]["marked"] == 1
    assert page["totals"]["marked_bytes"] == group["members"][1]["image"]["size"]
    assert len(client.get(DUPLICATES, params={"status": "open"}).json()["groups"]) == 2
    found(client)  # a new search forgets nothing
    assert client.get(DUPLICATES).json()["totals"]["marked"] == 1
    judge(client, undecided=[kept, copy])
    assert client.get(DUPLICATES).json()["totals"]["open"] == 3
    missing = client.post(f"{DUPLICATES}/verdicts", json={"keep": [kept, 10**6]})
    assert missing.json()["code"] == "image_not_found"
    assert client.get(DUPLICATES).json()["totals"]["open"] == 3


def test_a_rule_judges_many_groups_and_leaves_decided_ones(client: TestClient) -> None:
    groups = found(client)
    decided = groups[0]["members"][1]["image"]["id"]
    judge(client, keep=[decided])
    marked = client.post(f"{DUPLICATES}/mark", json={"keep": "path:*/album/*"}).json()
    assert marked == {"groups": 2, "kept": 2, "removed": 3}
    page = {group["id"]: group for group in client.get(DUPLICATES).json()["groups"]}
    verdicts = {
        Path(m["image"]["path"]).name: m["verdict"]
        for group in groups
        for m in page[group["id"]]["members"]
    }
    assert verdicts["2 again.png"] == "keep"
    assert (verdicts["2.png"], verdicts["2 small.jpg"]) == ("remove", "remove")
    assert (verdicts["0.png"], verdicts["0 again.png"]) == (None, "keep")
    one = client.post(
        f"{DUPLICATES}/mark",
        json={"decided_too": True, "groups": [groups[1]["id"]], "relations": ["edited-copy"]},
    )
    assert one.json() == {"groups": 1, "kept": 1, "removed": 2}
    assert client.post(f"{DUPLICATES}/mark", json={"keep": "prettiest"}).status_code == 422


def test_a_plan_is_carried_out_and_taken_back(client: TestClient, photos: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    found(client)
    client.post(f"{DUPLICATES}/mark", json={"keep": "path:*/album/*"})
    made = client.post(f"{DUPLICATES}/plans", json={})
    assert made.status_code == 201
    plan = made.json()
    assert (plan["state"], plan["files"], plan["unplanned"]) == ("made", 4, 0)
    steps = client.get(f"{DUPLICATES}/plans/{plan['id']}", params={"limit": 3}).json()
    assert steps["next_after"] == 3
    step = next(s for s in steps["steps"] if s["remove"]["path"].endswith("/2 small.jpg"))
    assert step["keep"]["path"].endswith("/album/2 again.png")
    assert step["relation"] == "edited-copy"
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before

    job = done(client, client.post(f"{DUPLICATES}/plans/{plan['id']}/apply"))
    assert job["counts"] == {"taken_away": 4}
    assert job["total"] == 4
    assert not (photos / "2.png").exists()
    assert "2.png" not in ids_by_name(client)
    assert client.get(DUPLICATES).json()["groups"] == []
    (listed,) = client.get(f"{DUPLICATES}/plans").json()["plans"]
    assert listed["state"] == "applied"

    done(client, client.post(f"{DUPLICATES}/plans/{plan['id']}/undo"))
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    assert client.get(f"{DUPLICATES}/plans/{plan['id']}").json()["plan"]["state"] == "undone"
    assert len(client.get(DUPLICATES).json()["groups"]) == 3
    again = client.post(f"{DUPLICATES}/plans/{plan['id']}/apply")
    assert (again.status_code, again.json()["code"]) == (409, "plan_stale")
    assert client.post(f"{DUPLICATES}/plans/{plan['id']}/undo").status_code == 409


def test_the_last_copy_is_spared_whatever_is_marked(client: TestClient) -> None:
    groups = found(client)
    judge(client, remove=[m["image"]["id"] for group in groups for m in group["members"]])
    plan = client.post(f"{DUPLICATES}/plans", json={}).json()
    assert (plan["files"], plan["unplanned"]) == (4, 3)
    page = client.get(f"{DUPLICATES}/plans/{plan['id']}").json()
    assert {row["reason"] for row in page["left_alone"]} == {"it is the last copy of its picture"}


def test_groups_without_a_verdict_are_planned_only_when_asked(client: TestClient) -> None:
    found(client)
    assert client.post(f"{DUPLICATES}/plans", json={}).json()["files"] == 0
    both = client.post(f"{DUPLICATES}/plans", json={"open_ones_too": True}).json()
    assert both["files"] == 4
    sure = {"open_ones_too": True, "relations": ["same-bytes"], "action": "hardlink"}
    assert client.post(f"{DUPLICATES}/plans", json=sure).json()["files"] == 1


def test_a_group_whose_first_has_gone_is_led_by_the_next(client: TestClient) -> None:
    groups = found(client)
    gone = groups[1]["members"][0]["image"]["id"]
    client.delete(f"{BASE}/images/{gone}")
    group = client.get(f"{DUPLICATES}/groups/{groups[1]['id']}").json()
    assert names(group) == ["2 again.png", "2 small.jpg"]
    assert [m["relation"] for m in group["members"]] == [None, "edited-copy"]
    assert group["members"][1]["evidence"]["area"] > 0.95
    assert client.get(DUPLICATES).json()["run"]["stale"] is True


def test_reference_folders_stay_and_lead(client: TestClient, photos: Path) -> None:
    groups = found(client, reference=[str(photos / "album")])
    group = next(g for g in groups if "2.png" in names(g))
    assert names(group)[0] == "2 again.png"
    assert group["members"][0]["protected"] is True
    client.post(f"{DUPLICATES}/mark", json={})
    plan = client.post(f"{DUPLICATES}/plans", json={}).json()
    removed = client.get(f"{DUPLICATES}/plans/{plan['id']}").json()["steps"]
    assert not any("album" in step["remove"]["path"] for step in removed)


def test_what_cannot_be_looked_for_is_said_at_once(client: TestClient) -> None:
    for asked, code in (
        ({"keep": "prettiest"}, "input_invalid"),
        ({"against": "default"}, "input_invalid"),
        ({"against": "elsewhere"}, "collection_not_found"),
        ({"encoder": "none:such"}, "query_invalid"),
        ({"least": "related"}, "request_invalid"),
        ({"where": "(taken:2019"}, "where_invalid"),
    ):
        sent = client.post(DUPLICATES, json=asked)
        assert sent.json()["code"] == code, asked
    failed = settled(client, client.post(DUPLICATES, json={"where": "nonsense:1"}))
    assert failed["state"] == "failed"
    assert "nonsense" in failed["message"]


def test_acting_takes_an_admin_key_and_judging_a_key_that_writes(runtime: FakeRuntime) -> None:
    keys = ApiKeys(runtime.catalog)
    tokens = {scope: keys.create(scope.value, scope)[1] for scope in Scope}
    with open_client(runtime) as client:

        def ask(method: str, path: str, scope: Scope, **options: object) -> int:
            headers = {"Authorization": f"Bearer {tokens[scope]}"}
            return client.request(method, path, headers=headers, **options).status_code

        plan = f"{DUPLICATES}/plans/20240101-000000-abcdef"
        assert ask("POST", f"{plan}/apply", Scope.WRITE) == 403
        assert ask("POST", f"{plan}/apply", Scope.ADMIN) == 404
        assert ask("POST", f"{plan}/undo", Scope.WRITE) == 403
        assert ask("POST", f"{DUPLICATES}/verdicts", Scope.READ, json={}) == 403
        assert ask("POST", f"{DUPLICATES}/verdicts", Scope.WRITE, json={}) == 200
        assert ask("GET", DUPLICATES, Scope.READ) == 200
