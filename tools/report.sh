#!/bin/sh
# Measures the shipped weights and writes the tables and figures into docs/evaluation.md and
# docs/update_rules.md.
#   tools/report.sh [OUT]      WEIGHTS=file DATA=folder ROOMS=n PNP_ROOMS=n tools/report.sh
# Results are kept in OUT (evaluation_out) and taken up again, as long as weights, settings, data
# and version are the same: remove OUT/results after a change of the code.
set -eu
cd "$(dirname "$0")/.."
out=${1:-evaluation_out}
data=${DATA:-../shared/data}
bin=${VENV:-.venv}/bin

evaluate() {
    "$bin/ttt3r" evaluate "$@" --weights "${WEIGHTS:-}" --out "$out" --quiet > /dev/null ||
        [ $? -eq 3 ] # something was not scored; the page says what
}

# both sources of poses, and all rules with the network's own
compare() {
    name=$1
    shift
    evaluate "$@" --pose-source network,pnp
    evaluate "$@" --pose-source network --update-rule all --page "rules-$name"
}

if [ -d "$data/seven_scenes_seq" ]; then
    compare pose-seven_scenes_seq pose --root "$data/seven_scenes_seq" --frames 50,100,150,200
    compare depth-seven_scenes_seq depth --root "$data/seven_scenes_seq" --frames 50,100,200 \
        --depth-step 4
    evaluate reconstruction --root "$data/seven_scenes_seq" --frames 200 --pose-source network,pnp
fi
if [ -d "$data/tum_fr1_rpy" ]; then
    compare pose-tum_fr1_rpy pose --root "$data/tum_fr1_rpy" --frames 30,60
    compare depth-tum_fr1_rpy depth --root "$data/tum_fr1_rpy" --frames 30,60 --depth-step 4
fi

# Poses of the network go through it as a batch. PnP follows corners, and wants larger pictures.
synthetic() {
    evaluate synthetic --depth-step 8 --batch 20 "$@"
}

synthetic --rooms "${ROOMS:-20}" --pose-source network --update-rule all \
    --page rules-synthetic-rooms
synthetic --rooms "${ROOMS:-20}" --pose-source network --page synthetic-rooms-network
synthetic --rooms "${PNP_ROOMS:-20}" --frames 32,64,100 --size 640x480 \
    --pose-source network,pnp --page synthetic-rooms-pnp
evaluate efficiency --frames 50,100,200,300,500,1000 --pose-source network,pnp
for page in evaluation update_rules; do
    "$bin/python" tools/fill_report.py "$out" "docs/$page.md"
done
