"""Several starts of one run in the same instant: one trains, the others are refused at once."""

import time
from functools import partial

from tests.faults.damage import begin_at
from tests.faults.program import Program, run

START_TOGETHER = 0.5  # seconds that all need to be ready


def test_f14_of_many_starts_one_trains(tmp_path, write_config, trials):
    races = trials("starts of one run at once, new or resumed", small=5, full=50)
    for number, random in races:
        folder, count = write_config(tmp_path / str(number)), random.randint(2, 5)
        words = ["main.py", "-c", folder / "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", "0"]
        words += ["--set", f"output_folder={folder / 'output'}"]
        if resumed := number % 2:
            victim = Program(folder, *words)
            while not (folder / "output" / "run" / "config.yaml").exists():
                time.sleep(0.01)
            victim.kill()  # its lock stays behind
            victim.wait()
            words.append("-r")
        setup = partial(begin_at, time.time() + START_TOGETHER)
        programs = [Program(folder / f"{i}", *words, setup=setup) for i in range(count)]
        ends = [program.wait(120) for program in programs]
        trained = [end for end in ends if end.code == 0 and "already finished" not in end.out]
        refused = [end for end in ends if end.code == 3 and end.err.count("\n") == 1]
        late = count - len(trained) - len(refused) if resumed else 0  # came when the one had finished
        races.expect(len(trained) == 1 and len(refused) == count - 1 - late, f"{folder}: {ends}")
        races.note(f"{count} starts")
        ended = run(folder, *words, *([] if resumed else ["-r"]))
        races.expect("already finished" in ended.out, f"{folder}: {ended}")
