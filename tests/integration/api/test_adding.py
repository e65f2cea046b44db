"""Images that come in by the API: uploads, URLs, jobs and their events."""

from __future__ import annotations

import http.server
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes.pictures import draw_picture
from tests.integration.api.conftest import open_client, open_runtime
from tests.integration.api.test_routes import BASE, problem


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


def upload(client: TestClient, *files: tuple[str, bytes], **params: object):
    parts = [("image", (name, data)) for name, data in files]
    return client.post(f"{BASE}/images", files=parts, params=params)


def settled(client: TestClient, job_id: int) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"job {job_id} never ended: {job}")


def test_an_upload_is_searchable_when_the_answer_comes(own_client: TestClient) -> None:
    sent = upload(own_client, ("new.png", png(100)), ("broken.png", png(101)[:200]),
                  ("words.txt", b"hello"))  # fmt: skip
    assert sent.status_code == 200, sent.text
    new, broken, words = sent.json()["images"]
    assert (new["name"], new["outcome"]) == ("new.png", "added")
    assert (broken["outcome"], broken["reason"]) == ("failed", "corrupt")
    assert (words["outcome"], words["reason"], words["id"]) == (
        "failed",
        "unsupported_format",
        None,
    )
    found = own_client.post(f"{BASE}/search", files={"image": png(100)}, data={"k": "1"}).json()
    assert found["hits"][0]["image"]["id"] == new["id"]
    facts = own_client.get(f"{BASE}/images/{new['id']}").json()
    assert facts["fields"] == {"filename": "new.png"}
    file = own_client.get(f"{BASE}/images/{new['id']}/file")
    assert file.content == png(100)
    assert file.headers["content-disposition"].endswith("''new.png")
    again = upload(own_client, ("same.png", png(100))).json()["images"][0]
    assert (again["outcome"], again["id"]) == ("known", new["id"])
    own_client.delete(f"{BASE}/images/{new['id']}")
    back = upload(own_client, ("new.png", png(100))).json()["images"][0]
    assert (back["outcome"], back["id"]) == ("added", new["id"])


def test_names_of_uploads_lead_nowhere(own_client: TestClient, tmp_path: Path) -> None:
    sent = upload(own_client, ("../../../escaped.png", png(102)), ("\u202e\x01.png", png(103)))
    assert [row["outcome"] for row in sent.json()["images"]] == ["added", "added"]
    kept = sorted(path.name for path in (tmp_path / "home" / "uploads").iterdir())
    assert kept == sorted(f"{row['sha256']}.png" for row in sent.json()["images"])
    assert not list(tmp_path.rglob("escaped*"))


def test_an_upload_can_be_left_to_a_job_that_tells_its_story(own_client: TestClient) -> None:
    sent = upload(own_client, ("new.png", png(104)), ("words.txt", b"hello"), wait=False)
    assert sent.status_code == 202, sent.text
    job_id = sent.json()["id"]
    assert sent.headers["location"] == f"/v1/jobs/{job_id}"
    events = own_client.get(f"/v1/jobs/{job_id}/events").text
    last = json.loads(events.split("event: end\ndata: ")[1])
    assert (last["state"], last["settled"], last["total"]) == ("done", 2, 2)
    assert last["counts"] == {"scanned": 1, "stored": 1, "failed": 1}
    assert last["failures"] == {"unsupported_format": 1}
    assert own_client.get("/v1/jobs").json()["jobs"][0]["id"] == job_id
    assert own_client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "done"
    problem(own_client.get("/v1/jobs/999/events"), 404, "job_not_found")
    problem(own_client.get("/v1/jobs/999"), 404, "job_not_found")


def test_a_body_that_is_no_upload_is_refused(client: TestClient) -> None:
    address = f"{BASE}/images"
    problem(client.post(address, content=b"x"), 400, "bad_request")
    problem(client.post(address, data={"image": "text"}), 400, "bad_request")
    problem(client.post(address, files={"file": b"x"}), 400, "bad_request")
    problem(client.post(address, json={"urls": []}), 422, "request_invalid")
    problem(client.post(address, json={"urls": ["https://example.org/a"]}), 403, "urls_off")
    problem(upload(client, *[("a.png", b"x")] * 257), 400, "bad_request")
    missing = client.post("/v1/collections/none/images", files={"image": b"x"})
    problem(missing, 404, "collection_not_found")


@pytest.fixture
def web() -> Iterator[str]:
    """A web server on loopback with one picture."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = png(105)
            self.send_response(200 if self.path == "/a.png" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_urls_are_fetched_where_that_is_allowed(tmp_path: Path, web: str) -> None:
    settings = {"fetch_urls": True, "allow_private_urls": True}
    with open_runtime(tmp_path, **settings) as runtime, open_client(runtime) as client:
        urls = [f"{web}/a.png", f"{web}/missing.png", "file:///etc/passwd"]
        problem(client.post(f"{BASE}/images", json={"urls": urls}), 422, "image_unreadable")
        sent = client.post(f"{BASE}/images", json={"urls": urls[:2]})
        assert sent.status_code == 202, sent.text
        job = settled(client, sent.json()["id"])
        assert job["counts"] == {"scanned": 1, "stored": 1, "failed": 1}
        assert job["failures"] == {"unreadable": 1}
        listed = client.get(f"{BASE}/images", params={"where": "filename:*a.png"}).json()["images"]
        assert [row["fields"]["url"] for row in listed] == [urls[0]]
        waited = client.post(f"{BASE}/images", json={"urls": urls[:1]}, params={"wait": True})
        assert [row["outcome"] for row in waited.json()["images"]] == ["known"]
        asked = client.post(f"{BASE}/search", json={"terms": [{"url": urls[0]}], "k": 1}).json()
        assert asked["hits"][0]["image"]["id"] == listed[0]["id"]


def test_private_addresses_are_not_fetched(tmp_path: Path, web: str) -> None:
    with open_runtime(tmp_path, fetch_urls=True) as runtime, open_client(runtime) as client:
        for url in (f"{web}/a.png", "http://169.254.169.254/latest/meta-data"):
            asked = client.post(f"{BASE}/search", json={"terms": [{"url": url}]})
            assert "its network" in problem(asked, 422, "image_unreadable")["detail"]


def test_a_job_that_waits_for_a_slow_server_holds_up_no_upload_and_can_be_cancelled(
    tmp_path: Path,
) -> None:
    answering = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answering.wait(30)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server,
        open_runtime(tmp_path, fetch_urls=True, allow_private_urls=True) as runtime,
        open_client(runtime) as client,
    ):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            urls = [f"http://127.0.0.1:{server.server_address[1]}/{n}.png" for n in range(3)]
            job = client.post(f"{BASE}/images", json={"urls": urls}).json()
            sent = upload(client, ("new.png", png(106))).json()["images"]
            assert [row["outcome"] for row in sent] == ["added"]
            assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"
            cancelled = client.post(f"/v1/jobs/{job['id']}/cancel").json()
            assert cancelled["state"] == "cancelling"
            time.sleep(1)
            answering.set()
            assert settled(client, job["id"])["state"] == "cancelled"
        finally:
            answering.set()
            server.shutdown()
            thread.join()
