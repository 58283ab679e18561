"""A real broker that asks who is there: one listener for each way to connect, with its own CA."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack.kafka import Kafka
from devstack.process import free_port

USER, PASSWORD = "millrace", "secret-of-millrace"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class SecuredKafka(Kafka):
    """Serves USER with PLAIN or SCRAM-SHA-512, and anybody over TLS.

    `ports` are by security protocol. The certificate in `ca_file` is for 127.0.0.1.
    """

    format_options = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, heap_mib=192)
        self.ports = {name: free_port() for name in ("SASL_PLAINTEXT", "SASL_SSL", "SSL")}
        self.ca_file = self.data_dir / "ca.pem"

    def _prepare(self) -> None:
        key, certificate = make_certificate()
        self.ca_file.write_text(certificate)
        self.data_dir.joinpath("broker.pem").write_text(key + certificate)
        super()._prepare()
        self._properties.write_text(self._secure(self._properties.read_text()))

    def _secure(self, properties: str) -> str:
        pairs = dict(line.split("=", 1) for line in properties.splitlines())
        more = "".join(f",{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        plain = f'{_PLAIN} user_{USER}="{PASSWORD}";'
        pairs |= {
            "listeners": pairs["listeners"] + more,
            "advertised.listeners": pairs["advertised.listeners"] + more,
            "listener.security.protocol.map": ",".join(
                f"{name}:{name}" for name in ("PLAINTEXT", *self.ports)
            )
            + ",CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": plain,
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _SCRAM,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.data_dir / "broker.pem"),
        }
        return "".join(f"{name}={value}\n" for name, value in pairs.items())


def make_certificate() -> tuple[str, str]:
    """Return a new key and a certificate for 127.0.0.1 signed by itself, in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return secret.decode(), public.decode()
