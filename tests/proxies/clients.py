"""Clients that ask for an upgrade to HTTP/2 with every request: Java's HttpClient, and curl --http2."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

_JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;

public class Ask {
    public static void main(String[] a) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 2; i < a.length; i += 3) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(a[0] + a[i]))
                .header("Authorization", "Bearer " + a[1]).header("Content-Type", a[i + 1])
                .POST(HttpRequest.BodyPublishers.ofByteArray(Files.readAllBytes(Path.of(a[i + 2])))).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body().replace("\\n", " "));
        }
    }
}
"""
_PICTURE = Path(__file__).parents[2] / "examples" / "test-picture.png"


def asked_by_java(port: int, key: str, listed: str, folder: Path) -> list[str]:
    """What each of the questions is answered, twice in a row over one client."""
    source = folder / "Ask.java"
    source.write_text(_JAVA)
    asked = [
        str(part) for path, (kind, file) in _questions(listed, folder).items() for part in (path, kind, file)
    ]
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", str(source), f"http://127.0.0.1:{port}", key, *asked, *asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def asked_by_curl(port: int, key: str, listed: str, folder: Path) -> list[str]:
    answers = []
    for path, (kind, file) in [*_questions(listed, folder).items()] * 2:
        done = subprocess.run(
            [
                *(
                    "curl",
                    "--silent",
                    "--show-error",
                    "--http2",
                    "--noproxy",
                    "*",
                    "--write-out",
                    "\n%{http_code}",
                ),
                *("-H", f"Authorization: Bearer {key}", "-H", f"Content-Type: {kind}"),
                *("--data-binary", f"@{file}", f"http://127.0.0.1:{port}{path}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            answers.append(f"curl ends with {done.returncode}, {done.stderr}")
            continue
        body, _, status = done.stdout.rpartition("\n")
        answers.append(f"{status} {body.replace(chr(10), ' ')}")
    return answers


def all_right(answers: list[str]) -> bool:
    """Whether each question was answered, and with the verdict that it must have."""
    once = ['"verdict":"match"', "true", '"verdict":"match"', '"verdict":"match"']
    right = once * 2
    return len(answers) == len(right) and all(
        answer.startswith("200 ") and part in answer for answer, part in zip(answers, right, strict=True)
    )


def _questions(listed: str, folder: Path) -> Mapping[str, tuple[str, Path]]:
    """By path: content type, and a file with the body."""
    hashes = f'{{"ref":"r","hashes":[{{"type":"md5","value":"{listed}"}}]}}'
    bodies = {
        "/v1/check": ("application/json", f'{{"items":[{hashes}]}}'),
        "/v1/check/md5": ("text/plain", listed),
        "/v1/check/stream": ("application/x-ndjson", f"{hashes}\n"),
    }
    questions = {}
    for number, (path, (kind, body)) in enumerate(bodies.items()):
        file = folder / f"body-{number}"
        file.write_text(body)
        questions[path] = (kind, file)
    return {**questions, "/v1/check/media": ("image/png", _PICTURE)}
