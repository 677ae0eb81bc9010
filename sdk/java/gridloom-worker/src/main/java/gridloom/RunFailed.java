package gridloom;

/** The run that was waited for ended otherwise than {@code succeeded}. */
public final class RunFailed extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient Run run;

    RunFailed(Run run) {
        super("run " + run.id() + " " + run.state() + ": " + run.error().orElse("no error is on record"));
        this.run = run;
    }

    /** How it ended. */
    public Run run() {
        return run;
    }
}
