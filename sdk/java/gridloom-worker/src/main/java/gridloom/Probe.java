package gridloom;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A question to a handler: which pages does this slice have, behind the key {@link #after}?
 *
 * <p>A row whose key lies in two pages is done twice, and no audit of shards would show it: pages that share a key are refused,
 * whatever their type.
 */
public final class Probe extends Attempt {
    /** Most bytes of a key that is a text. */
    private static final int KEY_MAX = 256;

    private final int pagesMax;
    private final Object after;
    private long room;
    private final List<List<Object>> pages = new ArrayList<>();
    private final Set<Object> texts = new HashSet<>();
    /** Where the next question goes on; {@code null}: the slice is known to its end. */
    private Object cursor;

    Probe(Tile tile, Map<String, Object> said) {
        super(tile, said);
        room = Said.whole(said, "room");
        pagesMax = Said.small(said, "pages_max");
        after = said.get("after");
    }

    /** The last key that is known, a {@code Long} or a {@code String}; {@code null} for the first question of the slice. */
    public Object after() {
        return after;
    }

    /** The last key that is known, where keys are whole numbers; {@code first} for the first question of the slice. */
    public long after(long first) {
        return after == null ? first : Said.of(Long.class, after, "after");
    }

    /** The last key that is known, where keys are texts; {@code first} for the first question of the slice. */
    public String after(String first) {
        return after == null ? first : Said.of(String.class, after, "after");
    }

    /**
     * Names a page by its first and last key, both inside it.
     *
     * @return whether there was room for it. Where there was none the handler returns: it is asked again behind the last one
     */
    public boolean page(long first, long last) {
        return take(first, last, 19);
    }

    /** Likewise, by keys that are texts. */
    public boolean page(String first, String last) {
        return take(first, last, 1L + cost(first) + cost(last));
    }

    private static long cost(String key) {
        int size = key.getBytes(StandardCharsets.UTF_8).length;
        if (size > KEY_MAX) {
            throw new Permanent("a key of " + size + " bytes, " + KEY_MAX + " are the most");
        }
        return size + 5L;
    }

    private boolean take(Object first, Object last, long cost) {
        check();
        if (cursor != null) {
            return false;
        }
        if (!pages.isEmpty() && (cost > room || pages.size() >= pagesMax)) {
            cursor = pages.get(pages.size() - 1).get(1);
            return false;
        }
        if (cost > room) {
            throw new Permanent("a page whose keys take " + cost + " bytes, " + room + " are the most");
        }
        judge(first, last);
        room -= cost;
        List<Object> page = new ArrayList<>(2);
        page.add(first);
        page.add(last);
        pages.add(page);
        return true;
    }

    private void judge(Object first, Object last) {
        int number = pages.size() + 1;
        Object before = pages.isEmpty() ? after : pages.get(pages.size() - 1).get(1);
        if (before != null && before.getClass() != first.getClass()) {
            throw new Permanent("page " + number + " with whole numbers for keys beside texts: take one type");
        }
        boolean again;
        if (first instanceof String) {
            // How texts are ordered only their database knows, but one that comes twice is in two pages in every order.
            again = first.equals(before) || texts.contains(first) || texts.contains(last);
            texts.add(first);
            texts.add(last);
        } else {
            long begin = (Long) first;
            again = before != null && begin == (Long) before;
            if (before != null && begin < (Long) before) {
                throw new Permanent("page " + number + " begins before the page before it ends: pages must be in order");
            }
            if (begin > (Long) last) {
                throw new Permanent("page " + number + " ends before it begins");
            }
        }
        if (again) {
            throw new Permanent("page " + number + " shares a key with a page before it, whose row would be done twice: "
                    + "the key of pages must be unique: take one that is, such as the primary key");
        }
    }

    List<List<Object>> found() {
        return pages;
    }

    Object cursor() {
        return cursor;
    }

    /** The message of the child protocol. */
    String message() {
        StringBuilder out = new StringBuilder("{\"type\":\"pages\",\"id\":").append(id).append(",\"pages\":");
        Json.write(out, pages);
        if (cursor != null) {
            Json.write(out.append(",\"cursor\":"), cursor);
        }
        return out.append('}').toString();
    }
}
