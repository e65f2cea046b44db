"""Vectors, matrices and explanations over the wire."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.fakes.encoder import FakeEncoder
from tests.integration.api.test_routes import BASE, files_of, problem


def test_embed_gives_the_encoders_vectors_in_order(
    client: TestClient, pictures: Path, image_ids: list[int]
) -> None:
    path = files_of(pictures)[0]
    items = [{"text": "red"}, {"upload": 0}, {"id": image_ids[0]}, {"text": "blue"}]
    asked = {"items": items, "collection": "default", "encoder": "fake:colours"}
    sent = client.post(
        "/v1/embed", data={"request": json.dumps(asked)}, files={"image": path.read_bytes()}
    )
    assert sent.status_code == 200, sent.text
    document = sent.json()
    vectors = np.array(document["vectors"])
    fake = FakeEncoder()
    assert (document["encoder"], document["fingerprint"]) == ("fake:colours", fake.fingerprint)
    assert vectors.shape == (4, document["dim"])
    np.testing.assert_allclose(vectors[[0, 3]], fake.embed_texts(["red", "blue"]), atol=1e-6)
    np.testing.assert_allclose(vectors[1], vectors[2], atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    term = {"vector": document["vectors"][1], "fingerprint": document["fingerprint"]}
    found = client.post(f"{BASE}/search", json={"terms": [term], "k": 1}).json()
    assert found["hits"][0]["image"]["id"] == image_ids[0]


def test_compare_gives_the_cosines_of_up_to_64(client: TestClient, pictures: Path) -> None:
    files = [("image", (path.name, path.read_bytes())) for path in files_of(pictures)[:5]]
    document = client.post("/v1/compare", files=files).json()
    matrix = np.array(document["matrix"])
    assert document["labels"] == [path.name for path in files_of(pictures)[:5]]
    assert matrix.shape == (5, 5)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)
    np.testing.assert_array_equal(matrix, matrix.T)
    many = client.post("/v1/compare", json={"items": [{"text": "red"}] * 65})
    assert problem(many, 422, "over_limit")["limit"] == 64


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"items": []}, 422, "query_invalid"),
        ({"items": [{"text": "red"}], "encoder": "likeness:tiny"}, 422, "encoder_not_served"),
        ({"items": [{"text": "red"}], "collection": "none"}, 404, "collection_not_found"),
        ({"items": [{"id": 1}]}, 422, "query_invalid"),
        ({"items": [{"id": 10**9}], "collection": "default"}, 404, "image_not_found"),
        ({"items": [{"vector": [0.0] * 49}]}, 422, "query_invalid"),
        ({"items": [{"vector": [1.0]}]}, 422, "space_mismatch"),
        ({"items": [{"vector": [1e308] * 49}]}, 422, "request_invalid"),
        ({"items": [{"upload": 0}]}, 422, "query_invalid"),
        ({"items": [{"image": "aGVsbG8="}]}, 415, "image_unsupported"),
        ({"items": [{"text": "x" * 3000}]}, 422, "over_limit"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    client: TestClient, asked: dict, status: int, code: str
) -> None:
    problem(client.post("/v1/embed", json=asked), status, code)


def test_an_explanation_comes_as_data_and_as_a_picture(
    client: TestClient, pictures: Path, image_ids: list[int]
) -> None:
    address = f"{BASE}/images/{image_ids[0]}/explain"
    stored = client.get(address, params={"query_id": image_ids[1]})
    assert stored.status_code == 200, stored.text
    assert (stored.json()["id"], stored.json()["region"]) == (image_ids[0], None)
    assert any("patch" in text for text in stored.json()["missing"])
    drawn = client.get(address, params={"query_id": image_ids[1], "view": "picture"})
    assert drawn.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(drawn.content)).height == 400
    sent = client.post(address, files={"image": files_of(pictures)[2].read_bytes()})
    assert sent.status_code == 200, sent.text
    problem(client.post(address, json={"terms": [{"text": "red"}]}), 422, "query_invalid")
    problem(client.get(address, params={"query_id": 999}), 404, "image_not_found")
    problem(client.get(address), 422, "request_invalid")
