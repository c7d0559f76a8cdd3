"""Who a client is, by the token that it shows, and what it may do.

A run has one secret, the mesh token. From it each role's token is derived, `<role>.<HMAC-SHA256>`, so that who holds a
role's can neither make another's nor check one. Whoever shows the mesh token itself is the operator, with every right.
"""

from __future__ import annotations

import hmac
import re

from kaimesh.config.roles import ROLES, Right, Rights, rights_of, role_of
from kaimesh.contract.errors import ConfigError, Denied, Refused
from kaimesh.wire.internal import Counts

OPERATOR = "operator"
DENIED = "denied"  # a counter in the process's status: what was asked for without the right to it
OWN_RIGHTS: Rights = rights_of(ROLES.values())
_ROLE_TOKEN = re.compile(r"([a-z][a-z0-9_]{0,31})\.[0-9a-f]{64}")


def holder_of(token: str) -> str:
    """The role that `token` belongs to: the operator, if it is a mesh token."""
    match = _ROLE_TOKEN.fullmatch(token)
    return match[1] if match else OPERATOR


def role_token(token: str, role: str) -> str:
    """What a process of `role` shows to others. token: the mesh token, or that role's own already.

    Raises ConfigError: it is another role's.
    """
    holder = holder_of(token)
    if holder == role:
        return token
    if holder != OPERATOR:
        raise ConfigError(
            f"KAIMESH_TOKEN is the token of role {holder}, and this process is of role {role}, so the others would "
            f"refuse it. Give it the token of role {role}, or the mesh token."
        )
    digest = hmac.digest(_bytes(token), f"kaimesh role {role}".encode(), "sha256")
    return f"{role}.{digest.hex()}"


def mesh_token(token: str, process: str) -> str:
    """`token`, with which a process that serves a port checks what others show. Raises ConfigError: it is a role's."""
    if (holder := holder_of(token)) != OPERATOR:
        raise ConfigError(
            f"KAIMESH_TOKEN is the token of role {holder}, with which {process} cannot check the tokens of others, so "
            "its port was not opened. Give it the mesh token."
        )
    return token


class Caller:
    """A client whose token is right. role: a name of the roles table, or OPERATOR. rights: what it may do here."""

    __slots__ = ("_gate", "rights", "role")

    def __init__(self, gate: Gate, role: str, rights: frozenset[Right]) -> None:
        self._gate, self.role, self.rights = gate, role, rights

    def want(self, *rights: Right, loss: str) -> None:
        """Raises Denied: the client has none of `rights`. loss: what was not done, for the message."""
        if rights and self.rights.isdisjoint(rights):
            raise self._denied(f"has no right to {' or '.join(rights)}", loss, self._remedy(rights))

    def speak_for(self, process: str, loss: str) -> None:
        """Raises Denied: `process`, such as aisrv_0, is of another role."""
        if self.role not in (OPERATOR, role_of(process)):
            remedy = "Show the token of that process's own role."
            raise self._denied(f"may not speak for {process}", loss, remedy)

    def _denied(self, why: str, loss: str, remedy: str) -> Denied:
        if self._gate.meter is not None:
            self._gate.meter.count(DENIED)
        return Denied(f"role {self.role} {why}, so {loss}. {remedy}")

    def _remedy(self, rights: tuple[Right, ...]) -> str:
        row = ROLES.get(self.role)
        if row is None:
            return f"Add it to `rights` of [roles.{self.role}] in the configuration, and start the mesh with that."
        if keys := [key for right, key in row.switches if right in rights]:
            return f"Set {keys[0]} = true if all machines of that role are your own."
        able = [name for name, has in self._gate.rights.items() if not has.isdisjoint(rights)]
        return f"Show the mesh token, or that of a role which has it ({', '.join(able) or 'none has'})."


class Gate:
    """Tells who a client is. token: the mesh token. rights: of each role. meter: counts `denied`."""

    def __init__(self, token: str, rights: Rights = OWN_RIGHTS, meter: Counts | None = None) -> None:
        self.rights, self.meter = rights, meter
        self._token, self._shown = token, _bytes(token)
        self._operator = Caller(self, OPERATOR, frozenset(Right))

    def caller(self, shown: bytes) -> Caller:
        """Whose token `shown` is; compared in constant time. Raises Refused: nobody's."""
        if hmac.compare_digest(shown, self._shown):
            return self._operator
        role = holder_of(shown.decode("utf-8", "replace"))
        if role == OPERATOR or not hmac.compare_digest(shown, _bytes(role_token(self._token, role))):
            raise Refused(
                "wrong token, so this server takes nothing from you; set KAIMESH_TOKEN to this run's, or share the run "
                "directory's `token` file"
            )
        if role not in self.rights:
            raise Refused(
                f"role {role} is not in this server's configuration, so its rights are not known and nothing was "
                f"taken; add [roles.{role}] there"
            )
        return Caller(self, role, self.rights[role])


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")
