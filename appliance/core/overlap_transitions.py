"""Rows of the transition table for a person who speaks on while a reply begins.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import Ignored
from appliance.core.events import OverlapEnded, ReplyAudible
from appliance.core.state import Context, Overlap
from appliance.core.steps import Step, stay


def reply_audible(c: Context, event: ReplyAudible) -> Step:
    """From now on the microphone may hear the reply: keep it open only for speech that began before."""
    if c.overlap is not Overlap.POSSIBLE:
        return stay(c, Ignored("a reply was heard before"))
    return stay(c, overlap=Overlap.SPEECH if event.over_speech else Overlap.NONE)


def overlap_ended(c: Context, _: OverlapEnded) -> Step:
    """Close the microphone until the reply has been played."""
    return stay(c, overlap=Overlap.NONE)
