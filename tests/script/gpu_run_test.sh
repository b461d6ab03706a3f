#!/usr/bin/env bash
# Runs tests/gpu/run.sh in a small tree with stand-ins for the programs, and its command lines with the real program.
# Usage: gpu_run_test.sh SOURCE FORETOKEN_EVAL
# shellcheck disable=SC1091,SC2016,SC2034 # conditions are evaluated later, in expect
set -euo pipefail

source=$(readlink -f -- "$1")
evaluate=$(readlink -f -- "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree="$work/a tree"
failures=0

mkdir -p "$tree/tests/gpu"
cp "$source/tests/gpu/run.sh" "$tree/tests/gpu/run.sh"
(cd "$tree" && mkdir -p cmake core encoding draft verify scheduler server eval page/dist tests/data &&
  touch CMakeLists.txt CMakePresets.json core/one.cc tests/data/golden)

program() { # program NAME: a program that is built, from stdin
  mkdir -p "$tree/build/gpu/bin" "$tree/build/gpu/lib"
  { echo '#!/usr/bin/env bash' && cat; } >"$tree/build/gpu/bin/$1"
  chmod +x "$tree/build/gpu/bin/$1"
}

pack() { # as `run.sh pack` leaves it, without the build
  (cd "$tree" && sed -n '/^sources_sum()/,/^}/p' tests/gpu/run.sh >"$work/sum.sh" && . "$work/sum.sh" &&
    sources_sum >build/gpu/sources && tar -C build -czf build/gpu.tar.gz gpu && rm -rf build/gpu)
}

evaluator() { # evaluator IDENTITY_STATUS: the real tables' forms
  program foretoken-eval <<TEXT
case "\$1 \$2" in
  identity*) echo '9 cells, 4000 tokens compared, 0 differ; canary: 3 rows checked, 0 differ'; exit $1 ;;
  "bench engine") printf '%s\n' 'rows |  experts     CSA   floor     % |     HCA   floor     % |      MoE   floor     % | CSAattn HCAattn |   head  floor     % | host us' \
    '   1 |      6.0   331.0    86.0  26.0 |   269.0    78.0  29.0 |     95.0    37.0  39.0 |   191.0   170.0 |    370    380 103.0 |     3.0' \
    '       projected to 43 layers and the head: 13.20 ms a step, floor 3.90 ms, 30.0 %' '            wq_a fp8     4.2 |   1.0   2   3%' ;;
  "bench kernels") printf '%-34s%6s%12s%10s%9s%%%12s\n' 'wq_a fp8 1024x4096' 1 1.0 1.00 20 1.00 'wq_b' 1 1.0 1.00 40 1.00 'x' 1 1.0 1.00 90 1.00 \
    'wq_b' 64 1.0 1.00 12 1.00 ;;
esac
TEXT
}

run() { # run ARGUMENT...: leaves $status, $out and $err
  status=0
  (cd / && "$tree/tests/gpu/run.sh" "$@") >"$work/out" 2>"$work/err" || status=$?
  out=$(<"$work/out") err=$(<"$work/err")
}

expect() { # expect WHAT CONDITION: a [[ ]] expression over $status, $out and $err
  if ! eval "[[ $2 ]]"; then
    printf 'FAILED: %s: %s\nstatus %s\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$2" "$status" "$out" "$err"
    failures=$((failures + 1))
  fi
}

tested='printf "device: H100\n[  PASSED  ] 132 tests.\n"'

program gpu_tests <<<"$tested"
evaluator 0
pack
run "$work/logs"
expect 'all passed' '$status == 0'
expect 'the table is last' '${out##*$'"'\n'"'} == kernels*'
expect 'parity counts and names the device' '$out == *"parity    passed"*"132 passed, 0 failed; H100"*'
expect 'identity counts' '$out == *"identity  passed"*"4000 tokens compared, 0 differ"*'
expect 'engine says its floors' '$out == *"1: 26/29 % of the floor"*'
expect 'kernels say the median' '$out == *"1: 40 %, 64: 12 % of the read"*'
expect 'the detail stands before' '$out == *"13.20 ms a step"*"engine    passed"*'
expect 'logs' '-s $work/logs/parity.log && -s $work/logs/kernels.log'

program gpu_tests <<<"$tested; printf '[  FAILED  ] 2 tests, listed below:\n'; exit 1"
evaluator 1
pack
run "$work/logs"
expect 'failures are an exit code' '$status == 1'
expect 'a failed step' '$out == *"parity    FAILED"*"132 passed, 2 failed"* && $out == *"identity  FAILED"*'
expect 'the others ran' '$out == *"engine    passed"*"kernels   passed"*'

echo changed >"$tree/core/one.cc"
run "$work/logs"
expect 'other sources' '$status == 2 && $err == *"packed from other sources"* && -z $out'

program gpu_tests <<<"echo 'SKIPPED: no CUDA device: none'"
evaluator 0
pack
run "$work/logs"
expect 'no device' '$status == 2 && $err == *"SKIPPED: no CUDA device: none"* && -z $out'

# A step past its limit is stopped; what has no time left is left out.
program gpu_tests <<<'[[ $* == *Replay* ]] || exec sleep 60'
evaluator 0
sed -i 's/^readonly total_s=.*/readonly total_s=12/; s/"parity 170/"parity 3/' "$tree/tests/gpu/run.sh"
pack
run "$work/logs"
expect 'stopped' '$status == 1 && $out == *"parity    stopped"*'
expect 'left out' '$out == *"kernels   left out"*'

# Without a device the real program refuses the backend; a flag that it does not know it would refuse first.
cd "$source"
while read -r program arguments; do
  [[ $program == foretoken-eval ]] || continue
  # shellcheck disable=SC2086  # several arguments
  text=$(timeout 30 "$evaluate" $arguments 2>&1 >/dev/null) || true
  status=0 out=$arguments err=$text
  expect 'its commands are accepted' '$err != *"--help"*'
  expect 'it read files that are there' '$err != *"cannot"*"open"* && $err != *"No such file"*'
done < <(tests/gpu/run.sh commands)

[[ $failures -eq 0 ]] && echo "all passed"
exit $((failures > 0))
