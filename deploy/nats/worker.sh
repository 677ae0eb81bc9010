#!/bin/sh
# Prints the account of workers of one queue with these handlers, which roles.conf includes:
#   ./worker.sh QUEUE HANDLER... > worker-QUEUE.conf
# worker-default.conf is what this prints for `default noop sql exec http`. Its variables: NAMESPACE (gridloom), ACCOUNT
# (GRIDLOOM_WORKERS), NAME of the user (worker), PASSWORD ($NATS_WORKER_PASSWORD), NUMBERS (16) and INBOX (_INBOX), which
# its workers are told as GRIDLOOM_NATS_INBOX.
# A wildcard of NATS stands for a whole token, and a consumer's name is one token: so the consumers that a worker may
# pull from are named, NUMBERS of each lane. A lane takes the next number when its consumer is gone: with the queue in
# memory at each restart of a single broker. A worker that runs out of them says so (`Permissions Violation …
# default_noop-17`); then print this again with more, and reload nats-server (`nats-server --signal reload`).
# A second account of workers: name it in the lists of `accounts` of roles.conf, and give GRIDLOOM and GRIDLOOM_MONITORS
# the same imports from it as from the first.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 QUEUE HANDLER..." >&2; exit 2; }
ns="${NAMESPACE:-gridloom}" account="${ACCOUNT:-GRIDLOOM_WORKERS}" name="${NAME:-worker}"
password="${PASSWORD:-\$NATS_WORKER_PASSWORD}" numbers="${NUMBERS:-16}" inbox="${INBOX:-_INBOX}" queue="$1"
shift

# What is asked of and said to the account of the streams, a subject a line.
crossing() {
    cat <<FIXED
\$JS.API.INFO
\$JS.API.STREAM.INFO.$ns-shards
\$JS.API.STREAM.INFO.$ns-ledger
\$JS.API.CONSUMER.NAMES.$ns-shards
\$JS.API.STREAM.MSG.GET.$ns-ledger
\$JS.API.STREAM.MSG.GET.KV_$ns-state
\$JS.API.DIRECT.GET.$ns-ledger
\$JS.API.DIRECT.GET.$ns-ledger.$ns.ledger.$queue.>
$ns.ledger.$queue.*.work
$ns.ledger.$queue.*.takeover
$ns.presence.*
\$KV.$ns-workers.*
\$JS.API.STREAM.MSG.GET.$ns-alarm
\$JS.API.CONSUMER.CREATE.$ns-alarm.alarms.$ns.late.*.*
\$JS.API.CONSUMER.INFO.$ns-alarm.alarms
\$JS.API.CONSUMER.MSG.NEXT.$ns-alarm.alarms
\$JS.ACK.$ns-alarm.alarms.>
FIXED
    for handler; do
        echo "\$KV.$ns-state.consumer.$queue.$handler"
        n=1
        while [ "$n" -le "$numbers" ]; do
            consumer="${queue}_$handler-$n"
            echo "\$JS.API.CONSUMER.CREATE.$ns-shards.$consumer.$ns.shard.$queue.$handler.*"
            echo "\$JS.API.CONSUMER.INFO.$ns-shards.$consumer"
            echo "\$JS.API.CONSUMER.MSG.NEXT.$ns-shards.$consumer"
            echo "\$JS.ACK.$ns-shards.$consumer.>"
            echo "\$JS.ACK.*.*.$ns-shards.$consumer.>"
            echo "\$KV.$ns-state.floor.$consumer.*"
            n=$((n + 1))
        done
    done
}

cat <<HEAD
# Made by worker.sh: workers of queue $queue with the handlers $*.
# They hear each other's bells and takeovers here, and may do nothing else with each other; who must not see what another
# queue has gets an account of its own.
$account {
  users: [
    { user: "$name", password: $password, permissions: {
      publish: { allow: [
        "$ns.bell.$queue.*"
HEAD
crossing "$@" | sed 's/.*/        "&"/'
cat <<MIDDLE
      ] }
      subscribe: { allow: [
        "$ns.ledger.*.*.takeover", "$ns.broadcast", "$ns.roll-call"
        "$ns.probe.*", "$ns.holdings.*", "$ns.bell.$queue.*", "$inbox.>"
      ] }
      allow_responses: true
    } }
  ]
  exports: [
    { service: "$ns.roll-call", response_type: stream, accounts: [ GRIDLOOM, GRIDLOOM_MONITORS ] }
    { service: "$ns.broadcast", response_type: stream, accounts: [ GRIDLOOM ] }
    { service: "$ns.probe.*", accounts: [ GRIDLOOM, GRIDLOOM_MONITORS ] }
    { service: "$ns.holdings.*", accounts: [ GRIDLOOM, GRIDLOOM_MONITORS ] }
  ]
  imports: [
MIDDLE
crossing "$@" | sed 's/.*/    { service: { account: GRIDLOOM, subject: "&" } }/'
cat <<TAIL
  ]
}
TAIL
