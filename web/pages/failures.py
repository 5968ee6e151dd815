"""What to do about a job that failed, in words that help."""

from worker.records import Json

FIXES = {
    "failed_repeatedly": (
        "Mostly this means that the machine ran out of memory. Choose a smaller network, a smaller "
        "batch or a smaller vocabulary, and train again."
    ),
    "workers_lost": (
        "The machines that worked on it went away again and again. Look whether a worker is "
        "online, then train again; a smaller network asks less of them."
    ),
    "not_stored": (
        "What it learned could not be kept: the disk may be full, or the store away. Whoever runs "
        "this service can tell with lstmq verify. Then train again."
    ),
    "other_version": (
        "Its settings need a newer lstmq than the workers have. Whoever runs this service can "
        "bring them up to date. Then train again."
    ),
    "TrainingError": "Lower the learning rate or choose a smaller network, and train again.",
    "CorpusError": "Change the text or how it is read, and train again.",
    "TokenizerError": "Change how the text is cut into tokens, and train again.",
    "ConfigError": "Change the settings that are named, and train again.",
    "CheckpointError": (
        "Its saved state was written by another version, or is damaged. Train again from the start."
    ),
    "NotFound": "Something it needs was deleted meanwhile. Choose another one, and train again.",
}
OTHERWISE = "Change its text or settings, and start it again."


def fix(error: Json | None) -> str:
    """What a person can do about an error of a job."""
    return FIXES.get(str((error or {}).get("code")), OTHERWISE)
