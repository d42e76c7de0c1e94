"""`plumbline reset`: an application forgets what it has done, and begins again at what the topics still hold."""

from __future__ import annotations

from collections.abc import Callable

from streams.commands.console import UsageError, note
from streams.engine.clients import open_admin
from streams.engine.forgetting import Kept, find, forget
from streams.engine.groups import wait_until_empty
from streams.engine.names import TopicNames
from streams.settings import Settings


async def reset(
    settings: Settings,
    application: str,
    *,
    dry_run: bool = False,
    confirm: Callable[[str], bool] = lambda _: True,
) -> None:
    """Delete groups, changelogs and the counts between the stages, after saying which.

    Parameters
    ----------
    settings
        Of the application.
    application
        Its `engine.application_id`, named once more by whoever wants this.
    dry_run
        Only say what would be deleted.
    confirm
        Asked before anything is deleted.

    Raises
    ------
    UsageError
        Where the name is another one than in the settings.
    GroupInUseError
        While workers run.
    """
    own = settings.engine.application_id
    if application != own:
        msg = f"--application = {application!r}: expected {own!r}, which PLUMBLINE_ENGINE_APPLICATION_ID names"
        raise UsageError(msg)
    names = TopicNames(settings)
    admin = await open_admin(settings)
    try:
        kept = await find(admin, settings, names)
        _say(kept, own)
        if dry_run or kept.is_nothing:
            note("A dry run: nothing was deleted." if dry_run else f"There is nothing of application {own!r}.")
            return
        await wait_until_empty(admin, list(kept.groups), within_seconds=settings.engine.session_timeout_seconds)
        if not confirm(f"Delete all that application {own!r} remembers?"):
            note("Nothing was deleted.")
            return
        await forget(admin, settings, kept)
        note(f"Application {own!r} is forgotten; the next worker makes its changelogs anew, and reads from the start.")
    finally:
        await admin.close()


def _say(kept: Kept, application: str) -> None:
    for group in kept.groups:
        note(f"offsets of group {group}")
    for topic, n in kept.changelogs.items():
        note(f"topic {topic}, about {n} records: the state")
    for topic, n in kept.profiles.items():
        note(f"records of topic {topic}, about {n}: counts on their way to the evaluator")
    if not kept.is_nothing:
        note("Local files in engine.state_folder are of what is deleted here: workers notice, and drop them.")
        note(
            f"What application {application!r} has published stays. What the topics of events still hold is read and"
            " judged again: alerts and rollback commands come again under their old ids, those of older data not."
        )
    for group, who in kept.members.items():
        note(f"group {group} has members: {', '.join(who)}")
