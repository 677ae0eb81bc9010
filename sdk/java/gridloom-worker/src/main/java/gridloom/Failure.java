package gridloom;

import java.time.Duration;

/**
 * What a handler throws to say what follows: {@link Retry}, {@link Permanent} or {@link Hold}. Any other exception is tried again
 * as the job's {@code [retry]} says.
 */
public abstract class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;
    /** The longest wait that an engine keeps. A longer one is taken for that. */
    private static final Duration WAIT_MAX = Duration.ofDays(30);

    private final String kind;
    /** -1: none was said. */
    private final long afterMs;

    Failure(String kind, Duration after, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.afterMs = after == null ? -1 : milliseconds(after);
    }

    private static long milliseconds(Duration wait) {
        if (wait.isNegative()) {
            throw new IllegalArgumentException("a wait is a time from 0 up, not " + wait);
        }
        return wait.compareTo(WAIT_MAX) > 0 ? WAIT_MAX.toMillis() : wait.toMillis();
    }

    /** {@code retry}, {@code permanent} or {@code hold}. */
    public String kind() {
        return kind;
    }

    long afterMs() {
        return afterMs;
    }
}
