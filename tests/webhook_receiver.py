"""A receiver of webhooks on this machine, over http, or https with a certificate of its own making.

In the flow of the tests: WebhookSender → **WebhookReceiver**.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """What it says."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    def is_signed_by(self, secret: str) -> bool:
        """Whether it is from who knows the secret, as a receiver checks it."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return expected == self.headers["webhook-signature"]


@dataclass
class WebhookReceiver:
    """Notes what it receives, and answers with its next status; the last one goes on for ever."""

    statuses: list[int] = field(default_factory=lambda: [204])
    received: list[Received] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None
    """Called while a sender waits for its answer."""
    body: bytes = b""
    """Sent with every answer."""
    port: int = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Take a request."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.received.append(Received({name.lower(): value for name, value in request.headers.items()}, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.before_answer()
        request.send_response(status)
        request.send_header("Content-Length", str(len(self.body)))
        if 300 <= status < 400:
            request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        request.end_headers()
        request.wfile.write(self.body)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, **options: Any) -> Iterator[WebhookReceiver]:
    """Receive on a free port of 127.0.0.1."""
    receiver = WebhookReceiver(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """A webhook came."""
            receiver.answer(self)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            """Senders may hang up, or refuse our certificate."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_port
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def make_certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A receiver's TLS for a host's name, and the file of its self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_path, certificate_path = folder / f"{host}.key", folder / f"{host}.pem"
    plain = serialization.NoEncryption()
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_path, key_path)
    return context, certificate_path
