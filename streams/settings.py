"""Every setting of a worker, validated at start; each can come from the environment.

`PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`, and so on: prefix, group, name. A secret has a
second setting, with `_file` behind its name: a file that holds it, as orchestrators mount them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import TOPICS

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+):([0-9]{1,5})")
_TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_MAX_PORT: Final = 65_535


class ProcessingGuarantee(StrEnum):
    """How a commit is made atomic."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


class StageName(StrEnum):
    """The stages a worker can run; all of them by default."""

    PROFILER = "profiler"
    EVALUATOR = "evaluator"
    GOVERNOR = "governor"
    RESPONDERS = "responders"


def _holds_a_secret(path: Path) -> Path:
    """Refuse a file that cannot be read or holds nothing; the secret itself is in no message."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"expected a file that can be read ({error.strerror})"
        raise ValueError(msg) from None
    except UnicodeDecodeError:
        msg = "expected text in UTF-8"
        raise ValueError(msg) from None
    if not text.strip("\r\n"):
        msg = "expected a file with the secret in it: it is empty"
        raise ValueError(msg)
    return path


def _are_addresses(text: str) -> str:
    for address in text.split(","):
        match = _ADDRESS.fullmatch(address.strip())
        if match is None or "@" in address or "/" in address or not 0 < int(match[2]) <= _MAX_PORT:
            msg = "expected host:port, and a comma between several; user and password have settings of their own"
            raise ValueError(msg)
    return text


Secret = Annotated[SecretStr, Field(min_length=1)]
SecretFile = Annotated[Path, AfterValidator(_holds_a_secret)]
"""A file that holds a secret and nothing else; line ends behind it are left out."""

_FILE = "_file"


class _Group(BaseModel):
    # No inputs in errors: one of them may be a secret, and errors end up in traces.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, given: Any) -> Any:
        """Put the content of `name_file` into `name`; a file that cannot be read is refused by its own field."""
        if not isinstance(given, dict):
            return given
        read = {}
        for name in cls.model_fields:
            path = given.get(name + _FILE)
            if path is None or name + _FILE not in cls.model_fields:
                continue
            if given.get(name) is not None:
                msg = f"{name} and {name}{_FILE} are both set: expected one of them"
                raise ValueError(msg)
            try:
                read[name] = Path(path).read_text(encoding="utf-8").strip("\r\n") or None
            except (OSError, UnicodeDecodeError):
                read[name] = None
        return {**given, **read}


class KafkaSettings(_Group):
    """How to reach the brokers."""

    bootstrap_servers: Annotated[str, AfterValidator(_are_addresses)] = "127.0.0.1:9092"
    """Comma-separated host:port."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether the connection is encrypted, and how it is authenticated."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """Required with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: str | None = Field(default=None, min_length=1)
    """Name of the SASL user; required with SASL_PLAINTEXT and SASL_SSL."""
    sasl_password: Secret | None = None
    """Password of the SASL user; never shown. Required with SASL_PLAINTEXT and SASL_SSL, here or as a file."""
    sasl_password_file: SecretFile | None = None
    """A file that holds the password of the SASL user."""
    ssl_cafile: Path | None = None
    """Certificates (PEM) of the authorities that sign the brokers' ones; the system's if not given."""
    ssl_certfile: Path | None = None
    """The client's certificate (PEM, with its chain), for brokers that ask for one."""
    ssl_keyfile: Path | None = None
    """The key (PEM) of the client's certificate; looked for in `ssl_certfile` if not given."""
    ssl_key_password: Secret | None = None
    """Password of an encrypted key; never shown."""
    ssl_key_password_file: SecretFile | None = None
    """A file that holds the password of the key."""
    connect_timeout_seconds: float = Field(default=20.0, gt=0)
    """How long a start waits for a broker before it gives up with exit code 3; one that refuses us ends it at once."""

    @model_validator(mode="after")
    def _settings_fit_the_protocol(self) -> KafkaSettings:
        protocol = self.security_protocol
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            value = getattr(self, name)
            if protocol.startswith("SASL_") and value is None:
                msg = f"{name} is missing: expected wherever security_protocol is {protocol}"
                raise ValueError(msg)
            if not protocol.startswith("SASL_") and value is not None:
                msg = f"{name} is set, but security_protocol is {protocol}: expected SASL_SSL or SASL_PLAINTEXT with it"
                raise ValueError(msg)
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password"):
            if not protocol.endswith("SSL") and getattr(self, name) is not None:
                msg = f"{name} is set, but security_protocol is {protocol}: expected SSL or SASL_SSL with it"
                raise ValueError(msg)
        for name in ("ssl_keyfile", "ssl_key_password"):
            if getattr(self, name) is not None and self.ssl_certfile is None:
                msg = f"ssl_certfile is missing: expected the certificate wherever {name} is set"
                raise ValueError(msg)
        return self


class TopicSettings(_Group):
    """Names and sizes of the topics."""

    prefix: str = ""
    """Put before every topic name."""
    overrides: dict[str, str] = Field(default_factory=dict)
    """A table name to the name in use, as JSON: `{"ml.predictions.v1": "scoring.events"}`."""
    events_partitions: int = Field(default=12, ge=1, le=1000)
    """Partitions of predictions and labels."""
    models_partitions: int = Field(default=4, ge=1, le=1000)
    """Partitions of topics that are keyed by environment and model."""
    replication_factor: int = Field(default=1, ge=1, le=9)
    """Copies of each partition, for topics that are created here."""

    @field_validator("prefix")
    @classmethod
    def _prefix_can_begin_a_name(cls, value: str) -> str:
        if value and not _TOPIC_NAME.fullmatch(value):
            msg = "expected letters, digits, '.', '_' and '-', or nothing"
            raise ValueError(msg)
        return value

    @field_validator("overrides")
    @classmethod
    def _overrides_are_of_the_table(cls, value: dict[str, str]) -> dict[str, str]:
        table = [topic.name for topic in TOPICS]
        for name, in_use in value.items():
            if name not in table:
                msg = f"{name!r} (for {in_use!r}) is no topic: expected one of {', '.join(table)}"
                raise ValueError(msg)
            if not _TOPIC_NAME.fullmatch(in_use):
                msg = f"{name} is to be {in_use!r}: expected a name of letters, digits, '.', '_' and '-'"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _every_topic_has_a_name_of_its_own(self) -> TopicSettings:
        taken: dict[str, str] = {}
        for topic in TOPICS:
            in_use = self.in_use(topic.name)
            if in_use in taken:
                msg = (
                    f"overrides: {taken[in_use]} and {topic.name} are both {in_use!r}: expected a name of its own for"
                    " every topic"
                )
                raise ValueError(msg)
            taken[in_use] = topic.name
        return self

    def in_use(self, table_name: str) -> str:
        """Return the broker's name of a topic of the table."""
        return self.overrides.get(table_name, self.prefix + table_name)


class EngineSettings(_Group):
    """How a stream task fetches and commits."""

    application_id: str = Field(default="plumbline", pattern=r"^[a-zA-Z0-9._-]+$")
    """Prefix of consumer groups, transactional ids and changelogs."""
    processing_guarantee: ProcessingGuarantee = ProcessingGuarantee.EXACTLY_ONCE
    """`exactly_once` needs a broker with transactions; `at_least_once` runs on any."""
    commit_interval_seconds: float = Field(default=0.2, gt=0)
    """A batch is cut after this long at the latest."""
    commit_when_drained_seconds: float = Field(default=0.02, gt=0)
    """With nothing left to read a batch is cut at once, but not more often than this."""
    commit_max_records: int = Field(default=50_000, ge=1)
    """A batch is cut at this many records ..."""
    commit_max_bytes: int = Field(default=8_000_000, ge=1)
    """... or at this many bytes of input."""
    fetch_max_records: int = Field(default=500, ge=1)
    """Records handed to a Processor at a time; small chunks stay in the cache."""
    fetch_max_wait_seconds: float = Field(default=0.4, gt=0, le=5)
    """How long a broker holds a fetch while there is nothing new. Apache Kafka answers as soon as there is; one that
    answers only when this is over adds it to every step."""
    queue_max_records: int = Field(default=100_000, ge=1)
    """High water of a task's queue, where its partition is paused."""
    heartbeat_interval_seconds: float = Field(default=10.0, gt=0)
    """How often a task says that it is alive, with its event time."""
    session_timeout_seconds: float = Field(default=10.0, gt=0)
    """A worker that is silent to its group for this long loses its partitions."""
    max_poll_interval_seconds: float = Field(default=300.0, gt=0)
    """A worker that fetches nothing for this long loses its partitions."""
    transaction_timeout_seconds: float = Field(default=10.0, gt=0)
    """The broker aborts a transaction that stays open for this long."""
    shutdown_timeout_seconds: float = Field(default=4.0, gt=0)
    """After this long a shutdown that hangs ends the process."""
    group_instance_id: str | None = None
    """Static membership: a restart under the same id moves no partition."""
    state_folder: Path | None = None
    """Where a worker keeps the rows that memory has no room for, and finds them again after a restart; a folder of its
    own for each worker. Without one all rows stay in memory, and a restart reads the changelog."""
    state_memory_rows: int = Field(default=100_000, ge=1)
    """Rows of a partition that stay in memory where there is a folder; about 210 bytes each."""
    on_processing_error: Literal["stop", "dead_letter"] = "stop"
    """What a record does that trips our own code: stop the worker, or become a dead letter after three crashes."""
    layout_check_interval_seconds: float = Field(default=30.0, gt=0)
    """How often a running stage looks whether its topics are still there, with the partitions that they had."""
    max_task_losses: int = Field(default=5, ge=1)
    """A task lost more often than this within ten minutes ends the worker, non-zero."""


class IngestSettings(_Group):
    """Bounds and tolerances on what comes in."""

    max_record_bytes: int = Field(default=1_000_000, ge=1_000)
    """Larger records are dead letters."""
    max_batch_bytes: int = Field(default=1_000_000, ge=1_000)
    """Larger Arrow batches are dead letters."""
    max_batch_rows: int = Field(default=100_000, ge=1)
    """Arrow batches of more rows are dead letters."""
    max_batch_expanded_bytes: int = Field(default=32_000_000, ge=1_000)
    """Arrow batches whose rows take more when each is written out, names and texts with it, are dead letters."""
    max_future_skew_seconds: float = Field(default=300.0, ge=0)
    """How far an event's own time may lie ahead of its append time."""
    max_models: int = Field(default=1_000, ge=1)
    """Models that one worker follows; events of further ones are dead letters."""
    redact: list[str] = Field(default_factory=list)
    """Features whose raw values never leave the prediction topic, as JSON: `["name"]`."""


class WebSettings(_Group):
    """Metrics and pages."""

    host: str = "127.0.0.1"
    """Loopback unless told otherwise: the pages have no login. Any other address is warned of at every start."""
    port: int = Field(default=6066, ge=0, le=65_535)
    """Where /metrics, /healthz, /readyz and the status page are served; 0 takes a free one."""
    max_series_per_model: int = Field(default=500, ge=10)
    """Bound on metric series per model; reaching it is a metric of its own."""


class ResponderSettings(_Group):
    """Where decisions go besides their topics."""

    alertmanager_url: str | None = None
    """Base URL of an Alertmanager; alerts in force are posted to its /api/v2/alerts."""
    alertmanager_interval_seconds: float = Field(default=60.0, gt=0)
    """How often alerts in force are posted again."""
    webhook_url: str | None = None
    """Receives rollback commands as signed JSON."""
    webhook_secret: Secret | None = None
    """Key of the HMAC-SHA256 signature; required with `webhook_url`, here or as a file."""
    webhook_secret_file: SecretFile | None = None
    """A file that holds the key of the signature."""
    alert_webhook_url: str | None = None
    """Told of every alert that fires or ends."""
    alert_webhook_format: Literal["json", "cloudevents", "slack", "pagerduty"] = "json"
    """What the receiver of alerts expects."""
    alert_webhook_severity: Literal["page", "all"] = "all"
    """Which alerts it is told of."""
    alert_webhook_secret: Secret | None = None
    """Key of the HMAC-SHA256 signature; for `pagerduty` the integration's routing key, and there required."""
    alert_webhook_secret_file: SecretFile | None = None
    """A file that holds it."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """Of a single post."""
    attempts: int = Field(default=5, ge=1)
    """Posts of one command or alert before it becomes a dead letter."""

    @field_validator("alertmanager_url", "webhook_url", "alert_webhook_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        parts = urlsplit("" if value is None else value)
        if value is not None and (parts.scheme not in {"http", "https"} or not parts.hostname):
            msg = "expected http://host:port or https://host"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _secret_comes_with_url(self) -> ResponderSettings:
        if self.webhook_url is not None and self.webhook_secret is None:
            msg = "webhook_secret is missing: expected a key wherever webhook_url is set"
            raise ValueError(msg)
        if self.alert_webhook_format == "pagerduty" and self.alert_webhook_url and self.alert_webhook_secret is None:
            msg = "alert_webhook_secret is missing: expected the routing key where alert_webhook_format is pagerduty"
            raise ValueError(msg)
        return self


class EvaluatorSettings(_Group):
    """When a source partition no longer holds event time back."""

    idle_after_seconds: float = Field(default=300.0, gt=0)
    """A source that says it is caught up, with nothing new for this long, is idle."""


class GovernorSettings(_Group):
    """What holds across models."""

    max_rollbacks_per_hour: int = Field(default=3, ge=1)
    """Beyond this the breaker opens: further rollbacks need a person."""
    command_ttl_seconds: float = Field(default=3600.0, gt=0)
    """A command that nobody executed expires after this long, on the wall clock."""
    signing_key: Secret | None = None
    """Key of the HMAC-SHA256 signature of commands; executors refuse unsigned ones where they have it."""
    signing_key_file: SecretFile | None = None
    """A file that holds the key of the signature of commands."""


class ExecutorSettings(_Group):
    """What executes rollback commands, as a part of the responders; without one they go to their topic alone."""

    kind: Literal["none", "mlflow", "command"] = "none"
    """`mlflow`: moves an alias of a registry. `command`: runs programs of yours."""
    name: str = "plumbline"
    """Who answers, in the rollback's record."""
    mlflow_url: str | None = None
    """The tracking server, such as http://mlflow:5000; required with `mlflow`."""
    mlflow_alias: str = "champion"
    """The alias that serving follows."""
    mlflow_model: str = "{model_name}"
    """The registered model's name; `{model_name}` and `{environment}` are filled in."""
    mlflow_token: Secret | None = None
    """Bearer token of the tracking server."""
    mlflow_token_file: SecretFile | None = None
    """A file that holds it."""
    read_command: tuple[str, ...] = ()
    """JSON list: the program and its arguments that print which version serves; required with `command`."""
    switch_command: tuple[str, ...] = ()
    """JSON list: the program and its arguments that make another version serve; required with `command`."""
    pass_variables: tuple[str, ...] = ("PATH",)
    """JSON list: environment variables that the programs get, and no other."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """Of one request or one run."""

    @model_validator(mode="after")
    def _complete(self) -> ExecutorSettings:
        if self.kind == "mlflow" and self.mlflow_url is None:
            msg = "mlflow_url is missing: expected the tracking server's address where kind is mlflow"
            raise ValueError(msg)
        if self.kind == "command" and not (self.read_command and self.switch_command):
            msg = 'read_command and switch_command are needed where kind is command: expected lists such as ["kubectl"]'
            raise ValueError(msg)
        return self


class LogSettings(_Group):
    """What is said, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Less than this is not logged."""
    format: Literal["console", "json"] = "console"
    """For people, or one JSON object a line."""


class Settings(BaseSettings):
    """All settings, by group."""

    model_config = SettingsConfigDict(
        env_prefix="PLUMBLINE_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    engine: EngineSettings = EngineSettings()
    ingest: IngestSettings = IngestSettings()
    web: WebSettings = WebSettings()
    responders: ResponderSettings = ResponderSettings()
    evaluator: EvaluatorSettings = EvaluatorSettings()
    governor: GovernorSettings = GovernorSettings()
    executor: ExecutorSettings = ExecutorSettings()
    log: LogSettings = LogSettings()
