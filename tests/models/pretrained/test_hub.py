"""Published weights: fetched once, then from the cache; and a hub that is not there says so soon.

Every load runs in a process of its own, because the hub's library reads its environment at import.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save

from emsym.errors import UserError
from emsym.models.pretrained import hub as module
from emsym.models.pretrained.weights import load_weights

SERVED = "test_resnet.r160_in1k"
PICKLED, ABSENT, BROKEN, SILENT, FOREIGN = (
    "test_efficientnet.r160_in1k",
    "test_byobnet.r160_in1k",
    "test_efficientnet_gn.r160_in1k",
    "test_nfnet.r160_in1k",
    "test_convnext.r160_in1k",
)
SMP = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]
CHILD = """
import json, sys, time
import segmentation_models_pytorch as smp, timm, torch, huggingface_hub
from emsym.errors import UserError
from emsym.models.pretrained.weights import load_weights
for encoder, weights in json.loads(sys.argv[1]):
    network = smp.create_model("unet", encoder, encoder_weights=None)
    began = time.monotonic()
    try:
        loaded = load_weights(network, weights)
        told = {"tag": loaded.tag, "digest": loaded.digest}
        told["sum"] = float(sum(v.double().sum() for v in network.encoder.state_dict().values()))
    except UserError as error:
        told = {"error": str(error)}
    print(json.dumps({**told, "seconds": time.monotonic() - began}))
"""


def load(*wanted, **environment):
    """Load (encoder, weights) one after another in a fresh process: what each came to."""
    inherited = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, json.dumps(wanted)],
        env={**inherited, "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def tu(weights):
    return f"tu-{weights.partition('.')[0]}", weights


def nowhere():
    """A host and a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class Hub(BaseHTTPRequestHandler):
    """Enough of the hub to serve files: their commit, digest and bytes."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self):
        self.asked.append(f"{self.command} {self.path}")
        if SILENT in self.path:
            time.sleep(30)
        content = self.files.get(self.path)
        if BROKEN in self.path:
            self.send_response(503)
        elif ABSENT in self.path:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
        elif content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "c" * 40)
        else:
            self.send_response(200)
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command == "GET" and content:
            self.wfile.write(content)

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def whole():
    """Made-up weights of the whole timm models that are served."""
    torch.manual_seed(3)
    return timm.create_model("test_resnet").state_dict()


@pytest.fixture(scope="module")
def hub(whole, tmp_path_factory):
    """Everything that is loaded: with the hub there, then without it, then offline."""
    torch.manual_seed(4)
    pickled = tmp_path_factory.mktemp("hub") / "pytorch_model.bin"
    torch.save(timm.create_model("test_efficientnet").state_dict(), pickled)
    encoder = smp.create_model("unet", "resnet18", encoder_weights=None).encoder.state_dict()
    Hub.asked = []
    Hub.files = {
        f"/timm/{SERVED}/resolve/main/model.safetensors": save(whole),
        f"/timm/{PICKLED}/resolve/main/pytorch_model.bin": pickled.read_bytes(),
        f"/timm/{FOREIGN}/resolve/main/model.safetensors": save({"other.weight": torch.ones(2)}),
        f"/{SMP['repo_id']}/resolve/{SMP['revision']}/model.safetensors": save(
            {**encoder, "fc.weight": torch.zeros(2, 2)}
        ),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    home = tmp_path_factory.mktemp("home")
    environment = {"HF_ENDPOINT": f"http://{address}", "HF_HOME": str(home)}
    try:
        there = [
            tu(SERVED),
            ("tu-test_resnet", "imagenet"),
            tu(PICKLED),
            ("resnet18", "imagenet"),
            tu(ABSENT),
            tu(BROKEN),
            tu(SILENT),
            tu(FOREIGN),
        ]
        fetched = dict(zip(map(tuple, there), load(*there, **environment), strict=True))
        asked = list(Hub.asked)
        server.shutdown()
        server.server_close()
        cached = [tu(SERVED), tu(PICKLED), ("resnet18", "imagenet")]
        *again, refused = load(*cached, tu(ABSENT), **environment)
        gone = dict(zip(cached, again, strict=True))
        offline = load(tu(SERVED), tu(ABSENT), **environment, HF_HUB_OFFLINE="1")
    finally:
        server.server_close()
    return {
        "address": address,
        "home": home,
        "fetched": fetched,
        "asked": asked,
        "gone": gone,
        "refused": refused,
        "offline": offline,
    }


def test_weights_of_timm_come_from_the_hub(hub, whole):
    got = hub["fetched"][tu(SERVED)]
    network = smp.create_model("unet", "tu-test_resnet", encoder_weights=None)
    names = [name.removeprefix("model.") for name in network.encoder.state_dict()]
    assert got["sum"] == pytest.approx(float(sum(whole[name].double().sum() for name in names)))
    assert got["tag"] == SERVED


def test_imagenet_is_the_name_that_timm_chooses(hub):
    imagenet, named = (hub["fetched"]["tu-test_resnet", w] for w in ("imagenet", SERVED))
    assert (imagenet["tag"], imagenet["digest"]) == (SERVED, named["digest"])


def test_weights_that_the_hub_has_only_as_a_torch_file_are_loaded(hub):
    assert hub["fetched"][tu(PICKLED)]["tag"] == PICKLED


def test_weights_of_an_own_encoder_are_told_by_repository_and_revision(hub):
    got = hub["fetched"]["resnet18", "imagenet"]
    assert got["tag"] == f"smp-hub/resnet18.imagenet@{SMP['revision']}"


def test_weights_are_fetched_once(hub):
    assert sum(SERVED in line and line.startswith("GET") for line in hub["asked"]) == 1


def test_cached_weights_need_no_hub(hub):
    for wanted, got in hub["gone"].items():
        assert got["digest"] == hub["fetched"][wanted]["digest"]
        assert got["seconds"] < 20  # the hub's client tries for over a minute
    assert hub["offline"][0]["digest"] == hub["fetched"][tu(SERVED)]["digest"]


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        (ABSENT, "answers 404 Not Found"),
        (BROKEN, "answers 503 Service Unavailable"),
        (SILENT, "cannot be reached|does not answer in time"),
    ],
)
def test_hub_that_does_not_give_them_says_so_soon(hub, weights, why):
    got = hub["fetched"][tu(weights)]
    assert got["seconds"] < 7
    sentence(got["error"], weights, hub["address"], why)


def test_fetched_weights_that_do_not_fit_are_refused(hub):
    error = hub["fetched"][tu(FOREIGN)]["error"]
    assert error.startswith(f"The weights '{FOREIGN}' do not fit")
    assert "other.weight" in error


def test_offline_mode_is_told(hub):
    got = hub["offline"][1]
    assert got["seconds"] < 20  # the hub's client tries for over a minute
    sentence(got["error"], ABSENT, "HF_HUB_OFFLINE", str(hub["home"] / "hub"))


def sentence(error, *told):
    """It is one line that says this, and every way out."""
    assert "\n" not in error
    for word in (*told, "the path of a weights file", "'pretext'", "copy"):
        assert any(part in error for part in word.split("|")), (word, error)


def test_hub_that_refuses_is_told_soon(hub):
    got = hub["refused"]
    assert got["seconds"] < 7
    sentence(got["error"], ABSENT, f"{hub['address']} cannot be reached", str(hub["home"] / "hub"))


@pytest.mark.slow
def test_hub_behind_a_proxy_that_is_gone_is_told_soon(tmp_path):
    [got] = load(tu(SERVED), HF_HOME=str(tmp_path), HTTPS_PROXY=f"http://{nowhere()}")
    assert got["seconds"] < 7
    sentence(got["error"], "huggingface.co cannot be reached", "refused")


def test_name_server_that_is_silent_is_not_waited_for(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20))
    monkeypatch.setattr(module, "PATIENCE", 1)
    huggingface_hub.close_session()
    network = smp.create_model("unet", "tu-test_resnet", encoder_weights=None)
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_weights(network, SERVED)
    assert time.monotonic() - began < 10
    sentence(str(caught.value), "does not answer in time", str(tmp_path))


def test_weights_on_no_hub_are_told_with_their_host(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{nowhere()}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = smp.create_model("unet", "tu-legacy_seresnet18", encoder_weights=None)
    with pytest.raises(UserError) as caught:
        load_weights(network, "imagenet")
    sentence(
        str(caught.value), "'legacy_seresnet18.in1k'", "github.com cannot be reached", str(tmp_path)
    )
    assert not list(tmp_path.rglob("*.pth"))


def test_weights_on_no_hub_come_from_torchs_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = smp.create_model("unet", "tu-legacy_seresnet18", encoder_weights=None)
    url = timm.models.get_pretrained_cfg("legacy_seresnet18.in1k").url
    path = tmp_path / "hub/checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(timm.create_model("legacy_seresnet18").state_dict(), path)
    assert load_weights(network, "imagenet").tag == "legacy_seresnet18.in1k"


def test_weights_on_no_hub_are_fetched(tmp_path, monkeypatch):
    content = tmp_path / "served"
    torch.save(timm.create_model("test_resnet").state_dict(), content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    monkeypatch.setattr(Hub, "asked", [], raising=False)
    monkeypatch.setattr(Hub, "files", {"/served.pth": content.read_bytes()}, raising=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{server.server_port}/served.pth"
    try:
        path = module._address_file("a.b", url, False)
    finally:
        server.shutdown()
        server.server_close()
    assert path.read_bytes() == content.read_bytes()
    assert module._address_file("a.b", url, False) == path


# --- names ----------------------------------------------------------------------------------------


def test_of_several_that_want_weights_at_once_one_fetches_them(tmp_path, monkeypatch):
    asked = []

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            time.sleep(0.3)
            self.wfile.write(b"9 bytes!!")

        def log_message(self, *words):
            pass

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: module._address_file("a.b", url, False), range(4)))
    server.shutdown()
    assert {path.read_bytes() for path in paths} == {b"9 bytes!!"}
    # each asks whether the server is there; one of them then downloads
    assert len(asked) == 4 + 1


@pytest.fixture(scope="module")
def networks():
    return {
        name: smp.create_model("unet", name, encoder_weights=None)
        for name in ("tu-test_resnet", "resnet18", "tu-resnet18")
    }


@pytest.mark.parametrize(
    ("encoder", "weights", "told"),
    [
        ("tu-test_resnet", "test_resnet.r160_in1", "did you mean test_resnet.r160_in1k?"),
        ("tu-resnet18", "resnet18.a1_in2k", "did you mean resnet18.a1_in1k"),
        ("tu-resnet18", "resnet50.a1_in1k", "timm's resnet50, and the encoder is resnet18"),
        ("resnet18", "resnet18.a1_in1k", "encoder 'tu-resnet18'"),
    ],
)
def test_name_that_is_not_of_the_encoder_says_which_is(networks, encoder, weights, told):
    with pytest.raises(UserError) as caught:
        load_weights(networks[encoder], weights)
    assert told in str(caught.value)
    assert f"'{weights}'" in str(caught.value)


@pytest.mark.parametrize("encoder", ["tu-", "resnext101_32x4d"])
def test_encoder_without_published_weights_says_so(encoder):
    if encoder.startswith("tu-"):
        unpublished = (m for m in timm.list_models("resnet*") if not timm.is_model_pretrained(m))
        encoder = f"tu-{next(unpublished)}"
    network = smp.create_model("unet", encoder, encoder_weights=None)
    with pytest.raises(UserError, match=r"weights for '.*the path of a weights file, or 'pretext'"):
        load_weights(network, "imagenet")
