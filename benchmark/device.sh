#!/usr/bin/env bash
# Everything that needs a GPU, in one go and within a number of seconds:
#
#   benchmark/device.sh OUTPUT SECONDS [PROTOCOL]
#
# on a machine with a GPU, Python and PyTorch. What else emsym needs is installed beside that: from
# the folder WHEELS without a network, where that is given (`pip download -d FOLDER '.[test]'` fills
# one elsewhere), else from the package index. It runs the GPU tests, then the GPU speed tables, then
# as many cells of the protocol (`quick-1` by default) as fit, CELLS at once on each GPU (by default
# half as many as there are cores: beside its passes, a quick cell is a second's work of a core).
# OUTPUT then holds gpu-tests.txt, speed.txt, run.txt, machine.txt and run/ with the records. It may be
# cut off at any second: what is finished is kept, and the same command goes on from there.
#
# DEVICE=cpu tries the script without a GPU, and PYTHON names an interpreter that has all of it.
set -uo pipefail
cd "$(dirname "$0")/.."

refuse() { echo "$1: say benchmark/device.sh OUTPUT SECONDS [PROTOCOL]." >&2; exit 2; }

[ $# -eq 2 ] || [ $# -eq 3 ] || refuse "There are $# words instead of two or three"
output=$1
seconds=$2
protocol=${3:-quick-1}
device=${DEVICE:-cuda}
cells=${CELLS:-$((($(nproc) + 1) / 2))}
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || refuse "SECONDS is '$seconds' instead of a whole number from 1 on"
[[ $cells =~ ^[1-9][0-9]{0,3}$ ]] || refuse "CELLS is '$cells' instead of a whole number from 1 on"
end=$((SECONDS + seconds))
mkdir -p "$output"
export PYTHONUNBUFFERED=1 EMSYM_SPEED_DEVICE=$device

left() { echo $((end - SECONDS > 1 ? end - SECONDS : 1)); }

if [ -z "${PYTHON:-}" ]; then
  PYTHON=$output/.venv/bin/python
  [ -x "$PYTHON" ] || python3 -m venv --system-site-packages "$output/.venv"
  "$PYTHON" -m pip install -q ${WHEELS:+--no-index --find-links "$WHEELS"} -e '.[test]' \
    >"$output/install.txt" 2>&1 || { echo "The installation failed: see $output/install.txt." >&2; exit 2; }
fi

{ date -u; nvidia-smi 2>/dev/null; git rev-parse HEAD 2>/dev/null; } >"$output/machine.txt"

# rather now than after minutes of a GPU
"$PYTHON" -m emsym plan --protocol "$protocol" --device cpu >/dev/null || exit 2

# a quarter of the time at most for each of the two, so that cells are never left out
timeout -s INT $(($(left) / 4 + 1)) "$PYTHON" -m pytest -q -n 0 -m gpu >"$output/gpu-tests.txt" 2>&1
timeout -s INT $(($(left) / 3 + 1)) "$PYTHON" -m pytest -q -n 0 -s benchmark/speed/test_gpu.py \
  >"$output/speed.txt" 2>&1
timeout -s INT -k 20 "$(left)" "$PYTHON" -m emsym run --all --protocol "$protocol" \
  --device "$device" --cells-per-gpu "$cells" --output "$output/run" >"$output/run.txt" 2>&1
ran=$?

tail -n 3 "$output/gpu-tests.txt" "$output/speed.txt" "$output/run.txt"
case $ran in 1 | 2) exit "$ran" ;; esac # cells failed, or a word was wrong; else the time was up
