import errno
import socket
import ssl
from typing import Any

import pytest
from google.genai import errors, types
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from appliance.errors import LinkAction, LinkCause, LinkError
from appliance.live.gemini.translate import MAX_CALLS, Phase, link_error, translate
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    Grounding,
    HandleUpdated,
    HeardText,
    Interaction,
    Interrupted,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    StatusReported,
    Thinking,
    TokenCount,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    UsageReported,
    WaitingForInput,
)
from appliance.units import Seconds

AUDIO = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAA="}}


def translated(**message: Any) -> list[Any]:
    return list(translate(types.LiveServerMessage.model_validate(message)))


def test_a_message_that_holds_everything_is_acted_upon_in_order():
    assert translated(
        voiceActivity={"voiceActivityType": "ACTIVITY_START"},
        goAway={"timeLeft": "9.5s"},
        sessionResumptionUpdate={"newHandle": "h", "resumable": True},
        usageMetadata={"totalTokenCount": 12},
        toolCall={
            "functionCalls": [{"id": "1", "name": "get_time", "args": {"zone": "CET"}}, {"id": "2", "name": "x"}]
        },
        toolCallCancellation={"ids": ["0"]},
        serverContent={
            "modelTurn": {"parts": [AUDIO, {"text": "thought", "thought": True}, AUDIO]},
            "inputTranscription": {"text": " hello"},
            "outputTranscription": {"text": "Hi."},
            "generationComplete": True,
            "turnComplete": True,
            "interactionStatus": "IDLE",
        },
    ) == [
        ToolCallsCancelled(("0",)),
        ToolCall("1", "get_time", {"zone": "CET"}),
        ToolCall("2", "x", {}),
        Thinking(),
        ReplyAudio(b"\0\0"),
        ReplyAudio(b"\0\0"),
        HeardText(" hello"),
        SpokenText("Hi."),
        GenerationComplete(),
        StatusReported(Interaction.IDLE),
        TurnComplete(),
        UsageReported(12),
        HandleUpdated("h"),
        GoAway(Seconds(9.5)),
        SpeechStarted(),
    ]


def test_an_interruption_comes_first_and_takes_the_audio_beside_it_along():
    assert translated(
        serverContent={"modelTurn": {"parts": [AUDIO]}, "interrupted": True, "turnComplete": True},
        voiceActivity={"voiceActivityType": "ACTIVITY_END"},
    ) == [Interrupted(), TurnComplete(), SpeechEnded()]


def test_empty_and_unknown_things_say_nothing():
    assert not translated()
    assert not translated(
        serverContent={
            "modelTurn": {"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "AAA="}}]}
        }
    )
    assert not translated(serverContent={"inputTranscription": {"finished": True}, "modelTurn": {}})


@pytest.mark.parametrize(
    "content",
    [
        {"modelTurn": {"parts": [{"text": "a thought", "thought": True}]}},
        {"modelTurn": {"parts": [{"executableCode": {"code": "1+1", "language": "PYTHON"}}]}},
    ],
)
def test_work_that_is_not_heard_is_a_sign_of_life(content):
    assert translated(serverContent=content) == [Thinking()]


@pytest.mark.parametrize(
    ("content", "sources"),
    [
        ({"groundingMetadata": {"webSearchQueries": ["weather"]}}, ()),
        ({"groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://a"}}, {}, {"web": {}}]}}, ("https://a",)),
        ({"urlContextMetadata": {"urlMetadata": []}}, ()),
    ],
)
def test_what_was_looked_up_is_told_with_its_sources(content, sources):
    assert translated(serverContent=content) == [Grounding(sources)]
    assert "https" not in repr(Grounding(sources))


def test_the_status_is_told_where_it_is_known():
    assert translated(serverContent={"interactionStatus": "IN_PROGRESS"}) == [StatusReported(Interaction.IN_PROGRESS)]
    assert not translated(serverContent={"interactionStatus": "INTERACTION_STATUS_UNSPECIFIED"})


def test_usage_is_told_by_kind_and_what_the_details_leave_out_is_kept():
    usage = {
        "promptTokenCount": 522,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 332},
            {"modality": "AUDIO", "tokenCount": 165},
        ],
        "toolUsePromptTokenCount": 10,
        "responseTokenCount": 42,
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}, {"modality": "IMAGE"}],
        "thoughtsTokenCount": 136,
        "totalTokenCount": 564,
    }
    assert translated(usageMetadata=usage) == [
        UsageReported(564, prompt=TokenCount(332, 165, 35), response=TokenCount(0, 42, 0), thoughts=136)
    ]
    assert not translated(usageMetadata={})


@pytest.mark.parametrize("update", [{}, {"resumable": False, "newHandle": "h"}, {"resumable": True, "newHandle": ""}])
def test_a_session_that_cannot_be_resumed_has_no_handle(update):
    assert translated(sessionResumptionUpdate=update) == [HandleUpdated(None)]


@pytest.mark.parametrize(("text", "seconds"), [("50s", 50.0), ("0.25s", 0.25), ("", 0.0), ("soon", 0.0)])
def test_the_time_left_is_read_as_a_protobuf_duration(text, seconds):
    assert translated(goAway={"timeLeft": text}) == [GoAway(Seconds(seconds))]


@pytest.mark.parametrize(
    "mime_type", ["audio/pcm", "audio/pcm;rate=24000", "audio/PCM; rate=24000", "AUDIO/PCM;RATE=24000"]
)
def test_audio_at_24_khz_is_taken(mime_type):
    part = {"inlineData": {"mimeType": mime_type, "data": "AAA="}}
    assert translated(serverContent={"modelTurn": {"parts": [part]}}) == [ReplyAudio(b"\0\0")]


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [("audio/pcm;rate=16000", "AAA="), ("audio/opus", "AAA="), ("audio/pcm;rate=24000", "AAAA")],
    ids=["16 kHz", "opus", "half a sample"],
)
def test_audio_in_another_form_costs_no_more_than_itself(mime_type, data):
    part = {"inlineData": {"mimeType": mime_type, "data": data}}
    content = {"modelTurn": {"parts": [AUDIO, part, AUDIO]}, "turnComplete": True}
    complaints: list[str] = []
    got = list(translate(types.LiveServerMessage.model_validate({"serverContent": content}), complaints.append))
    assert got == [ReplyAudio(b"\0\0"), ReplyAudio(b"\0\0"), TurnComplete()]
    assert len(complaints) == 1


def test_a_tool_call_that_cannot_be_answered_is_left_out():
    complaints: list[str] = []
    calls = [{"name": "get_time"}, {"id": "1", "name": "get_time"}]
    message = types.LiveServerMessage.model_validate({"toolCall": {"functionCalls": calls}})
    assert list(translate(message, complaints.append)) == [ToolCall("1", "get_time", {})]
    assert len(complaints) == 1


def test_a_message_with_too_many_tool_calls_breaks_the_contract_as_a_whole():
    calls = [{"id": f"{number}", "name": "get_time"} for number in range(MAX_CALLS + 1)]
    assert len(translated(toolCall={"functionCalls": calls[1:]})) == MAX_CALLS
    with pytest.raises(LinkError) as error:
        translated(toolCall={"functionCalls": calls})
    assert error.value.cause is LinkCause.PROTOCOL


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


FAILURES: list[tuple[Exception, LinkCause, LinkCause, str]] = [
    (TimeoutError(), LinkCause.UNREACHABLE, LinkCause.DROPPED, "in time"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "x"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "refused"),
    (OSError(errno.ENETUNREACH, "x"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "unreachable"),
    (OSError("Multiple exceptions"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "cannot be reached"),
    (socket.gaierror(socket.EAI_NONAME, "x"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "cannot be resolved"),
    (untrusted(9), LinkCause.UNREACHABLE, LinkCause.DROPPED, "clock"),
    (untrusted(10), LinkCause.UNREACHABLE, LinkCause.DROPPED, "clock"),
    (untrusted(18), LinkCause.UNREACHABLE, LinkCause.DROPPED, "not trusted"),
    (ssl.SSLError(1, "handshake failure"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "encrypted"),
    (InvalidMessage("x"), LinkCause.UNREACHABLE, LinkCause.DROPPED, "other than the Live service"),
    (InvalidStatus(Response(302, "Found", Headers(), b"")), LinkCause.UNREACHABLE, LinkCause.DROPPED, "302"),
    (ConnectionClosedError(Close(1011, "x"), None), LinkCause.UNREACHABLE, LinkCause.DROPPED, "1011"),
    (ConnectionClosedError(None, None), LinkCause.UNREACHABLE, LinkCause.DROPPED, "1006"),
    (errors.APIError(1006, "Abnormal closure."), LinkCause.UNREACHABLE, LinkCause.DROPPED, "1006"),
    (errors.ServerError(503, {"message": "overloaded"}), LinkCause.UNREACHABLE, LinkCause.DROPPED, "overloaded"),
    (errors.ClientError(429, {"message": "slow down"}), LinkCause.QUOTA, LinkCause.QUOTA, "slow down"),
    (errors.APIError(1011, "Resource has been exhausted: quota"), LinkCause.QUOTA, LinkCause.QUOTA, "exhausted"),
    (errors.APIError(1008, "unregistered callers"), LinkCause.REFUSED, LinkCause.REFUSED, "unregistered"),
    (TypeError("x"), LinkCause.PROTOCOL, LinkCause.PROTOCOL, "TypeError"),
    (ValueError("what was said"), LinkCause.PROTOCOL, LinkCause.PROTOCOL, "ValueError"),
]


def test_every_failure_has_a_cause_and_a_line():
    for error, opening, opened, says in FAILURES:
        assert link_error(error, Phase.OPENING).cause is opening, error
        assert link_error(error, Phase.OPEN).cause is opened, error
        line = str(link_error(error, Phase.OPEN))
        assert says in line
        assert "\n" not in line
        assert len(line) < 250


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.APIError(1007, "Request contains an invalid argument."), LinkAction.OMIT_FEATURE),
        (ConnectionClosedError(Close(1008, "Token expired."), None), LinkAction.NEW_TOKEN),
        (errors.ClientError(429, {"message": "slow down"}), LinkAction.WAIT_QUOTA),
        (InvalidStatus(Response(404, "Not Found", Headers(), b"")), LinkAction.GIVE_UP_CONFIG),
        (untrusted(9), LinkAction.CLOCK_WRONG),
        (untrusted(18), LinkAction.OFFLINE),
        (ssl.SSLError(1, "handshake failure"), LinkAction.OFFLINE),
        (InvalidMessage("x"), LinkAction.OFFLINE),
        (socket.gaierror(socket.EAI_NONAME, "x"), LinkAction.OFFLINE),
        (OSError(errno.ENETUNREACH, "x"), LinkAction.OFFLINE),
        (TimeoutError(), LinkAction.BACK_OFF),
        (ConnectionResetError(errno.ECONNRESET, "x"), LinkAction.BACK_OFF),
        (TypeError("x"), LinkAction.FRESH_SESSION),
    ],
    ids=str,
)
def test_every_kind_of_failure_is_recognised(error, action):
    assert link_error(error, Phase.OPENING).action is action


def test_a_connection_that_we_ended_ourselves_says_why():
    def as_the_sdk_tells(error: ConnectionClosedError) -> errors.APIError:
        try:
            try:
                raise error
            except ConnectionClosedError:
                raise errors.APIError(1006, "abnormal closure [internal]")  # noqa: B904  as the SDK does
        except errors.APIError as told:
            return told

    too_big = as_the_sdk_tells(ConnectionClosedError(None, Close(1009, "message too big")))
    assert "1009: message too big" in str(link_error(too_big, Phase.OPEN))
    broken = as_the_sdk_tells(ConnectionClosedError(None, None))
    assert "(1006)" in str(link_error(broken, Phase.OPEN))


def test_no_line_holds_a_secret_or_what_was_said():
    token = "auth_tokens/abcDEF-123_x=="
    key = "AIza" + "Sy" * 10
    reason = f"Token {token} and\nkey {key} " + "are wrong " * 40
    for error in (errors.APIError(1008, reason), ConnectionClosedError(Close(1008, reason), None), ValueError(reason)):
        line = str(link_error(error, Phase.OPENING))
        assert "abcDEF" not in line
        assert "SySySy" not in line
        assert "\n" not in line
        assert len(line) < 250
    assert "wrong" not in str(link_error(ValueError(reason), Phase.OPEN))


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (None, None),
        ("TURN_COMPLETE_REASON_UNSPECIFIED", None),
        ("MALFORMED_FUNCTION_CALL", TurnReason.FAILED),
        ("RESPONSE_REJECTED", TurnReason.FAILED),
        ("PROHIBITED_INPUT_CONTENT", TurnReason.REFUSED),
        ("GENERATED_AUDIO_SAFETY", TurnReason.REFUSED),
        ("BLOCKLIST", TurnReason.REFUSED),
    ],
)
def test_why_a_turn_is_over_is_read(told: str | None, reason: TurnReason | None):
    content = {"turnComplete": True, "turnCompleteReason": told}
    assert translated(serverContent=content) == [TurnComplete(reason)]


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ({"waitingForInput": True}, [WaitingForInput()]),
        ({"waitingForInput": True, "turnComplete": True}, [WaitingForInput(), TurnComplete()]),
        (
            {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"},
            [WaitingForInput(), TurnComplete(TurnReason.MORE_INPUT)],
        ),
        ({"interactionStatus": "REQUIRES_ACTION"}, [StatusReported(Interaction.IN_PROGRESS)]),
    ],
)
def test_a_model_that_waits_for_the_person_or_for_a_tool_says_so(content: dict[str, Any], messages: list[Any]):
    assert translated(serverContent=content) == messages


def test_how_far_a_handle_reaches_is_read_where_it_is_told():
    update = {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "7"}
    assert translated(sessionResumptionUpdate=update) == [HandleUpdated("h", 7)]
