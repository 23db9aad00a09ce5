import math

from src.trainer.evaluation.evaluate import ImageScore, Scores
from src.trainer.evaluation.summary import summary


def test_what_is_left_out_of_a_metric_is_counted_and_said():
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


def test_a_metric_that_no_image_has_is_no_number():
    (*_, ssim, why) = summary(Scores(1, [ImageScore("a", {"psnr": 1.0, "ssim": math.nan})])).splitlines()
    assert ssim.split()[-7:] == ["-", "-", "-", "-", "0", "of", "1"]
    assert why


def test_without_ground_truth_the_masked_loss_is_summed_up():
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


def test_images_of_other_types_say_how_they_were_rounded():
    scores = Scores(1, [ImageScore("a", {"psnr": 1.0}, "rounded to uint16, data range 65535")])
    *_, psnr = summary(scores).splitlines()
    assert psnr.startswith("PSNR (dB), rounded to uint16, data range 65535 ")
