"""The map in its compact form, tags for a selection, and whether images are already there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.fakes.library import open_library
from tests.fakes.scenes import draw_scene
from tests.integration.api.conftest import open_client
from tests.integration.api.sorting import BASE, done, ids_by_name


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with open_library(tmp_path) as runtime, open_client(runtime) as opened:
        yield opened


def unpacked(data: bytes) -> tuple[dict, dict[str, list[int]]]:
    """Header and columns, read as docs/api.md says."""
    assert data[:8] == b"LKMAPV1\0"
    length = int.from_bytes(data[8:12], "little")
    header, body = json.loads(data[12 : 12 + length]), data[12 + length :]
    columns: dict[str, list[int]] = {}
    for column in header["columns"]:
        part = body[column["offset"] : column["offset"] + column["bytes"]]
        if column["type"] == "uint16":
            assert (12 + length + column["offset"]) % 2 == 0
            columns[column["name"]] = np.frombuffer(part, "<u2").tolist()
            continue
        values, value, shift, last = [], 0, 0, 0
        for byte in part:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                last += value
                values.append(last)
                value, shift = 0, 0
        columns[column["name"]] = values
    return header, columns


def test_the_map_has_a_place_cluster_time_and_folder_of_every_image(client: TestClient) -> None:
    early = client.get(f"{BASE}/map")
    assert (early.status_code, early.json()["code"]) == (404, "not_made_yet")
    job = done(client, client.post(f"{BASE}/map", json={}))
    assert job["counts"]["placed"] == 11
    header, columns = unpacked(client.get(f"{BASE}/map").content)
    ids = ids_by_name(client)
    assert columns["id"] == sorted(ids.values())
    assert header["count"] == 11
    assert (header["run"], header["times"]) == (None, None)
    assert set(columns["cluster"]) == set(columns["time"]) == {0}
    folders = [header["folders"][n].rpartition("/")[2] for n in columns["folder"]]
    assert folders[columns["id"].index(ids["2 again.png"])] == "album"
    assert folders.count("photos") == 10
    left, top, right, bottom = header["bounds"]
    assert left < right
    assert top < bottom
    assert (min(columns["x"]), max(columns["x"])) == (0, 65535)


def test_the_map_follows_clusters_and_removals_and_says_when_it_is_the_same(
    client: TestClient,
) -> None:
    done(client, client.post(f"{BASE}/map", json={}))
    first = client.get(f"{BASE}/map")
    tag = first.headers["etag"]
    assert client.get(f"{BASE}/map", headers={"If-None-Match": tag}).status_code == 304
    done(client, client.post(f"{BASE}/clusters/runs", json={"method": "kmeans", "k": 3}))
    run = client.get(f"{BASE}/clusters/runs").json()["runs"][0]
    second = client.get(f"{BASE}/map", headers={"If-None-Match": tag})
    assert second.status_code == 200
    header, columns = unpacked(second.content)
    assert header["run"] == {"id": run["id"], "name": run["name"]}
    assert set(header["clusters"]) == {"0", "1", "2"}
    members = client.get(f"{BASE}/clusters/runs/{run['id']}/clusters/1/members").json()["members"]
    inside = {i for i, n in zip(columns["id"], columns["cluster"], strict=True) if n == 2}
    assert inside == {member["image"]["id"] for member in members}
    client.delete(f"{BASE}/images/{columns['id'][0]}")
    _, fewer = unpacked(client.get(f"{BASE}/map", params={"run": run["id"]}).content)
    assert fewer["id"] == columns["id"][1:]
    assert client.get(f"{BASE}/map", params={"run": 99}).json()["code"] == "not_found_here"


def test_a_selection_is_tagged_at_once(client: TestClient) -> None:
    ids = list(ids_by_name(client).values())
    sent = client.post(f"{BASE}/tags", json={"images": [*ids[:4], 10**9], "add": ["trip"]})
    assert sent.json() == {"images": 4}
    tagged = client.get(f"{BASE}/images", params={"where": "tag:trip"}).json()["images"]
    assert sorted(row["id"] for row in tagged) == sorted(ids[:4])
    client.post(f"{BASE}/tags", json={"images": ids[:3], "remove": ["trip"]})
    left = client.get(f"{BASE}/images", params={"where": "tag:trip"}).json()["images"]
    assert [row["id"] for row in left] == [ids[3]]


def test_a_check_tells_what_is_there_and_proves_it(client: TestClient, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    known = (photos / "3.png").read_bytes()
    buffer = io.BytesIO()
    Image.fromarray(draw_scene(4)[:, ::-1].copy()).save(buffer, "JPEG", quality=70)
    fresh = io.BytesIO()
    Image.fromarray(draw_scene(77)).save(fresh, "PNG")
    files = [
        ("image", ("known.png", known)),
        ("image", ("mirrored.jpg", buffer.getvalue())),
        ("image", ("fresh.png", fresh.getvalue())),
        ("image", ("words.txt", b"hello")),
    ]
    sent = client.post(f"{BASE}/check", files=files)
    assert sent.status_code == 200, sent.text
    same, mirrored, new, words = sent.json()["images"]
    ids = ids_by_name(client)
    assert (same["known"], same["matches"][0]["relation"]) == (True, "same-bytes")
    assert same["matches"][0]["image"]["id"] == ids["3.png"]
    match = mirrored["matches"][0]
    assert (match["relation"], match["image"]["id"]) == ("edited-copy", ids["4.png"])
    assert match["evidence"]["mirrored"] is True
    assert (new["known"], new["matches"], new["reason"]) == (False, [], None)
    assert (words["known"], words["reason"]) == (False, "unsupported_format")
    assert len(ids) == len(ids_by_name(client)), "nothing is stored by a check"
    only = client.post(f"{BASE}/check", files=files[:2], params={"least": "same-bytes"}).json()
    assert [image["known"] for image in only["images"]] == [True, False]


def test_a_check_without_pictures_is_refused(client: TestClient) -> None:
    assert client.post(f"{BASE}/check", json={}).json()["code"] == "bad_request"
    other = client.post(f"{BASE}/check", files={"picture": b"x"})
    assert other.json()["code"] == "bad_request"
    assert client.post(f"{BASE}/check", data={"least": "x"}).json()["code"] == "bad_request"
