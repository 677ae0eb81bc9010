package gridloom.elasticjob;

import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.List;

/** Names as {@code gridloom import elasticjob} makes them of those in Java: {@code OrderJob} is {@code order-job}. */
final class Names {
    private static final int MOST = 48;
    /** Their names are theirs, whether a worker has them or not. */
    private static final List<String> BUILT_IN = Arrays.asList("noop", "sql", "exec", "http");

    private Names() {}

    /** The handler of a job's class: its own name, without its package. */
    static String of(Class<?> job) {
        // What frameworks put around a class has the class above it.
        Class<?> own = job;
        while (own.getSimpleName().contains("$$") && own.getSuperclass() != null && own.getSuperclass() != Object.class) {
            own = own.getSuperclass();
        }
        String name = of(own.getName().substring(own.getName().lastIndexOf('.') + 1));
        if (own.isSynthetic() || own.isAnonymousClass() || Proxy.isProxyClass(own) || name.isEmpty()) {
            throw new IllegalArgumentException("the job " + own.getName() + " has no name of its own: say job(\"NAME\", job), with the"
                    + " handler that its job file names");
        }
        return BUILT_IN.contains(name) ? name + "-job" : name;
    }

    static String of(String text) {
        StringBuilder name = new StringBuilder();
        char before = 0;
        for (char c : text.toCharArray()) {
            boolean plain = isUpper(c) || isLower(c) || isDigit(c);
            boolean beginsWord = isUpper(c) && (isLower(before) || isDigit(before));
            if ((beginsWord || !plain) && name.length() > 0 && name.charAt(name.length() - 1) != '-') {
                name.append('-');
            }
            if (plain) {
                name.append(isUpper(c) ? (char) (c + 'a' - 'A') : c);
            }
            before = c;
        }
        if (name.length() > MOST) {
            name.setLength(MOST);
        }
        while (name.length() > 0 && name.charAt(name.length() - 1) == '-') {
            name.setLength(name.length() - 1);
        }
        return name.toString();
    }

    private static boolean isUpper(char c) {
        return c >= 'A' && c <= 'Z';
    }

    private static boolean isLower(char c) {
        return c >= 'a' && c <= 'z';
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }
}
