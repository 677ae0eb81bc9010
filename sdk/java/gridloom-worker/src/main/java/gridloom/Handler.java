package gridloom;

/** Executes a shard. What it throws says what follows: {@link Failure}. */
@FunctionalInterface
public interface Handler {
    /** Executes one shard; when it returns, the shard is committed. */
    void run(Shard shard) throws Exception;
}
