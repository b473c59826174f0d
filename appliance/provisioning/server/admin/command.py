"""``appliance-provisiond admin``: claims, devices, policies, keys, usage and the audit, on the database itself.

There is no way to do this over the network: whoever may open the database may use it.
"""

import argparse
import getpass
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from appliance.arguments import real, whole
from appliance.errors import ApplianceError, ConfigurationError, ExitCode
from appliance.provisioning.join import Join
from appliance.provisioning.keys import thumbprint
from appliance.provisioning.server import audit, migrate
from appliance.provisioning.server.admin import actions, rotation, show
from appliance.provisioning.server.admin.actions import Operator
from appliance.provisioning.server.admin.show import Form
from appliance.provisioning.server.identity import signing_key
from appliance.provisioning.server.moments import milliseconds
from appliance.provisioning.server.settings import Settings, load_for_admin
from appliance.provisioning.server.store import Store, StoreUnavailable, open_engine

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[ArgumentParser]  # noqa: SLF001  has no public name

_MANY: Final = 9_999_999
"""More than anybody has devices, sessions or minutes."""
_COUNT: Final = whole(1, _MANY)

Act = Callable[[Connection, Operator, Namespace, Settings, Form], ExitCode]


def main(arguments: Sequence[str]) -> int:
    """Do one command and return its exit code: 65 where the audit is broken, 66 for what is not there, 78."""
    options = _parser().parse_args(arguments)
    form = Form.PROGRAMS if options.json else Form.PEOPLE
    try:
        settings = load_for_admin(options.config, {})
        with ExitStack() as stack:
            store = Store(open_engine(settings.database()))
            stack.callback(store.close)
            migrate.upgrade(store.engine)
            operator = Operator(f"admin {getpass.getuser()}", milliseconds(datetime.now(UTC)))
            act: Act = options.act
            return store.transact_here(lambda connection: act(connection, operator, options, settings, form))
    except StoreUnavailable as error:
        return _complain(f"the database does not do this now: {error}", ExitCode.UNAVAILABLE)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            _complain(mistake, error.exit_code)
        return error.exit_code
    except ApplianceError as error:
        return _complain(str(error), error.exit_code)


def _create_claim(
    connection: Connection, operator: Operator, options: Namespace, settings: Settings, form: Form
) -> ExitCode:
    url = options.url or settings.public_url
    if url is None:
        raise ConfigurationError("public_url: not set: devices have to know where this server is; or give --url")
    key = thumbprint(signing_key(settings))
    claim = actions.create_claim(connection, operator, options)
    expires_at = operator.now + round(options.hours * actions.HOUR_MS)
    join = Join(url, claim, key, expires_at // 1000)
    show.join(join.text(), {"claim": claim.id, "expires_at": expires_at, "uses": options.uses}, form)
    return ExitCode.OK


def _verify_audit(
    connection: Connection, operator: Operator, options: Namespace, settings: Settings, form: Form
) -> ExitCode:
    del operator, options, settings
    broken = audit.first_break(connection)
    show.one({"audit": "whole" if broken is None else f"broken at entry {broken}"}, form)
    return ExitCode.OK if broken is None else ExitCode.DATA


def _listed(list_of: Callable[[Connection, Operator, Namespace], Sequence[show.Row]]) -> Act:
    def act(connection: Connection, operator: Operator, options: Namespace, settings: Settings, form: Form) -> ExitCode:
        del settings
        show.rows(list_of(connection, operator, options), form)
        return ExitCode.OK

    return act


def _done(do: Callable[[Connection, Operator, Namespace], show.Row | None]) -> Act:
    def act(connection: Connection, operator: Operator, options: Namespace, settings: Settings, form: Form) -> ExitCode:
        del settings
        answer = do(connection, operator, options)
        if answer is not None:
            show.one(answer, form)
        return ExitCode.OK

    return act


def _with_settings(do: Callable[[Connection, Operator, Namespace, Settings], show.Row]) -> Act:
    def act(connection: Connection, operator: Operator, options: Namespace, settings: Settings, form: Form) -> ExitCode:
        show.one(do(connection, operator, options, settings), form)
        return ExitCode.OK

    return act


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="appliance-provisiond admin",
        description="Claims, devices, policies, keys, usage and the audit, on the database itself.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the server's settings file (TOML)")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    topics = parser.add_subparsers(required=True, metavar="TOPIC")
    verbs = {
        "claims": _add_claims(topics.add_parser("claims", help="one-time rights to enrol")),
        "devices": _add_devices(topics.add_parser("devices", help="the devices, and what they may do")),
        "policies": _add_policies(topics.add_parser("policies", help="what groups of devices are given")),
        "keys": _add_keys(topics.add_parser("keys", help="the server's own key, and the next one")),
        "audit": _add_audit(topics.add_parser("audit", help="what was done, and by whom")),
    }
    usage = _verb(topics, "usage", "show what each device has used")
    usage.add_argument("--days", type=whole(1, 3660), default=31, metavar="N", help="of how many days (31)")
    usage.set_defaults(act=_listed(actions.list_usage))
    lines = [(f"{topic} {name}", verb) for topic, those in verbs.items() for name, verb in those.choices.items()]
    lines.append(("usage", usage))
    told = "\n".join(f"  {name:19}  {verb.description}" for name, verb in lines)
    parser.epilog = f"commands (each with --help):\n{told}"
    return parser


def _verb(verbs: "Verbs", name: str, words: str) -> ArgumentParser:
    return verbs.add_parser(name, help=words, description=words)


def _add_claims(parser: ArgumentParser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    create = _verb(verbs, "create", "make a claim, and print its join string with a QR code")
    create.add_argument("--label", default="", metavar="TEXT", help="name of the device, if it brings none")
    create.add_argument("--policy", metavar="NAME", help="policy of the devices that enrol with it")
    create.add_argument(
        "--uses", type=whole(1, _MANY), default=1, metavar="N", help="devices that can enrol with it (1)"
    )
    create.add_argument("--hours", type=real(0.01, 8784), default=24.0, metavar="N", help="how long it is good (24)")
    create.add_argument("--approval", action="store_true", help="devices wait until they are approved")
    create.add_argument("--url", help="address of the server, instead of public_url")
    create.set_defaults(act=_create_claim)
    listed = _verb(verbs, "list", "list all claims, without their secrets")
    listed.set_defaults(act=_listed(actions.list_claims))
    revoke = _verb(verbs, "revoke", "end a claim: nobody else enrols with it")
    revoke.add_argument("claim", metavar="ID")
    revoke.set_defaults(act=_done(actions.revoke_claim))
    return verbs


def _add_devices(parser: ArgumentParser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = _verb(verbs, "list", "list all devices, those seen last first")
    listed.set_defaults(act=_listed(actions.list_devices))
    shown = _verb(verbs, "show", "show all about one device")
    shown.add_argument("device", metavar="ID")
    shown.set_defaults(act=_done(actions.show_device))
    moves = {
        "approve": (audit.Action.APPROVED, "let a new device in that waits for it"),
        "suspend": (audit.Action.SUSPENDED, "give a device no tokens until it is resumed"),
        "resume": (audit.Action.RESUMED, "give a suspended device tokens again"),
        "revoke": (audit.Action.REVOKED, "never accept the keys of a device again"),
    }
    for verb, (action, words) in moves.items():
        move = _verb(verbs, verb, words)
        move.add_argument("device", metavar="ID")
        move.set_defaults(act=_done(actions.move_device), action=action.value)
    policy = _verb(verbs, "set-policy", "give a device a policy; none: takes it away")
    policy.add_argument("device", metavar="ID")
    policy.add_argument("policy", metavar="NAME")
    policy.set_defaults(act=_done(actions.give_policy))
    return verbs


def _add_policies(parser: ArgumentParser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = _verb(verbs, "list", "list all policies in their newest version")
    listed.set_defaults(act=_listed(actions.list_policies))
    change = _verb(verbs, "set", "make or change a policy; what is not given stays, or is as in the settings")
    change.add_argument("policy", metavar="NAME", type=_name)
    for name in ("model", "voice", "language", "instruction"):
        change.add_argument(f"--{name}")
    change.add_argument("--tools", metavar="A,B", help="names of the tools that devices may offer")
    for name in ("max-session-s", "sessions-day", "minutes-month", "burst", "concurrent"):
        change.add_argument(f"--{name}", type=whole(0, _MANY), metavar="N")
    change.set_defaults(act=_done(actions.set_policy))
    return verbs


def _add_keys(parser: ArgumentParser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _verb(
        verbs, "show", "show which key signs, which is announced, and how many devices do not know it yet"
    ).set_defaults(act=_with_settings(rotation.show))
    announce = _verb(verbs, "announce", "make the next key; from its next start on the server tells devices")
    announce.set_defaults(act=_with_settings(rotation.announce))
    rotate = _verb(verbs, "rotate", "have the next key sign, from the server's next start on")
    rotate.add_argument("--leave-behind", action="store_true", help="also where devices do not know it yet")
    rotate.set_defaults(act=_with_settings(rotation.rotate))
    return verbs


def _add_audit(parser: ArgumentParser) -> "Verbs":
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    tail = _verb(verbs, "tail", "show the last entries; alerts are marked !")
    tail.add_argument("-n", type=_COUNT, default=20, dest="count", metavar="N", help="how many (20)")
    tail.set_defaults(act=_listed(actions.tail_audit))
    _verb(verbs, "verify", "tell whether all entries are as they were written (exit code 65: no)").set_defaults(
        act=_verify_audit
    )
    return verbs


def _name(text: str) -> str:
    if not 1 <= len(text) <= 40 or not all(character.isalnum() or character in "-_." for character in text):
        raise argparse.ArgumentTypeError("has to be 1 to 40 letters, digits, dots, dashes and underscores")
    return text


def _complain(line: str, code: ExitCode) -> ExitCode:
    print(f"appliance-provisiond: {line}", file=sys.stderr)
    return code
