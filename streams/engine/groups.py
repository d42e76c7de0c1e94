"""Consumer groups of an application: who is in them, and how they are forgotten."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import GroupIdNotFound, NoError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from streams.engine.errors import EngineError

_POLL_SECONDS: Final = 0.2


class GroupInUseError(EngineError):
    """A consumer group has members where it must have none."""


async def members(admin: AIOKafkaAdminClient, group: str) -> list[str]:
    """Return the client ids and hosts of a group's members; none where the group does not exist."""
    found = []
    for response in await admin.describe_consumer_groups([group]):
        for described in response.groups:
            code, _, _, _, _, in_it = described[:6]
            if for_code(code) not in {NoError, GroupIdNotFound}:
                raise for_code(code)(f"group {group!r} could not be described")
            found += [f"{member[1]} on {member[2]}" for member in in_it]
    return sorted(found)


async def owned(admin: AIOKafkaAdminClient, group: str) -> frozenset[TopicPartition] | None:
    """Return all partitions that a group's members own; None while it is not stable."""
    found: set[TopicPartition] = set()
    for response in await admin.describe_consumer_groups([group]):
        for described in response.groups:
            code, _, state, _, _, in_it = described[:6]
            if for_code(code) is not NoError or state != "Stable":
                return None
            for member in in_it:
                assignment = ConsumerProtocol.ASSIGNMENT.decode(bytes(member[4]))
                found |= {TopicPartition(topic, p) for topic, partitions in assignment.assignment for p in partitions}
    return frozenset(found)


async def wait_until_empty(admin: AIOKafkaAdminClient, groups: list[str], *, within_seconds: float) -> None:
    """Return once no group has a member.

    Parameters
    ----------
    admin
        A connected client.
    groups
        Names of groups.
    within_seconds
        A worker that was stopped under `engine.group_instance_id` stays a member for as long as its session.

    Raises
    ------
    GroupInUseError
        Naming a group and its members.
    """
    deadline = asyncio.get_running_loop().time() + within_seconds
    while True:
        busy = {group: who for group in groups if (who := await members(admin, group))}
        if not busy:
            return
        if asyncio.get_running_loop().time() >= deadline:
            group, who = next(iter(busy.items()))
            msg = f"group {group!r} has {len(who)} members ({', '.join(who[:3])}): stop every worker of the application"
            raise GroupInUseError(msg)
        await asyncio.sleep(_POLL_SECONDS)


async def delete_group(admin: AIOKafkaAdminClient, group: str) -> bool:
    """Delete a group with its offsets; False where there was none.

    Raises
    ------
    GroupInUseError
        Where it has members.
    """
    coordinator = await admin.find_coordinator(group)
    response = await admin._client.send(coordinator, DeleteGroupsRequest([group]))  # the client has no method for it
    for _, code in response.results:
        error = for_code(code)
        if error is GroupIdNotFound:
            return False
        if error is not NoError:
            msg = f"group {group!r} could not be deleted: {error.__name__}"
            raise GroupInUseError(msg)
    return True
