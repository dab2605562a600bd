"""What is done once is done by somebody, whatever happened before."""

from __future__ import annotations

import asyncio
import os

from slapos.networkcache.server import leader


def test_nothing_keeps_a_process_from_leading_for_good(
    tmp_path, monkeypatch, capsys
) -> None:
    """It tries again what fails, such as with too many open files, and says so once."""
    monkeypatch.setattr(leader, "EVERY", 0.01)
    folder, led = tmp_path / "root", asyncio.Event()

    async def job() -> None:
        led.set()
        await asyncio.Event().wait()

    async def run() -> None:
        leading = asyncio.create_task(leader.lead(folder / "leader", [job]))
        await asyncio.sleep(0.1)
        assert not leading.done()
        os.mkdir(folder)
        await asyncio.wait_for(led.wait(), 20)
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)

    asyncio.run(run())
    assert capsys.readouterr().err.count("networkcache server: cannot lock") == 1
