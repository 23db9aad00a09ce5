import math

from src.trainer.evaluation.evaluate import ImageScore, Scores
from src.trainer.evaluation.summary import summary


def test_the_summary_counts_what_a_metric_leaves_out():
    scores = Scores(
        5,
        [
            ImageScore("same", {"psnr": math.inf, "ssim": 1.0}),
            ImageScore("tiny", {"psnr": 20.0, "ssim": math.nan}),
            ImageScore("b", {"psnr": 30.0, "ssim": 0.5}),
        ],
    )
    line, _, _, psnr, ssim, why = summary(scores).splitlines()
    assert line == scores.line() and "ONLY 3 OF 5 IMAGES" in line
    assert psnr.split()[-7:] == ["25", "25", "20", "30", "2", "of", "5"]
    assert ssim.split()[-7:] == ["0.75", "0.75", "0.5", "1", "2", "of", "5"]
    assert "infinite PSNR" in why


def test_a_metric_without_values_has_no_numbers():
    (*_, ssim, why) = summary(Scores(1, [ImageScore("a", {"psnr": 1.0, "ssim": math.nan})])).splitlines()
    assert ssim.split()[-7:] == ["-", "-", "-", "-", "0", "of", "1"]
    assert why


def test_the_summary_has_masked_losses():
    scores = Scores(2, [ImageScore(name, {"loss": loss}) for name, loss in (("a", 1e-5), ("b", 3e-5))])
    *_, loss = summary(scores).splitlines()
    assert loss.startswith("masked loss") and loss.split()[-7:] == [
        "2e-05",
        "2e-05",
        "1e-05",
        "3e-05",
        "2",
        "of",
        "2",
    ]


def test_the_summary_states_the_rounding():
    scores = Scores(1, [ImageScore("a", {"psnr": 1.0}, "rounded to uint16, data range 65535")])
    *_, psnr = summary(scores).splitlines()
    assert psnr.startswith("PSNR (dB), rounded to uint16, data range 65535 ")
