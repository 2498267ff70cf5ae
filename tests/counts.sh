#!/bin/sh
# Runs the command given, shows its output, and ends with the sum of cargo's
# result lines. Exits as the command did.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ "$@" 2>&1; echo "exit status: $?" >>"$log.status"; } | tee "$log"
status=$(sed -n 's/^exit status: //p' "$log.status")
rm -f "$log.status"
# Compilation that fails leaves no result line: that counts as one failure.
awk -v status="$status" '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^skipped: / { skipped++ }
    END {
        if (status != 0 && failed == 0) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    }' "$log"
exit "$status"
