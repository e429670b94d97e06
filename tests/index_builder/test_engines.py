"""The engine a list gets, seen through a build and a running service."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hashcheck_core.snapshot.manifest import decode
from tests.support import Site, done, make_site, pdq, run, serving

ROWS = 4000
Large = tuple[Site, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A published list of enough PDQ and pHash hashes that tables pay, and its PDQ codes."""
    site = make_site(tmp_path_factory.mktemp("large"))
    rng = np.random.default_rng(1)
    codes, small = rng.integers(0, 256, (ROWS, 32), np.uint8), rng.integers(0, 256, (ROWS, 8), np.uint8)
    lines = [f"{i},pdq,{bytes(code).hex()},,A" for i, code in enumerate(codes)]
    lines += [f"p{i},phash,{bytes(code).hex()},,A" for i, code in enumerate(small)]
    site.feed.write_text("\n".join(["id,type,value,quality,category", *lines]))
    site.publish(site.build())
    return site, codes


def snapshot_of(site: Site) -> Path:
    return next(site.snapshots.glob("0*"))


def test_a_large_list_gets_a_multi_index_with_its_plan_in_the_manifest(large: Large) -> None:
    snapshot = snapshot_of(large[0])
    manifest = decode((snapshot / "manifest.json").read_bytes())
    engines = {section.type: section.engine for section in manifest.hashes}
    assert {name: engine.name for name, engine in engines.items()} == {
        "md5": "sorted",
        "pdq": "multi_index",
        "phash": "multi_index",
        "sha1": "sorted",
        "sha256": "sorted",
    }
    assert sum(engines["pdq"].parameters["widths"]) == 256
    assert engines["pdq"].parameters["radius"] == 31
    report = json.loads((large[0].snapshots / "reports" / snapshot.name / "report.json").read_text())
    assert any("multi-index for radius 31" in kind["plan"] for kind in report["types"])


def test_it_is_served_exactly_by_two_workers(large: Large) -> None:
    site, codes = large
    rng = np.random.default_rng(2)
    with serving(site, "--workers", "2") as server:
        for distance in (0, 7, 31, 32):
            items = []
            for code in codes[:300]:
                bits = np.unpackbits(code)
                bits[rng.permutation(256)[:distance]] ^= 1
                items.append({"ref": "r", "hashes": [pdq(np.packbits(bits).tobytes().hex())]})
            answer = server.client.post("/v1/check", json={"items": items}).json()
            verdicts = {result["verdict"] for result in answer["results"]}
            assert verdicts == {"match" if distance <= 31 else "no_match"}


def test_a_bit_turned_in_any_table_is_refused(large: Large) -> None:
    site, _ = large
    for file in sorted(snapshot_of(site).glob("p*-*.bin")):
        data = bytearray(file.read_bytes())
        place = len(data) * 2 // 3
        data[place] ^= 4
        mode = file.stat().st_mode
        file.chmod(0o640)
        file.write_bytes(data)
        result = run("index_builder", "verify", snapshot_of(site), "--trusted-keys", site.trusted_keys)
        assert result.returncode == 1
        assert file.name in result.stderr
        data[place] ^= 4
        file.write_bytes(data)
        file.chmod(mode)
    done("index_builder", "verify", snapshot_of(site), "--trusted-keys", site.trusted_keys)
