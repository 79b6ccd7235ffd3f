"""tf.train.Example by hand: TensorFlow parses it, its bytes are TensorFlow's, and bad bytes are refused."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.formats import examples as example
from lpff_shards.formats.errors import FormatError

int64s = st.integers(-(2**63), 2**63 - 1)
float32s = st.lists(st.floats(width=32, allow_nan=False), max_size=5).map(lambda n: np.array(n, np.float32))
values = st.one_of(st.binary(max_size=20), st.integers(100, 20_000).map(bytes), float32s, st.lists(int64s, max_size=5))
features = st.dictionaries(st.text(max_size=8), values, max_size=5)


def encode(sample):
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in sample.items()}
    return b"".join(example.encode(values.items()))


def decode(data):
    return {
        name.decode(): example.decode_feature(memoryview(data)[start:end])
        for name, start, end in example.features(data)
    }


def as_decoded(sample):
    """What is decoded of features: values in lists, arrays as lists of float32."""
    return {name: [value] if isinstance(value, bytes) else list(value) for name, value in sample.items()}


def as_lists(decoded):
    return {name: list(value) for name, value in decoded.items()}


def of_tf(tf, sample):
    """The Example that TensorFlow makes of the same features."""
    kinds = {bytes: "bytes_list", np.ndarray: "float_list", list: "int64_list"}
    made = tf.train.Example()
    made.features.SetInParent()
    for name, value in sample.items():
        content = getattr(made.features.feature[name], kinds[type(value)])
        content.SetInParent()
        content.value.extend([value] if isinstance(value, bytes) else value)
    return made


@given(features)
@settings(max_examples=60, deadline=None)
def test_features_come_back(sample):
    decoded = decode(encode(sample))
    assert as_lists(decoded) == as_decoded(sample)
    assert list(decoded) == list(sample)
    for name, value in sample.items():
        assert type(decoded[name]) is (np.ndarray if isinstance(value, np.ndarray) else list)


@given(features)
@settings(max_examples=40, deadline=None)
def test_tensorflow_parses_our_examples(tf, sample):
    parsed = tf.train.Example.FromString(encode(sample))
    assert parsed == of_tf(tf, sample)
    assert {name: feature.WhichOneof("kind") for name, feature in parsed.features.feature.items()} == {
        name: {bytes: "bytes_list", list: "int64_list"}.get(type(value), "float_list") for name, value in sample.items()
    }


@given(features)
@settings(max_examples=40, deadline=None)
def test_we_decode_what_tensorflow_writes(tf, sample):
    assert as_lists(decode(of_tf(tf, sample).SerializeToString())) == as_decoded(sample)


@given(features)
@settings(max_examples=40, deadline=None)
def test_our_bytes_are_tensorflows(tf, sample):
    # But for empty lists, where we write a length of zero and it writes nothing, and but for the order of names.
    sample = {name: value for name, value in sample.items() if len(value) or isinstance(value, bytes)}
    theirs = of_tf(tf, sample).SerializeToString(deterministic=True)
    assert encode({name: sample[name] for name in decode(theirs)}) == theirs


def test_our_bytes_of_sorted_names_are_tensorflows(tf):
    # No name here begins another one: protobuf's Python puts the longer of the two first, we the shorter.
    sample = {"camera": np.arange(25, dtype=np.float32), "image": bytes(999), "title": b"", "width": [300]}
    sample["key"], sample["face"] = "né".encode(), [-1, 2**63 - 1, -(2**63), 0]
    assert encode(dict(sorted(sample.items()))) == of_tf(tf, sample).SerializeToString(deterministic=True)


def test_tensorflow_parses_an_example_into_tensors(tf):
    data = encode({"camera": np.arange(25, dtype=np.float32), "face": [-7], "key": "né".encode()})
    kinds = {"camera": ([25], tf.float32), "face": ([], tf.int64), "key": ([], tf.string)}
    parsed = tf.io.parse_single_example(data, {name: tf.io.FixedLenFeature(*kind) for name, kind in kinds.items()})
    np.testing.assert_array_equal(parsed["camera"], np.arange(25))
    assert int(parsed["face"]) == -7
    assert parsed["key"].numpy().decode() == "né"


def test_a_large_value_is_not_copied():
    picture = bytes(50_000)
    assert any(piece is picture for piece in example.encode([("image", picture), ("key", b"k")]))


@pytest.mark.parametrize(
    ("number", "data"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (-1, "ff" * 9 + "01"), (-(2**63), "80" * 9 + "01")],
)
def test_varint(number, data):
    assert example.varint(number) == bytes.fromhex(data)


def test_an_array_of_any_shape_is_flattened():
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    assert encode({"landmarks": points}) == encode({"landmarks": points.ravel()})
    assert encode({"landmarks": points.astype(">f4")}) == encode({"landmarks": points})


def test_every_cut_of_an_example_is_found():
    whole = encode({"a": b"xyz", "b": [1, -1], "c": np.ones(2, np.float32)})
    for length in range(1, len(whole)):
        with pytest.raises(FormatError):
            decode(whole[:length])


def wrapped(entry):
    """An Example around the hexadecimal bytes of one entry of its map of features."""
    data = bytes.fromhex(entry)
    return bytes([0x0A, len(data) + 2, 0x0A, len(data)]) + data


@pytest.mark.parametrize(
    "data",
    [
        wrapped("0a0161"),  # a name without a feature
        wrapped("1205 0a03 0a0131"),  # a feature without a name
        wrapped("0a0161 1200"),  # a feature without a kind
        wrapped("0a0161 120a 0a03 0a0131 1203 0a0131"),  # a feature of two kinds
        wrapped("0a0161 1204 2202 0a00"),  # a kind that there is not
        wrapped("0a0161 1205 1203 0a01aa"),  # a quarter of a float
        wrapped("0a0161 1205 1a03 0a0180"),  # an int64 that goes on
        wrapped("0a0161 1204 1a02 0800"),  # an int64 that is not packed
        b"\x12\x00",
        b"\x0a\x05",
        b"\xff" * 11,
        b"\x0a" + b"\xff" * 11,  # a length of more than 64 bits
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(FormatError):
        decode(data)


@given(st.binary(max_size=60), st.sampled_from(["", "0a", "0a100a0e0a0161", "0a0c0a0a0a01611205"]))
@settings(max_examples=60, deadline=None)
def test_random_bytes_raise_nothing_else(noise, head):
    data = bytes.fromhex(head) + noise
    with suppress(FormatError, UnicodeDecodeError):
        decode(data)
