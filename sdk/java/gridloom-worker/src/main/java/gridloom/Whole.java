package gridloom;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What became of all shards of a grid in a test: {@link Testing}. */
public final class Whole {
    private final List<Outcome> outcomes;

    Whole(List<Outcome> outcomes) {
        this.outcomes = Collections.unmodifiableList(outcomes);
    }

    /** Of each shard, slice by slice, page by page. */
    public List<Outcome> outcomes() {
        return outcomes;
    }

    /** Whether each shard would be committed. */
    public boolean isOk() {
        return outcomes.stream().allMatch(Outcome::isOk);
    }

    /** Rows of all that succeeded. */
    public long rows() {
        return outcomes.stream().mapToLong(Outcome::rows).sum();
    }

    /** Counters of all that succeeded. */
    public Map<String, Long> counters() {
        Map<String, Long> sums = new TreeMap<>();
        outcomes.forEach(one -> one.counters().forEach((name, n) -> sums.merge(name, n, Long::sum)));
        return sums;
    }

    /** Itself where all are ok; otherwise throws because of the first one that is not. */
    public Whole check() {
        outcomes.forEach(Outcome::check);
        return this;
    }
}
