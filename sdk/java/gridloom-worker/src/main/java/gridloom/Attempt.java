package gridloom;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** An attempt at a shard, or at a probe. */
public abstract class Attempt {
    final long id;
    private final Tile tile;
    private final int page;
    private final Map<String, Object> said;
    private volatile boolean hasBegun;
    private volatile long begunNs;
    /** Why it is to stop; {@code null}: it is not. */
    private volatile String why;
    /** Who runs it, while it runs. */
    private Thread thread;

    Attempt(Tile tile, Map<String, Object> said) {
        this.tile = tile;
        this.said = said;
        id = Said.whole(said, "id");
        page = Said.small(said, "page");
    }

    /** The run that it is of. */
    public String run() {
        return tile.run;
    }

    /** The name of its job. */
    public String job() {
        return tile.job;
    }

    /** The name under which its handler was registered. */
    public String handler() {
        return tile.handler;
    }

    /** Tells its run from an earlier one of the same id. */
    public String nonce() {
        return tile.nonce;
    }

    /** Row of the grid, from 0. */
    public int slice() {
        return tile.slice;
    }

    /** How many slices the grid has. */
    public int slices() {
        return tile.slices;
    }

    /** Column of the grid, from 0; of a probe, the number of the question. */
    public int page() {
        return page;
    }

    /** Number of the attempt, from 1. */
    public int attempt() {
        return tile.attempt;
    }

    /** Of two holders of a shard the later one's is higher: a store that refuses lower ones is safe from the earlier. */
    public long fence() {
        return tile.fence;
    }

    /** The same for every attempt at this shard, and for no other shard ever: an {@code Idempotency-Key}. */
    public String key() {
        return tile.nonce + "-" + tile.slice + "-" + page;
    }

    /** What a request to others carries as its header {@code traceparent}, where the run is told of in a trace. */
    public Optional<String> traceparent() {
        return Optional.ofNullable((String) said.get("traceparent"));
    }

    /** The job's parameters with the submission's over them. */
    public Params params() {
        return tile.params;
    }

    /** The table of the job file that is called like the handler: no submission can change it. */
    public Params settings() {
        return tile.settings;
    }

    /** Whether the record with this key is in the shard's slice (docs/SLICING.md says how, also for SQL). */
    public boolean owns(String key) {
        return Slicing.sliceOf(key, tile.slices) == tile.slice;
    }

    /** Whether the record with this number is in the shard's slice: it is hashed as its plain decimal digits. */
    public boolean owns(long key) {
        return Slicing.sliceOf(key, tile.slices) == tile.slice;
    }

    /**
     * To be asked before each step that another holder must not see done twice.
     *
     * @throws Stopped when the attempt is to stop: cancelled, out of time, or its lease lost
     */
    public void check() {
        String reason = why;
        if (reason != null) {
            throw new Stopped(inWords(reason));
        }
    }

    /** Whether the attempt is to stop. */
    public boolean isStopped() {
        return why != null;
    }

    /** How long until it is out of time, by the job's {@code limits.timeout}; empty: it has no limit. */
    public Optional<Duration> remaining() {
        if (tile.timeoutMs == null) {
            return Optional.empty();
        }
        long ranNs = System.nanoTime() - (hasBegun ? begunNs : tile.cameNs);
        return Optional.of(Duration.ofNanos(TimeUnit.MILLISECONDS.toNanos(tile.timeoutMs) - ranNs));
    }

    /** When it is out of time; empty: never. */
    public Optional<Instant> deadline() {
        return remaining().map(left -> Instant.now().plus(left));
    }

    @Override
    public String toString() {
        return run() + " " + slice() + "/" + page + " attempt " + attempt();
    }

    Tile tile() {
        return tile;
    }

    Object field(String name) {
        return said.get(name);
    }

    private static String inWords(String why) {
        switch (why) {
            case "lease":
                return "lease lost";
            case "time":
                return "out of time";
            case "stopping":
                return "worker is stopping";
            case "gone":
                return "the worker is gone";
            default:
                return why;
        }
    }

    /** Begins it in this thread, unless it is to stop: then whoever said so has answered it. */
    synchronized boolean begin() {
        if (why != null) {
            return false;
        }
        begunNs = tile.current == null ? tile.cameNs : System.nanoTime();
        hasBegun = true;
        tile.current = this;
        thread = Thread.currentThread();
        return true;
    }

    /** The handler is back: what interrupted it is not for what this thread does next. */
    synchronized void end() {
        thread = null;
        Thread.interrupted();
    }

    /** Tells it to stop. Whether it had not begun, so that whoever calls this has to answer it. */
    synchronized boolean stop(String reason) {
        why = reason;
        if (thread != null) {
            thread.interrupt();
        }
        return !hasBegun;
    }
}
