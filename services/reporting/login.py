"""Officers log in at the board: OpenID Connect, and a cookie with the access token that the APIs take (ADR 0022).

Nothing is stored: what a login needs until it is done travels sealed in a cookie, so any replica ends what one began.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import httpx
import pydantic_core
import structlog
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from services.reporting.metrics import LOGINS
from services.reporting.oidc import Client, LoginError, LoginFault, Provider, error_word, is_answer
from services.reporting.openapi import SCOPES
from services.reporting.settings import Settings
from shared.contracts.claims import Credential
from shared.runtime import metrics
from shared.runtime.bearer import SCOPE_MISSING, Endpoint
from shared.runtime.problems import problem
from shared.runtime.settings import CredentialSettings
from shared.runtime.tokens import TokenFault, TokenRefusedError, TokenVerifier

log = structlog.get_logger()

LOGIN_PATH: Final = "/login"
CALLBACK_PATH: Final = "/login/callback"
LOGOUT_PATH: Final = "/logout"
LOGIN_SECONDS_MAX: Final = 600
"""Real time between being sent to the issuer and coming back: a password, a code by SMS, a call in between."""
LOGINS_BEGUN_MAX: Final = 5
"""Logins that one browser has under way: tabs that it opens again at once all go through."""
TOKEN_COOKIE_CHARS_MAX: Final = 3_800
"""Browsers keep 4,096 bytes of a cookie with its name and attributes (RFC 6265 §6.1)."""
KEY_CHARS_MIN: Final = 32
PATH_CHARS_MAX: Final = 1_000
RETRY_SECONDS: Final = 10

OfficerEndpoint = Callable[[Request, Credential | None], Awaitable[Response]]

_ID_TOKEN_TYPES: Final = frozenset({"", "jwt"})
"""An ID token's `typ`; an access token's is at+jwt, so neither passes for the other."""
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class _Said:
    """How a fault is told."""

    status: int
    title: str
    text: str


_UNSOUND: Final = "Nơi đăng nhập của tỉnh chưa được nối đúng với bảng theo dõi. Xin báo bộ phận vận hành kèm mã lỗi."
_AGAIN: Final = "Xin đăng nhập lại."
_SAID: Final[Mapping[LoginFault, _Said]] = {
    LoginFault.NOT_SET_UP: _Said(
        503,
        "Bảng theo dõi chưa mở",
        "Bảng theo dõi chưa được nối với nơi đăng nhập của tỉnh. Xin báo bộ phận vận hành kèm mã lỗi.",
    ),
    LoginFault.ISSUER_DOWN: _Said(
        503,
        "Chưa đăng nhập được",
        "Nơi đăng nhập của tỉnh hiện không trả lời. Số liệu không bị ảnh hưởng. Xin thử lại sau ít phút; nếu vẫn không "
        "được, xin báo bộ phận vận hành kèm mã lỗi.",
    ),
    LoginFault.BUSY: _Said(503, "Chưa đăng nhập được", "Nhiều người đang đăng nhập cùng lúc. Xin thử lại sau ít giây."),
    LoginFault.KEYS_MISSING: _Said(
        503,
        "Chưa kiểm tra được đăng nhập",
        "Hệ thống đang lấy khóa kiểm tra của nơi đăng nhập. Xin thử lại sau ít giây.",
    ),
    LoginFault.STATE_UNKNOWN: _Said(
        400,
        "Lượt đăng nhập không còn hiệu lực",
        f"Đã quá 10 phút, lượt này đã được dùng, hoặc trình duyệt không giữ cookie của trang này. {_AGAIN}",
    ),
    LoginFault.CODE_REFUSED: _Said(
        400,
        "Lượt đăng nhập không còn hiệu lực",
        f"Nơi đăng nhập cho biết lượt này đã được dùng hoặc đã quá lâu. {_AGAIN}",
    ),
    LoginFault.ISSUER_REFUSED: _Said(
        403, "Nơi đăng nhập đã từ chối", f"Nơi đăng nhập không cho vào, hoặc việc đăng nhập đã bị hủy. {_AGAIN}"
    ),
    LoginFault.IDENTITY_REFUSED: _Said(
        400,
        "Đăng nhập không thành",
        f"Câu trả lời của nơi đăng nhập không thuộc lượt đăng nhập này. {_AGAIN}",
    ),
    LoginFault.ISSUER_UNSOUND: _Said(502, "Đăng nhập không thành", _UNSOUND),
    LoginFault.CLIENT_REFUSED: _Said(502, "Đăng nhập không thành", _UNSOUND),
    LoginFault.ACCESS_REFUSED: _Said(
        502,
        "Đăng nhập không thành",
        "Nơi đăng nhập cấp cho tài khoản này một mã truy cập mà hệ thống không nhận. Xin báo bộ phận vận hành kèm "
        "mã lỗi.",
    ),
    LoginFault.ACCESS_TOO_LARGE: _Said(
        502,
        "Đăng nhập không thành",
        "Mã truy cập của tài khoản này quá dài để trình duyệt giữ. Xin báo bộ phận vận hành kèm mã lỗi.",
    ),
    LoginFault.FOREIGN_FORM: _Said(
        403, "Yêu cầu bị từ chối", "Yêu cầu này không được gửi từ bảng theo dõi, nên không được thực hiện."
    ),
}


class _Begun(BaseModel):
    """A login under way, known to nobody but the browser that began it."""

    state: str
    nonce: str
    verifier: str
    back: str


class Seal:
    """Seals a login under way (Fernet: AES-CBC with HMAC-SHA-256, and the time)."""

    def __init__(self, key: str) -> None:
        if len(key) < KEY_CHARS_MIN:
            raise ValueError(f"DONDOC_LOGIN_KEY_FILE holds fewer than {KEY_CHARS_MIN} characters; put random ones in")
        derived = HKDF(SHA256(), 32, salt=None, info=b"dondoc board login 1").derive(key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def close(self, begun: _Begun, now: float) -> str:
        """What the browser keeps."""
        return self._fernet.encrypt_at_time(begun.model_dump_json().encode(), int(now)).decode()

    def open(self, sealed: str, now: float) -> _Begun:
        """What was sealed. Raises LoginError where it was not, or too long ago."""
        try:
            return _Begun.model_validate_json(
                self._fernet.decrypt_at_time(sealed.encode(), LOGIN_SECONDS_MAX, int(now))
            )
        except (InvalidToken, ValidationError, ValueError):
            raise LoginError(LoginFault.STATE_UNKNOWN) from None


@dataclass(frozen=True, slots=True)
class _SetUp:
    """What a login needs."""

    provider: Provider
    seal: Seal
    verify: TokenVerifier
    tokens: CredentialSettings


class BoardLogin:
    """Who reads the board. `/login`, `/login/callback`, `/logout`, and `for_officers` for every page."""

    def __init__(
        self,
        settings: Settings,
        verify: TokenVerifier | None,
        set_up: _SetUp | None,
        *,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        """`verify`: None lets everybody read. `set_up`: None lets nobody log in."""
        self._verify = verify
        self._set_up = set_up
        self._real_time = real_time
        self._board_url = settings.board_url.rstrip("/")
        self._is_https = self._board_url.startswith("https:")
        # With this prefix a browser takes the cookie from this very host alone, and only over https.
        self.cookie = "__Host-dondoc" if self._is_https else "dondoc"
        self._notice = _environment().get_template("notice.html")

    @classmethod
    def of(
        cls,
        settings: Settings,
        verify: TokenVerifier | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        real_time: Callable[[], float] = time.time,
    ) -> Self:
        """The login that the environment asks for."""
        set_up = None
        if verify is not None and settings.credentials is not None and settings.login_client_id:
            client = Client(
                settings.login_client_id,
                settings.board_url.rstrip("/") + CALLBACK_PATH,
                settings.login_scope,
                _secret(settings.login_client_secret_file, "DONDOC_LOGIN_CLIENT_SECRET_FILE"),
            )
            provider = Provider(
                settings.credentials.jwt_issuer,
                client,
                discovery_url=settings.login_discovery_url,
                transport=transport,
            )
            seal = Seal(_secret(settings.login_key_file, "DONDOC_LOGIN_KEY_FILE"))
            set_up = _SetUp(provider, seal, verify, settings.credentials)
        elif verify is not None:
            log.warning("login.not_set_up", hint="DONDOC_LOGIN_CLIENT_ID is empty; nobody can open the board")
        return cls(settings, verify, set_up, real_time=real_time)

    def routes(self) -> list[Route]:
        """The login's own pages."""
        return [
            Route(LOGIN_PATH, self.begin),
            Route(CALLBACK_PATH, self.complete),
            Route(LOGOUT_PATH, self.end, methods=["POST"]),
        ]

    # -- who is it ---------------------------------------------------------------------------------------------------

    def credential(self, request: Request) -> Credential | None:
        """Who is logged in, whatever the scopes; None for nobody, and where nobody needs to be."""
        try:
            return self._known(request)
        except TokenRefusedError:
            return None

    def seconds_left(self, request: Request) -> float | None:
        """How long the login of a request still lasts, for what goes on after it was let in; None: for ever."""
        if self._verify is None:
            return None
        return max(0.0, expires_at(request.cookies.get(self.cookie, "")) - self._real_time())

    def for_officers(self, endpoint: OfficerEndpoint) -> Endpoint:
        """A page that only officers open whose token has one of SCOPES. Where none is needed it is called with None.

        Who is not logged in is led to the login; what a page asks for by itself (htmx, fetch, EventSource) is answered
        401 with `HX-Refresh`, upon which the page is to load itself anew. What another site's page sends is refused.
        """

        async def guarded(request: Request) -> Response:
            if self._verify is None:
                return await endpoint(request, None)
            if self._is_foreign(request):
                return self._refused(request, LoginFault.FOREIGN_FORM)
            try:
                credential = self._known(request)
            except TokenRefusedError as refused:
                metrics.READS_REFUSED.labels(refused.fault.value).inc()
                return self._not_known(request, refused)
            if credential is not None and credential.scopes.isdisjoint(SCOPES):
                metrics.READS_REFUSED.labels(SCOPE_MISSING).inc()
                return self._not_allowed(request, credential)
            answer = await endpoint(request, credential)
            # The next at this desk may be somebody else: the way back in the browser's history shows nothing.
            answer.headers["cache-control"] = "no-store"
            answer.headers.setdefault("referrer-policy", "no-referrer")
            return answer

        return guarded

    def _known(self, request: Request) -> Credential | None:
        """The bearer of the cookie. Raises TokenRefusedError."""
        if self._verify is None:
            return None
        token = request.cookies.get(self.cookie)
        if not token:
            raise TokenRefusedError(TokenFault.MISSING, "Log in at the board.")
        return self._verify(token)

    def _is_foreign(self, request: Request) -> bool:
        """Whether another site's page sends something to be done here: other hosts of one gov.vn name are same-site.

        Our pages ask for no referrer, so browsers tell their Origin as null; those of today say Sec-Fetch-Site, but
        only to https and to this machine.
        """
        if request.method in _SAFE_METHODS:
            return False
        if (site := request.headers.get("sec-fetch-site")) is not None:
            return site not in {"same-origin", "none"}
        origin = request.headers.get("origin")
        return origin not in ({None, self._board_url} if self._is_https else {None, "null", self._board_url})

    # -- logging in and out --------------------------------------------------------------------------------------------

    async def begin(self, request: Request) -> Response:
        """`GET /login?next=`: to the issuer."""
        back = safe_path(request.query_params.get("next", "/"))
        if self._verify is None:
            return _redirect(back)
        begun = _Begun(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            back=back,
        )
        try:
            set_up = self._needed()
            answer = _redirect(
                await set_up.provider.authorization_url(state=begun.state, nonce=begun.nonce, verifier=begun.verifier)
            )
        except LoginError as error:
            return self._failed(request, error, back)
        others = [name for name in request.cookies if name.startswith(self._login_cookie(""))]
        for name in others if len(others) >= LOGINS_BEGUN_MAX else ():
            self._forget(answer, name)
        self._keep(
            answer, self._login_cookie(begun.state), set_up.seal.close(begun, self._real_time()), LOGIN_SECONDS_MAX
        )
        return answer

    async def complete(self, request: Request) -> Response:
        """`GET /login/callback`: back from the issuer, with a code or an error."""
        back = "/"
        try:
            set_up = self._needed()
            begun = self._begun(request, set_up.seal)
            back = begun.back
            token = await self._token(request, set_up, begun)
            answer = _redirect(back)
            self._keep(answer, self.cookie, token, self._seconds_of(token))
            LOGINS.labels("done").inc()
        except LoginError as error:
            answer = self._failed(request, error, back)
        if (name := self._login_cookie(request.query_params.get("state", ""))) in request.cookies:
            self._forget(answer, name)
        return answer

    async def end(self, request: Request) -> Response:
        """`POST /logout`: here, and at the issuer where it can (OpenID Connect RP-Initiated Logout 1.0)."""
        if self._is_foreign(request):
            return self._refused(request, LoginFault.FOREIGN_FORM)
        text = "Bạn đã đăng xuất khỏi bảng theo dõi."
        leave = None
        if self._set_up is not None:
            try:
                leave = await self._leave_url(self._set_up.provider)
            except LoginError:
                text += " Nơi đăng nhập không trả lời, nên bạn có thể vẫn đang đăng nhập ở đó."
        # Not a redirect: browsers hold a form's redirects against the policy's form-action, which names this site only.
        answer = self._page(200, "Đã đăng xuất", text, go="/", label="Đăng nhập lại", leave=leave)
        self._forget(answer, self.cookie)
        return answer

    async def _leave_url(self, provider: Provider) -> str | None:
        endpoint = (await provider.endpoints()).end_session_endpoint
        if endpoint is None:
            return None
        words = {"client_id": provider.client.id, "post_logout_redirect_uri": f"{self._board_url}/"}
        return str(httpx.URL(endpoint).copy_merge_params(words))

    def _begun(self, request: Request, seal: Seal) -> _Begun:
        """The login that an answer belongs to: one that this browser began."""
        state = request.query_params.get("state", "")
        begun = seal.open(request.cookies.get(self._login_cookie(state), ""), self._real_time())
        if not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise LoginError(LoginFault.STATE_UNKNOWN)
        return begun

    async def _token(self, request: Request, set_up: _SetUp, begun: _Begun) -> str:
        """The access token that the answer is good for. Raises LoginError."""
        answer = request.query_params
        await set_up.provider.check_sender(answer.get("iss"))
        if "error" in answer:
            raise LoginError(LoginFault.ISSUER_REFUSED, error_word(answer["error"]))
        if not (code := answer.get("code")):
            raise LoginError(LoginFault.ISSUER_UNSOUND, "code")
        tokens = await set_up.provider.exchange(code, begun.verifier)
        self._check_identity(set_up, tokens.id_token.get_secret_value(), begun.nonce)
        token = tokens.access_token.get_secret_value()
        try:
            credential = set_up.verify(token)
        except TokenRefusedError as refused:
            raise _as_login_error(refused, LoginFault.ACCESS_REFUSED) from None
        if len(token) > TOKEN_COOKIE_CHARS_MAX:
            raise LoginError(LoginFault.ACCESS_TOO_LARGE)
        log.info("login.done", province=credential.province, agency=credential.agency)
        return token

    def _check_identity(self, set_up: _SetUp, id_token: str, nonce: str) -> None:
        try:
            claims = set_up.verify.claims(id_token, types=_ID_TOKEN_TYPES)
        except TokenRefusedError as refused:
            raise _as_login_error(refused, LoginFault.IDENTITY_REFUSED) from None
        if not is_answer(
            claims,
            issuer=set_up.tokens.jwt_issuer,
            client_id=set_up.provider.client.id,
            nonce=nonce,
            now=self._real_time(),
            leeway_seconds=set_up.tokens.jwt_leeway_seconds,
        ):
            raise LoginError(LoginFault.IDENTITY_REFUSED)

    def _seconds_of(self, token: str) -> int:
        """How long the browser is to keep it. Raises LoginError for one that only the leeway still lets in."""
        seconds = int(expires_at(token) - self._real_time())
        if seconds < 1:
            raise LoginError(LoginFault.ACCESS_REFUSED, TokenFault.EXPIRED.value)
        return seconds

    def _needed(self) -> _SetUp:
        if self._set_up is None:
            raise LoginError(LoginFault.NOT_SET_UP)
        return self._set_up

    # -- cookies -------------------------------------------------------------------------------------------------------

    def _login_cookie(self, state: str) -> str:
        """One for each login: of several tabs, none takes the other's place."""
        return f"{self.cookie}-login-{state[:12]}"

    def _keep(self, answer: Response, name: str, value: str, seconds: int) -> None:
        # Lax: a Strict cookie would not be sent when the issuer sends the browser back.
        answer.set_cookie(name, value, max_age=seconds, path="/", secure=self._is_https, httponly=True, samesite="lax")

    def _forget(self, answer: Response, name: str) -> None:
        answer.delete_cookie(name, path="/", secure=self._is_https, httponly=True, samesite="lax")

    # -- answers -------------------------------------------------------------------------------------------------------

    def _not_known(self, request: Request, refused: TokenRefusedError) -> Response:
        if refused.fault is TokenFault.KEYS_MISSING:
            return self._refused(request, LoginFault.KEYS_MISSING)
        if self._set_up is None:
            return self._refused(request, LoginFault.NOT_SET_UP)
        if wants_page(request):
            return _redirect(f"{LOGIN_PATH}?{urlencode({'next': _path_of(request)})}")
        answer = problem(401, refused.fault.value, "Log in at the board: load the page anew.")
        answer.headers.update(
            {"www-authenticate": 'Cookie realm="dondoc"', "hx-refresh": "true", "cache-control": "no-store"}
        )
        return answer

    def _not_allowed(self, request: Request, credential: Credential) -> Response:
        known = ", ".join(SCOPES)
        if not wants_page(request):
            return problem(403, SCOPE_MISSING, f"The login's scope has none of these: {known}.")
        return self._page(
            403,
            "Tài khoản chưa có quyền xem",
            f"Tài khoản này của cơ quan {credential.agency} chưa có phạm vi nào trong các phạm vi (scope): {known}. "
            f"Xin đề nghị nơi cấp tài khoản bổ sung phạm vi {SCOPES[0]}, rồi đăng xuất và đăng nhập lại.",
            code=SCOPE_MISSING,
            officer=credential,
        )

    def _refused(self, request: Request, fault: LoginFault) -> Response:
        """What a page is refused with, or what it asked for by itself."""
        if wants_page(request):
            return self._told(fault, "", _path_of(request))
        answer = problem(_SAID[fault].status, fault.value, "See the board in a browser for what to do.")
        answer.headers["cache-control"] = "no-store"
        return answer

    def _failed(self, request: Request, error: LoginError, back: str) -> Response:
        LOGINS.labels(error.fault.value).inc()
        log.warning("login.failed", fault=error.fault.value, detail=error.detail)
        return self._told(error.fault, error.detail, f"{LOGIN_PATH}?{urlencode({'next': back})}")

    def _told(self, fault: LoginFault, detail: str, go: str) -> Response:
        said = _SAID[fault]
        answer = self._page(
            said.status,
            said.title,
            said.text,
            code=f"{fault.value}: {detail}" if detail else fault.value,
            go="/" if fault is LoginFault.FOREIGN_FORM else go,
            label="Về bảng theo dõi" if fault is LoginFault.FOREIGN_FORM else "Thử lại",
        )
        if said.status == 503:
            answer.headers["retry-after"] = str(RETRY_SECONDS)
        return answer

    def _page(self, status: int, title: str, text: str, **more: Any) -> Response:
        blank: dict[str, Any] = {"code": "", "go": "", "label": "", "leave": None, "officer": None}
        page = self._notice.render(title=title, text=text, **{**blank, **more})
        return HTMLResponse(page, status_code=status, headers=_HEADERS)


def wants_page(request: Request) -> bool:
    """Whether a person waits for a page. A program in a page could do nothing with a login page that it is led to."""
    if "hx-request" in request.headers:
        return False
    if (mode := request.headers.get("sec-fetch-mode")) is not None:
        return mode == "navigate"
    return "text/html" in request.headers.get("accept", "")


def safe_path(text: str) -> str:
    """A path of this site to go back to, else `/`.

    Browsers take `//host` and `/\\host` for another site, and drop tabs and line ends before they look.
    """
    is_path = text.startswith("/") and not text.startswith("//") and text.isprintable()
    if not is_path or " " in text or "\\" in text or len(text) > PATH_CHARS_MAX:
        return "/"
    # Back to where one came from, over and over.
    return "/" if urlsplit(text).path in {LOGIN_PATH, CALLBACK_PATH, LOGOUT_PATH} else text


def expires_at(token: str) -> float:
    """Seconds since 1970 at which a token ends that was verified; 0 for what is none."""
    try:
        payload = token.split(".")[1]
        return float(pydantic_core.from_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return 0.0


def _path_of(request: Request) -> str:
    """Where to come back to after a login: the page that was asked for, or the first one after a form."""
    query = f"?{request.url.query}" if request.url.query else ""
    return safe_path(f"{request.url.path}{query}") if request.method in _SAFE_METHODS else "/"


def _redirect(where: str) -> Response:
    return RedirectResponse(where, status_code=303, headers=_HEADERS)


def _as_login_error(refused: TokenRefusedError, fault: LoginFault) -> LoginError:
    if refused.fault is TokenFault.KEYS_MISSING:
        return LoginError(LoginFault.KEYS_MISSING)
    return LoginError(fault, refused.fault.value)


def _secret(file: str, variable: str) -> str:
    """The content of a secret file; empty where none is named."""
    if not file:
        return ""
    try:
        content = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"{variable} names {file}, which cannot be read ({type(error).__name__})") from None
    if not content:
        raise ValueError(f"{variable} names {file}, which is empty")
    return content


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
