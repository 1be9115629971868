from shim.errors import Reason

# operators search the journal for the codes: new ones may be added, none may change
CODES = {
    "not_base64url": 404,
    "not_canonical": 404,
    "token_too_long": 404,
    "no_ecb_key": 404,
    "not_whole_blocks": 404,
    "wrong_key": 404,
    "no_jwe_key": 404,
    "not_compact": 404,
    "bad_header": 404,
    "not_authentic": 404,
    "bad_claim": 404,
    "not_yet_valid": 404,
    "expired": 410,
    "not_utf8": 404,
    "control_character": 404,
    "empty_path": 404,
    "directory": 404,
    "dot_segment": 404,
    "path_too_long": 404,
    "segment_too_long": 404,
    "outside_prefix": 404,
}


def test_the_codes_and_what_they_lead_to_are_stable() -> None:
    assert {reason.code: reason.status for reason in Reason} == CODES


def test_every_reason_has_a_sentence_of_its_own() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)
