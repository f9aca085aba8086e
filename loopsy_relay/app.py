"""What a relay answers over HTTP: health, accounts, and the web app (PROTOCOL.md, section 6).

Whatever goes wrong is answered in JSON: a 4xx that names the field for wrong input, a 5xx only
for our own faults.
"""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import trio
from quart import request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse as Response
from werkzeug.exceptions import HTTPException

from loopsy_core import __version__
from loopsy_core.errors import BadRequest, LoopsyError

from .accounts import Unauthorized
from .address import TooMany, Turnstile
from .http import error_body
from .pages import Pages, security_headers

if TYPE_CHECKING:
    from .accounts import Accounts
    from .config import RelayConfig
    from .switchboard import Switchboard

__all__ = ["make_app"]

T = TypeVar("T")

_DEFAULT_TTL: Final = 300.0  # seconds

# Codes of PROTOCOL.md, section 3, for errors that HTTP itself knows.
_CODES: Final = {401: "refused", 403: "refused", 404: "not_found", 429: "busy", 503: "gone"}

_log = logging.getLogger("loopsy_relay")


# A missing field is an empty one, so that one sentence about the field serves both.
class _Register(msgspec.Struct):
    name: str = ""


class _Issue(msgspec.Struct):
    ttl: float = _DEFAULT_TTL


class _Redeem(msgspec.Struct):
    token: str = ""
    name: str = ""


def make_app(config: RelayConfig, accounts: Accounts, switchboard: Switchboard) -> QuartTrio:
    """Return the ASGI app of a relay."""
    app = QuartTrio("loopsy_relay", static_folder=None)
    app.url_map.merge_slashes = False  # no redirects: they would be HTML
    # How slowly a client may read is for the connection to say, which sees whether it reads.
    app.config["RESPONSE_TIMEOUT"] = None
    api = _Api(config, accounts, switchboard)

    app.add_url_rule("/health", view_func=api.health)
    app.add_url_rule("/", "front", api.front)
    app.add_url_rule("/app", "page", api.page)
    app.add_url_rule("/app/", "page_", api.page)
    app.add_url_rule("/app/<path:path>", "file", api.page)
    app.add_url_rule("/api/v1/devices", view_func=api.register, methods=["POST"])
    app.add_url_rule("/api/v1/device", view_func=api.forget_device, methods=["DELETE"])
    app.add_url_rule("/api/v1/pair/issue", view_func=api.issue, methods=["POST"])
    app.add_url_rule("/api/v1/pair/redeem", view_func=api.redeem, methods=["POST"])
    app.add_url_rule("/api/v1/phones", view_func=api.list_phones)
    app.add_url_rule("/api/v1/phones/<phone>", view_func=api.revoke_phone, methods=["DELETE"])
    app.add_url_rule("/ws/node", "ws_node", api.only_websocket)
    app.add_url_rule("/ws/phone", "ws_phone", api.only_websocket)

    async def add_headers(response: Response) -> Response:
        for name, value in security_headers(request.headers.get("Host"), config.public_url).items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    app.after_request(add_headers)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(LoopsyError, _answer_our_error)
    app.register_error_handler(Exception, _answer_bug)
    return app


class _Api:
    def __init__(self, config: RelayConfig, accounts: Accounts, switchboard: Switchboard) -> None:
        self.config = config
        self.accounts = accounts
        self.switchboard = switchboard
        self.pages = Pages(config.static)
        self.registering = Turnstile(config.registering)
        self.redeeming = Turnstile(config.redeeming)

    async def health(self) -> Response:
        return _json(
            200,
            {
                "status": "ok",
                "version": __version__,
                "nodes": self.switchboard.nodes,
                "phones": self.switchboard.phones,
            },
        )

    async def front(self) -> Response:
        return Response(status=302, headers={"Location": "/app"})

    async def page(self, path: str = "") -> Response:
        page = await self.pages.read(path)
        headers = {
            "Cache-Control": page.cache_control,
            "Content-Type": page.content_type,
            "ETag": page.etag,
            "Vary": "Accept-Encoding",
        }
        if page.etag in request.headers.get("If-None-Match", ""):
            return Response(status=304, headers=headers)
        if page.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(page.compressed, headers=headers)
        return Response(page.body, headers=headers)

    async def register(self) -> Response:
        self.registering.enter(_address(), trio.current_time())
        expected = self.config.registration_secret
        if expected is not None and not hmac.compare_digest(_bearer(), expected.encode()):
            raise Unauthorized("this relay registers machines only with its registration secret")
        body = await _body(_Register)
        device = await self.accounts.register(body.name, time.time())
        _log.info("node %s: registered from %s", device.id, _address())
        return _json(201, {"deviceId": device.id, "secret": device.text})

    async def forget_device(self) -> Response:
        device = await self._device()
        await self.accounts.forget_device(device)
        self.switchboard.cut_device(device, "this machine was removed from the relay")
        _log.info("node %s: removed", device)
        return Response(status=204)

    async def issue(self) -> Response:
        device = await self._device()
        ttl = (await _body(_Issue)).ttl
        shortest, longest = self.config.shortest_ttl, self.config.longest_ttl
        if not shortest <= ttl <= longest:
            raise BadRequest(f"ttl: must be {shortest:g} to {longest:g} seconds")
        token = self.accounts.issue(device, ttl, time.time())
        return _json(201, {"token": token.text, "expiresAt": token.expires})

    async def redeem(self) -> Response:
        self.redeeming.enter(_address(), trio.current_time())
        body = await _body(_Redeem)
        if not body.token:
            raise BadRequest("token: is missing")
        phone, bearer = await self.accounts.redeem(body.token, body.name, time.time())
        _log.info("phone %s: paired with node %s from %s", phone.id, phone.device, _address())
        reply = {"phoneId": phone.id, "bearer": bearer.text, "deviceId": phone.device}
        return _json(201, reply)

    async def list_phones(self) -> Response:
        phones = [
            {
                "id": phone.id,
                "name": phone.name,
                "createdAt": phone.created,
                "lastSeen": phone.last_seen,
                "connected": self.switchboard.is_connected(phone.id),
            }
            for phone in await self.accounts.list_phones(await self._device())
        ]
        return _json(200, {"phones": phones})

    async def revoke_phone(self, phone: str) -> Response:
        device = await self._device()
        await self.accounts.revoke_phone(device, phone)
        self.switchboard.cut_phone(phone, "this phone was revoked")
        _log.info("phone %s: revoked", phone)
        return Response(status=204)

    async def only_websocket(self) -> Response:
        raise _UpgradeRequired("only WebSockets can be opened here")

    async def _device(self) -> str:
        return await self.accounts.find_device(_bearer().decode(errors="replace"))


class _UpgradeRequired(BadRequest):
    status = 426


async def _body(kind: type[T]) -> T:
    """Return the request's body as `kind`. Raises `BadRequest`, naming the field."""
    try:
        return msgspec.json.decode(await request.get_data(), type=kind)
    except msgspec.ValidationError as error:
        # "Expected `str`, got `int` - at `$.name`": the path first, as in our other sentences.
        sentence, _, path = str(error).partition(" - at `$")
        field = path.strip("`.")
        raise BadRequest(f"{field}: {sentence}" if field else sentence) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None


def _bearer() -> bytes:
    """Return what stands behind `Authorization: Bearer`, or b"" which is nobody's."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def _address() -> str:
    return request.remote_addr or ""


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def _refusal(status: int, code: str, message: str) -> Response:
    return Response(error_body(code, message), status, content_type="application/json")


async def _answer_http_error(error: HTTPException) -> Response:
    """Turn what the framework refuses (404, 405, ...) into our JSON."""
    status = error.code or 500
    code = _CODES.get(status, "bad_request" if status < 500 else "internal")
    what = error.name.lower() if error.name else "error"
    response = _refusal(status, code, f"{request.method} of this path: {what}")
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers["Allow"] = value
    return response


async def _answer_our_error(error: LoopsyError) -> Response:
    response = _refusal(error.status, error.code, error.message)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        _log.warning("%s: %s", error.code, error.message)
    return response


async def _answer_bug(error: Exception) -> Response:
    _log.error("%s failed", request.method, exc_info=error)
    return _refusal(500, "internal", "the relay failed at this; its log says more")
