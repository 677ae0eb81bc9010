package gridloom;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as this library needs it: a library of its own would be one more on the class path of whoever uses this one.
 *
 * <p>Objects are {@code Map<String, Object>}, lists {@code List<Object>}, neither can be changed; whole numbers are {@code Long}, or
 * {@code BigInteger} beyond 64 bits, others {@code Double}; then {@code String}, {@code Boolean} and {@code null}.
 */
final class Json {
    /** Nobody writes deeper by hand, and the stack of a thread ends somewhere. */
    private static final int DEPTH_MAX = 200;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /**
     * Reads one value.
     *
     * @throws IllegalArgumentException where the text is something else
     */
    static Object read(String text) {
        Json reader = new Json(text);
        Object value = reader.value();
        reader.blanks();
        if (reader.at != text.length()) {
            throw reader.fault("more behind the value");
        }
        return value;
    }

    /** The text of a value. */
    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value);
        return out.toString();
    }

    /** Adds the text of a value. */
    static void write(StringBuilder out, Object value) {
        if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof CharSequence || value instanceof Character || value instanceof Enum) {
            text(out, value.toString());
        } else if (value instanceof Number) {
            number(out, (Number) value);
        } else if (value instanceof Map) {
            char before = '{';
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                text(out.append(before), String.valueOf(entry.getKey()));
                write(out.append(':'), entry.getValue());
                before = ',';
            }
            out.append(before == '{' ? "{}" : "}");
        } else if (value instanceof Collection) {
            list(out, (Collection<?>) value);
        } else if (value instanceof Object[]) {
            list(out, java.util.Arrays.asList((Object[]) value));
        } else if (value instanceof long[] || value instanceof int[]) {
            List<Object> all = new ArrayList<>();
            for (int i = 0; i < java.lang.reflect.Array.getLength(value); i++) {
                all.add(java.lang.reflect.Array.get(value, i));
            }
            list(out, all);
        } else {
            throw new IllegalArgumentException("no JSON can be made of a " + value.getClass().getName()
                    + ": write it as text, number, boolean, Map or Collection");
        }
    }

    private static void list(StringBuilder out, Collection<?> values) {
        char before = '[';
        for (Object value : values) {
            write(out.append(before), value);
            before = ',';
        }
        out.append(before == '[' ? "[]" : "]");
    }

    private static void number(StringBuilder out, Number number) {
        if (number instanceof Double || number instanceof Float) {
            double value = number.doubleValue();
            if (Double.isNaN(value) || Double.isInfinite(value)) {
                throw new IllegalArgumentException("no JSON can be made of " + value);
            }
        } else if (!(number instanceof Long || number instanceof Integer || number instanceof Short || number instanceof Byte
                || number instanceof BigInteger || number instanceof BigDecimal
                || number instanceof java.util.concurrent.atomic.AtomicLong
                || number instanceof java.util.concurrent.atomic.AtomicInteger)) {
            throw new IllegalArgumentException("no JSON can be made of a " + number.getClass().getName());
        }
        out.append(number);
    }

    private static void text(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c >= ' ') {
                out.append(c);
            } else if (c == '\n') {
                out.append("\\n");
            } else {
                out.append("\\u00").append(Character.forDigit(c >> 4, 16)).append(Character.forDigit(c & 15, 16));
            }
        }
        out.append('"');
    }

    private Object value() {
        blanks();
        char c = peek();
        switch (c) {
            case '{':
                return object();
            case '[':
                return list();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> map = new LinkedHashMap<>();
        deeper();
        at++;
        blanks();
        if (peek() == '}') {
            at++;
        } else {
            do {
                blanks();
                if (peek() != '"') {
                    throw fault("a name of a field should be here");
                }
                String name = string();
                blanks();
                expect(':');
                map.put(name, value());
                blanks();
            } while (more('}'));
        }
        depth--;
        return Collections.unmodifiableMap(map);
    }

    private List<Object> list() {
        List<Object> all = new ArrayList<>();
        deeper();
        at++;
        blanks();
        if (peek() == ']') {
            at++;
        } else {
            do {
                all.add(value());
                blanks();
            } while (more(']'));
        }
        depth--;
        return Collections.unmodifiableList(all);
    }

    private void deeper() {
        if (++depth > DEPTH_MAX) {
            throw fault("nested more than " + DEPTH_MAX + " times");
        }
    }

    private boolean more(char end) {
        char c = peek();
        at++;
        if (c == ',') {
            return true;
        }
        if (c != end) {
            at--;
            throw fault("a comma or " + end + " should be here");
        }
        return false;
    }

    private String string() {
        int begin = ++at;
        while (true) {
            char c = peek();
            if (c == '"') {
                // Nearly every text is as it stands.
                return text.substring(begin, at++);
            }
            if (c == '\\') {
                return escaped(begin);
            }
            refuseControl(c);
            at++;
        }
    }

    private String escaped(int begin) {
        StringBuilder out = new StringBuilder().append(text, begin, at);
        while (true) {
            char c = peek();
            at++;
            if (c == '"') {
                return out.toString();
            }
            if (c != '\\') {
                refuseControl(c);
                out.append(c);
                continue;
            }
            char escape = peek();
            at++;
            int known = "\"\\/bfnrt".indexOf(escape);
            if (known >= 0) {
                out.append("\"\\/\b\f\n\r\t".charAt(known));
            } else if (escape == 'u') {
                out.append(unit());
            } else {
                throw fault("an escape that is none");
            }
        }
    }

    private char unit() {
        int unit = 0;
        for (int i = 0; i < 4; i++) {
            char c = peek();
            int digit = c < 128 ? Character.digit(c, 16) : -1;
            if (digit < 0) {
                throw fault("four hexadecimal digits should be here");
            }
            unit = unit * 16 + digit;
            at++;
        }
        return (char) unit;
    }

    private void refuseControl(char c) {
        if (c < ' ') {
            throw fault("a control character in a text");
        }
    }

    private Object word(String word, Object meant) {
        if (!text.startsWith(word, at)) {
            throw fault("no value");
        }
        at += word.length();
        return meant;
    }

    private Object number() {
        int begin = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            digits();
        }
        boolean whole = true;
        if (at < text.length() && text.charAt(at) == '.') {
            whole = false;
            at++;
            digits();
        }
        if (at < text.length() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
        }
        String digits = text.substring(begin, at);
        if (!whole) {
            return Double.valueOf(digits);
        }
        if (digits.length() < 19) {
            return Long.valueOf(digits);
        }
        BigInteger big = new BigInteger(digits);
        return big.bitLength() < 64 ? (Object) big.longValue() : big;
    }

    private void digits() {
        int begin = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == begin) {
            throw fault("no value");
        }
    }

    private void expect(char c) {
        if (peek() != c) {
            throw fault(c + " should be here");
        }
        at++;
    }

    private void blanks() {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
                return;
            }
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw fault("the end of the text");
        }
        return text.charAt(at);
    }

    private IllegalArgumentException fault(String what) {
        return new IllegalArgumentException("no JSON at its sign " + (at + 1) + ": " + what);
    }
}
