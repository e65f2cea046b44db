"""What a query picture looks like, drawn by the server."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from starlette.testclient import TestClient

from tests.fakes.pictures import draw_picture
from tests.integration.api.conftest import open_client, open_runtime, open_server
from tests.integration.api.test_routes import problem

ADDRESS = "/v1/preview"


def test_a_picture_that_browsers_cannot_show_is_drawn_anew_and_small(client: TestClient) -> None:
    tiff = io.BytesIO()
    draw_picture(3, (2100, 1400)).save(
        tiff, "TIFF", compression="tiff_deflate", description="secret words"
    )
    answer = client.post(ADDRESS, files={"image": ("a.tif", tiff.getvalue(), "image/tiff")})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "no-store"
    assert b"secret" not in answer.content
    with Image.open(io.BytesIO(answer.content)) as drawn:
        assert (drawn.format, drawn.size) == ("WEBP", (1024, 683))


def test_what_is_no_picture_is_a_problem(client: TestClient) -> None:
    files = {"image": ("a.jpg", b"nothing to see", "image/jpeg")}
    problem(client.post(ADDRESS, files=files), 415, "image_unsupported")
    problem(client.post(ADDRESS, files={"file": b"x"}), 400, "bad_request")
    problem(client.post(ADDRESS, data={"image": "text"}), 400, "bad_request")
    problem(
        client.post(ADDRESS, content=b"x", headers={"Content-Type": "image/png"}),
        400,
        "bad_request",
    )
    problem(client.post(ADDRESS, json={"link": "http://example.org/a"}), 422, "request_invalid")


def test_urls_are_fetched_only_where_that_is_allowed(client: TestClient, tmp_path: Path) -> None:
    asked = {"url": "https://example.org/a.jpg"}
    problem(client.post(ADDRESS, json=asked), 403, "urls_off")
    with (
        open_runtime(tmp_path, fetch_urls=True, allow_private_urls=True) as runtime,
        open_server(runtime) as url,
        open_client(runtime) as able,
    ):
        picture = {"url": f"{url}/v1/collections/default/images/1/file"}
        answer = able.post(ADDRESS, json=picture)
        assert answer.headers["content-type"] == "image/webp"
