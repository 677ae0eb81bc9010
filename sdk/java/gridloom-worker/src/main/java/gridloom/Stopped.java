package gridloom;

/**
 * The attempt is to stop: cancelled, out of time, or its lease lost. Thrown by {@link Attempt#check()}.
 *
 * <p>No {@code Exception}: a handler that goes on with the next row after {@code catch (Exception e)} must not go on after this.
 */
public final class Stopped extends Error {
    private static final long serialVersionUID = 1;

    Stopped(String why) {
        super(why);
    }
}
