package gridloom;

/** Nobody answered in time, or not as a planner does. */
public final class Unreachable extends RuntimeException {
    private static final long serialVersionUID = 1;

    Unreachable(String what, Throwable cause) {
        super(what, cause);
    }
}
