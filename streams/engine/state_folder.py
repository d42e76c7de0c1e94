"""Opens `engine.state_folder` for a stage: one worker process at a time, and only files of this cluster."""

from __future__ import annotations

from streams.engine.clients import open_admin
from streams.engine.errors import StateFolderError, StateFolderInUseError
from streams.local.errors import StorageError
from streams.local.instance import FolderInUseError, InstanceFolder
from streams.settings import Settings, StageName
from streams.stages import STAGES


async def open_state_folder(stage: StageName, settings: Settings) -> InstanceFolder | None:
    """Open and lock a stage's folder; None where there is none, or the stage keeps no files.

    Raises
    ------
    StateFolderInUseError
        Where another worker has it.
    StateFolderError
        Where it cannot be written.
    """
    root = settings.engine.state_folder
    if root is None or not STAGES[stage].keeps_files:
        return None
    admin = await open_admin(settings)
    try:
        described = await admin.describe_cluster()
    finally:
        await admin.close()
    folder = InstanceFolder(
        root,
        application_id=settings.engine.application_id,
        stage=stage.value,
        cluster_id=str(described.get("cluster_id") or ""),
    )
    try:
        folder.open()
    except FolderInUseError as error:
        raise StateFolderInUseError(str(error)) from error
    except StorageError as error:
        raise StateFolderError(str(error)) from error
    return folder
