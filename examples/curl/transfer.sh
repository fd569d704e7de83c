#!/bin/sh
# transfer.sh GID AMOUNT: moves AMOUNT from the bank at $FROM to the one at $TO, by the coordinator at $DTM.
# Prints how it ended; exit status 0 if it succeeded. Calling it again with the same GID is safe.
set -eu
gid=$1 amount=$2

# A payload is JSON in a string of the body, so its quotes are escaped.
body=$(cat <<END
{
  "gid": "$gid", "trans_type": "saga",
  "steps": [
    {"action": "$FROM/withdraw", "compensate": "$FROM/withdraw"},
    {"action": "$TO/deposit", "compensate": "$TO/deposit"}
  ],
  "payloads": ["{\"amount\": $amount}", "{\"amount\": $amount}"]
}
END
)

# 200: stored. 409: it has ended already. 5xx or nothing (000): the same again. Anything else: it was refused.
submit() {
  curl -s -o /dev/null -w '%{http_code}' -d "$body" "$DTM/api/dtmsvr/submit" || true
}

# The first "status" in the answer is the transaction's; it is null when the gid is unknown.
status() {
  curl -s "$DTM/api/dtmsvr/query?gid=$gid" | sed -n 's/.*"transaction":{[^}]*"status":"\([a-z]*\)".*/\1/p'
}

code=$(submit)
while [ "$code" = 000 ] || [ "$code" -ge 500 ]; do
  sleep 1
  code=$(submit)
done
if [ "$code" != 200 ] && [ "$code" != 409 ]; then
  echo "$gid was refused with HTTP status $code" >&2
  exit 2
fi

while :; do
  now=$(status)
  case $now in
    succeed) echo "$gid $now"; exit 0 ;;
    failed) echo "$gid $now"; exit 1 ;;
  esac
  sleep 0.2
done
