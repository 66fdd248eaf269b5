"""Whatever the numbers of images and processes, each image is seen once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data import Gaussians
from lightning_gans.data.sampling import EpochShuffle, Share
from lightning_gans.data.tensors import Batch

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


@given(
    st.integers(1, 60),
    st.integers(1, 3),
    st.tuples(counts, counts),
    st.integers(0, 99),
    st.integers(0, 200),
)
def test_a_run_that_resumes_with_other_processes_sees_the_rest_of_its_epoch(
    length: int, rows: int, ranks: tuple[int, int], seed: int, made: int
) -> None:
    """Whatever the position, and with the same total batch size."""
    before, after = ranks
    size = rows * before * after
    if size > length:
        return
    epoch, position = divmod(made, length // size)

    def seen(processes: int, iterations: int) -> list[int]:
        """What all processes see, batch by batch."""
        samplers = [
            EpochShuffle(length, seed, size, lambda: iterations, rank, processes)
            for rank in range(processes)
        ]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        shares = [list(sampler) for sampler in samplers]
        share = size // processes
        batches = range(len(shares[0]) // share)
        return [
            index
            for batch in batches
            for index in sorted(i for s in shares for i in s[batch * share : (batch + 1) * share])
        ]

    whole = EpochShuffle(length, seed, size)
    whole.set_epoch(epoch)
    rest = list(whole)[position * size :]
    expected = [
        i for start in range(0, len(rest), size) for i in sorted(rest[start : start + size])
    ]
    assert seen(before, made) == expected
    assert seen(after, made) == expected


@given(st.integers(2, 60), st.integers(0, 99), st.integers(0, 9))
def test_epochs_and_seeds_have_orders_of_their_own(length: int, seed: int, epoch: int) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochShuffle(length, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(order(seed, epoch)) == list(range(length))
    assert order(seed, epoch) == order(seed, epoch)
    if length > 12:  # two orders of a few may be equal by chance
        assert order(seed, epoch) != order(seed, epoch + 1)
        assert order(seed, epoch) != order(seed + 1, epoch)
        assert order(seed, epoch + 1) != order(seed + 1, epoch)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 3))
def test_a_loader_shows_each_example_once(
    train: int, validation: int, batch_size: int, epoch: int
) -> None:
    data = Gaussians(train=train, validation=validation, batch_size=min(batch_size, train))
    data.setup()

    def rows(loader: DataLoader[Batch]) -> list[tuple[float, ...]]:
        return [tuple(point) for x, _ in loader for point in x.tolist()]

    def points(dataset: Dataset[Batch], count: int) -> list[tuple[float, ...]]:
        return [tuple(dataset[index][0].tolist()) for index in range(count)]

    assert rows(data.val_dataloader()) == points(data.validation_set, validation)
    shown = rows(data.train_dataloader())
    assert len(shown) == len(set(shown)) == train // data.batch_size * data.batch_size
    assert set(shown) <= set(points(data.train_set, train))
