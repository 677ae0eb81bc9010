package gridloom;

/**
 * Says which pages a slice has, for jobs with {@code pages = { probe = true }}: calls {@link Probe#page} for each behind
 * {@link Probe#after}, in order.
 */
@FunctionalInterface
public interface Pages {
    /** Names the pages of one slice, until there are no more or one is not taken. */
    void find(Probe probe) throws Exception;
}
