package gridloom;

/** No other attempt follows: the shard is dead, visible, and can be tried again by hand. */
public final class Permanent extends Failure {
    private static final long serialVersionUID = 1;

    /** Without a cause. */
    public Permanent(String why) {
        this(why, null);
    }

    /** Because of {@code cause}. */
    public Permanent(String why, Throwable cause) {
        super("permanent", null, why, cause);
    }
}
