package gridloom;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/** What became of an attempt in a test: {@link Testing}. */
public final class Outcome {
    private final Shard shard;
    private final String kind;
    private final String error;
    private final Throwable thrown;

    Outcome(Shard shard, Throwable thrown) {
        Answer answer = Answer.of(shard, thrown);
        this.shard = shard;
        this.thrown = thrown;
        switch (answer.kind) {
            case FAIL:
                Failure failure = Answer.failureOf(answer.error);
                kind = failure == null ? "retry" : failure.kind();
                error = Answer.textOf(answer.error);
                break;
            case STOPPED:
                kind = "stopped";
                error = Answer.textOf(thrown);
                break;
            default:
                kind = "done";
                error = null;
                break;
        }
    }

    /** {@code done}, {@code retry}, {@code permanent}, {@code hold} or {@code stopped}. */
    public String kind() {
        return kind;
    }

    /** Whether the shard would be committed. */
    public boolean isOk() {
        return kind.equals("done");
    }

    /** The rows, where it would be committed. */
    public long rows() {
        return isOk() ? shard.rowsSoFar() : 0;
    }

    /** The counters, where it would be committed. */
    public Map<String, Long> counters() {
        return isOk() ? shard.counters() : java.util.Collections.emptyMap();
    }

    /** The small result, where it would be committed and has one. */
    public Optional<String> result() {
        return Optional.ofNullable(isOk() ? shard.result() : null);
    }

    /** The error as the ledger would have it. */
    public Optional<String> error() {
        return Optional.ofNullable(error);
    }

    /** How long until the next attempt, where the handler said so. */
    public Optional<Duration> after() {
        Failure failure = Answer.failureOf(thrown);
        return failure == null || failure.afterMs() < 0 ? Optional.empty() : Optional.of(Duration.ofMillis(failure.afterMs()));
    }

    /** What the handler threw. */
    public Optional<Throwable> thrown() {
        return Optional.ofNullable(thrown);
    }

    /** Itself where it is ok; otherwise throws an {@code AssertionError} because of what the handler threw. */
    public Outcome check() {
        if (!isOk()) {
            throw new AssertionError("shard " + shard.slice() + "/" + shard.page() + ": " + kind + ": " + error, thrown);
        }
        return this;
    }

    @Override
    public String toString() {
        return shard.slice() + "/" + shard.page() + " " + kind + (error == null ? "" : ": " + error);
    }
}
