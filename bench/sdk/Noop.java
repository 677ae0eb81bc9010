import gridloom.Worker;

/** A handler that does nothing, for {@code gridloom-bench sdk}. */
public final class Noop {
    private Noop() {}

    public static void main(String[] args) {
        Worker.create().handler("nothing", shard -> {}).run();
    }
}
