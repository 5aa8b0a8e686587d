"""States and weights: what is read is what was written, or an error says so."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.contracts.errors import StoreError
from bench.train import checkpoint


def state(number: float) -> dict[str, object]:
    return {"step": 3, "weights": {"a": torch.full((4096,), number)}, "best": None, "notes": ("x",), "nan": 0.5}


def same(path: Path, number: float) -> bool:
    found = checkpoint.load(path)
    return found["step"] == 3 and torch.equal(found["weights"]["a"], torch.full((4096,), number))


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "deep" / "c.pt", state(1.0))
    assert same(tmp_path / "deep" / "c.pt", 1.0)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["c.pt"]


@pytest.mark.parametrize("keep", [0, 10, 5000, -30])
def test_a_truncated_state_is_an_error_that_names_the_file_and_the_remedy(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, state(1.0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match=r"c\.pt: .*damaged.*Delete it"):
        checkpoint.load(path)


def test_one_flipped_bit_in_a_weight_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, state(1.0))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="checksum"):
        checkpoint.load(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"x": Trap()}, tmp_path / "c.pt")
    with pytest.raises(StoreError):
        checkpoint.load(tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no checkpoint"):
        checkpoint.load(tmp_path / "c.pt")


@pytest.mark.parametrize("moment", ["half-written", "before the rename"])
def test_the_old_state_survives_a_kill_during_the_write_of_the_new(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, state(1.0))
    child = os.fork()
    if child == 0:  # pragma: no cover - the other process

        def die(*_: object, **__: object) -> None:
            if moment == "half-written":
                path.with_name("c.pt.partial").write_bytes(b"PK half")
            os.kill(os.getpid(), signal.SIGKILL)

        if moment == "half-written":
            torch.save = die
        else:
            Path.replace = die  # type: ignore[assignment,method-assign]
        checkpoint.save(path, state(2.0))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert same(path, 1.0)
    assert (tmp_path / "c.pt.partial").exists()
    checkpoint.save(path, state(2.0))
    assert same(path, 2.0)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_disk_that_refuses_is_an_error_and_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, state(1.0))

    def full(*_: object) -> None:
        raise RuntimeError("unexpected pos 704 vs 598\nmore")  # what torch says of a full disk

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StoreError, match="cannot be written"):
        checkpoint.save(path, state(2.0))
    monkeypatch.undo()
    assert same(path, 1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, dtype=torch.bfloat16)
        self.second = nn.Linear(3, 3, dtype=torch.bfloat16)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 2))


def test_weights_with_tied_and_empty_tensors_come_back_with_their_metadata(tmp_path: Path) -> None:
    net = Tied()
    checkpoint.save_weights(tmp_path / "w.safetensors", net, {"method": "toy"})
    found, metadata = checkpoint.load_weights(tmp_path / "w.safetensors")
    assert set(found) == set(net.state_dict())
    assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())
    assert metadata == {"method": "toy", "sha256": checkpoint.sha256_of_weights(net)}


def test_equal_weights_are_equal_files_for_a_files_hash_is_in_the_key_of_a_run_that_is_brought_it(
    tmp_path: Path,
) -> None:
    """The metadata's names stood in an order drawn anew for each file."""
    net, metadata, files = Tied(), {"key": "k", "method": 'Müller\'s "toy"\n'}, set[bytes]()
    for number in range(16):
        path = tmp_path / f"{number}.safetensors"
        checkpoint.save_weights(path, net, metadata)
        files.add(path.read_bytes())
        assert checkpoint.load_weights(path)[1] == {**metadata, "sha256": checkpoint.sha256_of_weights(net)}
    assert len(files) == 1


def test_changed_weights_are_noticed_and_foreign_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    checkpoint.save_weights(path, {"a": torch.ones(100)})
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="digest"):
        checkpoint.load_weights(path)
    path.write_bytes(raw[:-50])
    with pytest.raises(StoreError, match="damaged"):
        checkpoint.load_weights(path)
    with pytest.raises(StoreError, match="no weight file"):
        checkpoint.load_weights(tmp_path / "absent")
    save_file({"a": torch.ones(3)}, str(path))
    assert checkpoint.load_weights(path)[1] == {}


def test_the_digest_sees_names_dtypes_shapes_and_numbers_and_no_order() -> None:
    a, b = torch.arange(6.0), torch.ones(2, 3)
    digest = checkpoint.sha256_of_weights({"a": a, "b": b})
    assert digest == checkpoint.sha256_of_weights({"b": b, "a": a})
    changed = [
        {"a": a, "c": b},
        {"a": a.double(), "b": b},
        {"a": a.view(2, 3), "b": b},
        {"a": a + 1e-6, "b": b},
        {"a": a},
    ]
    assert len({digest, *map(checkpoint.sha256_of_weights, changed)}) == 6


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name open files")
def test_a_file_is_on_the_disk_before_it_takes_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        order.append(Path(f"/proc/self/fd/{number}").readlink().name)
        fsync(number)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    checkpoint.save(tmp_path / "c.pt", state(1.0))
    assert order == ["c.pt.partial", "rename", tmp_path.name]
