package gridloom;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * SIGTERM and SIGINT ask for nothing more instead of ending the process; the second one ends it.
 *
 * <p>Java has no interface for that which is promised, but every one that is known has {@code sun.misc.Signal}. Where there is none,
 * or the program was started with {@code -Xrs}, the signals end the process as always.
 */
final class Signals implements AutoCloseable {
    private final Map<Object, Object> before = new LinkedHashMap<>();

    /** Calls {@code stop} at the first of them. */
    static Signals to(Runnable stop) {
        Signals signals = new Signals();
        for (String name : new String[] {"TERM", "INT"}) {
            signals.take(name, stop);
        }
        return signals;
    }

    private void take(String name, Runnable stop) {
        try {
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object signal = Class.forName("sun.misc.Signal").getConstructor(String.class).newInstance(name);
            Object usual = handler.getField("SIG_DFL").get(null);
            Object ours = Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, (proxy, method, args) -> {
                switch (method.getName()) {
                    case "handle":
                        restore(signal);
                        stop.run();
                        return null;
                    case "hashCode":
                        return System.identityHashCode(proxy);
                    case "equals":
                        return proxy == args[0];
                    default:
                        return "gridloom's handler of SIG" + name;
                }
            });
            Object old = set(signal, ours);
            if (usual.equals(old) || isJavas(old)) {
                remember(signal, old);
            } else {
                // The program has a handler of its own.
                set(signal, old);
            }
        } catch (ReflectiveOperationException | RuntimeException none) {
            // Then they end the process as always.
        }
    }

    /** What every Java has there from its start. */
    private static boolean isJavas(Object handler) {
        String name = handler == null ? "" : handler.getClass().getName();
        return name.startsWith("sun.misc.") || name.startsWith("java.lang.Terminator");
    }

    private synchronized void remember(Object signal, Object old) {
        before.put(signal, old);
    }

    private synchronized void restore(Object signal) {
        Object old = before.remove(signal);
        if (old != null) {
            try {
                set(signal, old);
            } catch (ReflectiveOperationException | RuntimeException none) {
                // It was taken like this.
            }
        }
    }

    private static Object set(Object signal, Object handler) throws ReflectiveOperationException {
        Class<?> type = Class.forName("sun.misc.SignalHandler");
        try {
            return signal.getClass().getMethod("handle", signal.getClass(), type).invoke(null, signal, handler);
        } catch (InvocationTargetException error) {
            throw new ReflectiveOperationException(error.getCause());
        }
    }

    @Override
    public void close() {
        Object[] left;
        synchronized (this) {
            left = before.keySet().toArray();
        }
        for (Object signal : left) {
            restore(signal);
        }
    }
}
