#!/usr/bin/env bash
# Runs ./foretoken in a small tree with stand-ins for apt, cmake, ninja and ctest, and looks at what it asked them for.
# Usage: foretoken_test.sh FORETOKEN
set -euo pipefail

script=$(readlink -f -- "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree="$work/a tree" # with a space, as a home folder may have
tools=$work/tools
log=$work/log
failures=0

mkdir -p "$tree" "$tools"
cp "$script" "$tree/foretoken"
(cd "$tree" && mkdir -p cmake core encoding draft verify scheduler server eval page/dist tests && touch CMakeLists.txt core/new.cc)
printf '"name": "release"\n"name": "asan"\n' >"$tree/CMakePresets.json"

# Only these are on the path: a machine without git, curl or a compiler.
for tool in bash env cat dirname readlink grep sort find touch mv mkdir nproc awk sleep tail rm cp chmod; do
  ln -s "$(command -v "$tool")" "$tools/$tool"
done

fake() { # fake NAME: a program that runs what it is given on stdin after writing its arguments to the log
  { printf '#!/usr/bin/env bash\nprintf ">%%s\\n" "%s $*" >>"%s"\n' "$1" "$log" && cat; } >"$tools/$1"
  chmod +x "$tools/$1"
}

stand_ins() {
  fake dpkg-query <<<'shift 2; for p in "$@"; do [[ " '"${absent:-}"' " == *" $p "* ]] || echo "installed $p"; done'
  fake apt-get <<<'exit '"${apt_status:-0}"
  fake id <<<'echo '"${uid:-0}"
  fake cmake <<<'echo chatter; build="'"$tree"'/build/${!#}"; mkdir -p "$build"; touch "$build/build.ninja"
    echo "CMAKE_HOME_DIRECTORY:INTERNAL='"$tree"'" >"$build/CMakeCache.txt"'
  fake ninja <<<'echo chatter; mkdir -p "$2/bin"; exit '"${ninja_status:-0}"
  fake ctest <<<'echo tested'
  rm -f "$tools/sudo"
  [[ -z ${sudo:-} ]] || fake sudo <<<'"$@"'
}

foretoken() { # runs it; leaves $status, $out, $err and the log
  rm -f "$log"
  touch "$log"
  status=0
  (cd / && PATH=$tools HOME=$work "$tree/foretoken" "$@") >"$work/out" 2>"$work/err" || status=$?
  out=$(<"$work/out") err=$(<"$work/err")
}

expect() { # expect WHAT CONDITION...: CONDITION is a [[ ]] expression over $status, $out, $err and $asked
  local what=$1 asked
  asked=$(<"$log")
  shift
  if ! eval "[[ $* ]]"; then
    printf 'FAILED: %s: %s\nstatus %s\n--- stdout\n%s\n--- stderr\n%s\n--- asked for\n%s\n' \
      "$what" "$*" "$status" "$out" "$err" "$asked"
    failures=$((failures + 1))
  fi
}

program() { # program NAME STATUS: what the build would have made
  mkdir -p "$tree/build/release/bin"
  printf '#!/usr/bin/env bash\necho "ran:"; printf "<%%s>" "$@"; exit %s\n' "$2" >"$tree/build/release/bin/$1"
  chmod +x "$tree/build/release/bin/$1"
}

# The first use, as root, with packages missing.
program foretoken-eval 3
absent="mold libhwy-dev" stand_ins
foretoken eval generate --out 'a b' ''
expect "installs what is missing and no more" '$asked == *"install -y "*" mold libhwy-dev"*'
expect "refreshes the package lists" '$asked == *"apt-get update"*'
expect "configures the release preset" '$asked == *"cmake --preset release"*'
expect "builds one program, not the tests" '$asked == *">ninja"*foretoken-eval && $asked != *foretoken-server*'
expect "keeps stdout for the program and passes arguments" '$out == "ran:"$'"'\\n'"'"<generate><--out><a b><>"'
expect "passes the exit code" '$status == 3'

# The second use.
stand_ins
foretoken eval
expect "asks for nothing when nothing has changed" '-z $asked && -z $err'
sleep 0.01
touch -d 2001-01-01 "$tree/core/new.cc" # as an archive does that restores times
foretoken eval
expect "builds after an edit" '$asked == *">ninja"* && $asked != *">cmake"* && $asked != *">apt-get"*'
foretoken eval
expect "knows that it has built" '-z $asked'

# A build that fails is not remembered as done.
touch "$tree/core/new.cc"
ninja_status=1 stand_ins
foretoken eval
expect "says that the build failed" '$status == 1 && $err == *"build failed"* && -z $out'
stand_ins
foretoken eval
expect "tries again" '$asked == *">ninja"*'

# Without root.
touch "$tree/core/new.cc"
absent=ccache uid=1000 sudo=yes stand_ins
foretoken build
expect "uses sudo" '$asked == *"sudo apt-get update"* && $asked == *"sudo env DEBIAN_FRONTEND=noninteractive apt-get install"*ccache*'
touch "$tree/core/new.cc"
absent=ccache uid=1000 stand_ins
foretoken build
expect "says what to install when there is no sudo" '$status == 1 && $err == *"apt-get install ccache"* && $asked != *">ninja"*'
absent=ccache apt_status=100 stand_ins
foretoken build
expect "stops when apt fails" '$status == 1 && $err == *"could not install"* && $asked != *">ninja"*'
rm "$tools/dpkg-query"
foretoken build
expect "goes on without Debian" '$status == 0 && $err == *"not a Debian system"*libhwy-dev* && $asked == *">ninja"*'

# The other commands.
stand_ins
foretoken build --print-bin
expect "prints the folder alone" '$out == "'"$tree"'/build/release/bin" && $status == 0'
foretoken test --quick -R cache --preset asan
expect "tests another preset" '$asked == *"cmake --preset asan"*">ninja"*" all"*ctest* && $out == tested'
expect "leaves the browser alone where it is not needed" '$asked != *chromium*'
absent=libvalijson-dev stand_ins
fake dpkg-deb <<<'mkdir -p usr/include/valijson'
foretoken test --page
expect "leaves the validator alone where it is not needed" '$asked != *libvalijson*'
apt_status=100 absent=libvalijson-dev stand_ins
foretoken test
expect "tests without a validator" '$status == 0 && $err == *"a test of schemas is skipped"* && $asked != *dpkg-deb* && $asked == *ctest*'
absent=libvalijson-dev stand_ins
foretoken test
expect "fetches the validator's headers, and builds with them" '$asked == *"apt-get download libvalijson-dev"*">dpkg-deb -x"*">ninja"*ctest* && $asked != *"apt-get install"*'
foretoken test
expect "fetches them once" '$asked != *"apt-get download"* && $asked == *ctest*'
rm "$tools/dpkg-deb"
absent=chromium stand_ins
foretoken test
expect "installs the browser for the tests of the page" '$asked == *"apt-get install -y "*" chromium"*ctest*'
absent=chromium apt_status=100 stand_ins
foretoken test
expect "tests without a browser" '$status == 0 && $err == *"are skipped"* && $asked == *ctest*'
stand_ins
foretoken test --quick -R cache --preset asan
expect "filters the tests" '$asked == *"--label-regex ^quick\$ -R cache"*'
foretoken test --preset nonsense
expect "refuses an unknown preset" '$status == 2 && $err == *nonsense* && -z $asked'
foretoken nonsense
expect "refuses an unknown command" '$status == 2 && $err == *nonsense*'
foretoken build --nonsense
expect "refuses an unknown flag" '$status == 2 && $err == *nonsense*'
foretoken help
expect "prints its help" '$status == 0 && $out == usage:*serve*'
foretoken build --help
expect "prints its help for a command" '$status == 0 && $out == usage:*serve* && $asked != *ninja*'

# Several ranks.
program foretoken-server 0
uid=0 stand_ins
fake mpirun <<<'echo "launched:"; printf "<%s>" "$@"'
foretoken serve --ranks 8 --port 0
expect "starts ranks by mpirun" '$out == "launched:"*"<-n><8>"*"<--allow-run-as-root>"*"/foretoken-server><--ranks><8><--port><0>"'
numa_nodes() { fake lscpu <<<"echo '# comment'; for node in $*; do echo \$node; echo \$node; done"; }
numa_nodes 0
foretoken serve --ranks 2
expect "binds no ranks on one NUMA node" '$out == *"<--bind-to><none>"* && $err == *"2 ranks share the cores of 1 NUMA node"*'
numa_nodes 0 1
foretoken serve --ranks 2
expect "binds a rank to each NUMA node" '$out == *"<--map-by><numa><--bind-to><numa>"* && $err == *"binding 2 ranks to 2 NUMA nodes, 1 to each"*'
foretoken serve --ranks 8
expect "binds as many ranks to each" '$out == *"<--map-by><numa><--bind-to><numa>"* && $err == *"binding 8 ranks to 2 NUMA nodes, 4 to each"*'
numa_nodes 0 1 2 3
foretoken serve --ranks 2
expect "leaves no core idle where there are more nodes than ranks" '$out == *"<--bind-to><none>"*'
foretoken serve --ranks=1
expect "starts one rank by itself" '$out == "ran:"*"<--ranks=1>"'
foretoken serve --ranks many
expect "refuses a number of ranks that is none" '$status == 2 && $err == *"--ranks is many"*'
rm "$tools/mpirun"
foretoken serve --ranks 8
expect "says what is missing for ranks" '$status == 1 && $err == *openmpi-bin*'

# A copy of a checkout has a build that belongs to the original.
sed -i 's|INTERNAL=.*|INTERNAL=/elsewhere|' "$tree/build/release/CMakeCache.txt"
touch "$tree/core/new.cc"
foretoken build
expect "configures a copied checkout afresh" '$asked == *"cmake --fresh --preset release"*'

[[ $failures -eq 0 ]] && echo "all as expected"
exit "$((failures > 0))"
