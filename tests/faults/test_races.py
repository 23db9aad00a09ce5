"""Of several simultaneous starts of one run, one trains and the others are refused at once."""

import time
from functools import partial

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.util.file_manager import FileManager
from tests.faults.damage import begin_at
from tests.faults.program import Program, run

START_TOGETHER = 0.5  # seconds until all are ready


def test_f14_of_several_starts_one_trains(tmp_path, write_config, trials):
    races = trials("starts of one run at once, new or resumed", small=5, full=50)
    for number, rng in races:
        folder, count = write_config(tmp_path / str(number)), rng.randint(2, 5)
        words = ["main.py", "-c", folder / "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", "0"]
        words += ["--set", f"output_folder={folder / 'output'}"]
        if resumed := number % 2:
            victim = Program(folder, *words)
            while not (folder / "output" / "run" / "config.yaml").exists():
                time.sleep(0.01)
            victim.kill()  # leaves its lock behind
            victim.wait()
            words.append("-r")
        setup = partial(begin_at, time.time() + START_TOGETHER)
        programs = [Program(folder / f"{i}", *words, setup=setup) for i in range(count)]
        ends = [program.wait(120) for program in programs]
        trained = [end for end in ends if end.code == 0 and "already finished" not in end.out]
        refused = [end for end in ends if end.code == 3 and end.err.count("\n") == 1]
        late = count - len(trained) - len(refused) if resumed else 0  # started after the first had finished
        races.expect(len(trained) == 1 and len(refused) == count - 1 - late, f"{folder}: {ends}")
        races.note(f"{count} starts")
        ended = run(folder, *words, *([] if resumed else ["-r"]))
        races.expect("already finished" in ended.out, f"{folder}: {ended}")


def test_a_reader_sees_only_complete_checkpoints_while_they_are_written(
    tmp_path, write_config, trials, messages
):
    tried = trials("the newest checkpoint read while it is written", small=1, full=3)
    for number, _ in tried:
        folder = write_config(tmp_path / str(number), max_epochs=20)
        program = Program(folder, "main.py", "-c", "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", "0")
        files, epoch, reads = FileManager(folder / "output", "run"), 0, 0
        while program.wait(0) is None:
            store = CheckpointStore(files) if files.manifest_file.exists() else None
            if store is None or store.is_empty():
                continue
            _, content = store.newest()
            tried.expect(content["epoch"] >= epoch, f"{number}: {content['epoch']} after {epoch}")
            epoch, reads = content["epoch"], reads + 1
        tried.expect(program.wait().code == 0 and reads > 20, f"{number}: {reads} reads")
        tried.note(f"{reads} reads")
    # The manifest lists a checkpoint a moment before its file exists.
    assert {message.rpartition(": ")[2] for message in messages} <= {
        "there is no such checkpoint; going back to the checkpoint before it"
    }
