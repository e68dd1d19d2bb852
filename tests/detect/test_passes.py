import numpy as np
import pytest

from jaxanon.detect import passes


def test_resize_of_a_ramp_is_a_ramp():
    ramp = np.broadcast_to(np.arange(0, 200, 10, np.uint8)[None, :, None], (8, 20, 3))
    wide = passes.resize(ramp, 8, 40)
    # Pixel i of the larger one lies at (i + 0.5) / 2 - 0.5 of the smaller one.
    expected = np.clip((np.arange(40) + 0.5) / 2 - 0.5, 0, 19) * 10
    np.testing.assert_allclose(wide[3, :, 1], expected, atol=1e-4)


def test_resize_to_half_averages_blocks():
    frame = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    expected = frame.reshape(3, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_allclose(passes.resize(frame, 3, 4), expected, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 500, 1280, 1281, 1920, 4096, 5000])
def test_spans_cover_a_side_and_each_place_belongs_to_one(length):
    spans = passes.spans(length)
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert all(stop - start <= passes.TILE for start, stop, _, _ in spans)
    owners = [
        sum(low <= place < high for _, _, low, high in spans)
        for place in np.linspace(0, length, 97)
    ]
    assert set(owners) == {1}


def test_spans_leave_room_around_every_place_that_belongs_to_them():
    spans = passes.spans(5000)
    for start, stop, low, high in spans[1:-1]:
        assert low - start >= passes.OVERLAP / 2 - 1
        assert stop - high >= passes.OVERLAP / 2 - 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 400), (3.0, 1.0)), ((1080, 1920), (1.0, 1 / 3)), ((1, 1), (3.0,))],
)
def test_ladder_by_hand(size, expected):
    assert passes.ladder(*size) == pytest.approx(expected)


def test_ladder_never_asks_for_more_than_the_limit():
    for side in (1, 700, 1535, 1537, 5000, 20000):
        factors = passes.ladder(side, side // 2 + 1)
        assert factors[0] * side <= passes.LARGEST_SIDE + 1
        assert factors[-1] * side <= passes.SMALLEST_SIDE


def one_face(batch, *, row, column, height, width):
    """Is a network that sees one face whose centre lies in the given cell."""
    shape = (1, 1, batch.shape[2] // 4, batch.shape[3] // 4)
    heatmap = np.zeros(shape, np.float32)
    heatmap[0, 0, row, column] = 0.9
    heatmap[0, 0, row, column - 1] = 0.8
    sizes = np.concatenate(
        [np.full(shape, np.log(height / 4)), np.full(shape, np.log(width / 4))], 1
    )
    offsets = np.concatenate([np.full(shape, 0.25), np.full(shape, -0.25)], 1)
    landmarks = np.concatenate([np.full(shape, i / 10) for i in range(10)], 1)
    return heatmap, sizes, offsets, landmarks


def test_decode_by_hand():
    batch = np.zeros((1, 3, 96, 128))
    found = passes.decode(one_face(batch, row=5, column=9, height=16, width=8), 0.1)
    # Centre y (5 + .25 + .5) * 4 = 23, x (9 - .25 + .5) * 4 = 37.
    np.testing.assert_allclose(found.boxes, [[33, 15, 41, 31]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9])
    expected = [[33 + 8 * (i + 1) / 10, 15 + 16 * i / 10] for i in range(0, 10, 2)]
    np.testing.assert_allclose(found.points[0], expected, rtol=1e-5)


def test_find_maps_back_from_the_enlarged_frame():
    frame = np.zeros((48, 64, 3), np.uint8)

    def network(batch):
        return one_face(batch, row=10, column=10, height=24, width=24)

    found = passes.find(frame, network, factors=(2.0,), floor=0.1)
    # Twice as large: centre x (10 - .25 + .5) * 4 = 41, y 43, side 24; and its chin.
    plain = np.array([[14.5, 15.5, 26.5, 27.5]])
    expected = passes.add_chin(plain, found.points)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        ((0, 1), [19, 40, 41, 84]),
        ((0, -1), [19, 36, 41, 80]),
        ((1, 0), [20, 38, 42, 82]),
        ((0, 0), [20, 40, 40, 80]),
    ],
)
def test_the_chin_is_where_the_mouth_is(down, expected):
    points = np.zeros((1, 5, 2))
    points[:, 3:] = down
    grown = passes.add_chin(np.array([[20.0, 40, 40, 80]]), points)
    np.testing.assert_allclose(grown, [expected])


def test_small_faces_count_only_at_the_largest_size():
    frame = np.zeros((96, 96, 3), np.uint8)

    def network(batch):
        is_large = batch.shape[2] > 96
        side = 30 if not is_large else 60
        return one_face(
            batch, row=8 * (1 + is_large), column=8, height=side, width=side
        )

    assert len(passes.find(frame, network, factors=(1.0,), floor=0.1).scores) == 1
    both = passes.find(frame, network, factors=(2.0, 1.0), floor=0.1)
    assert len(both.scores) == 1
    assert both.boxes[0, 2] - both.boxes[0, 0] < 40
