"""The devices this server knows, and who a request is from.

Last sequence numbers are kept in memory. A restart forgets them: until the device's next request, one that was
recorded before counts again, for somebody who could read what TLS protects.
"""

import logging
from collections.abc import Collection, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.provisioning.protocol import ProblemCode
from appliance.provisioning.server.problems import Refused
from appliance.provisioning.signing import SignatureInvalid, SignedRequest, verify

_log = logging.getLogger(__name__)


class Devices:
    """Checks signatures and sequence numbers; one entry for each device in the settings."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey], authorities: Collection[str]) -> None:
        self._keys = keys
        self._authorities = frozenset(name.lower() for name in authorities)
        self._nobody = Ed25519PrivateKey.generate().public_key()
        self._last: dict[str, int] = {}

    def admit(self, request: SignedRequest, authority: str) -> str:
        """Return the device that signed ``request``, and count its sequence number as used.

        Raises:
            Refused: signature-invalid, or after a valid signature sequence-conflict.
        """
        if self._authorities and authority.lower() not in self._authorities:
            _log.info("refused: addressed to a name that is not in authorities")
            raise Refused(ProblemCode.SIGNATURE_INVALID)
        try:
            signer = verify(request, self._keys, self._nobody)
        except SignatureInvalid as error:
            _log.info("refused: %s", error)
            raise Refused(ProblemCode.SIGNATURE_INVALID) from None
        last = self._last.get(signer.device_id, 0)
        if signer.sequence <= last:
            _log.warning("device %s: sequence number %d after %d", signer.device_id, signer.sequence, last)
            raise Refused(ProblemCode.SEQUENCE_CONFLICT, last_sequence=last)
        self._last[signer.device_id] = signer.sequence
        return signer.device_id
