"""What each kind of deviation means, and what to do about it: for the API, ``lwm2mctl doctor`` and the manual.

RULES: every kind that any part of the daemon notes is here, and ``docs/deviations.md`` has the same rows; a test fails
otherwise. A kind stays once it was published.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Diagnosis(NamedTuple):
    """What the device does, and what its operator may do."""

    meaning: str
    advice: str


_LINKS: Final = "Nothing: the list is understood. Its maker should write it as RFC 6690 says."
_VALUES: Final = "Nothing: the value is understood. Its maker should encode it as OMA Core, data types, says."
_SINGLY: Final = "Nothing: several paths are read one by one, and so observed by templates."
_SHOWN: Final = "Look at the sample: the value was left out. Its maker has to correct it."

UNKNOWN: Final = Diagnosis("It departs from the specifications.", "Look at the sample.")

DIAGNOSES: Final = {
    "absurd-time": Diagnosis(
        "It gives values times that they can't have: from before 1978, or more than a day ahead.",
        "The time of arrival is taken. Set its clock, Resource /3/0/13, or correct how it reckons time.",
    ),
    "answer-without-token": Diagnosis(
        "It leaves the token out of an answer.",
        "Nothing: with one request under way there is no doubt. Update its firmware if the maker has corrected it.",
    ),
    "attribute-twice": Diagnosis("An attribute stands twice in a link of its object list; both are taken.", _LINKS),
    "bad-ct": Diagnosis(
        "It lists a Content-Format that is no number; that one is passed over.",
        "If values are not understood, give it a profile with formats.",
    ),
    "bad-ver": Diagnosis("A version in its object list is no version; it is passed over.", "See that a model fits."),
    "composite-refused": Diagnosis(
        "It has no composite operations, though its version of LwM2M may have them.",
        f"{_SINGLY} Tried again after a week.",
    ),
    "draft-content-format": Diagnosis(
        "It uses the numbers that Content-Formats had in drafts, 1541 to 1544.",
        "Nothing: they are understood.",
    ),
    "empty-attribute": Diagnosis("There is a link attribute without a name in its object list.", _LINKS),
    "empty-link": Diagnosis("There is a comma too many in its object list.", _LINKS),
    "fetch-unanswered": Diagnosis(
        "It does not answer FETCH or iPATCH at all, not even to refuse them.",
        f"{_SINGLY} Tried again after a week. A profile with `fetch: false` spares the first wait.",
    ),
    "float-for-integer": Diagnosis("It sends integers as floats, such as 5.0.", _VALUES),
    "gateway-limit": Diagnosis(
        "The gateway has more devices behind it than are shown.",
        "Raise [limits] devices-per-gateway.",
    ),
    "gateway-links": Diagnosis(
        "The object list of a device behind the gateway can't be read.",
        "Look at the gateway's Resource /25/x/3; the device is shown without Objects.",
    ),
    "gateway-prefix": Diagnosis(
        "The prefix of a device behind the gateway can't be used in a path.",
        "That device is left out. Give it another prefix at the gateway, Resource /25/x/1.",
    ),
    "gateway-prefix-twice": Diagnosis(
        "Two devices behind the gateway have the same prefix.",
        "Only the first is shown. Give the other one another prefix at the gateway, Resource /25/x/1.",
    ),
    "id-out-of-range": Diagnosis("A path in its object list has an id that does not exist; it is passed over.", _LINKS),
    "json-link-as-text": Diagnosis("It writes an Objlnk as a string in LwM2M JSON.", _VALUES),
    "json-name-without-slash": Diagnosis("It forgets the slash between base name and name in LwM2M JSON.", _VALUES),
    "lwm2m-cbor-relative-ids": Diagnosis(
        "Its LwM2M CBOR begins below the path that was asked for, not at the Object.", _VALUES
    ),
    "multiple-for-single": Diagnosis(
        "It sends a Resource with instances where the model has a single one.",
        "Nothing, if the value is right; else put the model that the device was made by: lwm2mctl models put.",
    ),
    "no-content-format": Diagnosis(
        "It sends values without saying their Content-Format.",
        "Nothing, for a single Resource. If values come out as garbage, ask with a format, or give it a profile.",
    ),
    "nul-terminated-string": Diagnosis("Its strings end with a NUL.", _VALUES),
    "numeric-root": Diagnosis(
        "It marks a path with an id in it as its root; the root is taken to be /.",
        "If its Objects are missing, its alternate path has to have a name, such as /lwm2m.",
    ),
    "odd-boolean": Diagnosis("It sends numbers or words for booleans.", _VALUES),
    "other-format": Diagnosis(
        "It answers in another format than it was asked for, where it should refuse with 4.06.",
        "Nothing: it is read as what it says it is.",
    ),
    "path-too-long": Diagnosis("A path in its object list has more than four ids; it is passed over.", _LINKS),
    "queue-letter-in-binding": Diagnosis(
        "It says Q in its binding, where its version of LwM2M has a parameter of its own.",
        "Nothing: it is in queue mode.",
    ),
    "refused-stream": Diagnosis(
        "It refused an observation, or ended it, and goes on notifying.",
        "It is told with a Reset, a few times a minute. If it goes on, reboot it; cancel the observation.",
    ),
    "resource-path-in-list": Diagnosis(
        "It lists Resources where Object Instances belong; the instance is taken to be there.", _LINKS
    ),
    "root-twice": Diagnosis("It names two roots; the first one counts.", _LINKS),
    "security-object-listed": Diagnosis(
        "It lists an Object with credentials, 0, 21 or 23, that no server may see; it is passed over.", _LINKS
    ),
    "senml-without-root": Diagnosis(
        "The names in its SenML lack the root path that it registered, or the prefix of the device behind a gateway.",
        _VALUES,
    ),
    "senml-without-value": Diagnosis("A record of its SenML has no value; it is passed over.", _SHOWN),
    "silent-stream": Diagnosis(
        "It observes, and for more than twice the pmax, or the Max-Age that it said itself, it sent nothing.",
        "It is asked to observe once more, later each time. Look at its sleep and at the NAT before it.",
    ),
    "single-for-multiple": Diagnosis(
        "It sends a single value where the model has a Resource with instances; it is taken for instance 0.",
        "Nothing, if the value is right; else put the model that the device was made by: lwm2mctl models put.",
    ),
    "string-not-utf8": Diagnosis("Its strings are not UTF-8; they are shown as bytes.", _SHOWN),
    "time-as-text": Diagnosis("It sends times as texts.", _VALUES),
    "tlv-bare-instances": Diagnosis("Its Resource Instances in TLV lack the Resource around them.", _VALUES),
    "tlv-odd-integer": Diagnosis("Its integers in TLV have 3, 5, 6 or 7 bytes.", _VALUES),
    "tlv-repeated-resource": Diagnosis("It repeats a Resource in TLV in place of Resource Instances.", _VALUES),
    "tlv-time-as-text": Diagnosis("It sends times as digits in TLV.", _VALUES),
    "tlv-wrapped": Diagnosis("It wraps a Resource in an Object Instance where none was asked for.", _VALUES),
    "trailing-slash": Diagnosis("Paths in its object list end with a slash.", _LINKS),
    "unasked-path": Diagnosis(
        "It answers with values that nobody asked for; they are left out.",
        "Nothing. Read those paths if you want them.",
    ),
    "undecodable": Diagnosis(
        "What it sent can't be read, and nothing of it was taken.",
        "Look at the sample. Ask with another format; a profile with formats makes that last.",
    ),
    "unquoted-list": Diagnosis("A list of formats in its object list has no quotation marks.", _LINKS),
    "ver-conflict": Diagnosis(
        "It gives one Object two versions; the higher one counts.",
        "If values are not understood, put the model of the version that it really has.",
    ),
    "ver-on-instance": Diagnosis("It gives versions to Object Instances; the Object has it.", _LINKS),
    "white-space": Diagnosis("There is white space between the links of its object list.", _LINKS),
}
"""By kind."""


def diagnosis(kind: str) -> Diagnosis:
    """What a kind means; a plugin's may not be known here."""
    return DIAGNOSES.get(kind, UNKNOWN)
