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
    """`model`: the denoiser and the arguments of its constructor."""

    type: str = "NL_BSN"
    """Name of the denoiser, one of `src.model.MODELS`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the denoiser; `bsn` names the network inside it."""


class MaskerBlock(Block):
    """`masker`: how pixels are hidden from the network."""

    masker_type: str = "Masker"
    """One of `src.masker.MASKERS`: `Masker` (non-local patches) or `N2V_Masker` (single pixels)."""
    masker_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the masker."""


class ChosenBlock(Block):
    """A type and, in a block of its name, the arguments: `{type: step, step: {step_size: 15}}`."""

    model_config = ConfigDict(extra="allow")

    type: str
    """Name of the type."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the type."""
        arguments: dict[str, Any] = (self.model_extra or {}).get(self.type, {})
        return arguments


class OptimizerBlock(ChosenBlock):
    """`training.optimizer`: how gradients become updates."""

    type: str = "Adam"
    """One of `src.trainer.optim.OPTIMIZERS`; the publication uses Adam."""


class SchedulerBlock(ChosenBlock):
    """`training.scheduler`: how the learning rate falls."""

    type: str = "step"
    """One of `src.trainer.optim.SCHEDULERS`: `step` (as published), `cosine` or `constant`."""


class TrainingBlock(Block):
    """`training`: data, loss and schedule."""

    dataset: str = "SIDD_train"
    """One of `src.data_handlers.DATASETS`."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset: folder, crop, augmentation, noise."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Crops in each step, of all processes together."""
    max_epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the training images."""
    init_lr: Annotated[float, Field(gt=0)] = 5e-6
    """Learning rate of the first epoch."""
    objective: str = "hide"
    """One of `src.trainer.objective.OBJECTIVES`: `hide` predicts hidden pixels of noisy images; `imitate`
    predicts clean images, which the training set must have."""
    loss: str = "1*self_L2"
    """Terms `WEIGHT*NAME` joined by `+`; an `r` in the weight multiplies it by the fraction of training done.
    `objective: hide` takes `self_L1` and `self_L2`, `imitate` takes `target_L1` and `target_L2`."""
    tmp_info: list[str] | str | None = Field(default_factory=list)
    """Loss terms that are logged but not minimised."""
    optimizer: OptimizerBlock = OptimizerBlock()
    scheduler: SchedulerBlock = SchedulerBlock()
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; a longer gradient is scaled down to it. None = no limit."""
    init: str | None = None
    """Initial weights: a checkpoint's path, or `general`, the network that comes with the program. None =
    random weights."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential mean of the weights in each step, such as 0.999; the mean is then validated,
    saved and used. None = the weights of the last step."""
    freeze_norm: Annotated[float, Field(ge=0, le=1)] | None = None
    """Fraction of all steps after which batch norm uses its running statistics in training, too. None =
    never."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """`tf32` rounds the factors in a GPU's convolutions; `bf16` runs the network under autocast. Weights,
    masks and loss stay in 32 bits."""
    channels_last: bool = False
    """Use the memory layout NHWC: faster on recent GPUs, and on most CPUs in bf16."""
    compile: bool = False
    """Compile the network with PyTorch, which fuses small operations; the start takes a minute or two."""
    cudnn_benchmark: bool = False
    """Let the GPU choose its fastest algorithms; two runs may then differ in the last digits."""
    sync_bn: bool = True
    """Whether several processes share batch norm's mean and variance. False: each process uses those of its
    own crops; this is faster, but the trained network depends on the number of processes."""

    @field_validator("loss")
    @classmethod
    def _follows_the_grammar(cls, loss: str) -> str:
        parse(loss)
        return loss

    @field_validator("objective")
    @classmethod
    def _is_known(cls, objective: str) -> str:
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown name '{objective}'{nearest(objective, OBJECTIVES)}")
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
    """`validation`: the images that score the network during training, and how often."""

    val: bool = True
    """Whether to validate."""
    dataset: str | None = None
    """One of `src.data_handlers.DATASETS`; None = the training images, without augmentation."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset."""
    batch_size: Literal[1] = 1
    """Images are scored one at a time, whole."""
    start_epoch: Annotated[int, Field(ge=1)] = 1
    """First epoch with a validation."""
    interval_epoch: Annotated[int, Field(ge=1)] = 1
    """Epochs from one validation to the next."""
    save_image: bool = True
    """Whether to write images to `img/val_EEE`."""
    num_of_saves: Annotated[int, Field(ge=1)] = 10
    """Number of a run's validations that write images, spread evenly."""


class TestBlock(Block):
    """`test`: what `test.py` scores without `--test_img`."""

    dataset: str | None = None
    """One of `src.data_handlers.DATASETS`; None = the validation images."""
    dataset_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the dataset."""
    batch_size: Literal[1] = 1
    """Images are scored one at a time, whole."""
    save_image: bool = True
    """Whether to write noisy, clean and denoised images beside the scores."""
    finish: Finish = Finish()
    """What is restored from the noisy image after the network; as published, nothing."""
    each_channel: bool = False
    """Whether to denoise channel by channel when an image has another number of channels than the network."""
    save_float: bool = False
    """Whether to write the network's unrounded values: `NNNN_DN.npy`, float32 (H, W, C), data range 1."""


class AdaptBlock(Block):
    """`adapt`: adapt a network to the training images in stages; see `src.trainer.adapt.stages`."""

    teacher: dict[str, Any] | None = None
    """Blocks of the teacher's configuration: its `model` and `masker` replace this configuration's, its
    `training` overrides single keys. The teacher has `objective: hide`. None = targets without a teacher."""
    teacher_length: Annotated[float, Field(gt=0)] = 0.25
    """Epochs of the teacher, as a multiple of `training.max_epochs`."""
    teacher_half: Annotated[float, Field(gt=0)] = 60.0
    """Noise level at which the teacher's result has half the weight in the target, in grey levels of 255. At
    a standard deviation s of an image's noise its weight is s / (s + teacher_half)."""
    teacher_above: Annotated[float, Field(ge=0)] = 1.3
    """The teacher is trained if noise is left before it: if in flat places the variance of the noise is more
    than this multiple of what the network before it removes. 0 = always."""
    first_students: Annotated[int, Field(ge=0)] = 3
    """Largest number of first students. Each makes the targets and measures the noise for what follows.
    Another one follows if the last removes clearly more than the network before it. 0 = none: the general
    network makes the student's targets."""
    first_length: Annotated[float, Field(gt=0)] = 0.5
    """Epochs of each first student, as a multiple of `training.max_epochs`."""
    real: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the student's crops that are cut from the noisy images; for first students none are."""
    own: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of crops that are targets, half of them at half the size, with measured noise; for first
    students `real` is added to it. The rest are generated images with measured noise."""
    half: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Largest share of crops at half the size of the images, as `test.finish.coarse` shows it to the network.
    It is this, times s^2 / (s^2 + coarse^2) for noise of standard deviation s at that size."""
    crops: Annotated[int, Field(ge=1)] = 2_880
    """Crops in an epoch of the student."""
    size: Annotated[int, Field(ge=16)] = 128
    """Edge of the student's crops, px; at most that of the smallest image."""
    megapixels: Annotated[float, Field(gt=0)] = 6.0
    """Size of all targets together; beyond it, large images are cut to their middle and some are left out."""

    @model_validator(mode="after")
    def _shares_are_of_one(self) -> "AdaptBlock":
        if self.real + self.own > 1:
            raise ValueError(f"real: expected at most 1 together with own, got {self.real} and {self.own}")
        return self


class CheckpointBlock(Block):
    """`checkpoint`: when to save the network, and what to keep."""

    save: bool = True
    """False = save only the last epoch and the best."""
    save_all: bool = False
    """Keep every checkpoint; otherwise the last two (and the best)."""
    start_epoch: Annotated[int, Field(ge=1)] = 1
    """First epoch to save."""
    interval_epoch: Annotated[int, Field(ge=1)] = 1
    """Epochs from one checkpoint to the next; the last epoch is always saved."""
    interval_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints inside an epoch; they are deleted when the epoch is saved. None = none."""


class LogBlock(Block):
    """`log`: how often to report progress."""

    iter_interval: Annotated[int, Field(ge=1)] = 100
    """Steps from one line (and TensorBoard point) to the next."""


class RunConfig(OutputBlock):
    """The whole configuration of a run; `src.trainer.config.reading` reads it from YAML."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Determines initial weights, order, crops, noise and blind spots."""
    data_range: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    """The data range; `auto` = from the header, else 255 for 8 bits, 65535 for 16, 1 for floats."""
    nan: NanRule = "stop"
    """`stop` refuses images with NaN; `keep` treats NaN as missing values."""
    model: ModelBlock = ModelBlock()
    masker: MaskerBlock = MaskerBlock()
    training: TrainingBlock = TrainingBlock()
    validation: ValidationBlock = ValidationBlock()
    test: TestBlock = TestBlock()
    adapt: AdaptBlock | None = None
    """None = a single training."""
    checkpoint: CheckpointBlock = CheckpointBlock()
    log: LogBlock = LogBlock()


# Keys in the original's files that its code does not read, or whose only effect was a defect.
DEAD_KEYS: dict[tuple[str, ...], str] = {
    ("model", "restore"): "nothing reads it; use -r and --pretrained",
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
# Former names of keys.
RENAMED: dict[tuple[str, ...], str] = {
    ("training", "masker_type"): "masker.masker_type",
    ("training", "masker_args"): "masker.masker_args",
    **{
        (part, "dataset_args", "folder"): f"{part}.dataset_args.data_dir"
        for part in ("training", "validation", "test")
    },
}
# Settings of a call, not of a configuration, and their flags.
FLAGS = {"config": "-c", "run_name": "-s", "resume": "-r", "gpu": "-g", "thread": "--thread"}
