#!/usr/bin/env bash
# The first thing to run where a GPU is at hand, before and after each change: builds, runs the parity and identity
# tests, then the benchmarks, and prints one table last. It ends within nine minutes; what does not fit is stopped or
# left out, and the table says so. Exit code: 0 all passed, 1 something did not, 2 it could not begin.
#
#   tests/gpu/run.sh [LOGS]    on the machine with the GPU, from any folder; logs go to LOGS, or to build/gpu_logs
#   tests/gpu/run.sh pack      elsewhere, before: build/gpu.tar.gz, the programs with the libraries that they need
#   tests/gpu/run.sh commands  what it would run, a line each
#
# The machine with the GPU needs this checkout and the driver, and of these one: build/gpu.tar.gz, packed from the same
# sources on any x86-64 Linux whose C library is not newer (10 MB; it takes no build time there), or CUDA 13's nvcc with
# the libraries of cmake/dependencies.cmake. Nothing is fetched from a network.
set -euo pipefail

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.."
readonly total_s=525 # of the nine minutes, so that the table comes well before
readonly archive=build/gpu.tar.gz unpacked=build/gpu
readonly programs=(gpu_tests gpu_rank foretoken-eval)

say() { printf 'gpu/run.sh: %s\n' "$*" >&2; }
die() {
  say "$1"
  exit 2
}

# The steps: name, most seconds, command. The slice of V4-Flash takes 15 GB of the device.
readonly steps=(
  "parity 170 gpu_tests --gtest_brief=1"
  "identity 100 foretoken-eval identity --model models/v4-nano-dspark --backend cuda
    --prompts tests/data/nano/eval_qa.jsonl --every 6 --tokens 4000 --max-tokens 24"
  "engine 150 foretoken-eval bench engine --backend cuda --rows 1 2 6 16 64 --repeats 10"
  "kernels 60 foretoken-eval bench kernels --backend cuda --seconds 0.02"
)

# --- programs --------------------------------------------------------------------------------------------------------

# One number for everything that the programs are made from.
sources_sum() {
  find CMakeLists.txt CMakePresets.json cmake core encoding draft verify scheduler server eval page/dist tests -type f \
    \( -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name 'CMake*' -o -name '*.cmake' -o \
    -path 'page/dist/*' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

build() { # build: leaves the programs in build/cuda/bin
  cmake --preset cuda && ninja -C build/cuda "${programs[@]}"
}

pack() {
  build >&2 || die "the build failed; the lines above say why"
  rm -rf "$unpacked" "$archive"
  mkdir -p "$unpacked/bin" "$unpacked/lib"
  local program library everywhere='^lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so' # they belong to their machine
  for program in "${programs[@]}"; do
    strip -o "$unpacked/bin/$program" "build/cuda/bin/$program"
    while read -r library; do
      [[ ${library##*/} =~ $everywhere ]] || cp -L "$library" "$unpacked/lib/"
    done < <(ldd "build/cuda/bin/$program" | awk '$2 == "=>" { print $3 }')
  done
  sources_sum >"$unpacked/sources"
  tar -C build -czf "$archive" gpu
  rm -rf "$unpacked"
  say "$archive: $(du -h "$archive" | cut -f 1)"
}

# Sets `bin`.
get_programs() {
  if [[ -f $archive ]]; then
    rm -rf "$unpacked"
    tar -C build -xzf "$archive"
    [[ $(sources_sum) == "$(<$unpacked/sources)" ]] ||
      die "$archive was packed from other sources than these: pack again, or remove it to build here"
    bin=$unpacked/bin
    export LD_LIBRARY_PATH=$PWD/$unpacked/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  else
    say "building (see $logs/build.log)"
    build >"$logs/build.log" 2>&1 || {
      tail -n 20 "$logs/build.log" >&2
      die "the build failed; where libraries are missing, pack on a machine that has them (tests/gpu/run.sh pack)"
    }
    bin=build/cuda/bin
  fi
}

# --- steps -----------------------------------------------------------------------------------------------------------

# run NAME LIMIT PROGRAM ARGUMENT...: adds a line to the table.
run() {
  local name=$1 limit=$2 program=$3 log=$logs/$1.log begun=$SECONDS status=0 result
  shift 3
  local left=$((total_s - SECONDS))
  if ((left < 10)); then
    table+="$(printf '%-10s%-10s%6s  %s' "$name" "left out" "" "no time was left")"$'\n'
    failed=1
    return
  fi
  ((limit < left)) || limit=$left
  timeout --kill-after=5 "$limit" "$bin/$program" "$@" >"$log" 2>&1 </dev/null || status=$?
  case $status in
    0) result=passed ;;
    124 | 137) result=stopped failed=1 ;;
    *) result=FAILED failed=1 ;;
  esac
  table+="$(printf '%-10s%-10s%6s  %s' "$name" "$result" $((SECONDS - begun)) "$(figure "$name" <"$log")")"$'\n'
  if [[ $result != passed ]]; then
    say "$name: $result after $((SECONDS - begun)) s; the end of $log:"
    tail -n 20 "$log" >&2
  fi
}

# What the table says of each step, from its log.
figure() {
  case $1 in
    parity)
      awk '/^\[  PASSED  \]/ { passed = $4 } /^\[  FAILED  \] [0-9]+ test/ { failed = $4 }
        /^device: / { device = substr($0, 9) }
        END { printf "%d passed, %d failed; %s", passed, failed, device }'
      ;;
    identity) tail -n 1 ;;
    engine) # of each row count, the part of the floor that a CSA and an HCA layer reach
      awk -F '|' 'NF == 7 && $1 ~ /^ *[0-9]+ *$/ {
          split($2, csa, " "); split($3, hca, " ")
          printf "%s%d: %d/%d %%", separator, $1, csa[4], hca[3]; separator = ", " }
        END { if (separator) printf " of the floor, CSA/HCA by rows" }'
      ;;
    kernels) # of each row count, the median part of the read bandwidth
      awk '$NF ~ /^[0-9.]+$/ && $(NF - 1) ~ /%$/ { print $(NF - 4), $(NF - 1) + 0 }' | sort -n -k 1,1 -k 2,2 |
        awk '{ if (!n[$1]++) order[++rows] = $1; of[$1, n[$1]] = $2 }
          END { for (i = 1; i <= rows; ++i) {
                  printf "%s%d: %d %%", separator, order[i], of[order[i], int((n[order[i]] + 1) / 2)]
                  separator = ", " }
                if (separator) printf " of the read bandwidth, median by rows" }'
      ;;
  esac
}

case ${1:-} in
  pack)
    pack
    exit
    ;;
  commands)
    for step in "${steps[@]}"; do
      read -r -d '' -a words <<<"$step" || true
      echo "${words[*]:2}"
    done
    exit
    ;;
  -*) die "usage: tests/gpu/run.sh [LOGS | pack | commands]" ;;
esac

logs=${1:-build/gpu_logs}
mkdir -p "$logs"
bin='' failed=0 table=''
get_programs
table+="$(printf '%-10s%-10s%6s' programs there "$SECONDS")"$'\n'
"$bin/gpu_tests" '--gtest_filter=Replay.*' >"$logs/device.log" 2>&1 || true
if grep -q '^SKIPPED: no CUDA device' "$logs/device.log"; then
  die "$(grep -m 1 '^SKIPPED: ' "$logs/device.log")"
fi
for step in "${steps[@]}"; do
  read -r -d '' -a words <<<"$step" || true
  say "${words[*]:2}"
  run "${words[@]}"
done

sed -n '/^ *rows/,$p' "$logs/engine.log" 2>/dev/null || true
printf '\n%-10s%-10s%6s  %s\n%s' step result s figure "$table"
exit "$failed"
