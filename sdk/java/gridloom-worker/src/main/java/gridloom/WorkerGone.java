package gridloom;

/** The {@code gridloom worker} beside this program has ended, and nobody had told it to. */
public final class WorkerGone extends RuntimeException {
    private static final long serialVersionUID = 1;

    WorkerGone(String what) {
        super(what);
    }
}
