import pytest

from train.plan.device import FOLDER, known_devices, read_device, xla_description
from train.plan.target import missing_wheels, parse_target


@pytest.mark.parametrize(
    "text, name, hosts, per_host",
    [
        ("h100", "h100", 1, 1),
        ("H100:8", "h100", 1, 8),
        ("2x8xh100", "h100", 2, 8),
        ("a100-40", "a100-40", 1, 1),
        ("a100-80:4", "a100", 1, 4),
        ("v5e:2x4", "v5e", 1, 8),
        ("v5e:4x4", "v5e", 4, 4),
        ("v4:2x2x2", "v4", 2, 4),
        ("v5p:1x1x1", "v5p", 1, 1),
    ],
)
def test_parses_targets(text, name, hosts, per_host):
    target = parse_target(text)
    assert target.device is not None
    assert (target.device.name, target.hosts, target.per_host) == (name, hosts, per_host)
    assert target.num_devices == hosts * per_host


def test_here_is_this_machine():
    assert parse_target("here").device is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("h10", ("'h10'", "Did you mean h100", "v5e", "2x8xh100")),
        ("toaster", ("unknown device", "rtx4090")),
        ("8xh100", ("h100:8", "8x1xh100")),
        ("h100:0", ("h100:8",)),
        ("h100:", ("h100:8",)),
        ("2x8xh100:8", ("h100:8",)),
        ("v5e", ("with its topology, such as v5e:1x1",)),
        ("v4:2x2", ("v4:2x2x1",)),
        ("v5e:3x5", ("15 chips", "hosts have 4")),
        ("2x8xv5e", ("with its topology",)),
    ],
)
def test_rejects_wrong_targets_and_says_what_is_right(text, words):
    with pytest.raises(ValueError) as raised:
        parse_target(text)
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_device_files_are_complete_and_name_their_sources(path):
    device = read_device(path)  # an unknown or missing field is a TypeError
    assert device.name == path.stem and path.read_text().startswith("# ")
    assert device.platform in ("cuda", "tpu")
    assert 2**34 <= device.memory_bytes < 2**38 and 0.5 < device.usable_share <= 1
    assert 1e11 < device.memory_bandwidth < 1e13
    kinds = {"float32", "bfloat16"} | ({"tf32"} if device.platform == "cuda" else set())
    assert set(device.peak_flops) == kinds
    assert device.peak_flops["float32"] <= device.peak_flops["bfloat16"] < 1e16
    assert set(device.link_bandwidth) == {"within_host", "between_hosts"}
    if device.platform == "tpu":
        assert device.chips_per_host and device.host_bounds and device.chip_config
        for shape in device.topologies:
            parse_target(f"{device.name}:{shape}")
    else:
        assert {"core_count", "l2_cache_size", "compute_capability"} < set(device.xla)


def test_names_of_devices_are_unique():
    names = [name for device in known_devices() for name in device.names]
    assert len(names) == len(set(names))
    assert {"h100", "h200", "a100", "a100-40", "l4", "rtx4090", "v4", "v5e", "v5p", "v6e"} < {
        *names
    }


def test_gpu_description_is_made_from_the_file():
    device = parse_target("h100").device
    assert device is not None
    text = xla_description(device)
    assert f"device_memory_size: {device.memory_bytes}\n" in text
    assert "cuda_compute_capability { major: 9 minor: 0 }" in text
    assert f'device_description_str: "{device.kind}"' in text


@pytest.mark.parametrize("target, extra", [("h100", "cuda12"), ("v5e:2x4", "tpu")])
def test_missing_wheels_are_named_in_one_line(target, extra, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = missing_wheels(parse_target(target))
    assert f"pip install -e '.[train,{extra}]'" in message and "\n" not in message
    assert missing_wheels(parse_target("here")) == ""
