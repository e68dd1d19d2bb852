import numpy as np
import pytest

from jaxanon.metrics import frechet, report


def unit(rng, *shape):
    vectors = rng.normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_identity_of_untouched_faces_is_found_again():
    faces = unit(np.random.default_rng(0), 60, 16)
    got = report.identity(
        originals=faces,
        painted=np.stack([faces, faces], 1),
        people=np.arange(60),
    )
    assert got["reidentified"] == got["reidentified_rank_1"] == 1.0
    assert got["identity_cosine"] == pytest.approx(1.0)
    assert 0 < got["threshold"] < 1


def test_identity_of_new_faces_is_at_the_false_accept_rate():
    rng = np.random.default_rng(0)
    originals, painted = unit(rng, 300, 16), unit(rng, 300, 2, 16)
    originals[3] = painted[4] = painted[5, 1] = np.nan
    got = report.identity(
        originals=originals, painted=painted, people=np.arange(300), false_accept=0.1
    )
    # 596 pairs at a rate of a tenth: a standard deviation of .012.
    assert got["reidentified"] == pytest.approx(0.1, abs=0.04)
    assert got["reidentified_rank_1"] < 0.03
    assert abs(got["identity_cosine"]) < 0.05


def test_one_latent_has_no_cosine_between_latents():
    faces = unit(np.random.default_rng(0), 20, 4)
    got = report.identity(originals=faces, painted=faces[:, None], people=np.arange(20))
    assert np.isnan(got["identity_cosine"])


def test_distribution_of_real_faces_is_the_floor():
    rng = np.random.default_rng(0)
    real = unit(rng, 100, 6)
    real[0] = np.nan
    got = report.distribution(rng, real=real, painted=real)
    for name in ("fd_face", "precision", "recall"):
        assert got[name] == got[f"{name}_floor"]


def test_distribution_is_shifted_by_a_shift():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 3))
    got = report.distribution(rng, real=real, painted=real + [2.0, 0.0, 0.0])
    assert got["fd_face"] == pytest.approx(4.0, rel=0.3)
    assert got["fd_face_floor"] == pytest.approx(
        frechet.floor(rng, real, repeats=5), abs=0.1
    )
    assert got["kd_face"] > 1 and got["precision"] < got["precision_floor"]
