"""Images that are lost during a training, or between stop and resume."""

import json

import pytest

from src.util.errors import DataError
from src.util.images.io import read_image, write_image

SKIP = "training.dataset_args.unreadable=skip"
SETTINGS = [
    "training.max_epochs=3", "training.dataset_args.crop_size=32", "training.dataset_args.repeat_times=3",
    "training.scheduler.type=cosine", "validation.val=false",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setattr("src.data_handlers.samples.samples.CACHE_BYTES", 0)


def break_pixels(path):
    """Damage an image but not its header."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 2])
def test_d7_a_lost_image_stops_the_run_saved_and_back_again_it_goes_on_exactly(
    new_run, noisy_folder, at_step, differing, workers
):
    whole, stopped = new_run("whole"), new_run("stopped")
    whole.train(*SETTINGS)
    place, aside = noisy_folder / "b.png", noisy_folder.parent / "aside.png"
    at_step(lambda: place.rename(aside), 2)
    with pytest.raises(DataError) as caught:
        stopped.train(*SETTINGS, workers=workers)
    assert str(place) in str(caught.value) and caught.value.exit_code == 7
    assert f"saved {stopped.files.checkpoints}" in str(caught.value)
    assert f"stopped: {place}: cannot be read" in stopped.log
    assert 3 <= stopped.last["state"]["step"] < 15
    aside.rename(place)
    stopped.resume(*SETTINGS)
    assert differing(whole.last, {**stopped.last, "config": whole.last["config"]}) == []
    assert stopped.losses == whole.losses


def test_d7_left_out_the_run_goes_on_and_stopped_in_between_it_ends_the_same(
    new_run, noisy_folder, stop_at_step, differing
):
    """Damaged pixels are found by decoding; before the run is resumed the file is deleted."""
    break_pixels(noisy_folder / "b.png")
    whole, stopped = new_run("whole"), new_run("stopped")
    whole.train(*SETTINGS, SKIP)
    assert whole.last["state"]["step"] == 15
    assert whole.log.count(f"{noisy_folder / 'b.png'}: the image is damaged") == 1
    assert "left out (1 of 3 images so far)" in whole.log
    stop_at_step(7)
    with pytest.raises(KeyboardInterrupt):
        stopped.train(*SETTINGS, SKIP, "checkpoint.interval_steps=3", workers=2)
    (noisy_folder / "b.png").unlink()
    stopped.resume(*SETTINGS, SKIP)
    assert "b.png: was removed since this run began; left out" in stopped.log
    assert differing(whole.last, {**stopped.last, "config": whole.last["config"]}) == []
    assert stopped.losses == whole.losses


def test_all_images_lost_stop_the_run_saved(new_run, noisy_folder, at_step):
    run = new_run("run")
    aside = noisy_folder.with_name("unmounted")
    at_step(lambda: noisy_folder.rename(aside), 2)
    with pytest.raises(DataError, match=r"none of 3 images can be read any more.*; saved .*; -r continues"):
        run.train(*SETTINGS, SKIP)
    assert 3 <= run.last["state"]["step"] <= 5  # the latest image is kept in memory


def test_an_image_lost_in_validation_is_not_scored(new_run, noisy_folder, clean_folder, at_step):
    run = new_run("run")
    at_step((noisy_folder / "c.png").unlink, 1)
    run.train(
        SKIP, "training.max_epochs=1", "training.dataset_args.crop_size=32", "validation.dataset=Folder",
        f"validation.dataset_args={{data_dir: {noisy_folder}, clean_folder: {clean_folder}}}",
        "validation.dataset_args.unreadable=skip",
    )  # fmt: skip
    assert [(row["pictures"], row["of"]) for row in run.scores] == [("2", "3")]
    assert "ONLY 2 OF 3 IMAGES" in run.log
    assert len(run.best) == 2


def test_an_image_lost_in_validation_stops_the_run_saved(new_run, noisy_folder, clean_folder, at_step):
    run = new_run("run")
    at_step((clean_folder / "c.png").unlink, 1)
    with pytest.raises(
        DataError, match=r"clean/c\.png: cannot be read.*; saved .*run_001\.pth; -r continues"
    ):
        run.train(f"validation.dataset_args.clean_folder={clean_folder}")
    assert run.last["state"]["validated_epoch"] == 0


# Images added or removed while the run is stopped


def own_images(run):
    content = json.loads(run.files.images_file.read_text())
    return {part: known["pictures"] for part, known in content.items()}


def test_an_image_that_is_gone_is_named_before_the_first_step(new_run, noisy_folder):
    run = new_run("run")
    run.train("training.max_epochs=1")
    (noisy_folder / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: was removed since this run began; put it back, or set"):
        run.resume("training.max_epochs=2")
    assert run.epochs == [1]
    run.resume("training.max_epochs=2", SKIP)
    assert run.last["state"]["step"] == 4


def test_an_image_that_is_new_is_not_used(new_run, noisy_folder, differing):
    whole, stopped = new_run("whole"), new_run("stopped")
    whole.train(*SETTINGS)
    stopped.train(*SETTINGS, "training.max_epochs=1")
    write_image(noisy_folder / "aa.png", read_image(noisy_folder / "a.png"))
    stopped.resume(*SETTINGS, "training.scheduler.type=constant")
    assert "1 images are new since this run began and not used" in stopped.log
    assert stopped.last["state"]["step"] == whole.last["state"]["step"]


def test_another_folder_is_another_set_of_images(new_run, noisy_folder, clean_folder):
    run = new_run("run")
    run.train("training.max_epochs=1")
    (clean_folder / "b.png").unlink()
    run.resume("training.max_epochs=2", f"training.dataset_args.data_dir={clean_folder}")
    assert own_images(run) == {"training": ["a.png", "c.png"], "validation": ["a.png", "c.png"]}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[1]", '{"training": {"chosen": {}, "pictures": [1]}}', '{"training": {"pictures": []}}'],
)
def test_a_damaged_list_is_replaced_with_a_warning(new_run, content):
    run = new_run("run")
    run.train("training.max_epochs=1")
    run.files.images_file.write_text(content)
    run.resume("training.max_epochs=2")
    assert "pictures.json: damaged" in run.log
    assert own_images(run)["training"] == ["a.png", "b.png", "c.png"]
