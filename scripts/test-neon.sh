#!/bin/sh
# The tests of the operations on 64-bit ARM, from any Linux machine: cross-compiled and run under user-mode emulation.
# Opt-in, about half a minute: scripts/test-neon.sh
set -eu
cd "$(dirname "$0")/.."

compiler=${CXX_AARCH64:-aarch64-linux-gnu-g++}
for tool in "$compiler" qemu-aarch64-static; do
  if ! command -v "$tool" > /dev/null; then
    echo "test-neon: $tool not found. On Debian or Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user-static" >&2
    exit 1
  fi
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c++20 -Wall -Wextra -ffp-contract=off -Inative-node/include -Inative-node/engine"
for name in ops_scalar mxfp4_tiles i8_tiles dispatch ops_avx2 ops_avx512; do
  echo "test-neon: compiling $name" >&2
  "$compiler" $flags -O3 -c "native-node/engine/ops/$name.cpp" -o "$out/$name.o"
done
echo "test-neon: compiling ops_neon and the tests" >&2
"$compiler" $flags -O3 -march=armv8.2-a+dotprod -c native-node/engine/ops/ops_neon.cpp -o "$out/ops_neon.o"
"$compiler" $flags -O1 -Itest/native -static test/native/ops_test.cpp "$out"/*.o -o "$out/ops_test"
echo "test-neon: running under emulation" >&2
qemu-aarch64-static "$out/ops_test" neon
