"""Who may ask: keys, scopes, cookies, hosts and origins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from api import access
from api.app import LOOPBACK_NAMES, create_app
from likeness.catalog.serving.keys import ApiKeys, Scope
from likeness.cli.main import cli, run
from likeness.cli.serve import is_loopback
from likeness.settings import load_settings
from tests.fakes.runtime import FakeRuntime
from tests.integration.api.conftest import open_client
from tests.integration.api.test_routes import BASE, problem


@pytest.fixture
def quick_to_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up for each request."""
    monkeypatch.setattr(access, "_REMEMBERED_S", 0.0)


@pytest.fixture
def keys(own_runtime: FakeRuntime) -> dict[Scope, str]:
    rows = ApiKeys(own_runtime.catalog)
    return {scope: rows.create(scope.value, scope)[1] for scope in Scope}


@pytest.fixture
def locked(
    own_runtime: FakeRuntime, keys: dict[Scope, str], quick_to_forget: None
) -> Iterator[TestClient]:
    """A service that has keys."""
    app = create_app(own_runtime)
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_once_there_are_keys_nothing_is_seen_without_one(
    locked: TestClient, keys: dict[Scope, str], own_runtime: FakeRuntime
) -> None:
    for address in ("/v1/collections", f"{BASE}/images/1/file", "/metrics", "/v1/openapi.json"):
        refused = problem(locked.get(address), 401, "key_needed")
        assert "likeness keys create" in refused["detail"]
        wrong = keys[Scope.ADMIN][:-1] + "x"
        problem(locked.get(address, headers=bearer(wrong)), 401, "key_needed")
    assert locked.get("/v1/collections").headers["www-authenticate"] == "Bearer"
    assert locked.get("/healthz").status_code == 200
    for headers in (bearer(keys[Scope.READ]), {"X-API-Key": keys[Scope.READ]}):
        assert locked.get("/v1/collections", headers=headers).status_code == 200
    public_id = keys[Scope.READ].split("_")[1]
    ApiKeys(own_runtime.catalog).revoke(public_id)
    problem(locked.get("/v1/collections", headers=bearer(keys[Scope.READ])), 401, "key_needed")


def test_a_scope_allows_what_it_covers_and_no_more(
    locked: TestClient, keys: dict[Scope, str]
) -> None:
    def statuses(method: str, address: str, **options: object) -> list[int]:
        return [
            locked.request(method, address, headers=bearer(keys[scope]), **options).status_code  # type: ignore[arg-type]
            for scope in Scope
        ]

    assert statuses("GET", f"{BASE}/images") == [200, 200, 200]
    assert statuses("POST", f"{BASE}/search", json={"terms": [{"text": "red"}]}) == [200] * 3
    assert statuses("PATCH", f"{BASE}/images/1", json={"add": ["a"]}) == [403, 200, 200]
    assert statuses("POST", f"{BASE}/images", files={"image": b"x"}) == [403, 200, 200]
    assert statuses("DELETE", f"{BASE}/images/1") == [403, 204, 204]
    refused = locked.delete(BASE, headers=bearer(keys[Scope.WRITE]))
    assert problem(refused, 403, "scope_needed")["needed"] == "admin"


def test_a_refused_body_is_not_read(own_runtime: FakeRuntime, keys: dict[Scope, str]) -> None:
    app = create_app(own_runtime)
    sent: list[dict] = []

    async def receive() -> dict:
        raise AssertionError("the body was asked for")

    async def send(message: dict) -> None:
        sent.append(message)

    with TestClient(app) as opened:
        scope = {"type": "http", "method": "POST", "path": f"{BASE}/images", "headers": [],
                 "query_string": b"", "http_version": "1.1", "scheme": "http", "state": {},
                 "root_path": ""}  # fmt: skip
        opened.portal.call(app, scope, receive, send)  # type: ignore[union-attr]
    assert sent[0]["status"] == 401


def test_a_session_is_a_cookie_that_scripts_cannot_read(
    locked: TestClient, keys: dict[Scope, str]
) -> None:
    problem(locked.post("/v1/session", json={"key": "lk_nonsense"}), 401, "key_needed")
    opened = locked.post("/v1/session", json={"key": keys[Scope.READ]})
    may_read = {"key_needed": True, "scope": "read", "fetch_urls": False, "max_body": 2**20}
    assert opened.json() == may_read
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert locked.get("/v1/collections").status_code == 200
    assert locked.get("/v1/session").json() == may_read
    locked.delete("/v1/session")
    assert locked.get("/v1/session").json() == {**may_read, "scope": None}
    problem(locked.get("/v1/collections"), 401, "key_needed")


def test_without_keys_or_when_told_so_everybody_may_do_all(
    client: TestClient, own_runtime: FakeRuntime, keys: dict[Scope, str]
) -> None:
    session = client.get("/v1/session").json()
    assert (session["key_needed"], session["scope"]) == (False, "admin")
    settings = own_runtime.settings.model_copy(update={"insecure": True})
    own_runtime.settings = settings
    with open_client(own_runtime) as insecure:
        assert insecure.get("/v1/collections").status_code == 200


def test_pages_of_other_sites_change_nothing(client: TestClient) -> None:
    asked = {"terms": [{"text": "red"}]}
    for origin in ("https://evil.example", "null", "http://testserver:81", "http://["):
        refused = client.post(f"{BASE}/search", json=asked, headers={"Origin": origin})
        problem(refused, 403, "foreign_origin")
    own = client.post(f"{BASE}/search", json=asked, headers={"Origin": "http://testserver"})
    assert own.status_code == 200


def test_a_service_on_loopback_answers_to_its_own_names_only(own_runtime: FakeRuntime) -> None:
    with open_client(own_runtime, hosts=LOOPBACK_NAMES) as client:
        for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert client.get("/healthz", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example:8000", ""):
            problem(client.get("/healthz", headers={"Host": host}), 403, "foreign_origin")


def test_only_loopback_is_loopback() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")] == (
        [True] * 5
    )
    assert [is_loopback(h) for h in ("0.0.0.0", "::", "192.168.1.2", "photos.lan", "")] == (
        [False] * 5
    )


def test_serve_refuses_other_addresses_without_keys(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["--home", str(tmp_path), "serve", "--host", "0.0.0.0", "--port", "0"]
    )
    assert result.exit_code == 1
    assert "refusing to serve on 0.0.0.0 without API keys" in str(result.exception)


def test_keys_are_made_listed_and_revoked_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert run([*home, "keys", "create", "laptop", "--scope", "write", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["schema"], made["scope"]) == ("likeness.key/1", "write")
    assert run([*home, "keys", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["keys"]
    assert (row["id"], row["revoked_at"]) == (made["id"], None)
    assert "key" not in row
    assert run([*home, "keys", "revoke", made["id"]]) == 0
    assert run([*home, "keys", "revoke", "000000000000"]) == 2
    settings = load_settings(home=tmp_path)
    with FakeRuntime(settings) as runtime:
        assert ApiKeys(runtime.catalog).verify(made["key"]) is None


@pytest.mark.slow
def test_serve_says_where_it_listens_answers_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from likeness.cli.main import main; main()",
         "--home", str(tmp_path), "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                    assert json.load(answer) == {"status": "ready"}
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, 130)
