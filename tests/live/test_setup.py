from appliance.core.state import Mode
from appliance.live.capabilities import capabilities
from appliance.live.ports import ToolDeclaration
from appliance.live.setup import live_config
from appliance.settings import Live

CLOCK = ToolDeclaration("get_time", "The time.", {"type": "object", "properties": {}})


def test_the_button_switches_the_services_own_detection_off():
    def disabled(mode: Mode) -> bool | None:
        realtime = live_config(Live(), "gemini-3.8-live", mode, None, ()).realtime_input_config
        assert realtime is not None
        assert realtime.automatic_activity_detection is not None
        return realtime.automatic_activity_detection.disabled

    assert disabled(Mode.PUSH_TO_TALK) is True
    assert disabled(Mode.HANDS_FREE) is False


def test_without_transcripts_none_are_asked_for():
    config = live_config(Live(transcripts=False), "gemini-3.8-live", Mode.HANDS_FREE, None, ())
    assert config.input_audio_transcription is None
    assert config.output_audio_transcription is None


def test_thinking_is_mentioned_only_to_the_model_that_must_have_it():
    plain = live_config(Live(), "models/gemini-3.8-live", Mode.HANDS_FREE, None, (CLOCK,))
    thinking = live_config(Live(), "gemini-3.8-live-extended-thinking", Mode.HANDS_FREE, None, (CLOCK,))
    assert plain.thinking_config is None
    assert thinking.thinking_config is not None
    assert thinking.thinking_config.thinking_level == "LOW"


def test_tools_block_only_where_the_model_allows_it():
    assert capabilities("models/gemini-3.8-live").tool_behavior == "BLOCKING"
    assert capabilities("gemini-3.8-live-extended-thinking").tool_behavior is None


def test_of_an_unknown_model_nothing_is_taken_for_granted():
    known = capabilities("gemini-9-live")
    assert known.thinking_level is None
    assert known.tool_behavior is None


def test_no_tools_means_no_word_about_tools():
    assert live_config(Live(), "gemini-3.8-live", Mode.HANDS_FREE, None, ()).tools is None
