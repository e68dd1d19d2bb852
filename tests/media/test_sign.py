"""Content Credentials, made with a certificate of the test's own and read back."""

import datetime
import io
import json

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from jaxanon import clips, files, pipeline, seeds
from jaxanon.detect.json_format import FileDetections
from jaxanon.errors import ConfigError, MediaError
from jaxanon.media import mark, sign

c2pa = pytest.importorskip("c2pa")

USES = (
    "digital_signature content_commitment key_encipherment data_encipherment "
    "key_agreement key_cert_sign crl_sign encipher_only decipher_only"
).split()


def certify(owner, name, issuer, issuer_key, *, is_root):
    """A certificate as C2PA asks for: of a root, or for signing, by that root."""

    def named(text):
        organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a test")
        return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    uses = ("key_cert_sign", "crl_sign") if is_root else ("digital_signature",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(owner.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 30 * day)
        .add_extension(x509.BasicConstraints(is_root, None), True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            False,
        )
    )
    if not is_root:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, False)
    signed = builder.sign(issuer_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def to_pem(key, password=None):
    protection = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )


KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.fixture(scope="module")
def authority():
    key = KEYS["es256"]()
    return key, certify(key, "root", "root", key, is_root=True)


@pytest.fixture(scope="module")
def identity(tmp_path_factory, authority):
    """Files with a certificate chain and a key."""
    return identify(tmp_path_factory.mktemp("identity"), authority, "es256")


def identify(folder, authority, algorithm):
    root_key, root = authority
    key = KEYS[algorithm]()
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certify(key, "leaf", "root", root_key, is_root=False) + root)
    secret.write_bytes(to_pem(key))
    return chain, secret


def paint(source, target, weights, found, marking, *, boxes=([12, 8, 28, 26],)):
    pixels = np.random.default_rng(0).integers(60, 200, (32, 48, 3), np.uint8)
    Image.fromarray(pixels).save(source)
    return files.anonymize_image_file(
        source,
        target,
        key=seeds.base_key(1),
        weights=weights,
        given=FileDetections(48, 32, faces=found(*boxes)),
        marking=marking,
    )


def read_back(path, kind, root):
    """The manifests of a file, and what a validator that trusts the root says."""
    settings = {
        "trust": {"trust_anchors": root.decode()},
        "verify": {"verify_trust": True, "remote_manifest_fetch": False},
    }
    content = io.BytesIO(path.read_bytes())
    with c2pa.Context.from_dict(settings) as context:
        with c2pa.Reader(kind, content, context=context) as reader:
            state = reader.get_validation_state()
            return json.loads(reader.json()), state, reader.detailed_json()


KINDS = {
    "b.jpg": "image/jpeg",
    "b.png": "image/png",
    "b.webp": "image/webp",
    "b.tif": "image/tiff",
    "b.avif": "image/avif",
    "b.heic": "image/heif",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_signed_photo_validates_and_holds_no_picture(
    tmp_path, tiny_weights, found, identity, authority, name
):
    if name == "b.heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    target, marking = tmp_path / name, mark.Marking(signer=sign.load(*identity))
    paint(tmp_path / "a.png", target, tiny_weights, found, marking)
    store, state, details = read_back(target, KINDS[name], authority[1])
    assert state == "Trusted"
    (manifest,) = store["manifests"].values()
    assert "thumbnail" not in details and "ingredient" not in details
    assert not {"thumbnail", "ingredients", "title"} & manifest.keys()
    told = {each["label"]: each["data"] for each in manifest["assertions"]}
    # AVIF names the hash of its boxes here, the others do not.
    assert told.keys() - {"c2pa.hash.bmff.v3"} == {"c2pa.actions.v2"}
    assert told["c2pa.actions.v2"]["actions"] == [
        {"action": "c2pa.created", "digitalSourceType": mark.ADDRESS},
        {"action": "c2pa.edited", "digitalSourceType": mark.ADDRESS},
    ]
    with Image.open(target) as opened:
        assert opened.size == (48, 32)


def test_the_reader_would_have_seen_a_picture(
    tmp_path, tiny_weights, found, identity, authority, monkeypatch
):
    monkeypatch.setattr(sign, "_SETTINGS", {})
    target, marking = tmp_path / "b.jpg", mark.Marking(signer=sign.load(*identity))
    paint(tmp_path / "a.png", target, tiny_weights, found, marking)
    _, _, details = read_back(target, "image/jpeg", authority[1])
    assert "thumbnail" in details


def test_a_changed_photo_does_not_validate(
    tmp_path, tiny_weights, found, identity, authority
):
    target, marking = tmp_path / "b.jpg", mark.Marking(signer=sign.load(*identity))
    paint(tmp_path / "a.png", target, tiny_weights, found, marking)
    content = bytearray(target.read_bytes())
    content[-50] ^= 1
    target.write_bytes(content)
    assert read_back(target, "image/jpeg", authority[1])[1] == "Invalid"


@pytest.mark.parametrize("algorithm", [name for name in KEYS if name != "es256"])
def test_keys_of_other_kinds_sign_too(
    tmp_path, tiny_weights, found, authority, algorithm
):
    signer = sign.load(*identify(tmp_path, authority, algorithm))
    assert signer.algorithm == algorithm
    target, marking = tmp_path / "b.png", mark.Marking(signer=signer)
    paint(tmp_path / "a.png", target, tiny_weights, found, marking)
    assert read_back(target, "image/png", authority[1])[1] == "Trusted"


def test_a_manifest_of_the_input_is_told_and_goes(
    tmp_path, tiny_weights, found, identity, authority
):
    signed, target = tmp_path / "signed.png", tmp_path / "b.png"
    marking = mark.Marking(signer=sign.load(*identity))
    paint(tmp_path / "a.png", signed, tiny_weights, found, marking)
    report = files.anonymize_image_file(
        signed,
        target,
        key=seeds.base_key(1),
        weights=None,
        options=pipeline.Options(mode="black"),
        given=FileDetections(48, 32, faces=found([1, 1, 9, 9])),
        marking=marking,
    )
    assert report["notes"] == [
        "its C2PA manifest (Content Credentials) is not carried over.",
        "its mark DigitalSourceType = compositeWithTrainedAlgorithmicMedia is not "
        "carried over.",
        "is not signed, because no face was painted.",
    ]
    assert b"c2pa" not in target.read_bytes()


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_signed_video_validates(
    tmp_path, tiny_weights, found, encode_clip, identity, authority, suffix
):
    noise = np.random.default_rng(0).integers(60, 160, (32, 48, 3), np.uint8)
    source = encode_clip(tmp_path / "a.mp4", [noise] * 4)
    target = tmp_path / f"b.{suffix}"
    clips.anonymize_video_file(
        source,
        target,
        weights=tiny_weights,
        detector=lambda frames: [found([12, 8, 28, 26]) for _ in frames],
        marking=mark.Marking(signer=sign.load(*identity)),
    )
    kind = {"mp4": "video/mp4", "mov": "video/quicktime"}[suffix]
    _, state, details = read_back(target, kind, authority[1])
    assert state == "Trusted"
    assert "thumbnail" not in details and "ingredient" not in details
    assert mark.PACKET in target.read_bytes()


@pytest.mark.parametrize("name", ["b.bmp", "b.mkv"])
def test_what_cannot_be_signed_is_refused_and_leaves_nothing(
    tmp_path, tiny_weights, found, encode_clip, identity, name
):
    marking = mark.Marking(signer=sign.load(*identity))
    target = tmp_path / "out" / name
    with pytest.raises(MediaError, match="cannot be signed with C2PA"):
        if name == "b.bmp":
            paint(tmp_path / "a.png", target, tiny_weights, found, marking)
        else:
            black = np.zeros((32, 48, 3), np.uint8)
            source = encode_clip(tmp_path / "a.mp4", [black] * 2)
            clips.anonymize_video_file(
                source, target, weights=None, marking=marking, detector=None
            )
    assert not target.parent.exists()


def test_a_failed_signature_leaves_nothing(tmp_path, tiny_weights, found, identity):
    signer = sign.load(*identity)._replace(certificates=b"none")
    target, marking = tmp_path / "out" / "b.jpg", mark.Marking(signer=signer)
    with pytest.raises(MediaError, match="cannot be signed with C2PA"):
        paint(tmp_path / "a.png", target, tiny_weights, found, marking)
    assert not list(target.parent.iterdir())


def test_wrong_certificates_and_keys_are_named(tmp_path, identity):
    chain, secret = identity
    wrong = tmp_path / "wrong.pem"
    with pytest.raises(ConfigError, match="wrong.pem: No such file"):
        sign.load(wrong, secret)
    wrong.write_text("hello")
    with pytest.raises(ConfigError, match="no PEM certificate"):
        sign.load(wrong, secret)
    with pytest.raises(ConfigError, match="no open PEM key"):
        sign.load(chain, wrong)
    wrong.write_bytes(to_pem(KEYS["es256"](), b"secret"))
    with pytest.raises(ConfigError, match="no open PEM key"):
        sign.load(chain, wrong)
    wrong.write_bytes(to_pem(KEYS["es256"]()))
    with pytest.raises(ConfigError, match="is not the key of"):
        sign.load(chain, wrong)
