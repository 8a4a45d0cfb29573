#!/usr/bin/env bash
# Every fuzz target for $FUZZTIME (20s), one after the other: `make fuzz`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
while IFS=: read -r file target; do
  dir=./$(dirname "$file")
  echo "== $dir $target"
  if (cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" .); then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done < <(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
