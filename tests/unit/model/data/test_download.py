"""Downloads against a real server on loopback."""

import base64
import hashlib
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import FileServer, Served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import model
from model.data import DataError
from model.data.download import Downloads, Patience, RemoteFile

ROOT = Path(model.__file__).parents[1]
CONTENT = hashlib.shake_256(b"a published file").digest(300_000)
HURRIED = Patience(connect_s=2, read_s=0.3, attempts=2, wait_s=0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with FileServer().running() as server:
        yield server


def remote(*urls, content=CONTENT):
    return RemoteFile(
        name="set/file.bin",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        urls=urls,
        otherwise="type data=shakespeare",
    )


def downloads(folder, **changes):
    return replace(Downloads(folder / "downloads", patience=HURRIED), **changes)


def refusal(loads, file):
    with pytest.raises(DataError) as error:
        loads.get(file)
    assert "\n" not in str(error.value)
    assert not (loads.folder / file.name).exists()
    return str(error.value)


def part_of(loads, file):
    return Path(f"{loads.folder / file.name}.part")


def test_a_file_is_downloaded_once(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    file = remote(f"{server.url}/a")
    path = downloads(tmp_path).get(file)
    assert path.read_bytes() == CONTENT
    assert downloads(tmp_path).get(file) == path
    assert server.requests == [("/a", None)]
    assert not part_of(downloads(tmp_path), file).exists()


def test_progress_is_told_in_bytes(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    told = []
    downloads(tmp_path, on_progress=lambda *it: told.append(it)).get(remote(f"{server.url}/a"))
    assert told[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@pytest.mark.parametrize("says_length", [True, False])
def test_a_cut_connection_is_gone_on_with_where_it_was_cut(server, tmp_path, says_length):
    server.files["/a"] = Served(CONTENT, cuts=[100_000, 50_000], says_length=says_length)
    path = downloads(tmp_path).get(remote(f"{server.url}/a"))
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/a", None), ("/a", "bytes=100000-"), ("/a", "bytes=150000-")]


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    server.files["/a"] = Served(CONTENT, ranges=False, cuts=[100_000])
    path = downloads(tmp_path).get(remote(f"{server.url}/a"))
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 2


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=4), ranges=st.booleans(), length=st.booleans())
def test_however_often_it_is_cut_the_file_is_right(server, tmp_path_factory, cuts, ranges, length):
    server.files["/a"] = Served(CONTENT, ranges=ranges, cuts=list(cuts), says_length=length)
    loads = downloads(tmp_path_factory.mktemp("cut"), patience=replace(HURRIED, attempts=9))
    assert loads.get(remote(f"{server.url}/a")).read_bytes() == CONTENT


def test_an_address_that_always_cuts_at_the_same_place_is_given_up_and_the_part_stays(server, tmp_path):
    server.files["/a"] = Served(CONTENT, ranges=False, cuts=[70_000] * 9)
    file = remote(f"{server.url}/a")
    assert "127.0.0.1: a connection cut after 70,000 of 300,000 bytes" in refusal(downloads(tmp_path), file)
    assert part_of(downloads(tmp_path), file).read_bytes() == CONTENT[:70_000]
    assert len(server.requests) == 1 + HURRIED.attempts


def test_the_next_address_goes_on_with_what_the_one_before_gave(server, tmp_path):
    server.files["/a"] = Served(CONTENT, cuts=[70_000, 0, 0])
    server.files["/b"] = Served(CONTENT)
    path = downloads(tmp_path).get(remote(f"{server.url}/a", f"{server.url}/b"))
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == ("/b", "bytes=70000-")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_address_that_has_no_such_file_is_asked_once(server, tmp_path, status):
    server.files["/a"] = Served(CONTENT, statuses=[status] * 9)
    server.files["/b"] = Served(CONTENT)
    downloads(tmp_path).get(remote(f"{server.url}/a", f"{server.url}/b"))
    assert [path for path, _ in server.requests] == ["/a", "/b"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_address_that_is_busy_is_asked_again(server, tmp_path, status):
    server.files["/a"] = Served(CONTENT, statuses=[status])
    assert downloads(tmp_path).get(remote(f"{server.url}/a")).read_bytes() == CONTENT


def test_a_redirection_is_followed(server, tmp_path):
    server.files["/a"] = Served(b"", moved_to="/b")
    server.files["/b"] = Served(CONTENT, cuts=[100_000])
    assert downloads(tmp_path).get(remote(f"{server.url}/a")).read_bytes() == CONTENT
    assert server.requests[-1] == ("/b", "bytes=100000-")


def test_going_round_in_circles_ends(server, tmp_path):
    server.files["/a"] = Served(b"", moved_to="/a")
    assert "127.0.0.1: more than 5 redirections" in refusal(downloads(tmp_path), remote(f"{server.url}/a"))


def test_a_file_of_another_length_is_not_even_fetched(server, tmp_path):
    server.files["/a"] = Served(b"<html>Sign in</html>")
    file = remote(f"{server.url}/a")
    assert "127.0.0.1: a file of 20 bytes instead of 300,000" in refusal(downloads(tmp_path), file)
    assert part_of(downloads(tmp_path), file).stat().st_size == 0


def test_a_page_that_asks_to_sign_in_costs_no_part(server, tmp_path):
    server.files["/a"] = Served(b"<html>Sign in</html>", ranges=False)
    server.files["/b"] = Served(CONTENT)
    file, loads = remote(f"{server.url}/a", f"{server.url}/b"), downloads(tmp_path)
    part_of(loads, file).parent.mkdir(parents=True)
    part_of(loads, file).write_bytes(CONTENT[:200_000])
    assert loads.get(file).read_bytes() == CONTENT
    assert server.requests[-1] == ("/b", "bytes=200000-")


def test_a_range_that_was_not_asked_for_is_refused(server, tmp_path):
    server.files["/a"] = Served(CONTENT, shift=-5)
    file, loads = remote(f"{server.url}/a"), downloads(tmp_path)
    part_of(loads, file).parent.mkdir(parents=True)
    part_of(loads, file).write_bytes(CONTENT[:200_000])
    assert "another range than was asked for" in refusal(loads, file)


def test_a_longer_file_that_does_not_say_so_is_refused(server, tmp_path):
    server.files["/a"] = Served(CONTENT * 2, says_length=False)
    file = remote(f"{server.url}/a")
    assert "more than the 300,000 bytes" in refusal(downloads(tmp_path), file)
    assert part_of(downloads(tmp_path), file).stat().st_size == 0


def test_a_file_with_another_digest_is_thrown_away_and_the_next_address_tried(server, tmp_path):
    server.files["/a"] = Served(CONTENT[:-1] + b"?")
    server.files["/b"] = Served(CONTENT)
    path = downloads(tmp_path).get(remote(f"{server.url}/a", f"{server.url}/b"))
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/a", None), ("/b", None)]


def test_a_file_that_keeps_turning_out_wrong_is_begun_again_once(server, tmp_path):
    rest = len(CONTENT) - 1000
    server.files["/a"] = Served(CONTENT[::-1], cuts=[1000, rest] * 9)
    assert "a file with another sha256" in refusal(downloads(tmp_path), remote(f"{server.url}/a"))
    assert len(server.requests) == 4


def test_where_every_address_gives_another_digest_nothing_is_kept(server, tmp_path):
    server.files["/a"] = Served(CONTENT[::-1])
    file = remote(f"{server.url}/a")
    assert "127.0.0.1: a file with another sha256" in refusal(downloads(tmp_path), file)
    assert part_of(downloads(tmp_path), file).stat().st_size == 0


def test_a_wrong_part_of_an_earlier_time_is_fetched_again_from_its_beginning(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    file, loads = remote(f"{server.url}/a"), downloads(tmp_path)
    part_of(loads, file).parent.mkdir(parents=True)
    part_of(loads, file).write_bytes(b"junk")
    assert loads.get(file).read_bytes() == CONTENT
    assert server.requests == [("/a", "bytes=4-"), ("/a", None)]


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_part_that_is_whole_or_longer_is_no_riddle(server, tmp_path, extra):
    server.files["/a"] = Served(CONTENT)
    file, loads = remote(f"{server.url}/a"), downloads(tmp_path)
    part_of(loads, file).parent.mkdir(parents=True)
    part_of(loads, file).write_bytes(CONTENT + extra)
    assert loads.get(file).read_bytes() == CONTENT
    assert len(server.requests) == (1 if extra else 0)


def test_a_server_that_falls_silent_is_given_up_in_time(server, tmp_path):
    server.files["/a"] = Served(CONTENT, cuts=[1000, *[0] * 9], stalls=True)
    began_s = time.monotonic()
    assert "0.3 s of silence after 1,000 bytes" in refusal(downloads(tmp_path), remote(f"{server.url}/a"))
    assert time.monotonic() - began_s < 10


def test_nobody_listening_is_said_so(tmp_path):
    with FileServer().running() as gone:
        url = gone.url
    assert "127.0.0.1: no connection" in refusal(downloads(tmp_path), remote(f"{url}/a"))


def test_a_refusal_says_what_to_type_and_no_password(server, tmp_path):
    loads = downloads(tmp_path)
    message = refusal(loads, remote(server.url.replace("//", "//me:secret@") + "/a"))
    assert "file.bin: expected to download it, got 127.0.0.1: HTTP 404" in message
    assert str(loads.folder / "set/file.bin") in message
    assert message.endswith("or type data=shakespeare")
    assert "secret" not in message


def test_a_persons_addresses_stand_in_for_the_built_in_ones(server, tmp_path):
    server.files["/mirror/file.bin"] = Served(CONTENT)
    loads = downloads(tmp_path, urls=(f"{server.url}/gone", f"{server.url}/mirror/"))
    loads.get(remote(f"{server.url}/a"))
    assert [path for path, _ in server.requests] == ["/gone", "/mirror/file.bin"]


def test_a_file_that_a_person_put_there_will_do(tmp_path):
    loads, file = downloads(tmp_path), remote()
    (loads.folder / "set").mkdir(parents=True)
    (loads.folder / file.name).write_bytes(CONTENT)
    assert loads.get(file).read_bytes() == CONTENT


def test_another_file_in_its_place_is_refused_and_left_alone(tmp_path):
    loads, file = downloads(tmp_path), remote()
    (loads.folder / "set").mkdir(parents=True)
    (loads.folder / file.name).write_bytes(b"mine")
    with pytest.raises(DataError, match=r"found 4 bytes .* remove it"):
        loads.get(file)
    assert (loads.folder / file.name).read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_said_so(server, tmp_path):
    (tmp_path / "downloads").touch()
    server.files["/a"] = Served(CONTENT)
    with pytest.raises(DataError, match="expected a folder that can be written"):
        downloads(tmp_path).get(remote(f"{server.url}/a"))


GET = (
    "import sys; from pathlib import Path; from model.data.errors import DataError\n"
    "from model.data.download import Downloads, RemoteFile\n"
    "file = RemoteFile('set/file.bin', 300000, sys.argv[3], (sys.argv[2],), '')\n"
)


def child(server, folder, code):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return subprocess.Popen(
        [sys.executable, "-c", GET + code, str(folder), f"{server.url}/a", digest],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_said_so_and_leaves_no_file(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "try: Downloads(Path(sys.argv[1])).get(file)\n"
        "except DataError as error: print(error)"
    )
    with child(server, tmp_path, code) as process:
        output, _ = process.communicate()
    assert "File too large" in output
    assert not (tmp_path / "set/file.bin").exists()


def test_of_two_processes_one_downloads_and_the_other_waits(server, tmp_path):
    server.files["/a"] = Served(CONTENT, delay_s=0.3)
    code = "sys.stdin.read(1); print(len(Downloads(Path(sys.argv[1])).get(file).read_bytes()))"
    processes = [child(server, tmp_path, code) for _ in range(2)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["300000\n"] * 2
    assert len(server.requests) == 1


def test_what_a_killed_process_had_is_gone_on_with(server, tmp_path):
    server.files["/a"] = Served(CONTENT, cuts=[200_000], stalls=True)
    code = "Downloads(Path(sys.argv[1]), on_progress=lambda *it: print(flush=True)).get(file)"
    with child(server, tmp_path, code) as process:
        process.stdout.read(1)
        process.kill()
    assert not (tmp_path / "set/file.bin").exists()
    had = (tmp_path / "set/file.bin.part").stat().st_size
    server.files["/a"].stalls = False
    path = Downloads(tmp_path, patience=HURRIED).get(remote(f"{server.url}/a"))
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == ("/a", f"bytes={had}-" if had else None)


def test_a_proxy_of_the_environment_is_used_with_its_password(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:pass%20word@"))
    server.files["http://a.invalid/file"] = Served(CONTENT)
    assert downloads(tmp_path).get(remote("http://a.invalid/file")).read_bytes() == CONTENT
    assert server.proxy_authorization == [f"Basic {base64.b64encode(b'me:pass word').decode()}"]


def test_a_proxy_is_not_used_for_what_the_environment_excepts(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.files["/a"] = Served(CONTENT)
    assert downloads(tmp_path).get(remote(f"{server.url}/a")).read_bytes() == CONTENT
