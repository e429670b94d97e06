"""What an answer shows of the matches that are on record. Pure."""

import msgspec

from hashcheck_service.checking.schema import ResultOut
from hashcheck_service.checking.verdicts import Result
from hashcheck_service.policy import NearMatches, Policy


def shown(result: Result, answer: ResultOut, policy: Policy) -> ResultOut:
    """`answer`, which has all matches of `result`, as the caller gets it.

    Under `near_matches = "entry"` a perceptual match tells the entry alone, and an entry stands there once: by an exact
    match, if there is one.
    """
    if policy.near_matches is NearMatches.FULL or not result.near:
        return answer
    pairs = list(zip(result.matches, answer.matches, strict=True))
    exact = {match.entry.id for match, _ in pairs if match.asked is None}
    seen: set[str] = set()
    kept = []
    for match, out in pairs:
        if match.asked is None:
            kept.append(out)
        elif match.entry.id not in exact | seen:
            kept.append(msgspec.structs.replace(out, type=msgspec.UNSET))
            seen.add(match.entry.id)
    return msgspec.structs.replace(answer, matches=kept)
