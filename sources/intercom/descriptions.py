"""What each table and column holds: dlt stores it in its schema, data catalogs show it."""

from __future__ import annotations

from typing import Final

CALLS_TABLE: Final = "One row a call of Intercom (GET /calls/{id}), in its newest version that was fetched."
CALL_ERRORS_TABLE: Final = (
    "One row a call id that could not be loaded, missing ones (404) too; it goes when the call loads."
)

CALLS: Final = {
    "id": "Intercom's id of the call, to the letter.",
    "type": "Always call.",
    "conversation_id": "The conversation that the call belongs to.",
    "admin_id": "The teammate who took or made the call.",
    "contact_id": "The contact who called or was called.",
    "state": "The state of the call, in Intercom's words.",
    "recording_url": "Where the recording is; asking for it takes the access token.",
    "transcription_url": "Where the transcript is; asking for it takes the access token.",
    "call_type": "How the call was made, in Intercom's words, such as phone.",
    "direction": "inbound or outbound.",
    "ended_reason": "Why the call ended, in Intercom's words.",
    "phone": "The contact's phone number (E.164).",
    "fin_recording_url": "Where the recording of the AI agent's leg is.",
    "fin_transcription_url": "Where the transcript of the AI agent's leg is.",
    "initiated_at": "When the call began to ring or was dialled, UTC.",
    "answered_at": "When the call was answered, UTC; null when it was not.",
    "ended_at": "When the call ended, UTC; null while it goes on.",
    "created_at": "When Intercom made the record of the call, UTC.",
    "updated_at": "When Intercom last changed the record of the call, UTC.",
    "duration": "Seconds: inbound from initiated to ended, outbound from answered to ended. Of the Preview API only.",
    "talk_time": "Seconds connected. Of the Preview API only.",
    "queue_time": "Seconds of waiting before the connection, when assigned to a team. Of the Preview API only.",
    "hold_time": "Seconds on hold. Of the Preview API only.",
    "extra": "One JSON object: fields this source does not know, and values that did not fit their column.",
    "_fetched_at": "When Intercom was asked for the call, UTC.",
    "_deleted_at": "When Intercom first answered 404 for the loaded call, UTC. The command fills it.",
    "_dlt_load_id": "The load package that wrote the row; joins load_id of _dlt_loads.",
}
CALL_ERRORS: Final = {
    "call_id": "The id as it was asked for.",
    "http_status": "The status of the last answer; null when there was none.",
    "code": "The code of Intercom's error, or of this source's: id_mismatch, invalid_json, connection, timeout.",
    "message": "What Intercom, or the connection, said.",
    "request_id": "Intercom's id of the request, which its support asks for.",
    "attempts": "How many requests were made for the id since it first failed.",
    "first_failed_at": "Since when it fails in this way, UTC.",
    "last_failed_at": "When it last failed, UTC.",
    "_resolved": "dlt's hard_delete hint: a row with true takes its id out of the table; those that stay hold false. "
    "Where rows are appended, not merged, true says that the call was loaded after all.",
    "_dlt_load_id": CALLS["_dlt_load_id"],
}
