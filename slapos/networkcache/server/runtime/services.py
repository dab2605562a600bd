"""What a server shows of itself, beside its two services: pages, numbers, its health."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...entry import Key
from ...storage import Stored
from ..accounts.nearby import everybody, is_nearby
from ..app import Service
from ..configuration.options import Options
from ..directory import together, visible
from ..monitoring.health import Health, Readiness
from ..monitoring.metrics import Metrics
from ..monitoring.statistics import Statistics
from ..pages.services import make_pages
from ..pages.views import LookUp, Views
from ..root import Root
from ..threads import Threads
from ..upstream.upstreams import Upstreams
from ..upstream.watched import name_of


def services_of(
    root: Root,
    threads: Threads,
    options: Options,
    *,
    upstream: Upstreams | None,
    draining: Callable[[], bool],
) -> dict[str, Service]:
    """These services by their first path segment. `draining` tells whether the server is
    about to end."""
    names = [name_of(urls) for urls in options.upstreams]
    statistics = Statistics(root.database, root.folder, names)
    shows = everybody if options.show_names else is_nearby
    look_up = _looking_up(root, threads, upstream)
    views = Views(statistics, look_up, root.contents, root.catalogue, threads)
    return {
        **make_pages(views, threads, names=shows, public_url=options.public_url),
        "/metrics": Metrics(statistics, threads, shows),
        "/healthz": Health(root.contents, root.database, threads),
        "/readyz": Readiness(root.database, threads, draining),
    }


def _looking_up(root: Root, threads: Threads, upstream: Upstreams | None) -> LookUp:
    """What `shadir` does for a program, less its count of who asked."""

    def kept_here(keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        known = root.entries.get(keys)
        return {key: visible(rows, root.contents.has) for key, rows in known.items()}

    async def look_up(keys: Sequence[Key]) -> Mapping[Key, Sequence[Stored]]:
        near = await threads.read(kept_here, keys)
        if upstream is None:
            return near
        far = (await upstream.look_up(keys)).rows
        return {key: together(near.get(key, ()), far.get(key, ())) for key in keys}

    return look_up
