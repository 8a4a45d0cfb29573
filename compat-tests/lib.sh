# Counting checks for the tests that are shell scripts: source it, call check, end with closing.
# shellcheck shell=bash
passed=0 failed=0

# check NAME COMMAND...: runs the command; its output is shown only when it fails
check() {
  local name=$1 out began=${EPOCHREALTIME/./}
  shift
  if out=$("$@" 2>&1); then
    passed=$((passed + 1))
    [ -z "${VERBOSE:-}" ] || echo "ok   $suite: $name ($(((${EPOCHREALTIME/./} - began) / 1000)) ms)"
  else
    failed=$((failed + 1))
    echo "FAIL $suite: $name"
    echo "$out" | tail -8 | sed 's/^/     /'
  fi
}

# same WANT GOT: fails and shows both when they differ
same() { [ "$1" = "$2" ] || { printf 'want: %s\ngot:  %s\n' "${1:0:300}" "${2:0:300}"; return 1; }; }

closing() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
