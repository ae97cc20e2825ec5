"""Uploads step aside for questions, but not for ever."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from service.api.courtesy import LONGEST_S, Courtesy, CourtesyMiddleware


async def nothing(*_arguments: Any) -> Any:
    """Neither receive nor send."""


def test_who_meets_no_question_does_not_wait() -> None:
    started = time.monotonic()
    asyncio.run(Courtesy().step_aside())
    assert time.monotonic() - started < LONGEST_S


def test_an_upload_waits_until_the_answer_begins() -> None:
    order: list[str] = []

    async def meet() -> None:
        courtesy = Courtesy()
        courtesy.begin()

        async def upload() -> None:
            await courtesy.step_aside()
            order.append("upload")

        uploading = asyncio.create_task(upload())
        await asyncio.sleep(0.01)
        order.append("answer")
        courtesy.end()
        await uploading

    asyncio.run(meet())
    assert order == ["answer", "upload"]


def test_a_question_without_an_answer_does_not_stop_uploads() -> None:
    courtesy = Courtesy()
    courtesy.begin()
    asyncio.run(asyncio.wait_for(courtesy.step_aside(), 30))


@pytest.mark.parametrize(("method", "noted"), [("GET", 1), ("HEAD", 1), ("POST", 0), ("PATCH", 0)])
def test_only_questions_are_noted_and_only_until_their_answer_begins(method: str, noted: int) -> None:
    courtesy, seen = Courtesy(), []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        seen.append(courtesy._waiting)
        await send({"type": "http.response.start"})
        seen.append(courtesy._waiting)
        await send({"type": "http.response.body"})

    asyncio.run(CourtesyMiddleware(app, courtesy)({"type": "http", "method": method}, nothing, nothing))
    assert seen == [noted, 0]


def test_a_question_that_fails_is_not_noted_for_ever() -> None:
    courtesy = Courtesy()

    async def app(*_arguments: Any) -> None:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        asyncio.run(CourtesyMiddleware(app, courtesy)({"type": "http", "method": "GET"}, nothing, nothing))
    assert courtesy._waiting == 0
