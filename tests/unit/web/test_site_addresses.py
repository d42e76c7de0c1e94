"""Where the pages listen: on the loopback unless a setting says otherwise, and then they warn."""

from __future__ import annotations

import socket

import httpx
from structlog.testing import capture_logs

from streams.settings import WebSettings
from streams.worker import Site


async def addresses_and_warnings(settings: WebSettings) -> tuple[set[str], list[str]]:
    site = Site(settings, (), lambda: "<p>here</p>")
    with capture_logs() as said:
        await site.on_start()
    try:
        found = set()
        for address in ("127.0.0.1", "127.0.0.2"):
            with socket.socket() as probe:
                if probe.connect_ex((address, site.port)) == 0:
                    found.add(address)
    finally:
        await site.on_stop()
    return found, [str(each["addresses"]) for each in said if each["event"] == "site_is_open"]


async def test_the_default_is_the_loopback_and_warns_of_nothing() -> None:
    assert WebSettings().host == "127.0.0.1"
    assert await addresses_and_warnings(WebSettings(port=0)) == ({"127.0.0.1"}, [])


async def test_another_address_of_the_loopback_is_taken_as_it_is_set() -> None:
    assert await addresses_and_warnings(WebSettings(host="127.0.0.2", port=0)) == ({"127.0.0.2"}, [])


async def test_an_address_that_others_reach_is_warned_of() -> None:
    # For a moment, on a port that nobody knows: a warning that is never given cannot be tested otherwise.
    found, warnings = await addresses_and_warnings(WebSettings(host="0.0.0.0", port=0))
    assert found == {"127.0.0.1", "127.0.0.2"}
    assert warnings == ["['0.0.0.0']"]


class FakeAnalyst:
    """Knows one model."""

    def analysis(self, environment: str, model_name: str) -> dict[str, object] | None:
        return {"verdict": "no_harm"} if (environment, model_name) == ("production", "m") else None

    def gate(self, request: object) -> tuple[bool, str]:
        if not isinstance(request, dict) or "name" not in request:
            msg = "the body names no model"
            raise ValueError(msg)
        return request["name"] == "m", "because"


async def test_deployment_tools_are_answered_with_a_status_that_they_act_on() -> None:
    site = Site(WebSettings(port=0), (), str, analyst=FakeAnalyst())
    await site.on_start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}") as client:
            known, unknown = await client.get("/analysis/production/m"), await client.get("/analysis/production/other")
            assert (known.status_code, known.json()) == (200, {"verdict": "no_harm"})
            assert unknown.status_code == 404
            assert "nothing is known of production/other" in unknown.json()["error"]
            answers = [await client.post("/gate/flagger", content=body) for body in (b'{"name":"m"}', b'{"name":"x"}')]
            assert [answer.status_code for answer in answers] == [200, 403]
            wrong = [await client.post("/gate/flagger", content=body) for body in (b"{}", b"no json")]
            assert [answer.status_code for answer in wrong] == [400, 400]
    finally:
        await site.on_stop()
