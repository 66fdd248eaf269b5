"""Whatever the numbers of images and processes, each image is seen once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightning_gans.data.sampling import EpochShuffle, Share

lengths = st.integers(0, 60)
counts = st.integers(1, 7)


@given(lengths, counts)
def test_processes_measure_each_index_once(length: int, processes: int) -> None:
    shares = [list(Share(length, rank, processes)) for rank in range(processes)]
    assert sorted(index for share in shares for index in share) == list(range(length))
    assert [len(share) for share in shares] == [
        len(Share(length, rank, processes)) for rank in range(processes)
    ]


@given(lengths, counts, st.integers(1, 4), st.integers(0, 99), st.integers(0, 9))
def test_an_epoch_shows_whole_batches_of_indices_that_differ(
    length: int, processes: int, rows: int, seed: int, epoch: int
) -> None:
    size = rows * processes

    def seen(processes: int) -> list[list[int]]:
        """The indices of each batch, those of all processes together."""
        samplers = [
            EpochShuffle(length, seed, size, rank=rank, processes=processes)
            for rank in range(processes)
        ]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        share = size // processes
        return [
            sorted(i for s in samplers for i in list(s)[batch * share : (batch + 1) * share])
            for batch in range(length // size)
        ]

    batches = seen(processes)
    indices = [index for batch in batches for index in batch]
    assert len(indices) == len(set(indices)) == length // size * size
    assert set(indices) <= set(range(length))
    assert batches == seen(1), "processes share the batches of one"


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 99), st.integers(0, 200))
def test_a_stopped_run_sees_the_rest_of_its_epoch(
    length: int, size: int, seed: int, made: int
) -> None:
    if size > length:
        return
    whole = EpochShuffle(length, seed, size)
    epoch, position = divmod(made, length // size)
    whole.set_epoch(epoch)
    rest = EpochShuffle(length, seed, size, iterations=lambda: made)
    rest.set_epoch(epoch)
    assert list(rest) == list(whole)[position * size :]
