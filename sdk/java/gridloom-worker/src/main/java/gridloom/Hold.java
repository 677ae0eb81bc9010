package gridloom;

import java.time.Duration;

/**
 * What the shard needs cannot serve for now: a rate limit (a 429), a replica that lags.
 *
 * <p>Nothing of the whole job, or of any job that names the same {@code limits.resource}, is issued before the time is over; then
 * this shard is tried again, and the attempt counts as none of its {@code max_attempts}.
 */
public final class Hold extends Failure {
    private static final long serialVersionUID = 1;

    /** For so long. */
    public Hold(Duration after, String why) {
        this(after, why, null);
    }

    /** For so long, because of {@code cause}. */
    public Hold(Duration after, String why, Throwable cause) {
        super("hold", java.util.Objects.requireNonNull(after, "a hold needs a time"), why, cause);
    }
}
