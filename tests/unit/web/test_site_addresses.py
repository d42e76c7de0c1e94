"""Where the pages listen: on the loopback unless a setting says otherwise, and then they warn."""

from __future__ import annotations

import socket

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
