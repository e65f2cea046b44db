"""`likeness serve`: the HTTP API and the web page."""

from __future__ import annotations

import ipaddress
import socket

import click

from likeness.catalog.serving.keys import ApiKeys
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note
from likeness.errors import SettingsError
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.telemetry.logs import configure_logging


@click.command()
@click.option("--host", help="Address to listen on; default: the setting `host` (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--insecure", is_flag=True, help="No API keys, on any address: everybody may do all.")
@json_option
@click.pass_obj
def serve(
    settings: Settings, *, host: str | None, port: int | None, insecure: bool, as_json: bool
) -> int:
    """Serve the HTTP API and the web page, until Ctrl-C.

    On loopback no key is needed until the first is made (`likeness keys create`). On any other
    address it refuses to start without keys, unless told --insecure. With --json, one line on
    standard output says where it listens, once it does.
    """
    from api.threads import share_cores

    share_cores()
    import uvicorn  # with everything behind it: other commands start without

    from api.app import LOOPBACK_NAMES, create_app

    changed = {"host": host, "port": port, "insecure": insecure or None}
    settings = settings.model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )
    with Runtime(settings) as runtime:
        local = is_loopback(settings.host)
        if not local:
            _refuse_without_keys(runtime)
        hosts = LOOPBACK_NAMES | {settings.host.lower()} if local else None
        configure_logging(settings.log_format, settings.log_level)
        listener = _listen(settings.host, settings.port)
        try:
            address = _address(settings.host, listener.getsockname()[1])
            app = create_app(runtime, hosts=hosts)
            config = uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=10,
            )
            if as_json:
                emit_json({"schema": "likeness.serve/1", "url": address})
            note(f"Likeness listens on {address} (Ctrl-C stops it)")
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            listener.close()
    return 0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; False for a name that cannot be told."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_without_keys(runtime: Runtime) -> None:
    settings = runtime.settings
    if settings.insecure or ApiKeys(runtime.catalog).any_valid():
        return
    raise SettingsError(
        f"refusing to serve on {settings.host} without API keys: whoever can reach it could see "
        "and change everything. Make one with `likeness keys create NAME --scope read`, serve on "
        "127.0.0.1, or say --insecure"
    )


def _listen(host: str, port: int) -> socket.socket:
    """Raises SettingsError when the address cannot be taken."""
    plain = host.strip("[]")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            plain, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise SettingsError(f"--host {host}: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another --port (0 "
            "takes a free one)"
        ) from error
    return listener


def _address(host: str, port: int) -> str:
    plain = host.strip("[]")
    shown = f"[{plain}]" if ":" in plain else plain
    return f"http://{shown}:{port}"
