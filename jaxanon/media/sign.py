"""Content Credentials: a signed manifest (C2PA) that says a picture was painted in.

It holds two actions and no picture: neither a thumbnail nor an ingredient, both of
which the library adds unless told not to. Nothing is asked of the network.
"""

from pathlib import Path
from typing import NamedTuple

import jaxanon
from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import atomic

_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    ".gif": "image/gif",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
}
_SETTINGS = {
    "builder": {
        "thumbnail": {"enabled": False},
        "actions": {
            name: {"enabled": False}
            for name in ("auto_created_action", "auto_opened_action")
        },
    },
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class Signer(NamedTuple):
    """A certificate with its chain, and its key."""

    certificates: bytes
    key: bytes
    algorithm: str

    def check(self, target: Path, kind: str) -> None:
        """Raises ``MediaError`` where a file of this kind cannot be signed."""
        if kind not in _TYPES:
            name = kind.lower().lstrip(".")
            raise MediaError(f"{target}: {name} files cannot be signed with C2PA.")

    def sign(self, path: Path, kind: str, *, digital_source_type: str) -> None:
        """Signs a file, in place.

        Args:
            path: The file.
            kind: The format's name or the container's suffix.
            digital_source_type: What the actions say of the picture.

        Raises:
            MediaError: It cannot be signed.
        """
        import c2pa

        self.check(path, kind)
        made = {"digitalSourceType": digital_source_type}
        actions = [{"action": f"c2pa.{verb}", **made} for verb in ("created", "edited")]
        manifest = {
            "claim_generator_info": [
                {"name": "jaxanon", "version": jaxanon.__version__}
            ],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }
        try:
            info = c2pa.C2paSignerInfo(
                self.algorithm, self.certificates, self.key, None
            )
            with (
                c2pa.Context.from_dict(_SETTINGS) as context,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(manifest, context) as builder,
                atomic.replacing(path) as signed,
                path.open("rb") as source,
                signed.open("w+b") as sink,
            ):
                builder.sign(signer, _TYPES[kind], source, sink)
        except c2pa.C2paError as error:
            raise MediaError(f"It cannot be signed with C2PA ({error}).") from error


def load(certificates: Path, key: Path) -> Signer:
    """Reads a certificate, with the chain behind it, and its private key, both PEM.

    Raises:
        ConfigError: One of them cannot be used, or the extra "c2pa" is not installed.
    """
    try:
        import c2pa as c2pa
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ConfigError('--c2pa needs: pip install "jaxanon[c2pa]".') from error
    try:
        chain, secret = Path(certificates).read_bytes(), Path(key).read_bytes()
    except OSError as error:
        raise ConfigError(f"--c2pa: {error.filename}: {error.strerror}.") from error
    try:
        owner = x509.load_pem_x509_certificates(chain)[0].public_key()
    except ValueError as error:
        raise ConfigError(f"--c2pa: {certificates} is no PEM certificate.") from error
    try:
        private = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:  # A key with a password is a TypeError.
        raise ConfigError(f"--c2pa: {key} is no open PEM key ({error}).") from error
    if private.public_key() != owner:
        raise ConfigError(f"--c2pa: {key} is not the key of {certificates}.")
    return Signer(chain, secret, _algorithm(private))


def _algorithm(private) -> str:
    """Names the algorithm that C2PA has for a key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey):
        if private.curve.name in _ALGORITHMS:
            return _ALGORITHMS[private.curve.name]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise ConfigError("--c2pa takes keys of P-256, P-384, P-521, RSA and Ed25519.")
