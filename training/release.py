"""From a run, finished or not, to the files that ship."""

from __future__ import annotations

from likeness.encoders.tiny.tower import Manifest
from likeness.errors import SettingsError
from training.config import DistillConfig
from training.progress import Report
from training.publish import averaged_student, parameter_count, publish, stored_bytes
from training.student import blend
from training.teacher import read_weights
from training.words.build import teach_words


def release(config: DistillConfig, *, report: Report = print) -> Manifest:
    """Publish the run's best so far into `config.publish.folder`, words included if configured.

    May be called while the run goes on: it reads the latest checkpoint. Raises SettingsError
    without a `publish` section, SourceError without a checkpoint.
    """
    if config.publish is None:
        raise SettingsError("the run's configuration has no [publish] section")
    network, text = averaged_student(config.output), None
    if config.publish.blend:
        blend(network, read_weights(config.teacher.weights), config.publish.blend)
    if config.words is not None:
        network, text = teach_words(
            network, config, crop_pct=config.publish.crop_pct, report=report
        )
    manifest = publish(
        network,
        text,
        config.publish.folder,
        look=config.publish.look,
        crop_pct=config.publish.crop_pct,
    )
    report(
        f"{config.publish.folder}: {parameter_count(network):,} parameters, "
        f"{stored_bytes(network) / 2**20:.2f} MiB of weights"
    )
    return manifest
