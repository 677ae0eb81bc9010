package gridloom;

import java.time.Duration;

/** Another attempt follows, after the job's backoff or after a time that is said, up to its {@code max_attempts}. */
public final class Retry extends Failure {
    private static final long serialVersionUID = 1;

    /** By the job's backoff. */
    public Retry(String why) {
        this(why, (Throwable) null);
    }

    /** By the job's backoff. */
    public Retry(String why, Throwable cause) {
        super("retry", null, why, cause);
    }

    /** After so long. */
    public Retry(Duration after, String why) {
        this(after, why, null);
    }

    /** After so long. */
    public Retry(Duration after, String why, Throwable cause) {
        super("retry", after, why, cause);
    }
}
