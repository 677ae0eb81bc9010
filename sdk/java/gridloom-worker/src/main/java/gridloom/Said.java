package gridloom;

import java.util.List;
import java.util.Map;

/** Fields of a message, each of the type that docs/CHILD-PROTOCOL.md gives it. */
final class Said {
    private Said() {}

    static String text(Map<String, Object> said, String field) {
        return of(String.class, said.get(field), field);
    }

    static long whole(Map<String, Object> said, String field) {
        return of(Long.class, said.get(field), field);
    }

    /** Of the grid: slices, pages, attempts. */
    static int small(Map<String, Object> said, String field) {
        long whole = whole(said, field);
        if (whole < 0 || whole > Integer.MAX_VALUE) {
            throw new Odd(field);
        }
        return (int) whole;
    }

    static List<?> list(Map<String, Object> said, String field) {
        return of(List.class, said.get(field), field);
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object one, String field) {
        return of(Map.class, one, field);
    }

    static <T> T of(Class<T> kind, Object found, String field) {
        if (!kind.isInstance(found)) {
            throw new Odd(field);
        }
        return kind.cast(found);
    }

    /** A message whose field is missing, or of another type. */
    static final class Odd extends IllegalArgumentException {
        private static final long serialVersionUID = 1;

        Odd(String field) {
            super("its field " + field + " is missing, or is of another type");
        }
    }
}
