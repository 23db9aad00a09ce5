"""The configuration of a run: every key, its meaning, unit and range."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from src.loss import LOSSES, Loss, parse
from src.trainer.config.names import OutputBlock
from src.trainer.finish import Finish
from src.trainer.objective import OBJECTIVES
from src.util.config.schema import Block, nearest
from src.util.images.value_range import NanRule


class ModelBlock(Block):
    """`model`: which denoiser, and the arguments of its constructor."""

    type: str = "NL_BSN"
    """Name of the denoiser, one of `src.model.MODELS`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of that class; `bsn` names the network inside it."""


class MaskerBlock(Block):
    """`masker`: how pixels are hidden from the network."""

    masker_type: str = "Masker"
    """One of `src.masker.MASKERS`: `Masker` (non-local patches) or `N2V_Masker` (single pixels)."""
    masker_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the masker."""


class ChosenBlock(Block):
    """A type, and its arguments in a block of the type's name: `{type: step, step: {step_size: 15}}`."""

    model_config = ConfigDict(extra="allow")

    type: str
    """Which one."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the type."""
        arguments: dict[str, Any] = (self.model_extra or {}).get(self.type, {})
        return arguments


class OptimizerBlock(ChosenBlock):
    """`training.optimizer`: how gradients become updates."""

    type: str = "Adam"
    """One of `src.trainer.optim.OPTIMIZERS`; Adam is the published choice."""


class SchedulerBlock(ChosenBlock):
    """`training.scheduler`: how the learning rate falls."""

    type: str = "step"
    """One of `src.trainer.optim.SCHEDULERS`: `step`, as published, `cosine` or `constant`."""


class TrainingBlock(Block):
    """`training`: data, loss and schedule."""

    dataset: str = "SIDD_train"
    """One of `src.data_handlers.DATASETS`."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset: where it is, crop, augmentation, noise."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Crops in each step."""
    max_epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the training images."""
    init_lr: Annotated[float, Field(gt=0)] = 5e-6
    """Learning rate of the first epoch."""
    objective: str = "hide"
    """One of `src.trainer.objective.OBJECTIVES`: `hide` predicts hidden pixels of noisy images, `imitate` the
    clean images, which are then needed."""
    loss: str = "1*self_L2"
    """Terms `WEIGHT*NAME` joined by `+`; an `r` in the weight multiplies by the fraction of training done.
    `self_L1` and `self_L2` go with `objective: hide`, `target_L1` and `target_L2` with `imitate`."""
    tmp_info: list[str] | str | None = Field(default_factory=list)
    """Loss terms that are computed for the log alone."""
    optimizer: OptimizerBlock = OptimizerBlock()
    scheduler: SchedulerBlock = SchedulerBlock()
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; a longer one is scaled down to it. None = as it is."""
    init: str | None = None
    """The weights to begin with: a checkpoint's path, or `general`, the network that comes with the program.
    None = random ones."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What the exponential mean of the weights keeps in each step, such as 0.999; the mean is then what is
    validated, saved and used. None = the weights of the last step."""
    freeze_norm: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of all steps from which on batch norm uses its running statistics in training, too, as it does
    afterwards. None = never."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """`tf32` rounds what a GPU's convolutions multiply; `bf16` runs the network under autocast. Weights,
    masks and loss stay in 32 bits."""
    channels_last: bool = False
    """Memory layout NHWC, which is faster on recent GPUs, and on most CPUs in bf16."""
    compile: bool = False
    """Train through PyTorch's compiler, which joins small operations; it takes a minute or two to start."""
    cudnn_benchmark: bool = False
    """Let a GPU choose the fastest of its algorithms; two runs may then differ in the last digits."""
    sync_bn: bool = True
    """Whether several processes share batch norm's mean and variance. False: each has those of its own crops,
    which is faster, and the trained network depends on the number of processes."""

    @field_validator("loss")
    @classmethod
    def _follows_the_grammar(cls, loss: str) -> str:
        parse(loss)
        return loss

    @field_validator("objective")
    @classmethod
    def _is_known(cls, objective: str) -> str:
        if objective not in OBJECTIVES:
            raise ValueError(f"no '{objective}' is known{nearest(objective, OBJECTIVES)}")
        return objective

    @field_validator("tmp_info")
    @classmethod
    def _names_loss_terms(cls, tmp_info: list[str] | str | None) -> list[str] | str:
        Loss("1*self_L2", tmp_info)
        return [] if tmp_info is None else tmp_info

    @model_validator(mode="after")
    def _loss_suits_the_objective(self) -> "TrainingBlock":
        begin = OBJECTIVES[self.objective].terms
        logged = Loss(self.loss, self.tmp_info).names
        for key, names in {"loss": [term.name for term in parse(self.loss)], "tmp_info": logged}.items():
            for name in names:
                if not name.startswith(begin):
                    suit = " or ".join(term for term in LOSSES if term.startswith(begin))
                    raise ValueError(f"{key}: with `objective: {self.objective}` expected {suit}, got {name}")
        return self


class ValidationBlock(Block):
    """`validation`: on what and how often the network is scored while it trains."""

    val: bool = True
    """Whether to validate at all."""
    dataset: str | None = None
    """One of `src.data_handlers.DATASETS`; None = the training images, without augmentation."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset."""
    batch_size: Literal[1] = 1
    """Images are scored one at a time, whole."""
    start_epoch: Annotated[int, Field(ge=1)] = 1
    """First epoch that is validated."""
    interval_epoch: Annotated[int, Field(ge=1)] = 1
    """Epochs from one validation to the next."""
    save_image: bool = True
    """Whether to write images to `img/val_EEE`."""
    num_of_saves: Annotated[int, Field(ge=1)] = 10
    """How many of a run's validations write images."""


class TestBlock(Block):
    """`test`: what `test.py` scores when it is given no images."""

    dataset: str | None = None
    """One of `src.data_handlers.DATASETS`; None = the validation images."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset."""
    batch_size: Literal[1] = 1
    """Images are scored one at a time, whole."""
    save_image: bool = True
    """Whether to write noisy, clean and denoised images beside the scores."""
    finish: Finish = Finish()
    """What is given back of the noisy image after the network; nothing as published."""
    each_channel: bool = False
    """Whether images with other numbers of channels than the network's go through it channel by channel."""
    save_float: bool = False
    """Whether to write the network's values as they are: `NNNN_DN.npy`, float32 (H, W, C), data range 1."""


class AdaptBlock(Block):
    """`adapt`: a network is adapted to the training images in stages, see `src.trainer.adapt.stages`."""

    teacher: dict[str, Any] | None = None
    """What the teacher's configuration says in place of this one's, in blocks: `model` and `masker` whole,
    `training` key by key. It learns by hiding. None = the targets are made without one."""
    teacher_length: Annotated[float, Field(gt=0)] = 0.25
    """Epochs of the teacher, in parts of `training.max_epochs`."""
    teacher_half: Annotated[float, Field(gt=0)] = 60.0
    """Standard deviation of an image's noise, grey levels of 255, at which the teacher's result counts half
    in the target; of lighter noise s it counts s / (s + teacher_half)."""
    first_length: Annotated[float, Field(gt=0)] | None = 0.5
    """Epochs of the first student, in parts of `training.max_epochs`. None = the general network stands in
    its place."""
    real: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the student's crops that are noisy images as they are; the first one has none."""
    own: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of those that are targets under measured noise, of the first student together with `real`; the
    rest are generated images under it."""
    crops: Annotated[int, Field(ge=1)] = 2_880
    """Of an epoch of the student's."""
    size: Annotated[int, Field(ge=16)] = 128
    """Edge of the student's crops, px; no more than that of the smallest image."""
    megapixels: Annotated[float, Field(gt=0)] = 6.0
    """Of the targets of all images together; of larger images the middle is taken, of many some."""

    @model_validator(mode="after")
    def _shares_are_of_one(self) -> "AdaptBlock":
        if self.real + self.own > 1:
            raise ValueError(f"real: expected at most 1 together with own, got {self.real} and {self.own}")
        return self


class CheckpointBlock(Block):
    """`checkpoint`: when the network is saved, and what is kept."""

    save: bool = True
    """False: only the last epoch and the best are saved."""
    save_all: bool = False
    """Keep every checkpoint; otherwise the last two (and the best)."""
    start_epoch: Annotated[int, Field(ge=1)] = 1
    """First epoch that is saved."""
    interval_epoch: Annotated[int, Field(ge=1)] = 1
    """Epochs from one checkpoint to the next; the last epoch is saved always."""
    interval_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints inside an epoch, which go once the epoch has its own. None = none."""


class LogBlock(Block):
    """`log`: how often progress is written down."""

    iter_interval: Annotated[int, Field(ge=1)] = 100
    """Steps from one line (and TensorBoard point) to the next."""


class RunConfig(OutputBlock):
    """All of a run's configuration; `src.trainer.config.reading` makes one from YAML."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Weights, order, crops, noise and blind spots are functions of it."""
    data_range: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    """The data range; `auto`: the header's, else 255 for 8 bits, 65535 for 16, 1 for floats."""
    nan: NanRule = "stop"
    """`stop` refuses images with NaN; `keep` takes it for values that there are none of."""
    model: ModelBlock = ModelBlock()
    masker: MaskerBlock = MaskerBlock()
    training: TrainingBlock = TrainingBlock()
    validation: ValidationBlock = ValidationBlock()
    test: TestBlock = TestBlock()
    adapt: AdaptBlock | None = None
    """None = one training, as the other blocks say."""
    checkpoint: CheckpointBlock = CheckpointBlock()
    log: LogBlock = LogBlock()


# Keys of the original's files that none of its code reads, or whose only effect was a defect.
DEAD_KEYS: dict[tuple[str, ...], str] = {
    ("model", "restore"): "nothing reads it; -r and --pretrained say what to load",
    ("validation", "save_only_preds"): "nothing reads it",
    ("validation", "add_constant"): "images are always rounded",
    ("validation", "floor"): "images are always rounded",
    ("test", "add_constant"): "images are always rounded",
    ("test", "floor"): "images are always rounded",
}
DEAD_ANYWHERE = {
    "val_pad": "only the pixel-shuffle trainer read it",
    "test_pad": "only the pixel-shuffle trainer read it",
    "self_en": "nothing reads it",
}
# Names that keys had before they were the original's.
RENAMED: dict[tuple[str, ...], str] = {
    ("training", "masker_type"): "masker.masker_type",
    ("training", "masker_args"): "masker.masker_args",
    **{
        (part, "dataset_args", "folder"): f"{part}.dataset_args.data_dir"
        for part in ("training", "validation", "test")
    },
}
# Settings of a call, not of a training.
FLAGS = {"config": "-c", "run_name": "-s", "resume": "-r", "gpu": "-g", "thread": "--thread"}
