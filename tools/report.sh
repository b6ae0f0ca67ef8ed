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
    "$bin/ttt3r" evaluate "$@" --weights "${WEIGHTS:-}" --pose-source network,pnp --depth-step 4 \
        --out "$out" --quiet
}

if [ -d "$data/seven_scenes_seq" ]; then
    evaluate pose --root "$data/seven_scenes_seq" --frames 50,100,150,200
    evaluate depth --root "$data/seven_scenes_seq" --frames 200
    evaluate reconstruction --root "$data/seven_scenes_seq" --frames 200
fi
if [ -d "$data/tum_fr1_rpy" ]; then
    evaluate pose --root "$data/tum_fr1_rpy"
    evaluate depth --root "$data/tum_fr1_rpy" --frames 60
fi
evaluate synthetic --rooms "${ROOMS:-4}"
evaluate efficiency
"$bin/python" tools/fill_report.py "$out" docs/evaluation.md
