"""What of a study cannot be, told before anything is prepared or trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from studies.errors import UsageError
from studies.evaluation import OF_VITS, get_evaluation
from studies.running.devices import check_devices, check_split
from studies.study.described import ResolvedData
from studies.study.factors import Arm, no_arms
from studies.study.study import EvaluationEntry, Study
from studies.study.trial import Training, Trial


def check_arms(study: Study) -> None:
    """Refuse devices, evaluations, objectives and ways of fine-tuning not for a study's models.

    Raises:
        UsageError: the first of them, in one sentence.
    """
    from keras_vit.models.variants import get_variant

    if not study.arms:  # the folder goes on with models of its own
        raise UsageError(no_arms(study.models, study.factors))
    check_devices(study)
    for entry in study.evaluations.values():
        _check_evaluation(entry, study)
    for arm in study.arms.values():
        if get_variant(arm.entry.base).family == "resnet":
            _check_resnet(arm, study)
        for entry in study.evaluations.values():
            if entry.is_of(arm.model):
                _check_of(entry, arm)


def check_trials(
    trials: Sequence[Trial],
    data: Sequence[ResolvedData],
    by_seed: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Refuse sizes and cells that the images of a training do not have, and models that do not split.

    Args:
        trials: of a study.
        data: descriptions of all its data.
        by_seed: training images of each seed, by fingerprint, where seeds differ in that.

    Raises:
        UsageError: the first of them, in one sentence.
    """
    from studies.data.dataset import check_sizes
    from studies.data.scramble import check_scramble

    found = {each.fingerprint: each for each in reversed(data)}
    for trial in trials:
        for training in trial.chain:
            info = found[training.data_fingerprint]
            check_sizes(info, [training.size], info.counts)
            if by_seed and info.fingerprint in by_seed:
                _check_seed(training, by_seed[info.fingerprint][training.seed])
            check_scramble(training.recipe.scramble, training.image_shape)
            check_split(training)
        if trial.extra is not None and trial.extra.data is not None:
            check_scramble(trial.recipe.scramble, trial.extra.data.image_shape)


def _check_seed(training: Training, images: int) -> None:
    """Counts of a results folder stay; a seed that is added to it may have fewer images."""
    if training.objective != "none" and training.size > images:
        raise UsageError(
            f"seed {training.seed} of {training.dataset} has {images} images to train on, and the size is "
            f"{training.size}: images that belong together stay on one side of a split. Choose at "
            f"most {training.seed} seeds, or other --sizes; another --results or --name begins anew"
        )


def _check_evaluation(entry: EvaluationEntry, study: Study) -> None:
    place = f"evaluations.{entry.name}"
    if entry.models and not set(entry.models) & set(study.models):
        raise UsageError(
            f"{place}.models names none of the models of this run ({', '.join(study.models)}): name "
            f"some of them, or leave the evaluation out"
        )
    try:
        evaluation = get_evaluation(entry.kind or entry.name)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    try:
        evaluation.Options.model_validate(entry.options)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = first["msg"].replace("Input should be", "must be")
        wrong = wrong.replace("greater than or equal to", "at least")
        wrong = wrong.replace("less than or equal to", "at most")
        field = ".".join(str(part) for part in first["loc"]) or "options"
        fields = ", ".join(evaluation.Options.model_fields)
        raise UsageError(
            f"{place}.options.{field}: {wrong[:1].lower()}{wrong[1:]}, not "
            f"{first['input']!r}; the options of {entry.kind or entry.name} are {fields}"
        ) from None
    if "logits" in evaluation.READS and (entry.dataset or entry.image_size):
        raise UsageError(
            f"{place}: {entry.kind or entry.name} reads logits, which there are of the study's own "
            f"images alone; leave out dataset and image_size"
        )


def _check_resnet(arm: Arm, study: Study) -> None:
    before = arm.pretraining
    if before is not None and before.objective == "masked_patches":
        raise UsageError(
            f"pretraining.objective masked_patches is for ViTs, and {arm.name!r} is a ResNet: leave it "
            f"out with --models, or name the ViTs in a level's models"
        )
    if before is not None and arm.finetuning.method == "lora":
        raise UsageError(
            f"finetuning.method lora is for ViTs, and {arm.name!r} is a ResNet: leave it out with "
            f"--models, or choose full or head_and_norms"
        )
    for entry in study.evaluations.values():
        read = OF_VITS & get_evaluation(entry.kind or entry.name).READS
        if read and entry.is_of(arm.model):
            raise UsageError(
                f"evaluations.{entry.name} reads {' and '.join(sorted(read))}, and {arm.name!r} is a "
                f"ResNet: name the ViTs in evaluations.{entry.name}.models"
            )


def _check_of(entry: EvaluationEntry, arm: Arm) -> None:
    if entry.of != "pretraining" or arm.pretraining is None:
        return
    reads = get_evaluation(entry.kind or entry.name).READS
    if "logits" in reads and arm.pretraining.objective != "supervised":
        raise UsageError(
            f"evaluations.{entry.name} reads logits, and the pre-training of {arm.name!r} learns no "
            f'labels: choose another evaluation, or of = "last"'
        )
