"""A ServingSide: the alias of a registered model in MLflow, which a serving system follows.

A version of Plumbline's is a version of the registered model, by its number.

References
----------
MLflow REST API 2.0: `registered-models/alias` (get, set), `model-versions/get`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import httpx

from schemas.rollbacks import RollbackCommand
from streams.responders.endpoints import endpoint, shown

_API: Final = "/api/2.0/mlflow"
_ABSENT: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
"""What MLflow says of an alias, a model or a version that is not there."""


class ServingError(Exception):
    """A serving side did not do, or could not say, what it was asked."""


class MlflowAlias:
    """Reads and moves an alias.

    Parameters
    ----------
    url
        The tracking server's.
    alias
        The alias that serving follows, such as `champion`.
    name
        Template of the registered model's name: `{model_name}` and `{environment}` are filled in.
    token
        Bearer token; empty for none.
    timeout_seconds
        Of one request.
    transport
        For tests.
    """

    def __init__(
        self,
        url: str,
        *,
        alias: str,
        name: str = "{model_name}",
        token: str = "",
        timeout_seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = endpoint(url, setting="executor.mlflow_url", path=_API)
        self._alias = alias
        self._name = name
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._timeout_seconds = timeout_seconds
        self._transport = transport

    async def current_version(self, environment: str, model_name: str) -> str | None:
        """Read which version the alias points to; None where there is no such alias."""
        params = {"name": self._registered(environment, model_name), "alias": self._alias}
        found = await self._ask("GET", "registered-models/alias", params=params)
        return None if found is None else str(found["model_version"]["version"])

    async def check(self, command: RollbackCommand) -> None:
        """Raise `ServingError` where `command.to_version` is not there, or not ready."""
        name = self._registered(command.environment, command.model_name)
        version = str(command.to_version)
        found = await self._ask("GET", "model-versions/get", params={"name": name, "version": version})
        if found is None:
            msg = f"version {version} of {name!r} is not in the registry: expected one to go back to"
            raise ServingError(msg)
        status = found["model_version"].get("status", "READY")
        if status != "READY":
            msg = f"version {version} of {name!r} is {status}: expected READY"
            raise ServingError(msg)

    async def switch(self, command: RollbackCommand) -> None:
        """Point the alias to `command.to_version`, which has to exist and to be ready.

        Raises
        ------
        ServingError
            Where it does not, or the registry refuses.
        """
        await self.check(command)
        name = self._registered(command.environment, command.model_name)
        version = str(command.to_version)
        moved = await self._ask(
            "POST", "registered-models/alias", json={"name": name, "alias": self._alias, "version": version}
        )
        if moved is None:
            msg = f"the alias {self._alias!r} of {name!r} could not be moved to version {version}: it has vanished"
            raise ServingError(msg)

    def event_time(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    def _registered(self, environment: str, model_name: str) -> str:
        return self._name.format(environment=environment, model_name=model_name)

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any] | None:
        """Ask the registry; None where what is asked for is not there."""
        url = self._url.copy_with(path=f"{self._url.path}/{path}")
        async with httpx.AsyncClient(timeout=self._timeout_seconds, transport=self._transport) as client:
            try:
                response = await client.request(method, url, headers=self._headers, **request)
            except httpx.HTTPError as error:
                msg = f"{shown(str(self._url))} does not answer: {error!r}"
                raise ServingError(msg) from error
        answer: dict[str, Any] = response.json() if "json" in response.headers.get("content-type", "") else {}
        if response.is_success:
            return answer
        if answer.get("error_code") in _ABSENT:
            return None
        msg = f"{shown(str(self._url))} answered {response.status_code}: {answer.get('message', response.text)[:200]}"
        raise ServingError(msg)
