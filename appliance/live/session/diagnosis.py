"""Faults of a service that is connected, and what to do about each."""

from dataclasses import dataclass
from enum import Enum


class Symptom(Enum):
    """The fault."""

    NO_REPLY = "no-reply"
    """The person has stopped speaking, and nothing comes."""
    MUTE_REPLY = "mute-reply"
    """Audio comes, and there is nothing on it."""
    FAILED_TURN = "failed-turn"
    """The service has ended the turn, as what the model made was of no use."""
    STUCK = "stuck"
    """The service works and works."""
    PHANTOM_INTERRUPTION = "phantom-interruption"
    """The service heard an interruption that was none, and has been silent since."""
    STALLED_UPLINK = "stalled-uplink"
    """Audio that is sent does not leave this device."""
    LATENCY_CREEP = "latency-creep"
    """Answers take longer and longer."""


class Action(Enum):
    """The action that helps."""

    RETRY_UTTERANCE = "retry-utterance"
    """A fresh session, and what the person said once more; then `Patience.stopped` once it is sent."""
    ROTATE = "rotate"
    """Another connection: for STALLED_UPLINK at once, else in silence."""
    APOLOGISE = "apologise"
    """The retry was in vain too: say so."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A fault and the action against it."""

    kind: Symptom
    remedy: Action
