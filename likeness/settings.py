"""Settings: one frozen object, from flags, `LIKENESS_*` variables, `likeness.toml`, in that order.

Entry points build it; nothing below `likeness.runtime` sees it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from likeness.errors import SettingsError

SETTINGS_FILE = "likeness.toml"


class _HomeOnly(BaseSettings):
    """The one setting that must be known before the settings file can be found."""

    model_config = SettingsConfigDict(env_prefix="LIKENESS_", extra="ignore")

    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("likeness")))


class Settings(BaseSettings):
    """Everything that can be set. Sizes in bytes, times in seconds, areas in pixels."""

    model_config = SettingsConfigDict(env_prefix="LIKENESS_", frozen=True, extra="forbid")

    home: Path = Field(description="Folder of the catalog, the indexes and this settings file.")
    database_url: str = Field(
        default="",
        description="SQL database of the catalog, for example postgresql+psycopg://user@host/db; "
        "empty: a SQLite file in the home.",
    )
    broker_url: str = Field(
        default="",
        description="Redis that workers get their work by, for example redis://host:6379/0; "
        "empty: work is done in the calling process.",
    )
    queue_images: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="Images of one piece of queued work, which is one transaction.",
    )
    queue_lease_s: float = Field(
        default=30.0,
        gt=0,
        description="A worker that is not heard of for this long has lost its work to another.",
    )
    queue_sweep_s: float = Field(
        default=5.0, gt=0, description="Between looks for work whose worker or message was lost."
    )
    queue_stint_s: float = Field(
        default=30.0,
        ge=0,
        description="A worker goes on with pieces of one job for so long before it asks anew.",
    )
    queue_attempts: int = Field(
        default=8,
        ge=1,
        description="Work that failed so often is left to a person (likeness jobs).",
    )
    queue_backoff_s: float = Field(
        default=2.0, ge=0, description="Before the first retry; doubles up to five minutes."
    )
    queue_limit_s: float = Field(
        default=900.0,
        gt=1,
        description="A worker process that takes longer over a piece is killed.",
    )
    queue_visibility_s: float = Field(
        default=3600.0,
        gt=1,
        description="Redis hands a message out again when it was not acknowledged for so long.",
    )
    rescan_s: float = Field(
        default=0.0,
        ge=0,
        description="Workers look again at sources indexed with --queue --rescan; 0: never.",
    )
    compact_s: float = Field(
        default=30.0, ge=0, description="Between the workers' looks for indexes to renew; 0: never."
    )
    worker_grace_s: float = Field(
        default=25.0,
        ge=0,
        description="A worker that is told to stop finishes its work for so long, then hands back.",
    )
    worker_memory: int = Field(
        default=0,
        ge=0,
        description="A worker process that has grown beyond this is replaced; 0: never.",
    )
    worker_stall_s: float = Field(
        default=30.0,
        gt=0,
        description="A worker that takes nothing for so long, though there is work, is restarted; "
        "so is one whose work shows no sign of life four times as long.",
    )
    weights: Path | None = Field(
        default=None, description="Folder with encoder weights, looked into before the hub."
    )
    encoder: str = Field(
        default="auto",
        description="Encoder of new collections. auto: open_clip:ViT-B-32/laion2b_s34b_b79k if "
        "its weights are here or can be fetched, else the shipped likeness:tiny, and says so.",
    )
    offline: bool = Field(default=False, description="Never ask the model hub.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Arithmetic of the encoder; auto: bf16 where it is fast."
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Images per forward pass; empty: by memory."
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of encoder and index; empty: all cores."
    )
    decode_workers: int | None = Field(
        default=None, ge=1, le=256, description="Decoder processes; empty: one per core."
    )
    max_pixels: int = Field(
        default=100_000_000, ge=1, description="Images with more pixels are refused."
    )
    max_bytes: int = Field(
        default=200 * 2**20, ge=1, description="Files and archive members above this are refused."
    )
    decode_timeout_s: float = Field(
        default=20.0, gt=0, description="A decode that takes longer is stopped."
    )
    decode_memory: int = Field(
        default=2 * 2**30, ge=2**28, description="Memory limit of a decoder process."
    )
    allow_private_urls: bool = Field(
        default=False, description="Fetch images from private and loopback addresses too."
    )
    trusted_hosts: str = Field(
        default="",
        description="Names of hosts, with commas between, that images are fetched from although "
        "their addresses are private. The host of a source named on the command line is anyway.",
    )
    fetch_timeout_s: float = Field(
        default=30.0, gt=0, description="A download that takes longer is given up."
    )
    fetch_retries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="How often a server that is busy is asked again, with growing pauses.",
    )
    read_threads: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Images that are read at once; buckets and web servers like more than disks.",
    )
    web_rate: float = Field(
        default=20.0,
        ge=0,
        description="Requests per second of one process to one web server; 0: no limit.",
    )
    store_rate: float = Field(
        default=0.0,
        ge=0,
        description="Requests per second of one process to one bucket of s3:// or gs://; 0: no "
        "limit.",
    )
    commit_rows: int = Field(
        default=1000, ge=1, le=4096, description="Images per transaction, at most."
    )
    commit_interval_s: float = Field(
        default=2.0, gt=0, description="An image waits no longer than this for its transaction."
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="Of servers and workers: lines for people, or JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What servers and workers log at least."
    )
    traces: str = Field(
        default="",
        description="Collector of OpenTelemetry traces over OTLP/HTTP, for example "
        "http://localhost:4318; empty: none are recorded.",
    )

    host: str = Field(default="127.0.0.1", description="Address that `likeness serve` listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Its port; 0 takes a free one.")
    insecure: bool = Field(
        default=False,
        description="Serve without API keys, on any address: whoever can reach it may do all.",
    )
    fetch_urls: bool = Field(
        default=False,
        description="Let callers of the API name images by http(s) URL, which the server fetches.",
    )
    max_body: int = Field(
        default=256 * 2**20, ge=1024, description="Larger request bodies are refused."
    )
    max_items: int = Field(
        default=256, ge=1, le=10_000, description="Images of one request, at most."
    )
    max_queries: int = Field(
        default=64, ge=1, le=1024, description="Questions of one request, at most."
    )
    max_terms: int = Field(default=32, ge=1, le=1024, description="Terms of one question, at most.")
    max_text: int = Field(
        default=2000, ge=1, description="Longer words of a question are refused, in characters."
    )
    max_k: int = Field(default=1000, ge=1, description="Answers of one question, at most.")
    max_offset: int = Field(
        default=100_000, ge=0, description="Answers that may be skipped; cursors go deeper."
    )
    request_timeout_s: float = Field(
        default=30.0, gt=0, description="A request that takes longer is answered with an error."
    )
    batch_wait_s: float = Field(
        default=0.004,
        ge=0,
        le=1,
        description="A question waits at most this long for others to be encoded with it.",
    )
    batch_queries: int = Field(
        default=64, ge=1, le=1024, description="Questions that are encoded together, at most."
    )
    thumbnail_cache: int = Field(
        default=2 * 2**30, ge=0, description="Thumbnails kept on disk; the oldest go first."
    )

    index: Literal["auto", "exact", "compressed", "compressed-long", "ivf", "milvus"] = Field(
        default="auto", description="Kind of index; auto: from measured speed and the budget below."
    )
    index_latency_ms: float = Field(
        default=1.0,
        gt=0,
        description="What one query of the index may take before it is compressed.",
    )
    index_memory: int = Field(
        default=4 * 2**30,
        ge=1,
        description="Vectors that are scanned exactly take no more than this.",
    )
    index_recall: float = Field(
        default=0.98,
        gt=0,
        le=1,
        description="An index that finds fewer of the nearest is tuned, or built as another kind.",
    )
    index_interval_s: float = Field(
        default=5.0,
        ge=0,
        description="A server looks this often whether an index is due, and renews it in the "
        "background; 0: it leaves that to others.",
    )
    index_url: str = Field(
        default="",
        description="Server of the index kind milvus: milvus://HOST:19530, or milvus:PATH.db for "
        "milvus-lite in this process; empty: indexes are files in the home.",
    )

    @property
    def catalog_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'catalog.sqlite3'}"

    @property
    def index_root(self) -> Path:
        return self.home / "index"

    @property
    def uploads_root(self) -> Path:
        return self.home / "uploads"

    @property
    def thumbnails_root(self) -> Path:
        return self.home / "thumbnails"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = init_settings()["home"]
        toml = TomlConfigSettingsSource(settings_cls, toml_file=Path(home) / SETTINGS_FILE)
        return init_settings, env_settings, toml


def load_settings(**flags: Any) -> Settings:
    """Settings with flags before environment before `likeness.toml`; None flags are unset.

    Raises SettingsError naming the setting, the value and what would do.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    home = Path(given.pop("home", None) or _HomeOnly().home).expanduser().absolute()
    try:
        return Settings(home=home, **given)
    except ValidationError as error:
        raise SettingsError(_describe(error, home)) from error
    except ValueError as error:
        raise SettingsError(f"{home / SETTINGS_FILE} is not valid TOML: {error}") from error


def setting_origins(settings: Settings, **flags: Any) -> dict[str, str]:
    """Where each setting's value comes from: flag, environment, file or default."""
    given = {name for name, value in flags.items() if value is not None}
    environment = EnvSettingsSource(Settings)()
    file = TomlConfigSettingsSource(Settings, toml_file=settings.home / SETTINGS_FILE)()

    def origin(name: str) -> str:
        if name in given:
            return "flag"
        if name in environment:
            return f"LIKENESS_{name.upper()}"
        return SETTINGS_FILE if name in file else "default"

    return {name: origin(name) for name in Settings.model_fields}


def _describe(error: ValidationError, home: Path) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        lines.append(
            f"setting {name} = {problem['input']!r}: {problem['msg']} "
            f"(flag --{name.replace('_', '-')}, LIKENESS_{name.upper()} or "
            f"{name} in {home / SETTINGS_FILE})"
        )
    return "\n".join(lines)
