"""The page's files: what is sent with them, and for how long they may be kept."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from api.pages import PAGES, site

ADDRESSES = [page.address for page in PAGES]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_html_that_names_itself_and_links_to_all_others(
    client: TestClient, address: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for other in ADDRESSES:
        assert f'<a href="{other}"' in answer.text
    assert answer.text.count("aria-current=page") == 1
    assert "$" not in answer.text


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_file_that_a_page_names_is_served(client: TestClient, address: str) -> None:
    named = re.findall(r'(?:href|src)="(/assets/[^"]+)"', client.get(address).text)
    assert len(named) > 5
    for path in named:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_every_module_that_a_module_imports_exists() -> None:
    assets = site().assets
    found = 0
    for path, body in assets.items():
        folder = path.rpartition("/")[0]
        for name in re.findall(r'(?:from|import) "(\.[^"]+)"', body.decode()):
            parts = folder.split("/")
            for step in name.split("/"):
                if step == "..":
                    parts.pop()
                elif step != ".":
                    parts.append(step)
            assert "/".join(parts) in assets, f"{path} imports {name}"
            found += 1
    assert found > 10


def test_the_policy_lets_no_inline_script_style_or_foreign_host_in(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_markup_has_nothing_inline(client: TestClient, address: str) -> None:
    text = client.get(address).text
    assert not re.search(r"\s(style|on\w+)=", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "<style" not in text


def test_what_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/")
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    icon = f"/assets/{site().version}/icon.svg"
    etag = client.get(icon).headers["etag"]
    assert client.get(icon, headers={"If-None-Match": etag}).status_code == 304


def test_an_older_versions_address_still_works_but_is_not_kept(client: TestClient) -> None:
    answer = client.get("/assets/0000000000000000/icon.svg")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "../pages.py",
        "..%2fpages.py",
        "js/../../pages.py",
        "frame.html",
        "",
        "js",
        "%00",
    ],
)
def test_only_the_pages_own_files_are_served(client: TestClient, path: str) -> None:
    answer = client.get(f"/assets/{site().version}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_pages_are_no_part_of_the_api(client: TestClient) -> None:
    paths = client.get("/v1/openapi.json").json()["paths"]
    assert not [path for path in paths if path in ADDRESSES or path.startswith("/assets")]
