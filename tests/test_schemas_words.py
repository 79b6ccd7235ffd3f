"""Licenses, keys and fields: what sources say becomes short names, safe names and typed scalars."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.schemas import fields
from lpff_shards.schemas.keys import KEY_RULE, MAX_ID, safe_id, sample_key
from lpff_shards.schemas.license import PEXELS, UNKNOWN, UNSPLASH, License, license

few = settings(max_examples=50, deadline=None)

CC = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("name", "url", "short"),
    [
        # LPFF's four
        ("Attribution License", f"{CC}/licenses/by/2.0/", "CC-BY-2.0"),
        ("Attribution-ShareAlike License", f"{CC}/licenses/by-sa/2.0/", "CC-BY-SA-2.0"),
        ("Public Domain Mark", f"{CC}/publicdomain/mark/1.0/", "PDM-1.0"),
        ("Public Domain Dedication (CC0)", f"{CC}/publicdomain/zero/1.0/", "CC0-1.0"),
        # FFHQ's
        ("Attribution License", "http://creativecommons.org/licenses/by/2.0/", "CC-BY-2.0"),
        ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/", "CC-BY-NC-2.0"),
        ("United States Government Work", "http://www.usa.gov/copyright.shtml", "US-Gov-Works"),
        # The same in other words
        ("", f"{CC}/licenses/by-sa/2.0/deed.en", "CC-BY-SA-2.0"),
        ("", "HTTPS://CreativeCommons.org/licenses/BY-NC/2.0", "CC-BY-NC-2.0"),
        ("", f"{CC}/licenses/by-nc-sa/4.0/legalcode", "CC-BY-NC-SA-4.0"),
        ("", f"{CC}/licenses/by-nc-nd/2.0/", "CC-BY-NC-ND-2.0"),
        ("", f"{CC}/licenses/by-nd/2.0/", "CC-BY-ND-2.0"),
        ("", "https://www.usa.gov/government-works", "US-Gov-Works"),
        ("", "https://CREATIVECOMMONS.org/publicdomain/zero/1.0/deed.de", "CC0-1.0"),
        ("", "https://unsplash.com/license", "Unsplash"),
        ("", "https://www.pexels.com/license/", "Pexels"),
        # A name alone, where it says enough
        ("Public Domain Mark", "", "PDM-1.0"),
        ("  public domain dedication (CC0) ", "", "CC0-1.0"),
        ("United States Government Work", "", "US-Gov-Works"),
        # Ported to the law of a place
        ("", f"{CC}/licenses/by/2.1/jp/", "CC-BY-2.1-JP"),
        ("", f"{CC}/licenses/by/4.0/jp/", ""),
        ("", f"{CC}/licenses/by/9.9/", ""),
        ("", f"{CC}/licenses/by-nd-nc/4.0/", ""),
        ("", f"{CC}/publicdomain/zero/1.05/", ""),
        ("", f"{CC}/publicdomain/zero/1.0x-by-nc", ""),
        ("", f"{CC}/publicdomain/zero/1.0/deed.fr?x=1", "CC0-1.0"),
        ("", "https://unsplash.com/license-plus-terms", ""),
        ("", "https://pexels.com/license.evil.com", ""),
        ("", "https://www.usa.gov/copyright-claims-not", ""),
        ("", "http://creativecommons.org/licenses/by-sa/2.1/jp", "CC-BY-SA-2.1-JP"),
        ("", f"{CC}/licenses/by-nc-sa/3.0/de/deed.en", "CC-BY-NC-SA-3.0-DE"),
        ("", f"{CC}/licenses/by/2.5/scotland/legalcode", "CC-BY-2.5-SCOTLAND"),
        ("", f"{CC}/licenses/by/3.0/igo/", "CC-BY-3.0-IGO"),
        ("", f"{CC}/licenses/by/4.0/legalcode.ja", "CC-BY-4.0"),
        ("", f"{CC}/licenses/by/2.0/?ref=openverse", "CC-BY-2.0"),
        ("", f"{CC}/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        ("", "//creativecommons.org/licenses/by/2.0", "CC-BY-2.0"),
        ("", f"{CC}/licenses/by/2.0/elsewhere/", ""),
        ("", f"{CC}/licenses/by/2.01/", ""),
        # Unknown stays unknown
        ("", "", ""),
        ("Attribution License", "", ""),
        ("All Rights Reserved", "", ""),
        ("CC-BY-2.0", "", ""),
        ("Attribution License", "https://example.org/terms", ""),
        ("Public Domain Mark", "https://example.org/terms", ""),
        ("", f"{CC}/licenses/", ""),
        ("", f"{CC}/licenses/sampling/1.0/", ""),
        ("", f"{CC}/licenses/nc-sa/1.0/", ""),
        ("", f"{CC}/publicdomain/zero/2.0/", ""),
    ],
)
def test_licenses(name, url, short):
    assert license(name, url) == License(short, url, name)


def test_the_licenses_that_sites_stand_for():
    assert license(UNSPLASH.name, UNSPLASH.url) == UNSPLASH
    assert license(PEXELS.name, PEXELS.url) == PEXELS
    assert license("", "") == UNKNOWN


@given(st.text(), st.text())
@few
def test_what_is_said_of_a_license_is_kept(name, url):
    found = license(name, url)
    assert (found.name, found.url) == (name, url)


@pytest.mark.parametrize(
    ("source", "id", "mirrored", "replica", "key"),
    [
        ("lpff", "100004356@N06_21795165006_01", False, 0, "lpff_100004356-N06_21795165006_01"),
        ("lpff", "100004356@N06_21795165006_01", True, 0, "lpff_100004356-N06_21795165006_01_m"),
        ("lpff", "100004356@N06_21795165006_01", True, 3, "lpff_100004356-N06_21795165006_01_m_r03"),
        ("ffhq", "00000", False, 0, "ffhq_00000"),
        ("ffhq", "69999", True, 0, "ffhq_69999_m"),
        ("ffhq", "69999", False, 12, "ffhq_69999_r12"),
        ("ffhq", "69999", False, 123, "ffhq_69999_r123"),
        ("unsplash_pexels", "guess-attic-girl_01", False, 0, "unsplash_pexels_guess-attic-girl_01"),
        ("unsplash_pexels", "wYu7Rc2bqzE_01", True, 0, "unsplash_pexels_wYu7Rc2bqzE_01_m"),
        ("lpff", "x" * 60, False, 0, "lpff_" + "x" * 60),
        ("lpff", "x" * 61, False, 0, "lpff_" + "x" * 49 + "-dc1493fa5d"),
        ("lpff", "a.b", False, 0, "lpff_a-b-ab1f84b1e7"),
        ("lpff", "Zoë 1_01", False, 0, "lpff_Zo--1_01-19dec7bc5d"),
        ("lpff", "", False, 0, "lpff_"),
    ],
)
def test_keys_stay_as_they_are(source, id, mirrored, replica, key):
    assert sample_key(source, id, mirrored, replica) == key


@given(
    st.sampled_from(["ffhq", "lpff", "unsplash_pexels", "demo"]), st.text(), st.booleans(), st.integers(0, 2**15 - 1)
)
@settings(max_examples=60, deadline=None)
def test_every_id_makes_a_key(source, id, mirrored, replica):
    assert KEY_RULE.fullmatch(sample_key(source, id, mirrored, replica))
    assert len(safe_id(id)) <= MAX_ID


@given(st.text(min_size=40, max_size=300))
@few
def test_long_ids_make_keys_of_the_same_rule(id):
    assert KEY_RULE.fullmatch(sample_key("unsplash_pexels", id, True, 2**15 - 1))


def test_a_file_name_that_is_not_utf8_makes_a_key():
    assert KEY_RULE.fullmatch(sample_key("lpff", b"bad\xff".decode(errors="surrogateescape"), False, 0))


flickr_ids = st.builds(
    "{}@N{:02d}_{}_{:02d}".format, st.integers(1, 10**9), st.integers(0, 9), st.integers(1, 10**11), st.integers(1, 20)
)
slugs = st.builds(
    "{}_{:02d}".format, st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=150), st.integers(1, 9)
)
ffhq_ids = st.integers(0, 69_999).map("{:05d}".format)


@given(st.lists(st.one_of(flickr_ids, slugs, ffhq_ids), unique=True, max_size=12))
@few
def test_different_samples_have_different_keys(ids):
    samples = list(itertools.product(("ffhq", "lpff", "unsplash_pexels"), ids, (False, True), (0, 1, 9, 10)))
    assert len({sample_key(*sample) for sample in samples}) == len(samples)


@pytest.mark.parametrize(
    "ids",
    [
        ["a.b", "a-b", "a b", "a/b", "a@b", "ä-b"],
        ["x" * 61, "x" * 62, "x" * 60 + "y", "x" * 60],
        [f"{'woman-in-a-white-dress-' * 8}{n}_01" for n in range(20)],
        ["1@N00_2_3", "1@N00_23_", "1@N002_3_1", "12@N00_3_1", "1@N00_2_33"],
        ["é", "e\u0301"],
        ["a", "A"],
    ],
)
def test_ids_that_look_alike_have_different_keys(ids):
    assert len({sample_key("lpff", id, False, 0) for id in ids}) == len(ids)


KINDS = {"str": "a", "int": 7, "bool": True, "float": 0.5}
SCALARS = {f.name: KINDS[f.kind] for f in fields.FIELDS}


def changed(**values):
    return SCALARS | values


def without(name):
    return {other: value for other, value in SCALARS.items() if other != name}


@pytest.mark.parametrize(
    ("scalars", "message"),
    [
        (SCALARS, None),
        (changed(title="", face=0, mirrored=False, yaw=-1.0), None),
        (without("author"), "its fields differ from the schema: author"),
        (changed(color=1), "its fields differ from the schema: color"),
        (without("yaw") | {"Yaw": 1.0}, "its fields differ from the schema: Yaw, yaw"),
        (dict(reversed(SCALARS.items())), "its fields differ from the schema: other order"),
        ({}, "its fields differ from the schema: alignment, author, author_id,"),
        (changed(key=b"a"), "its field key is b'a', not str"),
        (changed(author=None), "its field author is None, not str"),
        (changed(width="512"), "its field width is '512', not int"),
        (changed(face=True), "its field face is True, not int"),
        (changed(mirrored=1), "its field mirrored is 1, not bool"),
        (changed(yaw=1), "its field yaw is 1, not float"),
        (changed(weight=None), "its field weight is None, not float"),
    ],
)
def test_field_faults(scalars, message):
    found = fields.fault(scalars)
    assert found == message if message is None else found.startswith(message)


@pytest.mark.parametrize("field", fields.FIELDS, ids=[f.name for f in fields.FIELDS])
def test_every_field_has_its_type_checked(field):
    for kind, value in KINDS.items():
        assert (fields.fault(changed(**{field.name: value})) is None) == (kind == field.kind)


def test_the_table_of_fields_is_in_order():
    names = [f.name for f in fields.FIELDS]
    assert len(set(names)) == len(names)
    assert not {"camera", "landmarks", "image", "image/shape"} & set(names)
    assert all(f.doc and f.name.isidentifier() and f.name == f.name.lower() for f in fields.FIELDS)
    assert {f.kind for f in fields.FIELDS} == set(fields.PYTHON_TYPES)
