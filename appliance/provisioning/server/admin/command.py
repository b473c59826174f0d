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

from sqlalchemy import Connection

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
    parser = ArgumentParser(prog="appliance-provisiond admin", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, metavar="FILE", help="the server's settings file (TOML)")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    topics = parser.add_subparsers(required=True, metavar="TOPIC")
    _add_claims(topics.add_parser("claims", help="one-time rights to enrol"))
    _add_devices(topics.add_parser("devices", help="the devices, and what they may do"))
    _add_policies(topics.add_parser("policies", help="what groups of devices are given"))
    usage = topics.add_parser("usage", help="what devices have used")
    usage.add_argument("--days", type=int, default=31, metavar="N", help="of how many days (31)")
    usage.set_defaults(act=_listed(actions.list_usage))
    _add_keys(topics.add_parser("keys", help="the server's own key, and the next one"))
    _add_audit(topics.add_parser("audit", help="what was done, and by whom"))
    return parser


def _add_claims(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a claim; prints the join string")
    create.add_argument("--label", default="", metavar="TEXT", help="name of the device, if it brings none")
    create.add_argument("--policy", metavar="NAME", help="policy of the devices that enrol with it")
    create.add_argument("--uses", type=_positive, default=1, metavar="N", help="devices that can enrol with it (1)")
    create.add_argument("--hours", type=float, default=24.0, metavar="N", help="how long it is good (24)")
    create.add_argument("--approval", action="store_true", help="devices wait until they are approved")
    create.add_argument("--url", help="address of the server, instead of public_url")
    create.set_defaults(act=_create_claim)
    listed = verbs.add_parser("list", help="all claims")
    listed.set_defaults(act=_listed(actions.list_claims))
    revoke = verbs.add_parser("revoke", help="end a claim")
    revoke.add_argument("claim", metavar="ID")
    revoke.set_defaults(act=_done(actions.revoke_claim))


def _add_devices(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="all devices")
    listed.set_defaults(act=_listed(actions.list_devices))
    shown = verbs.add_parser("show", help="all about one device")
    shown.add_argument("device", metavar="ID")
    shown.set_defaults(act=_done(actions.show_device))
    moves = {
        "approve": (audit.Action.APPROVED, "let a new device in"),
        "suspend": (audit.Action.SUSPENDED, "give it no tokens until it is resumed"),
        "resume": (audit.Action.RESUMED, "give it tokens again"),
        "revoke": (audit.Action.REVOKED, "never accept its keys again"),
    }
    for verb, (action, words) in moves.items():
        move = verbs.add_parser(verb, help=words)
        move.add_argument("device", metavar="ID")
        move.set_defaults(act=_done(actions.move_device), action=action.value)
    policy = verbs.add_parser("set-policy", help="give it a policy, or none")
    policy.add_argument("device", metavar="ID")
    policy.add_argument("policy", metavar="NAME")
    policy.set_defaults(act=_done(actions.give_policy))


def _add_policies(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="all policies")
    listed.set_defaults(act=_listed(actions.list_policies))
    change = verbs.add_parser("set", help="make or change a policy; what is not given stays, or is as in the settings")
    change.add_argument("policy", metavar="NAME", type=_name)
    for name in ("model", "voice", "language", "instruction"):
        change.add_argument(f"--{name}")
    change.add_argument("--tools", metavar="A,B", help="names of the tools that devices may offer")
    for name in ("max-session-s", "sessions-day", "minutes-month", "burst", "concurrent"):
        change.add_argument(f"--{name}", type=_natural, metavar="N")
    change.set_defaults(act=_done(actions.set_policy))


def _add_keys(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("show", help="which signs, which is announced").set_defaults(act=_with_settings(rotation.show))
    announce = verbs.add_parser("announce", help="make the next key; from its next start on the server tells devices")
    announce.set_defaults(act=_with_settings(rotation.announce))
    rotate = verbs.add_parser("rotate", help="have the next key sign, from the server's next start on")
    rotate.add_argument("--leave-behind", action="store_true", help="also where devices do not know it yet")
    rotate.set_defaults(act=_with_settings(rotation.rotate))


def _add_audit(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    tail = verbs.add_parser("tail", help="the last entries")
    tail.add_argument("-n", type=_positive, default=20, dest="count", metavar="N", help="how many (20)")
    tail.set_defaults(act=_listed(actions.tail_audit))
    verbs.add_parser("verify", help="whether it is as it was written").set_defaults(act=_verify_audit)


def _positive(text: str) -> int:
    if _natural(text) == 0:
        raise argparse.ArgumentTypeError("has to be at least 1")
    return int(text)


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 7:
        raise argparse.ArgumentTypeError("has to be a whole number, 0 or more")
    return int(text)


def _name(text: str) -> str:
    if not 1 <= len(text) <= 40 or not all(character.isalnum() or character in "-_." for character in text):
        raise argparse.ArgumentTypeError("has to be 1 to 40 letters, digits, dots, dashes and underscores")
    return text


def _complain(line: str, code: ExitCode) -> ExitCode:
    print(f"appliance-provisiond: {line}", file=sys.stderr)
    return code
