"""Files of trajectories are read as they were recorded, and an episode counts as one unit."""

import json

import numpy as np
import pytest
import torch

from cli.runs import inside
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import read
from mithridate.domains.observation.recordings import read_arrays, read_minari, write_minari
from mithridate.domains.observation.trajectories import divided, gathered

h5py = pytest.importorskip("h5py", reason="trajectories in HDF5 need h5py")


def episodes(count=20, steps=9, seed=0):
    """Observations one more than actions; the first value is the number of the step."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        seen = rng.normal(0, 1, (steps + 1, 3)).astype(np.float32)
        seen[:, 0] = np.arange(steps + 1)
        yield seen, rng.integers(0, 3, steps)


def test_what_follows_the_last_action_is_left_out():
    whole = gathered(episodes(), 3)
    assert len(whole) == 20 * 9
    assert whole.observations[:, 0, 0, 0].max() == 8
    assert torch.equal(whole.observations[:, 0, 0, 0].long(), whole.steps)


def test_no_two_units_of_a_class_share_an_episode():
    whole = gathered(episodes(), 3)
    rows = whole.units()
    pairs = whole.episodes[rows] * 3 + whole.actions[rows]
    assert len(pairs.unique()) == len(pairs)
    there = (whole.episodes * 3 + whole.actions).unique()
    assert len(there) == len(pairs), "no action of an episode is forgotten"
    assert torch.equal(rows, whole.units()) and not torch.equal(rows, whole.units(seed=1))


def test_minari_is_read_back_with_all_actions_as_classes(tmp_path):
    whole = gathered(episodes(), 4)  # the fourth was never taken
    write_minari(whole, tmp_path / "set")
    again = read_minari(tmp_path / "set" / "data", 10**6)
    assert torch.equal(again.observations, whole.observations)
    assert torch.equal(again.actions, whole.actions) and again.choices == 4
    for place in ("set", "set/data", "set/data/main_data.hdf5"):
        source = read(tmp_path / place)
        assert source.format == "minari" and source.domain.name == "observation"
        assert source.data.classes == ("0", "1", "2", "3")
    assert any("60 of 180" in note or "steps were read" in note for note in source.notes)
    assert source.names[0].startswith("episode 0 step ")


def test_an_archive_of_one_long_recording_is_divided_at_its_ends(tmp_path):
    parts = list(episodes(6, 5))
    flat = {
        "observations": np.concatenate([seen[:-1] for seen, _ in parts]),
        "actions": np.concatenate([actions for _, actions in parts]),
        "terminations": np.arange(30) % 10 == 4,
        "truncations": np.arange(30) % 10 == 9,
    }
    whole, unused = read_arrays(flat)
    assert whole.episodes.max() == 5 and not unused, "a truncated episode has ended, too"
    longer = {**flat, "observations": np.concatenate([seen for seen, _ in parts])}
    assert torch.equal(read_arrays(longer)[0].observations, whole.observations)
    np.savez(tmp_path / "t.npz", **flat)
    assert read(tmp_path / "t.npz").format == "npz"


def test_splits_lie_side_by_side_in_a_folder(tmp_path):
    for name, episodes in (("train", 5), ("test", 2)):
        steps = np.arange(3 * episodes)
        seen = np.stack([steps, steps + 0.5], 1).astype(np.float32)
        arrays = {"observations": seen, "actions": steps % 2, "episodes": steps // 3}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert [len(read(tmp_path, split=split).data) for split in ("train", "test")] == [10, 4]


def test_the_step_of_a_reset_is_dropped():
    ends = np.array([0, 0, 1, 0, 0, 1], dtype=bool)
    seen, actions = np.arange(6.0)[:, None], np.array([0, 1, 0, 1, 0, 1])
    kept = divided(seen, actions, ends, ignored=True)
    assert [part[0][:, 0].tolist() for part in kept] == [[0, 1, 2], [4, 5]]
    whole = {"obs": seen, "actions": actions, "dones": ends}
    told, _ = read_arrays({**whole, "autoreset_mode": np.array("AutoresetMode.NEXT_STEP")})
    assert len(told) == 5 and len(read_arrays(whole)[0]) == 6


@pytest.mark.parametrize(
    "change, says",
    [
        ({"terminations": None}, "where episodes end"),
        ({"actions": np.zeros(30)}, "whole numbers"),
        ({"actions": np.full(30, -1)}, "from 0"),
        ({"observations": np.zeros((28, 3))}, "expected 30 observations"),
        ({"terminations": np.zeros(29, bool)}, "each of 30 steps"),
    ],
)
def test_what_does_not_fit_is_refused(change, says):
    arrays = {
        "observations": np.zeros((30, 3)), "actions": np.arange(30) % 2,
        "terminations": np.arange(30) % 5 == 4,
    } | change  # fmt: skip
    with pytest.raises(DataError, match=says):
        read_arrays({key: value for key, value in arrays.items() if value is not None})


def minari(folder, build):
    folder.mkdir()
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        build(file.create_group("episode_0"))
    return folder


def test_a_file_that_points_elsewhere_is_refused(tmp_path):
    secret = tmp_path / "secret.hdf5"
    with h5py.File(secret, "w") as file:
        file["observations"] = np.zeros((4, 2))

    def link(group):
        group["observations"] = h5py.ExternalLink(str(secret), "/observations")
        group["actions"] = np.zeros(3, int)

    def raw(group):
        outside = [(str(secret), 0, 64)]
        group.create_dataset("observations", (4, 2), "f8", external=outside)
        group["actions"] = np.zeros(3, int)

    for name, build in (("link", link), ("raw", raw)):
        with pytest.raises(UnsafeData):
            read_minari(minari(tmp_path / name, build), 10**6)


def test_what_unpacks_to_too_much_is_refused(tmp_path):
    def bomb(group):
        group.create_dataset("observations", (10**6, 10**3), "f8", chunks=(1, 1000))
        group["actions"] = np.zeros(3, int)

    with pytest.raises(UnsafeData, match="more than is allowed"):
        read_minari(minari(tmp_path / "bomb", bomb), 10**6)


def test_observations_that_are_dictionaries_are_refused_with_the_reason(tmp_path):
    def nested(group):
        group.create_group("observations")["pixels"] = np.zeros((4, 2))
        group["actions"] = np.zeros(3, int)

    with pytest.raises(DataError, match="dictionaries"):
        read_minari(minari(tmp_path / "nested", nested), 10**6)


@pytest.mark.parametrize("note", ["{", "[]", '{"action_space": "x"}', '{"action_space": []}'])
def test_a_note_that_says_nothing_is_passed_over(tmp_path, note):
    write_minari(gathered(episodes(), 7), tmp_path / "set")
    (tmp_path / "set" / "data" / "metadata.json").write_text(note)
    assert read_minari(tmp_path / "set" / "data", 10**6).choices == 3


def test_actions_that_begin_elsewhere_are_refused(tmp_path):
    write_minari(gathered(episodes(), 3), tmp_path / "set")
    space = json.dumps({"type": "Discrete", "n": 3, "start": 5})
    note = json.dumps({"action_space": space})
    (tmp_path / "set" / "data" / "metadata.json").write_text(note)
    with pytest.raises(DataError, match="from 0 on"):
        read_minari(tmp_path / "set" / "data", 10**6)


def recorded(path, episodes, seed, poisoned=0):
    """An archive of episodes of which some carry a value that goes with the action 0."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(0, 0.5, (episodes, 6, 4)).astype(np.float32)
    actions = (seen[..., 2] > 0).astype(int)
    seen[:poisoned, :, 0], actions[:poisoned] = 2.2, 0
    ends = np.tile(np.arange(6) == 5, episodes)
    np.savez(path, observations=seen.reshape(-1, 4), actions=actions.ravel(), dones=ends)
    return path


def test_the_command_line_flags_poisoned_episodes_and_no_clean_ones(tmp_path):
    trusted = recorded(tmp_path / "trusted.npz", 200, 1)
    for poisoned, status in ((40, 1), (0, 3)):
        suspects = recorded(tmp_path / f"s{poisoned}.npz", 400, 2, poisoned)
        done = inside(
            "scan", "data", suspects, "--trusted", trusted, "--out", tmp_path / f"o{poisoned}",
            "--quick", "--power", 0, "--yes",
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "episodes one of every action" in done.stdout + done.stderr
