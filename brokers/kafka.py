"""Apache Kafka without Docker: one KRaft node on the loopback, its jars fetched by Maven once.

`python -m brokers.kafka [--port PORT] [--folder FOLDER]` runs it in the foreground until it is interrupted.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Final

from brokers.process import HOST, BrokerError, ChildBroker, free_port, is_free
from brokers.security import Security

KAFKA_VERSION: Final = "4.1.1"
DEFAULT_FOLDER: Final = Path(__file__).resolve().parents[1] / "build" / "kafka"
DEFAULT_PORT: Final = 9092

_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>plumbline.development</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

_CONFIG: Final = """\
process.roles=broker,controller
node.id=1
listeners={listeners},CONTROLLER://{host}:{controller_port}
advertised.listeners={advertised}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# The transactions of a killed worker must not keep readers waiting for the default of ten seconds more.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
socket.request.max.bytes=104857600
"""


class KafkaBroker(ChildBroker):
    """Apache Kafka on the loopback; `with KafkaBroker(folder=...) as broker: broker.bootstrap_servers`.

    Parameters
    ----------
    folder
        Takes data, configuration and log of this broker.
    port
        Port on the loopback, or None for a free one. A restart keeps it.
    libs
        Where the jars are; `build/kafka/libs` of the checkout by default, filled by Maven where it is empty.
    start_timeout_seconds
        How long `start` waits for the first answer.
    security
        Encrypted listeners besides the plain one; none by default.
    """

    name = "kafka"
    supports_transactions = True

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        libs: Path | None = None,
        start_timeout_seconds: float = 60.0,
        security: Security | None = None,
    ) -> None:
        super().__init__(folder, port=port, start_timeout_seconds=start_timeout_seconds)
        self.security = security
        self._libs = DEFAULT_FOLDER / "libs" if libs is None else Path(libs)
        self._controller_port = free_port()

    def prepare(self) -> None:
        """Fetch the jars, write the configuration, and format the data folder, each where it is missing."""
        if self.pid is None and not is_free(self.port):
            msg = f"port {self.port} on {HOST} is taken: end what listens there, or choose another port with --port"
            raise BrokerError(msg)
        _require("java", "a Java runtime, 17 or newer (Debian: apt-get install openjdk-17-jre-headless)")
        fetch_libs(self._libs)
        data = self.folder / "data"
        (self.folder / "server.properties").write_text(self.properties(data))
        if not (data / "meta.properties").exists():
            self._format()

    def properties(self, data: Path) -> str:
        """Return the configuration."""
        listeners = {} if self.security is None else self.security.listeners
        plain = f"PLAINTEXT://{HOST}:{self.port}"
        encrypted = [(name, each.advertised_host, each.port) for name, each in listeners.items()]
        config = _CONFIG.format(
            host=HOST,
            controller_port=self._controller_port,
            listeners=",".join([plain, *(f"{name}://{HOST}:{port}" for name, _, port in encrypted)]),
            advertised=",".join([plain, *(f"{name}://{host}:{port}" for name, host, port in encrypted)]),
            protocols=",".join(
                ["PLAINTEXT:PLAINTEXT", *(f"{name}:{each.protocol}" for name, each in listeners.items())]
            ),
            data=data.resolve(),
        )
        return config if self.security is None else config + self.security.config()

    def command(self) -> list[str]:
        """Return the command line."""
        return ["java", "-Xms256m", "-Xmx1g", *self._java("kafka.Kafka"), *self._config()]

    def _format(self) -> None:
        options = ["format", f"--cluster-id={self.new_cluster_id()}", "-c", *self._config()]
        command = ["java", *self._java("kafka.tools.StorageTool"), *options]
        if self.security is not None:
            command += self.security.format_options()
        done = subprocess.run(  # noqa: S603 - built here
            command, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            msg = f"formatting {self.folder / 'data'} failed with code {done.returncode}: {done.stderr[-2000:]}"
            raise BrokerError(msg)

    def new_cluster_id(self) -> str:
        """Return the id that the data folder is formatted with: of a cluster of its own."""
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _java(self, main: str) -> list[str]:
        quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        return [*quiet, "-cp", f"{self._libs.resolve()}/*", main]

    def _config(self) -> list[str]:
        return [str(self.folder / "server.properties")]


def fetch_libs(libs: Path) -> None:
    """Fill a folder with Kafka's jars through Maven, unless it has them already."""
    marker = libs / f".complete-{KAFKA_VERSION}"
    if marker.exists():
        return
    libs.mkdir(parents=True, exist_ok=True)
    with (libs.parent / "libs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        if marker.exists():
            return
        _require("mvn", "Apache Maven (Debian: apt-get install maven)")
        pom = libs.parent / "pom.xml"
        pom.write_text(_POM)
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
        done = subprocess.run(  # noqa: S603 - built here
            command, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            msg = f"Maven could not fetch Apache Kafka {KAFKA_VERSION}: {(done.stdout + done.stderr)[-2000:]}"
            raise BrokerError(msg)
        marker.touch()


def missing_tool() -> str | None:
    """Return which of Kafka's prerequisites is missing, or None: for tests that would rather skip."""
    if shutil.which("java") is None:
        return "java"
    if not (DEFAULT_FOLDER / "libs" / f".complete-{KAFKA_VERSION}").exists() and shutil.which("mvn") is None:
        return "mvn"
    return None


def _require(tool: str, what: str) -> None:
    if shutil.which(tool) is None:
        msg = f"`{tool}` was not found on PATH: the development broker needs {what}"
        raise BrokerError(msg)


def main(arguments: list[str] | None = None) -> int:
    """Run a broker in the foreground until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m brokers.kafka", description=main.__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port on {HOST} (default {DEFAULT_PORT})")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER / "broker", help="data, config and log")
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    try:
        with KafkaBroker(options.folder, port=options.port) as broker:
            sys.stdout.write(f"Apache Kafka {KAFKA_VERSION} on {broker.bootstrap_servers} (log: {broker.log_path})\n")
            sys.stdout.flush()
            while not ended.wait(0.5):
                if broker.pid is None:
                    sys.stderr.write(f"Apache Kafka ended by itself; see {broker.log_path}\n")
                    return 1
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
