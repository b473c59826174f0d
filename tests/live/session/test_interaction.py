import pytest

from appliance.live.messages import GenerationComplete, Interaction, LinkMessage, StatusReported, TurnComplete
from appliance.live.session.interaction import InteractionState

WORKING, IDLE = (StatusReported(status) for status in (Interaction.IN_PROGRESS, Interaction.IDLE))


def fed(*messages: LinkMessage) -> tuple[list[bool], bool]:
    """What was news, and how it stands in the end."""
    state = InteractionState()
    return [state.feed(message) for message in messages], state.in_progress


@pytest.mark.parametrize(
    ("messages", "news", "in_progress"),
    [
        ((WORKING, TurnComplete()), [True, False], True),
        ((WORKING, TurnComplete(), WORKING, TurnComplete()), [True, False, False, False], True),
        ((WORKING, TurnComplete(), IDLE, TurnComplete()), [True, False, True, False], False),
        ((WORKING, TurnComplete(), IDLE), [True, False, True], False),
        ((WORKING, GenerationComplete(), TurnComplete(), TurnComplete()), [True, False, False, True], False),
        ((TurnComplete(), IDLE, TurnComplete()), [False, False, False], False),
    ],
)
def test_a_request_is_in_progress_until_the_service_says_idle_or_ends_a_turn_without_a_word_on_it(
    messages: tuple[LinkMessage, ...], news: list[bool], in_progress: bool
):
    assert fed(*messages) == (news, in_progress)
