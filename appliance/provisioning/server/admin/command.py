"""``appliance-provisiond admin``: claims, devices, policies, keys, usage and the audit, on the database itself.

These commands do not work over the network. Anyone who can open the database can use them.
"""

import argparse
import sys
from argparse import SUPPRESS, Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from appliance.console.argument_types import Parser, float_between, int_between, printable
from appliance.errors import ApplianceError, ConfigurationError, ExitCode, InputError
from appliance.provisioning.common.join import Join
from appliance.provisioning.common.keys import thumbprint
from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server import audit, claims
from appliance.provisioning.server.admin import actions, backup, fleet, rotation, show
from appliance.provisioning.server.admin.actions import Operator, actor
from appliance.provisioning.server.admin.arguments import (
    address,
    fits_join_string,
    label,
    line,
    lines,
    mark,
    or_unset,
    policy_name,
    tools,
)
from appliance.provisioning.server.admin.show import CommandResult, Row
from appliance.provisioning.server.identity import own_key
from appliance.provisioning.server.migrate import open_store
from appliance.provisioning.server.settings import ServerSettings, load_for_admin
from appliance.provisioning.server.store import DatabaseStore
from appliance.provisioning.server.timestamps import milliseconds
from appliance.tools.builtin import NAMES

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[Parser]  # noqa: SLF001  has no public name

_JSON: Final = "answer in JSON"
_WHICH: Final = "its id, its name, or the beginning of either"
_MANY: Final = 9_999_999
"""More than anyone's devices, sessions or minutes."""
_COUNT: Final = int_between(1, _MANY)
_TEXTS: Final = {"model": line(120), "voice": line(80), "language": line(40), "instruction": lines(20_000)}
"""Maximum lengths: those of the database columns; an instruction's is arbitrary."""
_LIMIT: Final = int_between(0, _MANY)
_NUMBERS: Final = {
    "max-session-s": (int_between(1, 3600), "the longest conversation, in seconds"),
    "sessions-day": (_LIMIT, "conversations in a day; 0: no limit, here and below"),
    "minutes-month": (_LIMIT, "minutes of conversation in a month"),
    "burst": (_LIMIT, "conversations that may begin in ten minutes"),
    "concurrent": (_LIMIT, "conversations at the same time"),
}

Command = Callable[[Connection, Operator, Namespace, ServerSettings], CommandResult]


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    65 if the audit chain is broken, 66 if something does not exist, 69 without the database, 73 if output cannot be
    written, 78 for a wrong setting.
    """
    parser = _parser()
    if not all(map(_is_unicode, arguments)):
        parser.error("arguments have to be UTF-8")
    options = parser.parse_args(arguments)
    try:
        settings = load_for_admin(options.config, {})
        with closing(open_store(settings)) as store:
            return _do(store, options, settings)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            _complain(mistake)
        return error.exit_code
    except ApplianceError as error:
        _complain(str(error))
        return error.exit_code


def _do(store: DatabaseStore, options: Namespace, settings: ServerSettings) -> ExitCode:
    """Run a command and print its result; revoke a new claim if its join string cannot be printed."""
    operator = Operator(f"admin {actor()}"[:80], milliseconds(datetime.now(UTC)))
    act: Command = options.act
    result = store.transact_here(lambda connection: act(connection, operator, options, settings))
    try:
        show.print_result(result, as_json=options.json)
    except InputError as error:
        if result.join is None:
            raise
        claim = result.join.claim
        store.transact_here(lambda connection: claims.revoke(connection, claim.id, operator.now, operator.name))
        raise InputError(f"{error}; {claim} was revoked again", error.exit_code) from None
    return result.code


def _create_claim(
    connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings
) -> CommandResult:
    url = options.url or settings.public_url
    if url is None:
        raise ConfigurationError(
            "public_url: not set; set it to the address under which devices reach this server, or give --url"
        )
    if not fits_join_string(url):
        raise ConfigurationError("public_url: too long for a join string")
    key = thumbprint(own_key(connection, settings))
    claim = actions.create_claim(connection, operator, options)
    expires_at = operator.now + round(options.hours * actions.HOUR_MS)
    about = {"claim": claim.id, "expires_at": expires_at, "uses": options.uses}
    return CommandResult(about, join=Join(url, claim, key, expires_at // 1000))


def _verify_audit(
    connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings
) -> CommandResult:
    del operator, settings
    broken = audit.first_break(connection)
    if broken is not None:
        return CommandResult({"audit": f"broken at entry {broken}"}, code=ExitCode.DATA)
    if options.head is not None and not audit.leads_to(connection, options.head):
        return CommandResult(
            {"audit": f"cut off, or written anew: entry {options.head.seq} was another"}, code=ExitCode.DATA
        )
    return CommandResult({"audit": "whole"})


def _plain(do: Callable[[Connection, Operator, Namespace], Row | Sequence[Row] | None]) -> Command:
    """Adapt a command that needs no settings."""
    return lambda connection, operator, options, _: CommandResult(do(connection, operator, options))


def _of_device(do: Command, *, revoked: bool = False) -> Command:
    """Adapt a command to devices given by name or by a prefix: it gets the id.

    If several fit, ``revoked`` says which ones are meant.
    """

    def act(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> CommandResult:
        if options.device is not None:
            options.device = fleet.find(connection, options.device, revoked=revoked)
        return do(connection, operator, options, settings)

    return act


def _with_settings(do: Callable[[Connection, Operator, Namespace, ServerSettings], Row | Sequence[Row]]) -> Command:
    return lambda connection, operator, options, settings: CommandResult(do(connection, operator, options, settings))


def _parser() -> Parser:
    parser = Parser(
        prog="appliance-provisiond admin",
        description="Claims, devices, policies, keys, usage and the audit, on the database itself.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the server's settings file (TOML)")
    parser.add_argument("--json", action="store_true", help=_JSON)
    topics = parser.add_subparsers(required=True, metavar="TOPIC")
    verbs = {
        "claims": _add_claims(topics.add_parser("claims", help="one-time rights to enrol")),
        "devices": _add_devices(topics.add_parser("devices", help="the devices, and what they may do")),
        "policies": _add_policies(topics.add_parser("policies", help="what groups of devices are given")),
        "keys": _add_keys(topics.add_parser("keys", help="the server's own key, and the next one")),
        "audit": _add_audit(topics.add_parser("audit", help="what was done, and by whom")),
    }
    usage = _verb(topics, "usage", "show the conversations of each device, and their minutes")
    usage.add_argument("--days", type=int_between(1, 3660), default=31, metavar="N", help="number of days (31)")
    _add_paging(usage)
    usage.add_argument("device", nargs="?", metavar="DEVICE", help=f"of one device: {_WHICH}")
    usage.set_defaults(act=_of_device(_with_settings(actions.list_usage)))
    kept = _add_keeping(topics)
    lines = [(f"{topic} {name}", verb) for topic, those in verbs.items() for name, verb in those.choices.items()]
    lines += [("usage", usage), *kept]
    summary = "\n".join(f"  {name:19}  {verb.description}" for name, verb in lines)
    parser.epilog = f"commands (each with --help):\n{summary}"
    return parser


def _add_keeping(topics: "Verbs") -> list[tuple[str, Parser]]:
    kept = _verb(topics, "backup", "write the database and the server's keys to a new file, which is secret")
    kept.add_argument("file", type=Path, metavar="FILE")
    kept.set_defaults(act=_with_settings(backup.backup))
    restored = _verb(
        topics, "restore", "put a backup into an empty database, and its keys beside it; stop the server first"
    )
    restored.add_argument("file", type=Path, metavar="FILE")
    restored.set_defaults(act=_with_settings(backup.restore))
    moved = _verb(topics, "move", "copy the database into the empty one of other settings; stop the server first")
    moved.add_argument("settings", type=Path, metavar="FILE", help="settings file with the other database_url")
    moved.set_defaults(act=_with_settings(backup.move))
    return [("backup", kept), ("restore", restored), ("move", moved)]


def _verb(verbs: "Verbs", name: str, words: str) -> Parser:
    verb = verbs.add_parser(name, help=words, description=words)
    # The same option as before the command. A default here would override that one.
    verb.add_argument("--json", action="store_true", default=SUPPRESS, help=_JSON)
    return verb


def _add_claims(parser: Parser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    create = _verb(verbs, "create", "make a claim, and print its join string with a QR code")
    create.add_argument("--label", type=or_unset(label), metavar="TEXT", help="name of the device, if it brings none")
    create.add_argument("--policy", metavar="NAME", help="policy of the devices that enrol with it")
    create.add_argument(
        "--uses", type=int_between(1, _MANY), default=1, metavar="N", help="devices that can enrol with it (1)"
    )
    create.add_argument(
        "--hours", type=float_between(0.01, 8784), default=24.0, metavar="N", help="hours until it expires (24)"
    )
    create.add_argument("--approval", action="store_true", help="devices wait until they are approved")
    create.add_argument("--url", type=address, help="address of the server, instead of public_url")
    create.set_defaults(act=_create_claim)
    listed = _verb(verbs, "list", "list the claims, newest first, without their secrets")
    listed.add_argument("--open", action="store_true", help="only those that devices can still enrol with")
    _add_paging(listed)
    listed.set_defaults(act=_plain(actions.list_claims))
    revoke = _verb(verbs, "revoke", "revoke a claim: no further device can enrol with it")
    revoke.add_argument("claim", metavar="ID")
    revoke.set_defaults(act=_plain(actions.revoke_claim))
    return verbs


def _add_devices(parser: Parser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = _verb(verbs, "list", "list the devices, those seen last first")
    listed.add_argument("--name", metavar="TEXT", help="name contains this text")
    listed.add_argument("--status", choices=[status.value for status in DeviceStatus])
    listed.add_argument("--policy", metavar="NAME", help="with this policy; none: without one")
    listed.add_argument("--unseen-days", type=_COUNT, metavar="N", help="not seen for N days")
    _add_paging(listed)
    listed.set_defaults(act=_plain(fleet.list_devices))
    _about_device(verbs, "show", "show all about one device", _plain(actions.show_device))
    moves = {
        "approve": (audit.AuditAction.APPROVED, "approve a device that waits for it"),
        "suspend": (audit.AuditAction.SUSPENDED, "give a device no tokens until it is resumed"),
        "resume": (audit.AuditAction.RESUMED, "give a suspended device tokens again"),
        "revoke": (audit.AuditAction.REVOKED, "never accept the keys of a device again"),
    }
    for verb, (action, words) in moves.items():
        move = _about_device(verbs, verb, words, _plain(actions.move_device))
        move.set_defaults(action=action.value)
    words = "give a device a policy; none: takes it away"
    policy = _about_device(verbs, "set-policy", words, _plain(actions.give_policy))
    policy.add_argument("policy", metavar="NAME")
    rename = _about_device(verbs, "rename", "give a device another name", _plain(fleet.rename))
    rename.add_argument("name", type=label, metavar="NAME")
    words = "delete a revoked device and its usage"
    remove = _about_device(verbs, "delete", words, _plain(fleet.remove))
    remove.set_defaults(act=_of_device(_plain(fleet.remove), revoked=True))
    return verbs


def _about_device(verbs: "Verbs", name: str, words: str, act: Command) -> Parser:
    verb = _verb(verbs, name, words)
    verb.add_argument("device", metavar="DEVICE", help=_WHICH)
    verb.set_defaults(act=_of_device(act))
    return verb


def _add_paging(listing: Parser) -> None:
    listing.add_argument("--limit", type=_COUNT, default=_MANY, metavar="N", help="at most N")
    listing.add_argument("--skip", type=int_between(0, _MANY), default=0, metavar="N", help="leave out the first N")


def _add_policies(parser: Parser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = _verb(verbs, "list", "list all policies in their newest version")
    _add_paging(listed)
    listed.set_defaults(act=_plain(actions.list_policies))
    change = _verb(
        verbs, "set", "make or change a policy; options not given stay, '' resets one to the server's setting"
    )
    change.add_argument("policy", metavar="NAME", type=policy_name)
    for name, read_text in _TEXTS.items():
        change.add_argument(f"--{name}", type=or_unset(read_text), default=SUPPRESS, metavar="TEXT")
    for name, (read_number, words) in _NUMBERS.items():
        change.add_argument(f"--{name}", type=or_unset(read_number), default=SUPPRESS, metavar="N", help=words)
    change.add_argument(
        "--tools",
        type=tools,
        default=SUPPRESS,
        metavar="A,B",
        help=f"names of the tools that devices may offer, of {', '.join(NAMES)}; '': none",
    )
    change.set_defaults(act=_plain(actions.set_policy))
    return verbs


def _add_keys(parser: Parser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    shown = _verb(verbs, "show", "show which key signs, which comes next, and how many devices do not know it yet")
    shown.set_defaults(act=_with_settings(rotation.show))
    announce = _verb(verbs, "announce", "make the next key; from its next start on the server tells devices")
    announce.set_defaults(act=_with_settings(rotation.announce))
    rotate = _verb(verbs, "rotate", "have the next key sign, from the server's next start on; the old one is kept")
    rotate.set_defaults(act=_with_settings(rotation.rotate))
    undo = _verb(verbs, "undo", "have the previous key sign again, from the server's next start on")
    undo.set_defaults(act=_with_settings(rotation.undo))
    drop = _verb(verbs, "drop", "drop the previous key: from the server's next start on devices forget it")
    drop.set_defaults(act=_with_settings(rotation.drop))
    for verb in (rotate, drop):
        verb.add_argument("--leave-behind", action="store_true", help="also where devices do not know the newer one")
    return verbs


def _add_audit(parser: Parser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    tail = _verb(verbs, "tail", "show the last entries; alerts are marked !")
    tail.add_argument("-n", type=_COUNT, default=20, dest="count", metavar="N", help="number of entries (20)")
    tail.add_argument("--skip", type=int_between(0, _MANY), default=0, metavar="N", help="leave out the last N")
    tail.add_argument("--about", metavar="ID", help="only entries by or on this device, claim, policy or person")
    tail.set_defaults(act=_plain(actions.tail_audit))
    head = _verb(verbs, "head", "print a mark of all entries so far; keep it on another machine")
    head.set_defaults(act=_plain(actions.head_of_audit))
    verify = _verb(verbs, "verify", "check that the chain of entries is intact (exit code 65: it is not)")
    verify.add_argument(
        "--head",
        type=mark,
        metavar="MARK",
        help="also check that nothing was removed or changed since `audit head` printed this",
    )
    verify.set_defaults(act=_verify_audit)
    return verbs


def _is_unicode(text: str) -> bool:
    """Say whether an argument is valid UTF-8; nothing else can be stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _complain(line: str) -> None:
    print(f"appliance-provisiond: {printable(line)}", file=sys.stderr)
