"""Many askers at once get what each would get alone, also while indexes change beneath them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from indexer.publish import publish
from tests.fakes.encoder import COLOURS
from tests.integration.api.conftest import open_runtime, open_server
from tests.integration.api.test_routes import BASE

QUESTIONS = [
    {"terms": [{"text": f"{first} {second}"}], "k": 5, **options}
    for first in COLOURS
    for second in ("red", "blue", "white")
    for options in ({}, {"where": "format:png"}, {"rerank": ["qe"]})
] + [{"terms": [{"id": 10**6}]}, {"terms": [{"text": "red"}], "where": "("}]


def test_together_is_as_alone_also_during_publishes(tmp_path: Path) -> None:
    with (
        open_runtime(tmp_path) as runtime,
        open_server(runtime) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        space = runtime.catalog.spaces(runtime.catalog.collection("default").id)[0]
        done = threading.Event()

        def publish_on() -> None:
            while not done.wait(0.02):
                publish(runtime.catalog, space, runtime.index_dir(space))

        def asked(question: dict) -> tuple[int, object]:
            answer = client.post(f"{BASE}/search", json=question)
            if answer.status_code != 200:
                return answer.status_code, answer.json()["code"]
            return 200, [(hit["image"]["id"], hit["score"]) for hit in answer.json()["hits"]]

        alone = [asked(question) for question in QUESTIONS]
        publisher = threading.Thread(target=publish_on)
        publisher.start()
        try:
            with ThreadPoolExecutor(32) as askers:
                together = list(askers.map(asked, QUESTIONS * 3))
        finally:
            done.set()
            publisher.join()
        counted = client.get("/metrics").text
    assert together == alone * 3
    assert [status for status, _ in alone].count(200) == len(QUESTIONS) - 2
    line = next(
        x for x in counted.splitlines() if x.startswith("likeness_search_batch_questions_c")
    )
    batches = float(line.rpartition(" ")[2])
    assert batches < len(QUESTIONS) * 4, "some of them shared a batch"
