"""POST /v1/check/media against a running service: every kind of picture has its stated answer."""

import pytest
from PIL import Image

from examples.photographs import LISTED, UNLISTED, photograph, reencoded
from hashcheck_core.images.decoder import ImageLimits
from tests.hashcheck_service.test_check import assert_problem
from tests.specimens.pictures import RECOGNISABLE, UNKNOWABLE, listed_photo
from tests.support import Server


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_picture_reencoded_and_resized_matches(server: Server, name: str) -> None:
    result = server.media(reencoded(photograph(name)), "image/jpeg", ref="upload-1")
    assert (result["verdict"], result["ref"]) == ("match", "upload-1")
    assert "pdq" in {m["type"] for m in result["matches"]}


@pytest.mark.parametrize("name", UNLISTED)
def test_an_unlisted_picture_does_not(server: Server, name: str) -> None:
    result = server.media(photograph(name))
    assert (result["verdict"], result["reasons"], result["matches"]) == ("no_match", [], [])


@pytest.mark.parametrize("name", RECOGNISABLE)
def test_the_listed_picture_matches_in_every_mode_and_format(server: Server, name: str) -> None:
    result = server.media(RECOGNISABLE[name](listed_photo()), "application/octet-stream")
    assert result["verdict"] == "match"
    assert result["reasons"] == (["animation"] if "animation" in name else [])


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_that_does_not_match_is_unknown(server: Server, kind: str) -> None:
    photo = listed_photo().transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    specimen = RECOGNISABLE[f"animation.{kind.lower()}"](photo)
    result = server.media(specimen, "image/gif")
    assert (result["verdict"], result["reasons"]) == ("unknown", ["animation"])


@pytest.mark.parametrize("name", UNKNOWABLE)
def test_what_cannot_be_judged_is_unknown_with_its_reason(server: Server, name: str) -> None:
    reason, make = UNKNOWABLE[name]
    result = server.media(make(listed_photo()), "image/jpeg")
    assert result["verdict"] == "unknown"
    assert reason in result["reasons"]


def test_a_rotated_copy_matches_when_all_eight_are_asked_for(server: Server) -> None:
    photo = listed_photo()
    turned = RECOGNISABLE["progressive.jpg"](photo.transpose(Image.Transpose.ROTATE_90))
    assert server.media(turned)["verdict"] == "no_match"
    assert server.media(turned, dihedral="true")["verdict"] == "match"


def test_the_computed_hashes_come_with_the_result(server: Server) -> None:
    answer = server.client.post(
        "/v1/check/media", content=photograph("rocket.jpg"), headers={"Content-Type": "image/jpeg"}
    ).json()
    assert [h["type"] for h in answer["hashes"]] == ["md5", "sha1", "sha256", "pdq", "phash"]
    again = server.check(*({k: v for k, v in h.items() if k != "transform"} for h in answer["hashes"]))
    assert again["verdict"] == "no_match"


@pytest.mark.parametrize(
    ("data", "kind", "query", "status", "code"),
    [
        (b"x", "text/plain", "", 415, "unsupported_media_type"),
        (b"", "image/png", "", 422, "empty_body"),
        (b"x", "image/png", "?dihedral=maybe", 422, "invalid_request"),
        (b"x", "image/png", "?reff=1", 422, "invalid_request"),
        (b"x", "image/png", "?ref=" + "x" * 257, 422, "invalid_request"),
        (bytes(ImageLimits().max_bytes + 1), "image/png", "", 413, "body_too_large"),
    ],
    ids=["type", "empty", "dihedral", "parameter", "ref", "size"],
)
def test_bad_requests_have_a_problem_each(
    server: Server, data: bytes, kind: str, query: str, status: int, code: str
) -> None:
    answer = server.client.post(f"/v1/check/media{query}", content=data, headers={"Content-Type": kind})
    assert_problem(answer, status, code)
