"""The routes over a real catalog and index: what is asked, what comes back, what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

BASE = "/v1/collections/default"


def problem(response, status: int, code: str) -> dict:
    """The problem that the answer is."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["detail"]
    return document


def search(client: TestClient, *terms: dict, **options: object) -> dict:
    response = client.post(f"{BASE}/search", json={"terms": terms, **options})
    assert response.status_code == 200, response.text
    return response.json()


def files_of(pictures: Path) -> list[Path]:
    return sorted(pictures.rglob("picture*"), key=lambda path: path.name)


def test_the_service_is_alive_and_ready_and_counts(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    search(client, {"text": "red"})
    counted = client.get("/metrics")
    assert counted.status_code == 200
    route = 'route="/v1/collections/{collection}/search",status="200"'
    assert f'likeness_http_requests_total{{method="POST",{route}}}' in counted.text
    assert "likeness_search_batch_questions_count" in counted.text


def test_collections_are_listed_made_looked_at_and_dropped(own_client: TestClient) -> None:
    listed = own_client.get("/v1/collections").json()["collections"]
    assert [(row["name"], row["images"]["ready"]) for row in listed] == [("default", 12)]
    assert listed[0]["spaces"][0]["encoder"] == "fake:colours"
    made = own_client.post("/v1/collections", json={"name": "holidays"})
    assert (made.status_code, made.json()["name"]) == (201, "holidays")
    assert own_client.post("/v1/collections", json={"name": "holidays"}).json() == made.json()
    assert own_client.delete("/v1/collections/holidays").status_code == 204
    problem(own_client.get("/v1/collections/holidays"), 404, "collection_not_found")
    problem(own_client.post("/v1/collections", json={"name": " "}), 422, "input_invalid")
    problem(own_client.post("/v1/collections", json={"nam": "x"}), 422, "request_invalid")


def test_words_pictures_ids_and_vectors_are_searched(
    client: TestClient, pictures: Path, image_ids: list[int]
) -> None:
    for number, path in enumerate(files_of(pictures)):
        encoded = base64.b64encode(path.read_bytes()).decode()
        answer = search(client, {"image": encoded}, k=3)
        assert answer["hits"][0]["image"]["id"] == image_ids[number]
        assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    words = search(client, {"text": "blue"}, k=5)
    assert [hit["rank"] for hit in words["hits"]] == [1, 2, 3, 4, 5]
    assert words["searched"] == 12
    similar = search(client, {"id": image_ids[0]}, {"text": "red", "weight": -0.5})
    assert image_ids[0] not in [hit["image"]["id"] for hit in similar["hits"]]
    given = search(client, {"vector": [1.0] + [0.0] * 48}, k=1)
    assert len(given["hits"]) == 1


def test_a_picture_may_come_as_a_file_with_fields_or_with_a_request(
    client: TestClient, pictures: Path, image_ids: list[int]
) -> None:
    path = files_of(pictures)[4]
    upload = {"image": (path.name, path.read_bytes(), "image/jpeg")}
    plain = client.post(f"{BASE}/search", files=upload, data={"k": "2", "where": "id:1.."})
    assert plain.status_code == 200, plain.text
    assert plain.json()["hits"][0]["image"]["id"] == image_ids[4]
    assert len(plain.json()["hits"]) == 2
    asked = {"terms": [{"upload": 0, "crop": [0, 0, 1, 1]}, {"text": "red", "weight": -0.1}]}
    whole = client.post(f"{BASE}/search", files=upload, data={"request": json.dumps(asked)})
    assert whole.status_code == 200, whole.text
    asked["terms"][0]["upload"] = 1
    missing = client.post(f"{BASE}/search", files=upload, data={"request": json.dumps(asked)})
    problem(missing, 422, "query_invalid")
    other = client.post(f"{BASE}/search", files={"file": (path.name, b"x")})
    problem(other, 400, "bad_request")


def test_several_questions_are_answered_in_their_order(client: TestClient) -> None:
    queries = [{"terms": [{"text": colour}], "k": 3} for colour in ("red", "blue", "red")]
    answers = client.post(f"{BASE}/search", json={"queries": queries}).json()["answers"]
    alone = [search(client, *query["terms"], k=3) for query in queries]

    def hits(found: list[dict]) -> list[list[int]]:
        return [[hit["image"]["id"] for hit in each["hits"]] for each in found]

    assert hits(answers) == hits(alone)
    many = client.post(f"{BASE}/search", json={"queries": queries[:1] * 65})
    assert problem(many, 422, "over_limit")["limit"] == 64


def test_pages_filters_and_rerankers_are_handed_on(client: TestClient) -> None:
    first = search(client, {"text": "red"}, k=5)
    second = search(client, {"text": "red"}, k=5, after=first["next_cursor"])
    both = [hit["image"]["id"] for hit in first["hits"] + second["hits"]]
    assert both == [hit["image"]["id"] for hit in search(client, {"text": "red"}, k=10)["hits"]]
    reranked = search(client, {"text": "red"}, k=5, rerank=["qe", "mmr"])
    assert reranked["rerank"] == ["qe", "mmr"]
    filtered = search(client, {"text": "red"}, where="format:png")
    assert {hit["image"]["format"] for hit in filtered["hits"]} == {"png"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"terms": []}, "query_invalid"),
        ({"terms": [{"text": "red"}], "where": "widht:1"}, "where_invalid"),
        ({"terms": [{"text": "red"}], "rerank": ["magic"]}, "query_invalid"),
        ({"terms": [{"text": "red"}], "after": "nonsense"}, "query_invalid"),
        ({"terms": [{"text": "red"}], "space": "other"}, "query_invalid"),
        ({"terms": [{"vector": [1.0, 2.0]}]}, "space_mismatch"),
        ({"terms": [{"text": "x" * 2001}]}, "over_limit"),
        ({"terms": [{"text": "red"}] * 33}, "over_limit"),
        ({"terms": [{"text": "red"}], "k": 1001}, "over_limit"),
        ({"terms": [{"text": "red", "weight": 0}]}, "query_invalid"),
        ({"terms": [{"words": "red"}]}, "request_invalid"),
        ({"terms": [{"image": "not base64!"}]}, "request_invalid"),
        ({"terms": [{"image": "aGVsbG8="}]}, "image_unsupported"),
        ({"terms": [{"url": "https://example.org/a.jpg"}]}, "urls_off"),
        ({"terms": [{"id": 2**63}]}, "request_invalid"),
        ({"terms": [{"id": 2**62}]}, "image_not_found"),
        ({"terms": [{"text": "red"}], "max_false": 0.01}, "query_invalid"),
        ([], "request_invalid"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_code(
    client: TestClient, asked: object, code: str
) -> None:
    refused = client.post(f"{BASE}/search", json=asked)
    assert refused.status_code in (403, 404, 415, 422)
    problem(refused, refused.status_code, code)


def test_a_filters_error_points_at_its_character(client: TestClient) -> None:
    refused = client.get(f"{BASE}/images", params={"where": "tag:a ("})
    document = problem(refused, 422, "where_invalid")
    assert (document["where"], document["position"]) == ("tag:a (", 7)


def test_images_are_listed_page_by_page_and_looked_at(client: TestClient) -> None:
    seen, after = [], 0
    while after is not None:
        page = client.get(f"{BASE}/images", params={"limit": 5, "after": after}).json()
        seen += page["images"]
        after = page["next_after"]
    assert len({row["id"] for row in seen}) == 12
    assert client.get(f"{BASE}/images/{seen[3]['id']}").json() == seen[3]
    problem(client.get(f"{BASE}/images/999"), 404, "image_not_found")
    problem(client.get("/v1/collections/none/images"), 404, "collection_not_found")
    problem(client.get("/v1/nothing"), 404, "no_route")
    problem(client.put(f"{BASE}/images"), 405, "method_not_allowed")


def test_similar_is_a_search_for_the_stored_image(client: TestClient, image_ids: list[int]) -> None:
    similar = client.get(f"{BASE}/images/{image_ids[2]}/similar", params={"k": 4}).json()
    asked = search(client, {"id": image_ids[2]}, k=4)
    assert similar["hits"] == asked["hits"]
    refused = client.get(f"{BASE}/images/{image_ids[2]}/similar", params={"rerank": "qe,qe"})
    problem(refused, 422, "query_invalid")


def test_a_thumbnail_is_drawn_anew_kept_and_not_sent_twice(
    own_client: TestClient, own_pictures: Path, own_image_ids: list[int], own_runtime
) -> None:
    address = f"{BASE}/images/{own_image_ids[0]}/thumbnail"
    sent = own_client.get(address, params={"size": 100})
    assert (sent.status_code, sent.headers["content-type"]) == (200, "image/webp")
    assert Image.open(io.BytesIO(sent.content)).size == (64, 48)
    tag = sent.headers["etag"]
    again = own_client.get(address, params={"size": 128}, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert len(list(own_runtime.settings.thumbnails_root.rglob("*.webp"))) == 1
    files_of(own_pictures)[0].unlink()
    assert own_client.get(address, params={"size": 128}).content == sent.content, "from the cache"
    problem(own_client.get(address, params={"size": 500}), 410, "file_unreachable")


def test_a_file_is_sent_only_as_it_was_indexed(
    own_client: TestClient, own_pictures: Path, own_image_ids: list[int]
) -> None:
    path = files_of(own_pictures)[1]
    address = f"{BASE}/images/{own_image_ids[1]}/file"
    sent = own_client.get(address)
    assert sent.content == path.read_bytes()
    assert sent.headers["content-type"] == "image/png"
    assert "sandbox" in sent.headers["content-security-policy"]
    assert sent.headers["content-disposition"] == f"inline; filename*=UTF-8''{path.name}"
    assert (
        own_client.get(address, headers={"If-None-Match": sent.headers["etag"]}).status_code == 304
    )
    path.write_bytes(b"<script>alert(1)</script>")
    problem(own_client.get(address), 410, "file_unreachable")


def test_tags_change_and_removed_images_disappear(
    own_client: TestClient, own_image_ids: list[int]
) -> None:
    address = f"{BASE}/images/{own_image_ids[3]}"
    assert own_client.patch(address, json={"tags": ["a", "b"]}).json()["tags"] == ["a", "b"]
    changed = own_client.patch(address, json={"add": ["c"], "remove": ["a"]}).json()
    assert changed["tags"] == ["b", "c"]
    found = search(own_client, {"text": "red"}, where="tag:c")["hits"]
    assert [hit["image"]["id"] for hit in found] == [own_image_ids[3]]
    problem(own_client.patch(address, json={"tag": "a"}), 422, "request_invalid")
    assert own_client.delete(address).status_code == 204
    assert own_client.get(address).json()["state"] == "gone"
    assert search(own_client, {"text": "red"}, where="tag:c")["hits"] == []


def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    refused = client.post(f"{BASE}/search", content=b"x" * (2**20 + 1))
    assert problem(refused, 413, "body_too_large")["limit"] == 2**20

    def parts():  # without a declared length
        for _ in range(20):
            yield b"x" * 2**16

    headers = {"Content-Type": "application/json"}
    problem(client.post(f"{BASE}/search", content=parts(), headers=headers), 413, "body_too_large")


def test_every_problem_has_a_row_at_its_type(client: TestClient) -> None:
    refused = client.get("/v1/collections/none").json()
    row = client.get(refused["type"]).json()
    assert (row["code"], row["status"]) == (refused["code"], refused["status"])
    listed = client.get("/v1/problems").json()["problems"]
    assert row in listed
    assert len({each["code"] for each in listed}) == len(listed)
    problem(client.get("/v1/problems/none"), 404, "no_route")


def test_facets_lead_to_filters(client: TestClient) -> None:
    found = client.get(f"{BASE}/facets").json()["facets"]
    assert {facet["name"] for facet in found} == {"folder", "size", "format"}
    for facet in found:
        for value in facet["values"]:
            left = search(client, {"text": "red"}, where=value["where"])
            assert left["matched"] == value["count"], value
    narrowed = client.get(f"{BASE}/facets", params={"where": "format:png"}).json()["facets"]
    for facet in narrowed:
        for value in facet["values"]:
            left = search(client, {"text": "red"}, where=f"format:png ({value['where']})")
            assert left["matched"] == value["count"], value
    assert [v["label"] for f in narrowed for v in f["values"] if f["name"] == "format"] == ["png"]
    broken = client.get(f"{BASE}/facets", params={"where": "colour:red"})
    problem(broken, 422, "where_invalid")
    problem(client.get("/v1/collections/none/facets"), 404, "collection_not_found")


def test_models_and_rerankers_are_listed(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert "likeness:tiny" in {row["name"] for row in listed["models"]}
    assert {"qe", "patches"} <= {row["name"] for row in listed["rerankers"]}


def test_the_openapi_document_names_every_route_and_its_problems(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["paths"]["/v1/collections/{collection}/search"]["post"]["requestBody"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            problems = operation["responses"]["422"]["content"]
            assert list(problems) == ["application/problem+json"], (method, path)
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"], name
