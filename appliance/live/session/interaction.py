"""Whether the service is done with a request, as it tells where a model may take several turns for one. Pure."""

from appliance.live.messages import Interaction, LinkMessage, StatusReported, TurnComplete


class InteractionState:
    """Feed it with the messages of one link."""

    def __init__(self) -> None:
        self.in_progress = False
        self._told = False
        """The status came since the last turn ended."""

    def feed(self, message: LinkMessage) -> bool:
        """Take one message; return whether it tells something new. A turn that ends without a status is the last."""
        before = self.in_progress
        match message:
            case StatusReported():
                self.in_progress = message.status is Interaction.IN_PROGRESS
                self._told = True
            case TurnComplete():
                self.in_progress = self.in_progress and self._told
                self._told = False
        return self.in_progress is not before
