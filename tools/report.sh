#!/bin/sh
# Measures the shipped weights and writes the tables and figures into docs/evaluation.md.
#   tools/report.sh [OUT]      WEIGHTS=file DATA=folder ROOMS=n tools/report.sh
# Results are kept in OUT (evaluation_out) and taken up again, as long as weights and settings are
# the same: remove OUT/results after a change of the code.
set -eu
cd "$(dirname "$0")/.."
out=${1:-evaluation_out}
data=${DATA:-../shared/data}
bin=${VENV:-.venv}/bin

evaluate() {
    "$bin/ttt3r" evaluate "$@" --weights "${WEIGHTS:-}" --pose-source network,pnp --out "$out"
}

if [ -d "$data/seven_scenes_seq" ]; then
    for task in pose depth reconstruction; do
        evaluate $task --root "$data/seven_scenes_seq" --frames 50,100,150,200
    done
fi
if [ -d "$data/tum_fr1_rpy" ]; then
    for task in pose depth; do
        evaluate $task --root "$data/tum_fr1_rpy"
    done
fi
evaluate synthetic --rooms "${ROOMS:-8}"
evaluate efficiency
"$bin/python" tools/fill_report.py "$out" docs/evaluation.md
