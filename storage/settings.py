"""Every setting of the project, read from `STARLIGHT_*` environment variables, else from a file of such lines."""

import base64
import getpass
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.data_folder import check_ownership
from storage.hosts import is_loopback
from storage.redis_urls import SENTINEL_SCHEME, read_sentinels


def default_data_dir() -> Path:
    """Return the folder for servers' data and blobs: the system's for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/starlight")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "starlight"


def count_usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def default_submitter() -> str:
    """Return the login name, or the numeric user id where the account has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.geteuid()}"


def _read_port(url: str) -> int | None:
    return urlsplit(url).port


def _read_behind_password(url: str) -> int | None:
    # SQLAlchemy takes a slash in a password as it stands.
    return urlsplit(f"//{url.rpartition('@')[2]}").port


def _read_redis_url(url: str) -> object:
    return read_sentinels(url) or _read_port(url)


def _url_of(*schemes: str, read: Callable[[str], object] = _read_port) -> AfterValidator:
    def check(url: str | None) -> str | None:
        if not url:
            return None
        if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        try:
            read(url)
        except ValueError:
            # What is wrong with it may stand in its password.
            raise ValueError("cannot be read: write special characters of names and passwords as %XX") from None
        return url

    return AfterValidator(check)


def _past_pooler(url: str | None, info: ValidationInfo) -> str | None:
    if url and not info.data.get("database_url"):
        raise ValueError("is the way past the pooler that STARLIGHT_DATABASE_URL leads to: set both")
    return url


def _signing_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is None or not secret.get_secret_value():
        return None
    try:
        size = len(base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not 24 <= size <= 64:
        raise ValueError("must be 24 to 64 bytes in Base64, after whsec_")
    return secret


def _flower_basic_auth(credentials: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    given = credentials.get_secret_value() if credentials else ""
    if given:
        name, _, password = given.partition(":")
        if not name or len(password) < MIN_PASSWORD:
            raise ValueError(f"must be name:password, with at least {MIN_PASSWORD} characters of password")
        return credentials
    if "flower_host" in info.data and not is_loopback(info.data["flower_host"]):
        raise ValueError(
            f"must be name:password, because Flower, which can stop workers, listens on {info.data['flower_host']}"
        )
    return None


def _check_submitter(name: str) -> str:
    if name == CANARY_SUBMITTER:
        raise ValueError(f"{name!r} submits canaries alone: give another name")
    return name


def _read_seconds(value: object) -> object:
    return float(value) if isinstance(value, str) and value.strip().isdecimal() else value


CHUNK_SIZE = 256
MIN_PASSWORD = 8
# Who submits canaries, and nobody else.
CANARY_SUBMITTER = "canary"
Retention = Annotated[timedelta, BeforeValidator(_read_seconds), Field(ge=timedelta(0))]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """Settings of one process; unset server addresses mean the embedded servers."""

    model_config = SettingsConfigDict(env_prefix="STARLIGHT_", frozen=True, hide_input_in_errors=True)

    database_url: Annotated[str | None, _url_of("postgresql", read=_read_behind_password)] = Field(
        None, repr=False, description="postgresql://… of PostgreSQL 14 or newer; unset: an embedded server"
    )
    database_direct_url: Annotated[
        str | None, _url_of("postgresql", read=_read_behind_password), AfterValidator(_past_pooler)
    ] = Field(
        None,
        repr=False,
        description="postgresql://… past a pooler, such as PgBouncer in transaction mode, that the former leads to, "
        "for notifications, leases of devices and migrations; unset: there is none",
    )
    redis_url: Annotated[str | None, _url_of("redis", "rediss", SENTINEL_SCHEME, read=_read_redis_url)] = Field(
        None,
        repr=False,
        description="redis://…, rediss://… (TLS) or redis+sentinel://:password@host:port,host:port/service of the "
        "message broker; unset: an embedded server",
    )
    redis_server: Path | None = Field(
        None,
        description="program to run as the embedded Redis, such as /usr/bin/redis-server; unset: the wheel's Valkey",
    )
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=default_data_dir, description="folder of embedded servers, local blobs, logs and settings.env"
    )
    blob_url: Annotated[str | None, _url_of("file", "s3", "gs", "az")] = Field(
        None, description="where blobs live: file:///…, s3://…, gs://… or az://…; unset: in the data folder"
    )
    blob_retention: Retention = Field(
        timedelta(days=7),
        description="how long the images of a job are stored after it has ended: 7d, 12:00:00, or seconds",
    )
    evidence_retention: Retention = Field(
        timedelta(days=90), description="the same, of images in which something was found, where this is longer"
    )
    verdict_retention: Annotated[timedelta, BeforeValidator(_read_seconds), Field(gt=timedelta(0))] | None = Field(
        None,
        description="how long jobs and their verdicts are kept after they have ended, and up to a month more, since a "
        "month of them goes at once; unset: for ever",
    )
    export_retention: Retention = Field(
        timedelta(days=1), description="how long the files of an export that the API has made are kept"
    )
    max_exports_per_key: PositiveInt = Field(5, description="exports that one API key may have, made or waiting")
    min_free_bytes: NonNegativeInt = Field(
        2 * 2**30, description="bytes of a disk below which no more images are stored on it, nor bodies of requests"
    )
    canary_interval: Retention = Field(
        timedelta(minutes=5),
        description="time between the starts of two rounds of canaries: 00:05:00, or seconds; 0: none",
    )
    max_stored_bytes_per_key: PositiveInt = Field(
        100 * 2**30, description="bytes of images that the jobs of one API key may keep stored"
    )
    submitter: Annotated[str, AfterValidator(_check_submitter)] = Field(
        default_factory=default_submitter, description="who submits, for fair sharing; not `canary`"
    )
    log: Literal["auto", "text", "json"] = Field(
        "auto",
        description="lines of logs: text, json, or auto: text on a terminal and in the files of `starlight scan`, "
        "JSON elsewhere",
    )

    chunk_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        CHUNK_SIZE, description="references in one chunk, at most 4096"
    )
    dispatch_window: PositiveInt = Field(
        16,
        description="unclaimed chunks of one submitter in Redis, per live worker and priority; of all, twice as many",
    )
    dispatch_interval_s: PositiveFloat = Field(1.0, description="longest pause between two dispatcher rounds")
    republish_after_s: PositiveFloat = Field(5.0, description="age at which an unclaimed message may count as lost")
    lease_s: PositiveFloat = Field(60.0, description="how long a worker that says nothing keeps its chunks")
    chunk_timeout_s: PositiveFloat = Field(600.0, description="a chunk that takes longer ends its worker")
    shutdown_grace_s: PositiveFloat = Field(20.0, description="how long running chunks may finish after SIGTERM")
    max_tries: PositiveInt = Field(6, description="scans after which an image that cannot be reached is given up")
    retry_first_s: PositiveFloat = Field(5.0, description="pause before the second try; it doubles with each")
    retry_longest_s: PositiveFloat = Field(300.0, description="longest pause between two tries")
    max_losses: Annotated[int, Field(ge=2)] = Field(
        3, description="losses after which a lone image ends as worker_crash"
    )

    max_image_bytes: PositiveInt = Field(64 * 2**20, description="larger files are not read")
    max_image_pixels: PositiveInt = Field(50_000_000, description="larger pictures are not decoded")
    max_decode_seconds: PositiveFloat = Field(10.0, description="processor time that decoding one image may take")
    max_decode_bytes: PositiveInt = Field(2**30, description="memory that decoding one image may take")
    decode_budget_bytes: PositiveInt = Field(384 * 2**20, description="file and pixel bytes held while decoding")
    large_images_bytes: PositiveInt = Field(
        128 * 2**20,
        description="bytes of images over 1 MiB that are loaded and not decoded yet, half of it for fetched ones",
    )
    kept_images_bytes: PositiveInt = Field(
        128 * 2**20, description="bytes of images kept until they are judged, so that messages are read from these"
    )
    max_archive_members: PositiveInt = Field(200_000, description="entries that one archive may have")
    max_archive_bytes: PositiveInt = Field(16 * 2**30, description="bytes that one archive may unpack to")
    max_unpack_seconds: PositiveFloat = Field(
        20.0, description="processor time that unpacking one archive may take, and again for each 32 MiB that it has"
    )
    max_unpack_bytes: PositiveInt = Field(256 * 2**20, description="memory that unpacking one archive may take")
    unpack_stall_s: PositiveFloat = Field(60.0, description="how long unpacking may bring nothing before it is ended")
    max_inscribed_bytes: PositiveInt = Field(
        256 * 2**20, description="bytes that the packed images of one block of the chain may unpack to"
    )
    max_message_bytes: PositiveInt = Field(
        64 * 2**10, description="bytes of an extracted message that are shown and stored; what is cut says so"
    )

    cores: PositiveInt = Field(
        default_factory=count_usable_cores, description="cores that one worker process may keep busy"
    )
    decode_processes: PositiveInt = Field(
        default_factory=lambda values: values["cores"], description="processes that decode for one worker process"
    )
    torch_threads: PositiveInt = Field(
        default_factory=lambda values: max(1, values["cores"] // 2), description="threads that V4 computes with"
    )
    fetch_threads: PositiveInt = Field(
        32, description="references fetched at once; a submitter alone has half, so that others find some free"
    )
    fetch_timeout_s: PositiveFloat = Field(
        30.0, description="how long a server may take for one image, redirects and all"
    )
    fetch_schemes: tuple[Literal["http", "https"], ...] = Field(
        ("https",), description="schemes of the URLs that workers fetch, as JSON"
    )
    fetch_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks that are reached though they are not public, as JSON"
    )
    chunks_in_flight: PositiveInt = Field(
        default_factory=lambda values: max(4, values["decode_processes"] + 2),
        description="chunks of one submitter that a worker process scans at once; there is a thread more for others",
    )
    reuse_across_submitters: bool = Field(
        False, description="also of other submitters, who can tell by it what others had scanned"
    )
    reuse: bool = Field(True, description="bytes that the same model judged before keep that verdict")
    reuse_within: Annotated[timedelta, BeforeValidator(_read_seconds), Field(gt=timedelta(0))] = Field(
        timedelta(days=60), description="how long ago the job of a verdict that is reused was submitted at most"
    )
    batch_size: PositiveInt = Field(128, description="images in one pass through V4")
    batch_wait_ms: PositiveFloat = Field(4.0, description="how long an image waits for others to join its batch")
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_signing_secret)] = Field(
        None, description="whsec_… and 24 to 64 bytes in Base64: signs webhooks; unset: none are taken"
    )
    webhook_attempts: PositiveInt = Field(12, description="tries at a webhook before it is given up: about two hours")

    model_dir: Path | None = Field(
        None, description="model folder that a worker keeps to, whatever is in use; unset: the model in use"
    )

    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    api_port: Port = Field(8080, description="port of the API")
    api_roots: tuple[Path, ...] = Field((), description="folders that file:// references of the API may name, as JSON")
    blocks_root: Path | None = Field(None, description="folder of Stargate's blocks, HEIGHT_…/images/; unset: none")
    blocks_write_results: bool = Field(
        False, description="/scan/block also writes its answer into the block's folder, as starlight.json"
    )
    stargate_callback_url: Annotated[str | None, _url_of("http", "https")] = Field(
        None,
        description="Stargate's …/api/stego/callback, told of each image of /scan/block; needs the secret of webhooks",
    )
    stargate_ingest_url: Annotated[str | None, _url_of("http", "https")] = Field(
        None, description="Stargate's …/api/ingest-inscription, sent what /inscribe makes; unset: nothing is sent"
    )
    stargate_ingest_token: SecretStr | None = Field(None, description="Stargate's STARGATE_INGEST_TOKEN, sent with it")
    bitcoin_url: Annotated[
        str | None,
        _url_of(*(f"{kind}+{scheme}" for kind in ("rpc", "rest", "esplora") for scheme in ("http", "https"))),
    ] = Field(
        None,
        repr=False,
        description="the node that inscriptions are read from, which may be a private address: rpc+http://name:password@"
        "host:8332 or rest+http://host:8332 of Bitcoin Core, or esplora+https://host/api; unset: there is none",
    )
    bitcoin_cookie_file: Path | None = Field(
        None, description="file with the node's name:password, such as Bitcoin Core's .cookie, instead of the address"
    )
    bitcoin_timeout_s: PositiveFloat = Field(60.0, description="how long the node may take for one answer")
    inscribe_without_key: bool = Field(
        False, description="/inscribe takes requests without a key, as newer Stargates send them; it stores nothing"
    )
    metrics_without_key: bool = Field(
        False, description="/metrics of the API is shown to everybody, not only to admins"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names, as JSON, by which API, exporter and Flower may be asked besides loopback's and their "
        "address; unset, API and exporter on every interface may be asked by any",
    )
    head_timeout_s: PositiveFloat = Field(
        10.0, description="how long a connection to the API may be open without the whole head of a request"
    )
    transfer_timeout_s: PositiveFloat = Field(
        60.0,
        description="how long a client of the API may take to send 64 KiB of a body, or to read as much of an answer",
    )
    max_connections: PositiveInt = Field(
        4096, description="connections to the API, of which there are at most half as many as descriptors"
    )
    max_connections_per_address: PositiveInt = Field(
        512, description="the same, from one address, or one /64 of IPv6; behind a proxy all come from its address"
    )
    max_upload_bytes: PositiveInt = Field(2 * 2**30, description="largest body of a request to the API")
    unpack_processes: PositiveInt = Field(
        2, description="archives that the API unpacks at once, of one key one at a time"
    )
    max_waiting_images: PositiveInt = Field(
        50_000_000, description="images without a verdict, of all jobs, from which on the API refuses more"
    )
    max_waiting_images_per_key: PositiveInt = Field(10_000_000, description="the same, of the jobs of one API key")
    rate_limit_per_minute: PositiveInt = Field(12_000, description="requests that one API key may make in a minute")
    session_lifetime: Retention = Field(
        timedelta(hours=12), description="how long one stays signed in to the page: 12:00:00, 7d, or seconds"
    )
    session_idle: Retention = Field(timedelta(hours=1), description="the same, without a request")
    interactive_wait_s: PositiveFloat = Field(25.0, description="how long the API waits for the verdict on one image")

    flower_port: Port = Field(5555, description="port of Flower")
    flower_host: str = Field("127.0.0.1", description="address that Flower listens on")
    flower_basic_auth: Annotated[SecretStr | None, AfterValidator(_flower_basic_auth)] = Field(
        None,
        description="name:password, this of 8 characters or more, that Flower asks for; unset, on loopback: starlight "
        "and what is made in the data folder",
    )
    flower_url_prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$")] = Field(
        "", description="path that Flower is served under, such as tools/flower, for a proxy that sends it on as it is"
    )
    exporter_port: Port = Field(9808, description="port of the metrics exporter")
    exporter_host: str = Field(
        "127.0.0.1", description="address that the metrics exporter, and metrics of workers and API, listen on"
    )
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="port of a worker's own metrics, the next free one where others have it; 0: none"
    )
    api_metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="port of the API's own metrics; 0: none"
    )
    target_images_per_minute: PositiveInt = Field(1000, description="what metrics and figures show beside the rate")

    def blobs(self) -> str:
        """Return the URL of the blob store."""
        return self.blob_url or (self.data_dir / "blobs").as_uri()


def find_settings_file() -> Path:
    """Return the file of settings that the environment does not set: `settings.env` in the data folder."""
    return Path(os.environ.get("STARLIGHT_DATA_DIR") or default_data_dir()).absolute() / "settings.env"


@cache
def read_settings() -> Settings:
    """Return this process's settings, read once; raises DataFolderError where others may have written the file."""
    file = find_settings_file()
    for path in (file.parent, file):
        check_ownership(path)
    return Settings(_env_file=file)
