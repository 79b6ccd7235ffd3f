"""The environments that launchers give to each of four processes on two nodes, or on one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest

Environment = Mapping[str, str | int]

LAUNCHED: Mapping[str, Callable[[int], Environment]] = {
    "torchrun": lambda rank: {
        **{"RANK": rank, "WORLD_SIZE": 4, "LOCAL_RANK": rank % 2, "LOCAL_WORLD_SIZE": 2},
        **{"GROUP_RANK": rank // 2, "GROUP_WORLD_SIZE": 2, "ROLE_RANK": rank, "ROLE_WORLD_SIZE": 4},
    },
    "torchrun inside srun": lambda rank: {
        **{"RANK": rank, "WORLD_SIZE": 4, "LOCAL_RANK": rank % 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": rank // 2},
        **{"SLURM_PROCID": rank // 2, "SLURM_NTASKS": 2, "SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_ID": 0},
    },
    "Lightning": lambda rank: {"WORLD_SIZE": 4, "NODE_RANK": 0, "LOCAL_RANK": rank},
    "Lightning on two nodes": lambda rank: {
        **{"WORLD_SIZE": 4, "NODE_RANK": rank // 2, "LOCAL_RANK": rank % 2, "LOCAL_WORLD_SIZE": 2},
    },
    "mpirun": lambda rank: {
        **{"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": 4, "PMIX_RANK": rank},
        **{"OMPI_COMM_WORLD_LOCAL_RANK": rank % 2, "OMPI_COMM_WORLD_LOCAL_SIZE": 2},
    },
    "mpirun inside sbatch": lambda rank: {
        **{"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": 4, "PMIX_RANK": rank, "SLURM_NTASKS": 4},
        # Those of the daemon that Open MPI starts on each further node.
        **({"SLURM_PROCID": 0, "SLURM_STEP_NUM_TASKS": 1, "SLURM_STEP_ID": 0} if rank > 1 else {"SLURM_PROCID": 0}),
    },
    "mpirun of MVAPICH2": lambda rank: {"MV2_COMM_WORLD_RANK": rank, "MV2_COMM_WORLD_SIZE": 4},
    "mpiexec": lambda rank: {"PMI_RANK": rank, "PMI_SIZE": 4, "MPI_LOCALRANKID": rank % 2},
    "srun": lambda rank: {
        **{"SLURM_PROCID": rank, "SLURM_NTASKS": 4, "SLURM_STEP_NUM_TASKS": 4, "SLURM_STEP_ID": 0, "SLURM_STEPID": 0},
        **{"SLURM_LOCALID": rank % 2, "SLURM_NODEID": rank // 2, "SLURM_NNODES": 2},
    },
    "srun -n 4 in a job of 8": lambda rank: {
        **{"SLURM_PROCID": rank, "SLURM_NTASKS": 8, "SLURM_STEP_NUM_TASKS": 4, "SLURM_STEP_ID": 3},
    },
    "srun --mpi=pmix": lambda rank: {"SLURM_PROCID": rank, "SLURM_STEP_NUM_TASKS": 4, "PMIX_RANK": rank},
    "srun, WORLD_SIZE set by the script": lambda rank: {
        **{"SLURM_PROCID": rank, "SLURM_NTASKS": 4, "SLURM_STEP_NUM_TASKS": 4, "WORLD_SIZE": 4},
    },
}
"""Variables of each rank of four, by launcher."""

NAMES = sorted({name for made in LAUNCHED.values() for rank in range(4) for name in made(rank)} | {"PMIX_SIZE"})


def use(patch: pytest.MonkeyPatch, environment: Environment) -> None:
    """Set these variables, and remove those of every other launcher."""
    for name in NAMES:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, str(value))


def environment(launcher: str, rank: int) -> dict[str, str]:
    """The variables of a process that a launcher has started."""
    ours = {name: value for name, value in os.environ.items() if name not in NAMES}
    return ours | {name: str(value) for name, value in LAUNCHED[launcher](rank).items()}
